"""Rows: the answer to a query, what was spent, and the bill of a rehearsal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.pricing.price import format_usd
from enrich.report.safe import as_json, to_stderr, to_stdout
from enrich.report.text import amount, as_text, plain, tabulate

if TYPE_CHECKING:
    from enrich.rehearsal import Rehearsal
    from enrich.results import Rows


def rows(found: Rows) -> None:
    """The answer to a query as a table."""
    tabulate(
        list(found.columns),
        [[as_text(value) for value in row] for row in found],
        right={
            number
            for number in range(len(found.columns))
            if found.rows and all(isinstance(row[number], (int, float)) for row in found)
        },
    )


def rows_json(found: Rows) -> None:
    """The answer to a query: one JSON object a line."""
    for row in found:
        named = dict(zip(found.names, map(plain, row), strict=True))
        to_stdout(as_json(named) + "\n")


def costs(found: Rows) -> None:
    """What was spent, with a line for all of it."""
    named = [dict(zip(found.columns, row, strict=True)) for row in found]
    groups = found.columns[: found.columns.index("requests")]
    counts = ("requests", "input_tokens", "cached_tokens", "output_tokens")
    under_way = any(row["reserved"] for row in named)
    columns = [*groups, *(word.replace("_", " ") for word in counts), "USD"]
    cells = [
        [*(as_text(row[word]) for word in groups), *(f"{row[word] or 0:,}" for word in counts)]
        + [amount(row["cost"])]
        + ([format_usd(row["reserved"]) if row["reserved"] else ""] if under_way else [])
        for row in named
    ]
    if len(named) > 1:
        sums = [sum(row[word] or 0 for row in named) for word in counts]
        whole = [sum(row[word] or 0 for row in named) for word in ("cost", "reserved")]
        last = ["in all", *("" for _ in groups[1:]), *(f"{many:,}" for many in sums)]
        cells.append([*last, *map(amount, whole[: 1 + under_way])])
    first = len(groups)
    columns += ["under way, about"] if under_way else []
    tabulate(columns, cells, right=set(range(first, len(columns))), dull=(first + 2,))
    unpriced = sum(row["unpriced"] for row in named)
    if unpriced:
        batches = "1 batch has" if unpriced == 1 else f"{unpriced:,} batches have"
        to_stderr(
            f"\n{batches} no known price: the tokens are counted, the cost is not\n"
            "\nhint: set it under `prices:` of the provider in project.yml, for batches to come\n"
        )


def bill(server: Rehearsal) -> None:
    """What a rehearsal would have cost."""
    counts = _bill(server)
    tabulate(
        [name.replace("_", " ") for name in counts],
        [[f"{many:,}" for many in counts.values()]],
        right=set(range(len(counts))),
    )


def bill_json(server: Rehearsal) -> None:
    """The same for machines: one JSON object."""
    to_stdout(as_json(_bill(server)) + "\n")


def _bill(server: Rehearsal) -> dict[str, int]:
    found = server.bill
    return {
        "batches": len(server.batches),
        "requests_billed": found.total,
        "billed_again": found.total - len(found.requests),
        "input_tokens": found.usage.input,
        "output_tokens": found.usage.output,
    }
