"""Result files as bytes: the lengths of their lines, and the repair of lines that are not JSON.

DuckDB reads result files. An answer that it cannot read was paid for all the same: a line with a
byte that is not UTF-8, with a lone surrogate, or cut off in the middle. Such lines are repaired
here.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING

from enrich.errors import DiskError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CUSTOM_ID_PATTERN = re.compile(r'"custom_id"\s*:\s*("(?:[^"\\]|\\.)*")')
SURROGATE_PATTERN = re.compile(r"[\ud800-\udfff]")
TEXT_VECTOR = re.compile(rb'"embedding"\s*:\s*\[\s*["tf]')
"""A vector that starts with a text or a truth value."""
BLANK_BYTES = 2
"""A line of at most this many bytes is blank: it holds its line ending and nothing else."""
SURVEYS_KEPT = 1000
"""How many files are not surveyed again while they stay the same."""


@dataclass(frozen=True)
class Survey:
    """The number of lines that are not blank, and the bytes of the longest one."""

    lines: int
    longest: int


def survey_lines(path: Path) -> Survey:
    """Returns how many lines a file has, and how long the longest is."""
    # A file is surveyed when it is fetched and, usually soon afterwards, when it is read.
    found = path.stat()
    return _survey_once(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=SURVEYS_KEPT)
def _survey_once(path: Path, _size: int, _changed: int) -> Survey:
    with path.open("rb") as file:
        sizes = [size for size in map(len, file) if size > BLANK_BYTES]
    return Survey(len(sizes), max(sizes, default=0))


def has_text_vectors(path: Path) -> bool:
    """Whether any vector in a file starts with something other than a number, which DuckDB would
    read as one."""
    # The first item is enough: a server writes all numbers of a vector in the same way.
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:  # which cannot be mapped
            return False
        with mmap(file.fileno(), 0, access=ACCESS_READ) as whole:
            return bool(TEXT_VECTOR.search(whole))


def mend_lines(path: Path) -> Path:
    """Write the lines that are not valid JSON, repaired, to a file beside this one. Returns its
    path.

    Bytes that are not Unicode become U+FFFD. A line that still cannot be parsed is reduced to its
    custom_id and its text as `unreadable`; one without a custom_id is dropped. Raises DiskError.
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
    """Yield the objects of a line that a strict JSON parser rejects; nothing if it accepts the
    line."""
    try:
        text = line.decode().strip()
        if not text or not SURROGATE_PATTERN.search(
            json.dumps(json.loads(text), ensure_ascii=False)
        ):
            return
    except (ValueError, RecursionError):  # the latter for JSON nested too deeply for Python
        text = line.decode(errors="replace").replace("\0", "").strip()
    yield from _split_objects(text)


def _split_objects(text: str) -> Iterator[object]:
    """Yield the consecutive JSON objects of a text, up to the first part that is not JSON."""
    # Not strict, to accept control characters inside strings.
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
    """Returns the value with U+FFFD in place of each lone surrogate."""
    if isinstance(value, str):
        # UTF-16 joins the surrogates of a pair, and only what is left alone cannot be decoded.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {
            str(_replace_surrogates(name)): _replace_surrogates(item)
            for name, item in value.items()
        }
    return value
