"""Commands that show what there is: models, costs, tables and the state of the setup."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from enrich.cli.context import EXIT_ERROR, Context
from enrich.cli.options import json_option, provider_option, select_options, var_option

if TYPE_CHECKING:
    from enrich.ledger.costs import CostGroup


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
        (report.print_models_json if as_json else report.print_models)(models, project.graph)


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
        sys.stderr.write(
            "nothing has been spent yet\n\nhint: enrich plan shows what a run would cost\n"
        )


@click.command("sql")
@click.argument("query")
@var_option
@json_option
@click.pass_obj
def sql_command(context: Context, query: str, as_json: bool) -> None:
    """Run QUERY on the warehouse, with the ledger attached as `ledger`.

    \b
    Example:
      enrich sql "SELECT * FROM movies JOIN movies_categories USING (movie_id) LIMIT 5"
    """
    from enrich import report

    with context.open_project() as project:
        rows = project.sql(query)
    (report.print_rows_json if as_json else report.print_rows)(rows)


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
