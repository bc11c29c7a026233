"""Commands for people who judge answers one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from enrich.cli import completing
from enrich.cli.options import var_option

if TYPE_CHECKING:
    from enrich.cli.context import Context


@click.command("review")
@click.argument("name", metavar="MODEL", shell_complete=completing.complete_enrichments)
@click.option(
    "--examples",
    "limit",
    type=click.IntRange(1),
    metavar="N",
    help="Print N reviewed rows as examples for the prompt.",
)
@var_option
@click.pass_obj
def review_command(context: Context, name: str, limit: int | None) -> None:
    """Print reviewed rows of MODEL as examples, to be pasted above the last `user:` of its prompt.

    The rows that show the most labels come first. Reviews are lines of reviews/MODEL.jsonl.

    \b
    Example:
      enrich review movies_categories --examples 3
    """
    from enrich import report

    # The page on which rows are reviewed opens here.
    if limit is None:
        raise click.UsageError("--examples N is needed")
    with context.open_project() as project:
        sections = project.review_examples(name, limit)
        source = project.models[name].own_prompt.source
    report.print_examples(sections, source)
