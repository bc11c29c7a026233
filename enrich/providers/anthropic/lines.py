"""Lines: the results of a batch as they come, one line in memory at a time."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING

from enrich.providers.anthropic.message import translate_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CUSTOM_ID_IN_LINE = re.compile(rb'"custom_id"\s*:\s*"([^"\\]*)"')
"""Where a line of results says its custom_id, also if it is not quite JSON."""


def find_first_id(pieces: Iterator[bytes]) -> str:
    """Returns the custom_id of the first line that has one; "" if none has."""
    found = (CUSTOM_ID_IN_LINE.search(line) for line in split_lines(pieces))
    return next((match[1].decode(errors="replace") for match in found if match), "")


def write_lines(pieces: Iterator[bytes], out: IO[bytes], replaced: Mapping[str, str]) -> None:
    """Writes lines of results as those of the Batch API. Raises Unreadable."""
    for line in split_lines(pieces):
        if line.strip():
            out.write(translate_line(line, replaced))


def split_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yields the lines of a stream. Raises Unreadable for one that is longer than an answer."""
    from enrich.providers.bounds import ANSWER_BYTES, Unreadable

    rest = bytearray()
    for piece in pieces:
        *whole, last = piece.split(b"\n")
        for line in whole:
            rest += line
            yield bytes(rest + b"\n")
            rest.clear()
        rest += last
        if len(rest) > ANSWER_BYTES:
            raise Unreadable(f"a line of its results has more than {ANSWER_BYTES >> 20:,} MiB")
    if rest:
        yield bytes(rest)
