"""Commands that create, plan and run a project."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Unpack

import click

from enrich.cli import completing
from enrich.cli.context import EXIT_ERROR, Context, finish_command
from enrich.cli.options import json_option, provider_option, run_options, var_option
from enrich.errors import EnrichError
from enrich.manifest.recipes import RECIPES
from enrich.report.safe import write_note

if TYPE_CHECKING:
    from enrich.cli.options import RunArguments


@click.command("init")
@click.argument("folder", default=".", shell_complete=completing.complete_folders)
@click.option(
    "--example",
    type=click.Choice(RECIPES),
    metavar="NAME",
    help="Create this example project instead.",
)
@click.pass_obj
def init_command(_: Context, folder: str, example: str | None) -> None:
    """Create a project in FOLDER: settings, a seed, a model and its prompt.

    With --example, the project shows something that embeddings are good for, with data to try.

    \b
    The examples:
      nearest_label    label texts by the nearest description of a label
      near_duplicates  find texts that say nearly the same, among many
      semantic_join    match the rows of two tables by what they mean
      clusters         find groups of similar texts, and have an llm name them

    \b
    Example:
      enrich init mine && cd mine && enrich run
      enrich init mine --example nearest_label
    """
    from enrich import report
    from enrich.manifest import scaffold

    try:
        created = scaffold.create_project(folder or ".", recipe=example or "")
    except EnrichError as problem:
        report.print_error(problem)
        sys.exit(EXIT_ERROR)
    for path in created:
        write_note(f"created {path}\n")
    go = "" if folder in ("", ".") else f"  cd {shlex.quote(folder)}\n"
    write_note(f"\nnext:\n{go}  enrich plan\n  enrich run\n")


@click.command("seed")
@click.argument("names", nargs=-1, metavar="[SEED]...", shell_complete=completing.complete_seeds)
@click.pass_obj
def seed_command(context: Context, names: tuple[str, ...]) -> None:
    """Load the files in seeds/ (CSV, JSON, Parquet) as tables. Unchanged ones are skipped.

    \b
    Example:
      enrich seed movies
    """
    with context.open_project() as project:
        if not project.seed(*names):
            write_note("every seed has been loaded already\n")


@click.command("compile")
@click.argument(
    "names", nargs=-1, required=True, metavar="MODEL...", shell_complete=completing.complete_terms
)
@provider_option
@var_option
@json_option
@click.pass_obj
def compile_command(
    context: Context, names: tuple[str, ...], provider: str | None, as_json: bool
) -> None:
    """Print the SQL, the JSON Schema and the first request of models. Nothing is sent.

    \b
    Example:
      enrich compile movies_categories
    """
    import json

    with context.open_project() as project:
        # A model that cannot be read is not in the graph, so it cannot be selected; named alone, it
        # is compiled all the same, which reports its error.
        single = len(names) == 1 and names[0] in {*project.models, *project.graph.broken}
        picked = names if single else [model.name for model in project.select(*names)]
        compiled = {name: project.compile(name, provider=provider) for name in picked}
    if as_json:
        shown = compiled[names[0]] if single else compiled
        sys.stdout.write(json.dumps(shown, ensure_ascii=False) + "\n")
        return
    for name, parts in compiled.items():
        for title, value in parts.items():
            plain = isinstance(value, str)
            text = value if plain else json.dumps(value, indent=2, ensure_ascii=False)
            head = title if single else f"{name}: {title}"
            sys.stdout.write(f"-- {head}\n{text}\n\n")


@click.command("plan")
@run_options
@click.option(
    "--capacity",
    multiple=True,
    metavar="KEY=NUMBER",
    help="Also show what more rows would take: rows_per_second=50 of a node, and rows, nodes or "
    "hours, usd_per_hour of a node. Commas join several.",
)
@json_option
@click.pass_obj
def plan_command(
    context: Context,
    names: tuple[str, ...],
    capacity: tuple[str, ...],
    as_json: bool,
    **arguments: Unpack[RunArguments],
) -> None:
    """Show what `run` would ask, why, and what it would cost. Nothing is sent or spent.

    \b
    Example:
      enrich plan movies_categories
      enrich plan --provider openai
      enrich plan --capacity rows=100000000,rows_per_second=50,hours=24,usd_per_hour=2.5
    """
    from enrich import report
    from enrich.pricing.capacity import parse_capacity

    with context.open_project() as project:
        plans = project.plan(*names, capacity=parse_capacity(capacity), **arguments)
        usual = project.config.provider
    if as_json:
        report.print_plans_json(plans)
    else:
        report.print_plans(plans, usual=usual)
    for problem in plans.problems:
        report.print_error(problem)
    if plans.problems:
        sys.exit(EXIT_ERROR)


@click.command("run")
@run_options
@click.option("--accept-drift", is_flag=True, help="Publish even if a drift test fails.")
@click.option("--detach", is_flag=True, help="Return after submitting; `enrich status` goes on.")
@click.option("--dry-run", is_flag=True, help="Only show the plan, as `enrich plan` does.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first model that fails.")
@json_option
@click.pass_obj
@click.pass_context
def run_command(
    command: click.Context,
    context: Context,
    names: tuple[str, ...],
    detach: bool,
    accept_drift: bool,
    dry_run: bool,
    fail_fast: bool,
    as_json: bool,
    **arguments: Unpack[RunArguments],
) -> None:
    """Run the named models, or all: ask what is new, wait for the answers, publish the tables.

    Rows that have an answer are not asked about again. Ctrl-C is safe at any time.

    \b
    Example:
      enrich run movies_categories
      enrich run --provider openai --detach
    """
    if dry_run:
        # The names already hold those of --select.
        command.invoke(plan_command, names=names, select=(), as_json=as_json, **arguments)
        return
    with context.open_project() as project:
        try:
            result = project.run(
                *names, detach=detach, accept_drift=accept_drift, fail_fast=fail_fast, **arguments
            )
        except EnrichError as problem:
            if problem.states:
                context.print_states(problem.states, project, as_json=as_json)
                write_note("\n")
            raise
    context.report_unsaid(result.problems)
    finish_command(context, result, project, as_json=as_json)


@click.command("status")
@click.option("--batches", "unfold", is_flag=True, help="Show each batch that is under way.")
@json_option
@click.pass_obj
def status_command(context: Context, unfold: bool, as_json: bool) -> None:
    """Fetch and publish what has ended, and show the state of every model.

    \b
    Example:
      enrich status
    """
    with context.open_project() as project:
        result = project.status()
    context.report_unsaid(result.problems)
    if not result and not as_json:
        write_note("nothing has been run yet\n\nhint: enrich run\n")
    finish_command(context, result, project, as_json=as_json, unfold=unfold)


@click.command("cancel")
@click.argument("names", nargs=-1, metavar="[MODEL]...", shell_complete=completing.complete_terms)
@click.option("--forget", is_flag=True, help="Stop tracking batches that cannot be cancelled.")
@click.pass_obj
def cancel_command(context: Context, names: tuple[str, ...], forget: bool) -> None:
    """Stop the batches of the named models, or all. Answers that have come in are kept.

    With --forget, a batch that its provider no longer knows, or cannot be asked about, is given up:
    its rows may be asked about again, and answers that it still gets are lost.

    \b
    Example:
      enrich cancel movies_categories
    """
    with context.open_project() as project:
        stopped = project.cancel(*names, forget=forget)
    for batch in stopped:
        write_note(f"{batch.id}: {batch.status}\n")
    if any(batch.read_at is None for batch in stopped):
        write_note("\nnext:\n  enrich status\n")
    if not stopped:
        write_note("no batch is under way\n")
