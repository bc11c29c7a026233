"""Commands that show what there is: models, costs, tables and the state of the setup."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from enrich.cli.context import EXIT_ERROR, Context
from enrich.cli.options import json_option, provider_option, select_options, var_option
from enrich.errors import ProjectError
from enrich.report.safe import write_note

if TYPE_CHECKING:
    from enrich.errors import EnrichError
    from enrich.ledger.costs import CostGroup
    from enrich.project import Project

SPACE = re.compile(r"\s")


@click.command("list")
@select_options
@json_option
@click.pass_obj
def list_command(
    context: Context, names: tuple[str, ...], exclude: tuple[str, ...], as_json: bool
) -> None:
    """List the selected models, or all, in the order they run.

    Select a model by its name, by a pattern (movies_*), by tag:WORD, by path:DIR, or by changed:
    if it has something to ask. +MODEL adds what it depends on, MODEL+ adds what depends on it, and
    1+MODEL goes one step only. A,B selects the models that are in both A and B.

    \b
    Example:
      enrich list
      enrich list +movies_by_category --exclude tag:slow
    """
    from enrich import report

    with context.open_project() as project:
        models = project.select(*names, exclude=exclude)
        if not project.models:
            raise _miss_models(project)
        (report.print_models_json if as_json else report.print_models)(models, project.graph)


def _miss_models(project: Project) -> EnrichError:
    """Returns what is wrong with a model of a project that has no others, or that there is none."""
    hint = "write models/NAME.sql and models/NAME.prompt.md"
    nothing = ProjectError(f"{project.config.models} contains no models yet", hint=hint)
    return next(iter(project.graph.broken.values()), nothing)


@click.command("graph")
@select_options
@click.option("--mermaid", is_flag=True, help="Print a Mermaid diagram, for Markdown.")
@click.pass_obj
def graph_command(
    context: Context, names: tuple[str, ...], exclude: tuple[str, ...], mermaid: bool
) -> None:
    """Draw which model reads which, from the seeds and sources down.

    \b
    Example:
      enrich graph
      enrich graph movies_categories+ --mermaid
    """
    from enrich import report

    with context.open_project() as project:
        models = project.select(*names, exclude=exclude)
        if not project.models:
            raise _miss_models(project)
        (report.print_mermaid if mermaid else report.print_graph)(models, project.graph)


@click.command("cost")
@click.option(
    "--by",
    type=click.Choice(["model", "llm", "prompt", "day", "batch"]),
    default="model",
    show_default=True,
    help="What to group by; a prompt is a version of a model.",
)
@json_option
@click.pass_obj
def cost_command(context: Context, by: CostGroup, as_json: bool) -> None:
    """Show what has been spent, in tokens and USD. The table enrich.costs holds the same.

    \b
    Example:
      enrich cost --by day
      enrich sql "SELECT model, sum(cost) FROM enrich.costs GROUP BY model"
    """
    from enrich import report

    with context.open_project() as project:
        costs = project.cost(by)
    if as_json:
        report.print_rows_json(costs)
    elif costs.rows:
        report.print_costs(costs)
    else:
        write_note("nothing has been spent yet\n\nhint: enrich plan shows what a run would cost\n")


class QueryCommand(click.Command):
    """A command with a query, which may begin with a comment: `--` does not make it an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words after the command's name."""
        known = {name for each in self.get_params(ctx) for name in each.opts}
        queries = [
            word
            for word in args
            if word.startswith("--") and SPACE.search(word) and word.partition("=")[0] not in known
        ]
        if queries and "--" not in args:
            args = [*(word for word in args if word not in queries), "--", *queries]
        return super().parse_args(ctx, args)


@click.command("sql", cls=QueryCommand)
@click.argument("query")
@var_option
@json_option
@click.pass_obj
def sql_command(context: Context, query: str, as_json: bool) -> None:
    """Run QUERY on the warehouse, with the ledger attached as `ledger`. A QUERY of - is read from
    stdin.

    \b
    Example:
      enrich sql "SELECT * FROM movies JOIN movies_categories USING (movie_id) LIMIT 5"
      enrich sql - < report.sql
    """
    from enrich import report

    if query == "-":
        query = _read_query()
    with context.open_project() as project:
        rows = project.sql(query)
    (report.print_rows_json if as_json else report.print_rows)(rows)


def _read_query() -> str:
    """Returns the query on stdin."""
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise click.BadParameter("the query on stdin is not UTF-8") from problem


@click.command("debug")
@provider_option
@click.option(
    "--ask",
    is_flag=True,
    help="Also send a tiny request of each kind that the models need: a fraction of a cent.",
)
@var_option
@json_option
@click.pass_obj
def debug_command(context: Context, provider: str | None, ask: bool, as_json: bool) -> None:
    """Check versions, files, locks, models and keys, and whether the providers can be reached.

    The only thing sent is the question whether an llm exists. Seeds that have changed are loaded,
    so that models can be checked. With --ask, each llm also answers a tiny question of each kind
    that the models need (text, schema, JSON mode, image, length), and what works is reported.

    \b
    Example:
      enrich debug --provider openai --ask
    """
    from enrich import report
    from enrich.pipeline.debug import check_versions

    findings = [
        *check_versions()
    ]  # first, because they are known even if the project cannot be read
    try:
        with context.open_project() as project:
            findings += project.debug(provider=provider, ask=ask)
    finally:
        (report.print_findings_json if as_json else report.print_findings)(findings)
    if any(each.verdict == "fail" for each in findings):
        sys.exit(EXIT_ERROR)
