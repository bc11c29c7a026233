"""Commands that look at answers before they are relied on."""

from __future__ import annotations

import sys

import click

from enrich.cli import completing
from enrich.cli.context import NOT_OK, Context, finish
from enrich.cli.options import (
    columns_given,
    json_option,
    provider_option,
    sample_options,
    select_options,
    var_option,
)


@click.command()
@click.argument("name", metavar="MODEL", shell_complete=completing.asking)
@sample_options(5)
@provider_option
@var_option
@json_option
@click.pass_obj
def preview(
    context: Context, name: str, limit: int, where: str, provider: str | None, as_json: bool
) -> None:
    """Answer a few rows of MODEL now, one request at a time, and show them beside their answers.

    They cost what single requests cost, often twice a batch's price. The answers are kept: no later
    run asks for them again.

    \b
    Example:
      enrich preview movies_categories -n 3
      enrich preview movies_categories --where "year < 1950"
    """
    from enrich import report

    with context.project() as project:
        found = project.preview(name, limit=limit, where=where, provider=provider)
    if as_json:
        report.preview_json(found)
    else:
        report.preview(found, usual=project.config.provider)
    if any(row.outcome != "ok" for row in found.rows):
        sys.exit(NOT_OK)


@click.command()
@click.argument("name", metavar="MODEL", shell_complete=completing.asking)
@sample_options(20)
@click.option("--llm", default="", metavar="NAME", help="Another llm, for the same prompt.")
@provider_option
@var_option
@json_option
@click.pass_obj
def compare(
    context: Context,
    name: str,
    limit: int,
    where: str,
    llm: str,
    provider: str | None,
    as_json: bool,
) -> None:
    """Compare the working prompt of MODEL with what is published, on a sample of its rows.

    With --llm, two llms are compared that are asked the same. The sample is the same each time;
    what is asked is kept, and no run pays for it again.

    \b
    Example:
      enrich compare movies_categories -n 50
      enrich compare movies_categories --llm gpt-4o --provider openai
    """
    from enrich import report

    with context.project() as project:
        found = project.compare(name, limit=limit, where=where, llm=llm, provider=provider)
    (report.comparison_json if as_json else report.comparison)(found)


@click.command()
@click.argument("name", metavar="MODEL", shell_complete=completing.asking)
@click.option(
    "--labels",
    required=True,
    metavar="TABLE",
    shell_complete=completing.tables,
    help="A table with the key and labels.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OUTPUT=LABEL",
    callback=columns_given,
    help="What an output column's label is called, where not the same. May be repeated.",
)
@var_option
@json_option
@click.pass_obj
def evaluate(
    context: Context, name: str, labels: str, columns: dict[str, str], as_json: bool
) -> None:
    """Score the published columns of MODEL against a labelled table or seed.

    ENUMs, booleans and lists of labels get accuracy, precision, recall and F1; texts exact and
    normalized matches; other types accuracy. Figures are kept by version of the prompt, in the
    table enrich.evaluations.

    \b
    Example:
      enrich evaluate movies_categories --labels movies_labels
      enrich evaluate movies_categories --labels imdb --column categories=Genre
    """
    from enrich import report

    with context.project() as project:
        found = project.evaluate(name, labels, columns=columns)
    (report.evaluation_json if as_json else report.evaluation)(found)


@click.command("test")
@select_options
@click.option("--show", is_flag=True, help="Show the first rows that each test found.")
@json_option
@click.pass_obj
def test_(
    context: Context,
    names: tuple[str, ...],
    exclude: tuple[str, ...],
    show: bool,
    as_json: bool,
) -> None:
    """Test the named models, or all, as they would be published now. Nothing is asked or published.

    The rows that a test found stand in the schema enrich_tests, to be looked at and joined.

    \b
    Example:
      enrich test movies_categories --show
    """
    from enrich import report

    with context.project() as project:
        found = project.test(*names, exclude=exclude)
        rows = {each.table: project.failing(each) for each in found if show and each.table}
    if as_json:
        report.tests_json(found)
    else:
        report.tests(found, rows)
    if any(result.verdict == "fail" for result in found):
        sys.exit(NOT_OK)


@click.command()
@click.argument("name", metavar="MODEL", shell_complete=completing.asking)
@click.option(
    "-n", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many rows."
)
@click.option("--retry", is_flag=True, help="Ask them again, and wait for the answers.")
@click.option(
    "--provider",
    metavar="NAME",
    shell_complete=completing.providers,
    help="With --retry: another provider of project.yml.",
)
@click.option("--detach", is_flag=True, help="With --retry: return after submitting.")
@var_option
@json_option
@click.pass_obj
def failures(
    context: Context,
    name: str,
    limit: int,
    retry: bool,
    provider: str | None,
    detach: bool,
    as_json: bool,
) -> None:
    """Show the rows of MODEL that are not ok: outcome, reason, key, input and the raw answer.

    \b
    Example:
      enrich failures movies_categories
      enrich failures movies_categories --retry
    """
    from enrich import report

    with context.project() as project:
        if retry:
            states = project.run(name, provider=provider, retry=True, detach=detach)
            finish(context, states, project, as_json=as_json)
            return
        found = project.failures(name, limit=limit)
    (report.failures_json if as_json else report.failures)(name, found)
    if len(found):
        sys.exit(NOT_OK)


@click.command()
@click.argument("name", metavar="MODEL", shell_complete=completing.asking)
@click.option(
    "--key",
    "key",
    multiple=True,
    required=True,
    metavar="VALUE",
    help="The row's key; once for each of its columns.",
)
@json_option
@click.pass_obj
def history(context: Context, name: str, key: tuple[str, ...], as_json: bool) -> None:
    """Show the life of one row: what it asked, what came back, and when each answer held (UTC).

    \b
    Example:
      enrich history movies_categories --key 12
    """
    from enrich import report

    with context.project() as project:
        found = project.history(name, *key)
    (report.rows_json if as_json else report.history)(found)
