"""Result files as bytes: how long their lines are, and what to make of lines that are not JSON.

DuckDB reads result files. What it cannot read was paid for all the same: a byte that is not UTF-8,
a lone surrogate, a break in the middle. Such lines, and no others, are read here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.errors import DiskError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CUSTOM_ID_PATTERN = re.compile(r'"custom_id"\s*:\s*("(?:[^"\\]|\\.)*")')
SURROGATE_PATTERN = re.compile(r"[\ud800-\udfff]")
BLANK_BYTES = 2
"""A line of so many bytes holds at most its own end."""


@dataclass(frozen=True)
class Survey:
    """How many lines a file has, and the bytes of its longest one."""

    lines: int
    longest: int


def survey_lines(path: Path) -> Survey:
    """Look at a file's lines without reading them."""
    with path.open("rb") as file:
        sizes = [size for size in map(len, file) if size > BLANK_BYTES]
    return Survey(len(sizes), max(sizes, default=0))


def mend_lines(path: Path) -> Path:
    """Write the lines that are not JSON as such, to a file beside this one.

    What is not Unicode becomes U+FFFD. A line that cannot be read even so is kept as its custom_id
    and its text, called `unreadable`; one that has no custom_id belongs to nobody.
    """
    target = path.with_suffix(".mended")
    try:
        with path.open("rb") as lines, target.open("wb") as mended:
            for line in lines:
                for value in _read_line(line):
                    mended.write(json.dumps(value).encode() + b"\n")
    except OSError as problem:
        hint = "free some disk space, or check who can write there"
        raise DiskError(f"{target} cannot be written: {problem.strerror}", hint=hint) from problem
    return target


def _read_line(line: bytes) -> Iterator[object]:
    """The objects of a line that a strict reader of JSON does not take; none if it would."""
    try:
        text = line.decode().strip()
        if not text or not SURROGATE_PATTERN.search(
            json.dumps(json.loads(text), ensure_ascii=False)
        ):
            return
    except (ValueError, RecursionError):
        text = line.decode(errors="replace").replace("\0", "").strip()
    yield from _split_objects(text)


def _split_objects(text: str) -> Iterator[object]:
    """The objects that stand in a text one after the other, up to what is none."""
    decoder = json.JSONDecoder(strict=False)
    start = 0
    while start < len(text):
        try:
            value, start = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            rest = text[start:]
            found = CUSTOM_ID_PATTERN.search(rest)
            if found:
                yield {"custom_id": json.loads(found[1], strict=False), "unreadable": rest}
            return
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield _replace_surrogates(each)
        start += len(text[start:]) - len(text[start:].lstrip(" \t\r\n,"))


def _replace_surrogates(value: object) -> object:
    """The same value with U+FFFD for each surrogate that stands alone."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {
            str(_replace_surrogates(name)): _replace_surrogates(item)
            for name, item in value.items()
        }
    return value
