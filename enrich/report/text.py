"""Text as a terminal may show it: tables, cells, colours."""

from __future__ import annotations

import math
import os
import sys
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from enrich.pricing.price import format_usd
from enrich.report.safe import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console
    from rich.text import Text


LONG = 500
"""Letters of a cell that a preview shows."""
NARROW = 14
"""Letters that a column of a table needs to be read, if it has as many."""


LONGEST_NAME = 40
"""Letters of the first column, which names things, that are not broken."""
DIFF = {"+": "green", "-": "red", "@": "cyan"}


def plain(value: Any) -> Any:  # noqa: ANN401  # any SQL value, as JSON can say it
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def as_text(value: Any) -> str:  # noqa: ANN401  # any SQL value
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"[{', '.join(as_text(item) for item in value)}]"
    if isinstance(value, (datetime, date)):
        return str(value)
    return clean(str(value)).replace("\n", " ")


def as_lines(row: Mapping[str, Any]) -> Text:
    """Named values, a line each; what is long is cut."""
    from rich.text import Text

    lines = []
    for name, value in row.items():
        if value is not None or name not in ("error", "answer"):
            shown = f"{len(value):,} bytes" if isinstance(value, bytes) else as_text(value)
            cut = shown if len(shown) <= LONG else f"{shown[:LONG]} ..."
            lines.append(Text.assemble((f"{clean(name)}: ", "dim"), cut))
    return Text("\n").join(lines)


def amount(amount: float | None) -> str:
    return "unknown" if amount is None else format_usd(amount)


def size(many: int) -> str:
    """Bytes as people read them, in the units of providers' limits.

    >>> size(999), size(1_500_000)
    ('999 bytes', '1.5 MB')
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if many >= size:
            return f"{many / size:,.1f} {unit}"
    return f"{many:,} bytes"


def coloured(console: Console, diff: str) -> None:
    """A unified diff in its colours."""
    from rich.text import Text

    for line in diff.split("\n") if diff else ():
        console.print(Text(f"  {clean(line)}", style=DIFF.get(line[:1], "")), soft_wrap=True)
    if diff:
        console.print()


def tabulate(
    columns: list[str],
    cells: Iterable[list[str]],
    *,
    right: set[int],
    dull: Sequence[int] = (),
    spare: Sequence[int] = (),
) -> None:
    """A table, whose first column names things and is not broken.

    Where its columns would not fit side by side, those of `dull` go that say nothing but 0, then
    those of `spare`, in this order; if that does not help, each row becomes a block of lines.
    """
    from rich.table import Table
    from rich.text import Text

    listed = list(cells)
    console = terminal(stderr=False)
    least = [
        min(
            max(map(len, (column, *(row[number] for row in listed)))),
            max(len(column), NARROW if number else LONGEST_NAME),
        )
        for number, column in enumerate(columns)
    ]
    empty = [n for n in dull if all(row[n] in ("", "0") for row in listed)]
    shown = list(range(len(columns)))
    for number in (*empty, *spare):
        if _width(least, shown) > console.width:
            shown.remove(number)
    if _width(least, shown) > console.width and listed:
        _blocks(console, columns, listed)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number in shown:
        table.add_column(
            columns[number],
            justify="right" if number in right else "left",
            overflow="fold",
            no_wrap=number in right,
            min_width=least[number],
        )
    for row in listed:
        table.add_row(*(Text(row[number]) for number in shown))
    console.print(table)


def _width(least: Sequence[int], shown: Sequence[int]) -> int:
    """The letters of a line that these columns need, with two between each."""
    return sum(least[number] for number in shown) + 2 * (len(shown) - 1)


def _blocks(console: Console, columns: list[str], cells: list[list[str]]) -> None:
    """Rows one below the other, a line for each column that is not empty."""
    from rich.table import Table
    from rich.text import Text

    for number, row in enumerate(cells):
        if number:
            console.print()
        block = Table(box=None, pad_edge=False, show_header=False)
        block.add_column(style="bold", no_wrap=True)
        block.add_column(overflow="fold")
        for column, cell in zip(columns, row, strict=True):
            if cell:
                cut = cell if len(cell) <= LONG else f"{cell[:LONG]} ..."
                block.add_row(Text(clean(column)), Text(cut))
        console.print(block)


def terminal(*, stderr: bool) -> Console:
    from enrich.report.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else 160
    return Console(stderr=stderr, width=width, highlight=False)
