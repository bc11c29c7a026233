"""Commands that make, plan and run."""

from __future__ import annotations

import shlex
import sys

import click

from enrich.cli import completing
from enrich.cli.context import ERROR, Context, finish
from enrich.cli.options import json_option, order_options, provider_option, var_option
from enrich.errors import EnrichError


@click.command()
@click.argument("folder", default=".", shell_complete=completing.folders)
@click.pass_obj
def init(_: Context, folder: str) -> None:
    """Make a new project in FOLDER: settings, a seed, a model and its prompt.

    \b
    Example:
      enrich init mine && cd mine && enrich run
    """
    from enrich import report
    from enrich.manifest import scaffold

    try:
        made = scaffold.create_project(folder or ".")
    except EnrichError as problem:
        report.error(problem)
        sys.exit(ERROR)
    for path in made:
        sys.stderr.write(f"created {path}\n")
    go = "" if folder in ("", ".") else f"  cd {shlex.quote(folder)}\n"
    sys.stderr.write(f"\nnext:\n{go}  enrich plan\n  enrich run\n")


@click.command()
@click.argument("names", nargs=-1, metavar="[SEED]...", shell_complete=completing.seeds)
@click.pass_obj
def seed(context: Context, names: tuple[str, ...]) -> None:
    """Load the files of seeds/ (CSV, JSON, Parquet) as tables; unchanged ones are left alone.

    \b
    Example:
      enrich seed movies
    """
    with context.project() as project:
        if not project.seed(*names):
            sys.stderr.write("every seed is loaded already\n")


@click.command("compile")
@click.argument(
    "names", nargs=-1, required=True, metavar="MODEL...", shell_complete=completing.terms
)
@provider_option
@var_option
@json_option
@click.pass_obj
def compile_(context: Context, names: tuple[str, ...], provider: str | None, as_json: bool) -> None:
    """Print what models become: their SQL, JSON Schema and first request. Sends nothing.

    \b
    Example:
      enrich compile movies_categories
    """
    import json

    with context.project() as project:
        single = len(names) == 1 and names[0] in {*project.models, *project.graph.broken}
        picked = names if single else [model.name for model in project.select(*names)]
        found = {name: project.compile(name, provider=provider) for name in picked}
    if as_json:
        shown = found[names[0]] if single else found
        sys.stdout.write(json.dumps(shown, ensure_ascii=False) + "\n")
        return
    for name, parts in found.items():
        for title, value in parts.items():
            plain = isinstance(value, str)
            text = value if plain else json.dumps(value, indent=2, ensure_ascii=False)
            head = title if single else f"{name}: {title}"
            sys.stdout.write(f"-- {head}\n{text}\n\n")


@click.command()
@order_options
@json_option
@click.pass_obj
def plan(
    context: Context,
    names: tuple[str, ...],
    exclude: tuple[str, ...],
    provider: str | None,
    retry: bool,
    full_refresh: bool,
    max_cost: float | None,
    as_json: bool,
) -> None:
    """Show what `run` would ask, why, and what it would cost. Nothing is sent or spent.

    \b
    Example:
      enrich plan movies_categories
      enrich plan --provider openai
    """
    from enrich import report

    with context.project() as project:
        found = project.plan(
            *names,
            provider=provider,
            retry=retry,
            full_refresh=full_refresh,
            max_cost=max_cost,
            exclude=exclude,
        )
    (report.plans_json if as_json else report.plans)(found)
    if found.problems:
        report.error(found.problems[0])
        sys.exit(ERROR)


@click.command()
@order_options
@click.option("--accept-drift", is_flag=True, help="Publish even if a drift test fails.")
@click.option("--detach", is_flag=True, help="Return after submitting; `enrich status` goes on.")
@click.option("--dry-run", is_flag=True, help="Only show the plan, as `enrich plan` does.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first model that fails.")
@json_option
@click.pass_obj
@click.pass_context
def run(
    command: click.Context,
    context: Context,
    names: tuple[str, ...],
    exclude: tuple[str, ...],
    provider: str | None,
    detach: bool,
    retry: bool,
    full_refresh: bool,
    max_cost: float | None,
    accept_drift: bool,
    dry_run: bool,
    fail_fast: bool,
    as_json: bool,
) -> None:
    """Run the named models, or all: ask what is new, wait for the answers, publish the tables.

    Rows that are answered already are not asked again. Ctrl-C is safe at any time.

    \b
    Example:
      enrich run movies_categories
      enrich run --provider openai --detach
    """
    if dry_run:
        command.invoke(
            plan,
            names=names,
            select=(),
            exclude=exclude,
            provider=provider,
            retry=retry,
            full_refresh=full_refresh,
            max_cost=max_cost,
            as_json=as_json,
        )
        return
    with context.project() as project:
        found = project.run(
            *names,
            provider=provider,
            detach=detach,
            retry=retry,
            full_refresh=full_refresh,
            max_cost=max_cost,
            exclude=exclude,
            accept_drift=accept_drift,
            fail_fast=fail_fast,
        )
    finish(context, found, project, as_json=as_json)


@click.command()
@click.option("--batches", "unfold", is_flag=True, help="Show each batch that is under way.")
@json_option
@click.pass_obj
def status(context: Context, unfold: bool, as_json: bool) -> None:
    """Fetch and publish what has ended, and show where every model stands.

    \b
    Example:
      enrich status
    """
    with context.project() as project:
        found = project.status()
    if not found and not as_json:
        sys.stderr.write("nothing has been run yet\n\nhint: enrich run\n")
    finish(context, found, project, as_json=as_json, unfold=unfold)


@click.command()
@click.argument("names", nargs=-1, metavar="[MODEL]...", shell_complete=completing.terms)
@click.option("--forget", is_flag=True, help="Stop tracking batches that cannot be cancelled.")
@click.pass_obj
def cancel(context: Context, names: tuple[str, ...], forget: bool) -> None:
    """Stop the batches of the named models, or all. Answers that came in are kept.

    With --forget, a batch that its provider does not know any more, or that cannot be reached, is
    given up: its rows may be asked again, and answers it still gets are lost.

    \b
    Example:
      enrich cancel movies_categories
    """
    with context.project() as project:
        stopped = project.cancel(*names, forget=forget)
    for batch in stopped:
        sys.stderr.write(f"{batch.id}: {batch.status}\n")
    if any(batch.read_at is None for batch in stopped):
        sys.stderr.write("\nnext:\n  enrich status\n")
    if not stopped:
        sys.stderr.write("no batch is under way\n")
