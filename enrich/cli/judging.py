"""Commands that check answers before anybody relies on them."""

from __future__ import annotations

import sys

import click

from enrich.cli import completing
from enrich.cli.context import EXIT_ERROR, EXIT_NOT_OK, Context, finish_command
from enrich.cli.options import (
    json_option,
    parse_columns,
    provider_option,
    sample_options,
    select_options,
    var_option,
)


@click.command("preview")
@click.argument("name", metavar="MODEL", shell_complete=completing.complete_enrichments)
@sample_options(5)
@provider_option
@var_option
@json_option
@click.pass_obj
def preview_command(
    context: Context, name: str, limit: int, where: str, provider: str | None, as_json: bool
) -> None:
    """Answer a few rows of MODEL now, one request at a time, and show them beside their answers.

    They cost what single requests cost, often twice the price of a batch. The answers are kept, so
    no later run asks for them again.

    \b
    Example:
      enrich preview movies_categories -n 3
      enrich preview movies_categories --where "year < 1950"
    """
    from enrich import report

    with context.open_project() as project:
        preview = project.preview(name, limit=limit, where=where, provider=provider)
    if as_json:
        report.print_preview_json(preview)
    else:
        report.print_preview(preview, usual=project.config.provider)
    if any(row.outcome != "ok" for row in preview.rows):
        sys.exit(EXIT_NOT_OK)


@click.command("compare")
@click.argument("name", metavar="MODEL", shell_complete=completing.complete_enrichments)
@sample_options(20)
@click.option("--llm", default="", metavar="NAME", help="Another llm, for the same prompt.")
@click.option("--alone", is_flag=True, help="Ask each row by itself, not in a pack.")
@provider_option
@var_option
@json_option
@click.pass_obj
def compare_command(
    context: Context,
    name: str,
    limit: int,
    where: str,
    llm: str,
    alone: bool,
    provider: str | None,
    as_json: bool,
) -> None:
    """Compare the working prompt of MODEL with what is published, on a sample of its rows.

    With --llm, two llms are compared on the same requests. With --alone, you see what sharing
    requests has changed. The sample is the same each time. The answers are kept, so no run pays for
    them again.

    \b
    Example:
      enrich compare movies_categories -n 50
      enrich compare movies_categories --llm gpt-4o --provider openai
      enrich compare movies_categories --alone
    """
    from enrich import report

    with context.open_project() as project:
        comparison = project.compare(
            name, limit=limit, where=where, llm=llm, alone=alone, provider=provider
        )
    (report.print_comparison_json if as_json else report.print_comparison)(comparison)


@click.command("evaluate")
@click.argument("name", metavar="MODEL", shell_complete=completing.complete_enrichments)
@click.option(
    "--labels",
    required=True,
    metavar="TABLE",
    shell_complete=completing.complete_label_tables,
    help="A table with the key and the labels.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OUTPUT=LABEL",
    callback=parse_columns,
    help="The label of an output column, if its name differs. May be repeated.",
)
@var_option
@json_option
@click.pass_obj
def evaluate_command(
    context: Context, name: str, labels: str, columns: dict[str, str], as_json: bool
) -> None:
    """Score the published columns of MODEL against a labeled table or seed.

    ENUMs, booleans and lists of labels get accuracy, precision, recall and F1; texts get exact and
    normalized matches; other types get accuracy. The scores of each version of the prompt are kept
    in the table enrich.evaluations.

    \b
    Example:
      enrich evaluate movies_categories --labels movies_labels
      enrich evaluate movies_categories --labels imdb --column categories=Genre
    """
    from enrich import report

    with context.open_project() as project:
        evaluation = project.evaluate(name, labels, columns=columns)
    (report.print_evaluation_json if as_json else report.print_evaluation)(evaluation)


@click.command("test")
@select_options
@click.option("--show", is_flag=True, help="Show the first rows that each test has found.")
@json_option
@click.pass_obj
def test_command(
    context: Context,
    names: tuple[str, ...],
    exclude: tuple[str, ...],
    show: bool,
    as_json: bool,
) -> None:
    """Test the named models, or all, as they would be published now. Nothing is asked or published.

    The rows that a test has found are in the schema enrich_tests, where you can query them.

    \b
    Example:
      enrich test movies_categories --show
    """
    from enrich import report

    with context.open_project() as project:
        results = project.test(*names, exclude=exclude)
        rows = {each.table: project.failing(each) for each in results if show and each.table}
    if as_json:
        report.print_tests_json(results)
    else:
        report.print_tests(results, rows)
    context.report_unsaid(results.problems)
    if results.problems:
        sys.exit(EXIT_ERROR)
    if any(result.verdict == "fail" for result in results):
        sys.exit(EXIT_NOT_OK)


@click.command("failures")
@click.argument("name", metavar="MODEL", shell_complete=completing.complete_enrichments)
@click.option(
    "-n", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many rows."
)
@click.option("--retry", is_flag=True, help="Ask about them again, and wait for the answers.")
@click.option(
    "--provider",
    metavar="NAME",
    shell_complete=completing.complete_providers,
    help="With --retry: the provider to use instead of the default.",
)
@click.option("--detach", is_flag=True, help="With --retry: return after submitting.")
@var_option
@json_option
@click.pass_obj
def failures_command(
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

    with context.open_project() as project:
        if retry:
            states = project.run(name, provider=provider, retry=True, detach=detach)
            finish_command(context, states, project, as_json=as_json)
            return
        failures = project.failures(name, limit=limit)
    (report.print_failures_json if as_json else report.print_failures)(name, failures)
    if len(failures):
        sys.exit(EXIT_NOT_OK)


@click.command("history")
@click.argument("name", metavar="MODEL", shell_complete=completing.complete_enrichments)
@click.option(
    "--key",
    "key",
    multiple=True,
    required=True,
    metavar="VALUE",
    help="The key of the row; repeat it for each column of the key.",
)
@json_option
@click.pass_obj
def history_command(context: Context, name: str, key: tuple[str, ...], as_json: bool) -> None:
    """Show the life of one row: its requests, the responses, and when each answer was valid (UTC).

    \b
    Example:
      enrich history movies_categories --key 12
    """
    from enrich import report

    with context.open_project() as project:
        events = project.history(name, *key)
    (report.print_rows_json if as_json else report.print_history)(events)
