"""Verdicts: what tests found, how answers did against labels, what debug saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enrich.db.quote import quote_readably
from enrich.report.rows import rows
from enrich.report.safe import as_json, clean, query, to_stderr, to_stdout
from enrich.report.text import plain, tabulate, terminal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enrich.pipeline.debug import Finding
    from enrich.pipeline.test import Result
    from enrich.results import Evaluation, Rows


def tests(found: Sequence[Result], shown: Mapping[str, Rows]) -> None:
    """What tests found, a line each; below, the rows that are to be shown."""
    if not found:
        to_stderr("there are no tests\n\nhint: `tests:` in a prompt, or tests/NAME.sql\n")
        return
    columns = ["model", "test", "result", "rows", "where they are"]
    cells = [
        [
            result.model,
            result.test,
            result.verdict,
            "" if result.error else f"{result.failures:,}",
            result.table or clean(result.error),
        ]
        for result in found
    ]
    tabulate(columns, cells, right={3})
    for table, listed in shown.items():
        many = next(result.failures for result in found if result.table == table)
        more = f": the first {len(listed):,} of {many:,} rows" if many > len(listed) else ""
        to_stdout(f"\n{table}{more}\n")
        rows(listed)
    worst = sorted(found, key=lambda result: result.verdict != "fail")
    left = [result.table for result in worst if result.table and result.table not in shown]
    if left:
        table = quote_readably(*left[0].split("."))
        to_stderr(f"\nnext:\n  {query(f'FROM {table}')}\n")


def tests_json(found: Sequence[Result]) -> None:
    """The same for machines: one JSON array."""
    to_stdout(as_json(tests_plain(found), indent=2) + "\n")


def tests_plain(found: Sequence[Result]) -> list[dict[str, Any]]:
    """What tests found, as JSON can say it."""
    from dataclasses import asdict

    listed = [asdict(result) | {"result": result.verdict} for result in found]
    for each in listed:
        del each["columns"]
    return listed


def evaluation(found: Evaluation) -> None:
    """How each version did in all, and the latest one label by label."""
    _figures(found.figures)
    if found.labels.rows:
        to_stdout(f"\nprompt {found.prompt}, label by label\n")
        _figures(found.labels)


def evaluation_json(found: Evaluation) -> None:
    """The same for machines: one JSON object."""
    figures, labels = (
        [dict(zip(part.columns, map(plain, row), strict=True)) for row in part]
        for part in (found.figures, found.labels)
    )
    listed = {"figures": figures, "prompt": found.prompt, "labels": labels}
    to_stdout(as_json(listed, indent=2) + "\n")


def _figures(found: Rows) -> None:
    """Rows of which nobody needs the columns that are NULL throughout; shares with three places."""
    shown = [
        number
        for number in range(len(found.columns))
        if any(row[number] is not None for row in found)
    ]
    tabulate(
        [found.columns[number] for number in shown],
        [[_figure(row[number]) for number in shown] for row in found],
        right={
            place
            for place, number in enumerate(shown)
            if not any(isinstance(row[number], str) for row in found)
        },
    )


def _figure(value: Any) -> str:  # noqa: ANN401  # any SQL value
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else clean(str(value))


def findings(found: Sequence[Finding]) -> None:
    """What was looked at, a line each, and what to do about it."""
    from rich.table import Table
    from rich.text import Text

    colors = {"ok": "green", "warn": "yellow", "fail": "red"}
    table = Table.grid(padding=(0, 2, 0, 0))
    for wraps in (False, False, True):
        table.add_column(overflow="fold", no_wrap=not wraps)
    for each in found:
        table.add_row(Text(each.verdict, style=colors[each.verdict]), each.what, Text(each.detail))
        if each.verdict != "ok" and each.hint:
            table.add_row("", "", Text(f"hint: {each.hint}", style="dim"))
    terminal(stderr=False).print(table)


def findings_json(found: Sequence[Finding]) -> None:
    """The same for machines: one JSON array."""
    from dataclasses import asdict

    to_stdout(as_json([asdict(each) for each in found]) + "\n")
