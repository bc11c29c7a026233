"""Commands that show what there is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from enrich.cli.context import ERROR, Context
from enrich.cli.options import json_option, provider_option, select_options, var_option

if TYPE_CHECKING:
    from enrich.ledger.costs import CostGroup


@click.command("list")
@select_options
@json_option
@click.pass_obj
def list_(
    context: Context, names: tuple[str, ...], exclude: tuple[str, ...], as_json: bool
) -> None:
    """List the models that are meant, in the order they run; all, where none is named.

    A model is meant by its name, by a pattern (movies_*), by tag:WORD, by path:DIR, or by
    changed: if it has something to ask. +MODEL adds what it depends on, MODEL+ what depends on
    it, 1+MODEL one step of that; A,B are the models that both mean.

    \b
    Example:
      enrich list
      enrich list +movies_by_category --exclude tag:slow
    """
    from enrich import report

    with context.project() as project:
        found = project.select(*names, exclude=exclude)
        (report.models_json if as_json else report.models)(found, project.graph)


@click.command()
@select_options
@click.option("--mermaid", is_flag=True, help="As a Mermaid diagram, for Markdown.")
@click.pass_obj
def graph(
    context: Context, names: tuple[str, ...], exclude: tuple[str, ...], mermaid: bool
) -> None:
    """Draw which model reads which, from the seeds and sources down.

    \b
    Example:
      enrich graph
      enrich graph movies_categories+ --mermaid
    """
    from enrich import report

    with context.project() as project:
        found = project.select(*names, exclude=exclude)
        (report.mermaid if mermaid else report.graph)(found, project.graph)


@click.command()
@click.option(
    "--by",
    type=click.Choice(["model", "llm", "prompt", "day", "batch"]),
    default="model",
    show_default=True,
    help="What to add up by; a prompt is a version of a model.",
)
@json_option
@click.pass_obj
def cost(context: Context, by: CostGroup, as_json: bool) -> None:
    """Show what was spent, in tokens and USD. The same is in the table enrich.costs.

    \b
    Example:
      enrich cost --by day
      enrich sql "SELECT model, sum(cost) FROM enrich.costs GROUP BY model"
    """
    from enrich import report

    with context.project() as project:
        found = project.cost(by)
    if as_json:
        report.rows_json(found)
    elif found.rows:
        report.costs(found)
    else:
        sys.stderr.write("nothing was spent yet\n\nhint: enrich plan shows what a run would cost\n")


@click.command()
@click.argument("query")
@var_option
@json_option
@click.pass_obj
def sql(context: Context, query: str, as_json: bool) -> None:
    """Run QUERY on the warehouse, with the ledger attached as `ledger`.

    \b
    Example:
      enrich sql "SELECT * FROM movies JOIN movies_categories USING (movie_id) LIMIT 5"
    """
    from enrich import report

    with context.project() as project:
        found = project.sql(query)
    (report.rows_json if as_json else report.rows)(found)


@click.command()
@provider_option
@var_option
@json_option
@click.pass_obj
def debug(context: Context, provider: str | None, as_json: bool) -> None:
    """Check versions, files, locks, models and keys, and whether providers are reached.

    Nothing is sent but the question whether an llm is there. Seeds that changed are loaded, so that
    models can be checked.

    \b
    Example:
      enrich debug --provider openai
    """
    from enrich import report
    from enrich.pipeline.debug import check_versions

    found = [*check_versions()]
    try:
        with context.project() as project:
            found += project.debug(provider=provider)
    finally:
        (report.findings_json if as_json else report.findings)(found)
    if any(each.verdict == "fail" for each in found):
        sys.exit(ERROR)
