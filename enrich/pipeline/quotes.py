"""Quotes: where a CSV file leaves a quoted value open, which DuckDB reports somewhere else or not
at all."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from itertools import chain
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CLOSING = re.compile(r'(?:[^"]++|"")*+"')
"""The rest of a quoted value, in which two quotes stand for one."""


@dataclass(frozen=True, kw_only=True)
class OpenQuote:
    """A value that starts with a quote in a line, counted from 1, and does not end with one.
    `inside`: another quote of the same line is inside the value."""

    line: int
    inside: bool


def find_open_quote(lines: Iterable[str], separator: str) -> OpenQuote | None:
    """Returns the first value that is not closed; None if all are.

    >>> find_open_quote(['id,name', '1,"x', '2,z'], ",")
    OpenQuote(line=2, inside=False)
    >>> find_open_quote(['id,name', '1,"5" disk"'], ",")
    OpenQuote(line=2, inside=True)
    >>> find_open_quote(['id,name', '1,"x', 'y ""z"" ",2'], ",")
    """
    opened = 0
    for number, line in enumerate(lines, 1):
        text, position = line.rstrip("\r\n"), 0
        while position <= len(text):
            if opened:
                closing = CLOSING.match(text, position)
                if closing is None:
                    break
                position = closing.end()
                if position < len(text) and not text.startswith(separator, position):
                    return OpenQuote(line=opened, inside=opened == number)
                opened = 0
            elif text.startswith('"', position):
                opened, position = number, position + 1
                continue
            following = text.find(separator, position)
            if following < 0:
                break
            position = following + len(separator)
    return OpenQuote(line=opened, inside=False) if opened else None


def find_open_quote_in_file(path: Path, separators: str) -> OpenQuote | None:
    """Returns the same for a file, whose values are separated by the character that its first line
    has most of; None if it cannot be read."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with cast("IO[bytes]", opened(path, "rb")) as raw:
            lines = (line.decode(errors="replace") for line in raw)
            first = next(lines, "")
            return find_open_quote(chain([first], lines), max(separators, key=first.count))
    except (OSError, EOFError):
        return None
