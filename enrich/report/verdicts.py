"""Verdicts: the results of tests, evaluations and `debug`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enrich.db.quote import quote_readably
from enrich.report.reviews import print_reviews
from enrich.report.rows import print_rows
from enrich.report.safe import (
    clean_text,
    format_json,
    format_query_command,
    write_note,
    write_stdout,
)
from enrich.report.text import open_console, print_table, simplify_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enrich.pipeline.finding import Finding
    from enrich.pipeline.test import Result
    from enrich.results import Evaluation, Rows


def print_tests(results: Sequence[Result], shown: Mapping[str, Rows]) -> None:
    """Print a line for each test, and below them the failing rows in `shown`, by table."""
    if not results:
        write_note("there are no tests\n\nhint: `tests:` in a prompt, or tests/NAME.sql\n")
        return
    columns = ["model", "test", "result", "rows", "where they are"]
    cells = [
        [
            result.model,
            result.test,
            result.verdict,
            "" if result.error else f"{result.failures:,}",
            result.table or clean_text(result.error),
        ]
        for result in results
    ]
    print_table(columns, cells, right={3})
    for table, listed in shown.items():
        many = next(result.failures for result in results if result.table == table)
        more = f": the first {len(listed):,} of {many:,} rows" if many > len(listed) else ""
        write_stdout(f"\n{table}{more}\n")
        print_rows(listed)
    # The next step shows one table, so it is one of a test that fails rather than one that warns.
    worst = sorted(results, key=lambda result: result.verdict != "fail")
    left = [result.table for result in worst if result.table and result.table not in shown]
    if left:
        table = quote_readably(*left[0].split("."))
        write_note(f"\nnext:\n  {format_query_command(f'FROM {table}')}\n")


def print_tests_json(results: Sequence[Result]) -> None:
    """Print one JSON array."""
    write_stdout(format_json(list_test_results(results), indent=2) + "\n")


def list_test_results(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Returns the results of tests as JSON can hold them."""
    from dataclasses import asdict

    listed = [asdict(result) | {"result": result.verdict} for result in results]
    for each in listed:
        del each["columns"]
    return listed


def print_evaluation(evaluation: Evaluation) -> None:
    """Print how each version scored overall, and the latest one label by label."""
    _print_figures(evaluation.figures)
    if evaluation.labels.rows:
        write_stdout(f"\nprompt {evaluation.prompt}, label by label\n")
        _print_figures(evaluation.labels)
    if evaluation.reviews is not None:
        print_reviews(evaluation.reviews)


def print_evaluation_json(evaluation: Evaluation) -> None:
    """Print one JSON object."""
    from dataclasses import asdict

    figures, labels = (
        [dict(zip(part.columns, map(simplify_value, row), strict=True)) for row in part]
        for part in (evaluation.figures, evaluation.labels)
    )
    listed: dict[str, Any] = {"figures": figures, "prompt": evaluation.prompt, "labels": labels}
    if evaluation.reviews is not None:
        listed["reviews"] = asdict(evaluation.reviews)
    write_stdout(format_json(listed, indent=2) + "\n")


def _print_figures(rows: Rows) -> None:
    """Print scores, without the columns that are NULL in every row."""
    shown = [
        number
        for number in range(len(rows.columns))
        if any(row[number] is not None for row in rows)
    ]
    print_table(
        [rows.columns[number] for number in shown],
        [[_format_figure(row[number]) for number in shown] for row in rows],
        right={
            place
            for place, number in enumerate(shown)
            if not any(isinstance(row[number], str) for row in rows)
        },
    )


def _format_figure(value: Any) -> str:  # noqa: ANN401  # any SQL value
    """Returns a value for a cell; scores have three decimal places."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else clean_text(str(value))


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a line for each check, and what to do if it is not ok."""
    from rich.table import Table
    from rich.text import Text

    colors = {"ok": "green", "warn": "yellow", "fail": "red"}
    table = Table.grid(padding=(0, 2, 0, 0))
    for wraps in (False, False, True):
        table.add_column(overflow="fold", no_wrap=not wraps)
    for each in findings:
        table.add_row(Text(each.verdict, style=colors[each.verdict]), each.what, Text(each.detail))
        if each.verdict != "ok" and each.hint:
            table.add_row("", "", Text(f"hint: {each.hint}", style="dim"))
    open_console(stderr=False).print(table)


def print_findings_json(findings: Sequence[Finding]) -> None:
    """Print one JSON array."""
    from dataclasses import asdict

    write_stdout(format_json([asdict(each) for each in findings]) + "\n")
