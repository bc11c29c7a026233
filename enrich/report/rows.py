"""Rows: the result of a query, what has been spent, and the bill of a rehearsal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enrich.pricing.price import format_usd
from enrich.report.cells import narrow_value
from enrich.report.safe import format_json, write_note, write_stdout
from enrich.report.text import format_cost, format_value, print_table, simplify_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.rehearsal import Rehearsal
    from enrich.results import Rows

EXPLAINED = ("explain_key", "explain_value")
"""The columns of what EXPLAIN returns."""


def print_rows(rows: Rows) -> None:
    """Print the result of a query as a table; the drawing of a plan as it is."""
    if rows.columns == EXPLAINED:
        for _, drawing in rows:
            write_stdout(f"{str(drawing).rstrip()}\n")
        return
    print_table(
        list(rows.columns),
        [[format_value(value) for value in row] for row in _narrow_rows(rows)],
        right={
            number
            for number in range(len(rows.columns))
            if rows.rows and all(isinstance(row[number], (int, float)) for row in rows)
        },
    )


def print_rows_json(rows: Rows) -> None:
    """Print one JSON object for each row."""
    for row in _narrow_rows(rows):
        # `names` and not `columns`: a query may return two columns of one name, and a JSON object
        # would keep only the last.
        named = dict(zip(rows.names, map(simplify_value, row), strict=True))
        write_stdout(format_json(named) + "\n")


def _narrow_rows(rows: Rows) -> Iterator[tuple[Any, ...]]:
    """Yields the rows with the values of their SQL types, where these are known."""
    for row in rows:
        yield tuple(map(narrow_value, row, rows.types)) if rows.types else row


def print_costs(rows: Rows) -> None:
    """Print what has been spent, with a total if there are several lines."""
    named = [dict(zip(rows.columns, row, strict=True)) for row in rows]
    groups = rows.columns[: rows.columns.index("requests")]
    counts = ("requests", "input_tokens", "cached_tokens", "output_tokens")
    under_way = any(row["reserved"] for row in named)
    columns = [*groups, *(word.replace("_", " ") for word in counts), "USD"]
    cells = [
        [*(format_value(row[word]) for word in groups), *(f"{row[word] or 0:,}" for word in counts)]
        + [format_cost(row["cost"])]
        + ([format_usd(row["reserved"]) if row["reserved"] else ""] if under_way else [])
        for row in named
    ]
    if len(named) > 1:
        sums = [sum(row[word] or 0 for row in named) for word in counts]
        whole = [sum(row[word] or 0 for row in named) for word in ("cost", "reserved")]
        last = ["total", *("" for _ in groups[1:]), *(f"{many:,}" for many in sums)]
        cells.append([*last, *map(format_cost, whole[: 1 + under_way])])
    first = len(groups)
    columns += ["under way, about"] if under_way else []
    print_table(columns, cells, right=set(range(first, len(columns))), dull=(first + 2,))
    unpriced = sum(row["unpriced"] for row in named)
    if unpriced:
        batches = "1 batch has" if unpriced == 1 else f"{unpriced:,} batches have"
        write_note(
            f"\n{batches} no known price: the tokens are counted, the cost is not\n"
            "\nhint: set it under `prices:` of the provider in project.yml, for new ones\n"
        )


def print_bill(server: Rehearsal) -> None:
    """Print what a rehearsal would have been billed for."""
    counts = _count_billed(server)
    print_table(
        [name.replace("_", " ") for name in counts],
        [[f"{many:,}" for many in counts.values()]],
        right=set(range(len(counts))),
    )


def print_bill_json(server: Rehearsal) -> None:
    """Print one JSON object."""
    write_stdout(format_json(_count_billed(server)) + "\n")


def _count_billed(server: Rehearsal) -> dict[str, int]:
    bill = server.bill
    return {
        "batches": len(server.batches),
        "requests_billed": bill.total,
        "billed_again": bill.total - len(bill.requests),
        "input_tokens": bill.usage.input,
        "output_tokens": bill.usage.output,
    }
