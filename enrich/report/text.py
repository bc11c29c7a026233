"""Text that fits a terminal: tables, cells and colors."""

from __future__ import annotations

import math
import os
import sys
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from enrich.pricing.price import format_usd
from enrich.report.cells import MANY_NUMBERS, write_bytes, write_interval
from enrich.report.safe import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console
    from rich.text import Text


MAX_CELL = 500
"""The letters of a cell that are shown; the rest is cut off."""
MIN_COLUMN = 14
"""The letters that a column must have room for, if its cells are that long, to be readable."""
MAX_UNBROKEN_NAME = 40
"""The letters up to which a name in the first column is not broken, so that it can be copied."""
DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def simplify_value(value: Any) -> Any:  # noqa: ANN401  # any SQL value
    """Returns a value that JSON can hold; NaN and infinities, which it cannot, become None."""
    if isinstance(value, dict):
        return {str(name): simplify_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [simplify_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (bytes, timedelta)):
        return _write_odd(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _write_odd(value: bytes | timedelta) -> str:
    """Returns a BLOB or an INTERVAL as text."""
    return write_bytes(value) if isinstance(value, bytes) else write_interval(value)


def format_value(value: Any) -> str:  # noqa: ANN401  # any SQL value
    """Returns a value as one line of text."""
    if value is None:
        return "NULL"
    if isinstance(value, (list, tuple)):
        # An embedding: DuckDB's Python client returns an array as a tuple.
        is_vector = len(value) > MANY_NUMBERS and all(isinstance(item, float) for item in value)
        if is_vector:
            return f"[{', '.join(f'{item:.4g}' for item in value[:3])}, ...] of length {len(value)}"
        return f"[{', '.join(format_value(item) for item in value)}]"
    if isinstance(value, (datetime, date)):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, timedelta)):
        return _write_odd(value)
    if isinstance(value, dict):
        pairs = (f"{str(name)!r}: {format_value(item)}" for name, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return clean_text(str(value)).replace("\n", " ")


def format_fields(row: Mapping[str, Any]) -> Text:
    """Returns a line for each named value; long ones are cut off."""
    from rich.text import Text

    lines = []
    for name, value in row.items():
        if value is not None or name not in ("error", "answer"):
            shown = f"{len(value):,} bytes" if isinstance(value, bytes) else format_value(value)
            cut = shown if len(shown) <= MAX_CELL else f"{shown[:MAX_CELL]} ..."
            lines.append(Text.assemble((f"{clean_text(name)}: ", "dim"), cut))
    return Text("\n").join(lines)


def format_cost(cost: float | None) -> str:
    """Returns USD as people read them."""
    return "unknown" if cost is None else format_usd(cost)


def print_diff(console: Console, diff: str) -> None:
    """Print a unified diff in its colors; nothing for an empty one."""
    from rich.text import Text

    for line in diff.split("\n") if diff else ():
        # Rich must not break a line, because its sign and color belong to all of it.
        console.print(
            Text(f"  {clean_text(line)}", style=DIFF_STYLES.get(line[:1], "")), soft_wrap=True
        )
    if diff:
        console.print()


def print_table(
    columns: list[str],
    cells: Iterable[list[str]],
    *,
    right: set[int],
    dull: Sequence[int] = (),
    spare: Sequence[int] = (),
) -> None:
    """Print a table. Its first column names things and is not broken.

    If the columns do not fit side by side, those of `dull` that hold nothing but 0 are left out,
    then those of `spare`, in this order. If that is not enough, each row becomes a block of lines.
    The columns in `right` are aligned to the right.
    """
    from rich.table import Table
    from rich.text import Text

    listed = list(cells)
    console = open_console(stderr=False)
    least = _find_widths(columns, listed)
    empty = [n for n in dull if all(row[n] in ("", "0") for row in listed)]
    shown = list(range(len(columns)))
    # A column may be in both.
    for number in dict.fromkeys((*empty, *spare)):
        if _measure_width(least, shown) > console.width:
            shown.remove(number)
    if _measure_width(least, shown) > console.width and listed:
        _print_blocks(console, columns, listed)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number in shown:
        table.add_column(
            columns[number],
            justify="right" if number in right else "left",
            overflow="fold",  # rich would cut a long cell with an ellipsis
            no_wrap=number in right,  # a figure on two lines would be misread
            min_width=least[number],
        )
    for row in listed:
        table.add_row(*(Text(row[number]) for number in shown))
    console.print(table)


def _find_widths(columns: list[str], cells: list[list[str]]) -> list[int]:
    """Returns the letters that each column needs at least; longer cells are folded."""
    return [
        min(
            max(map(len, (column, *(row[number] for row in cells)))),
            max(len(column), MIN_COLUMN if number else MAX_UNBROKEN_NAME),
        )
        for number, column in enumerate(columns)
    ]


def _measure_width(least: Sequence[int], shown: Sequence[int]) -> int:
    """Returns the letters that a line of these columns needs, with two spaces between them."""
    return sum(least[number] for number in shown) + 2 * (len(shown) - 1)


def _print_blocks(console: Console, columns: list[str], cells: list[list[str]]) -> None:
    """Print the rows one below the other, with a line for each column that is not empty."""
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
                cut = cell if len(cell) <= MAX_CELL else f"{cell[:MAX_CELL]} ..."
                block.add_row(Text(clean_text(column)), Text(cut))
        console.print(block)


def open_console(*, stderr: bool) -> Console:
    """Returns a console for stdout or stderr."""
    from enrich.report.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # Rich assumes 80 columns if there is no terminal, which would fold the tables in a log.
    width = None if stream.isatty() or "COLUMNS" in os.environ else 160
    # Rich's highlighter would color numbers and quoted words in the texts of users.
    return Console(stderr=stderr, width=width, highlight=False)
