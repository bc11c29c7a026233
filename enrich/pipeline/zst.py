"""Zstandard files: whether one ends where its last frame does.

DuckDB takes one that was cut off for a shorter one (2.0.1). The frames are those of RFC 8878,
section 3.1.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FRAME_MAGIC, SKIPPABLE_MAGIC = 0xFD2FB528, 0x184D2A50
"""How a frame begins, and the first of the sixteen numbers with which one begins that holds no
data."""
REPEATED_BLOCK = 1
"""The type of a block that holds one byte, whatever its size says."""


def is_whole(path: Path) -> bool:
    """Whether the file holds whole frames and nothing else; its contents are not unpacked."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while (at := file.tell()) < size:
            magic = _read_number(file, 4)
            if magic & 0xFFFFFFF0 == SKIPPABLE_MAGIC:
                file.seek(_read_number(file, 4), os.SEEK_CUR)
            elif magic != FRAME_MAGIC or not _skip_frame(file):
                return False
            if not at < file.tell() <= size:
                return False
    return size > 0


def _skip_frame(file: IO[bytes]) -> bool:
    """Pass over a frame's header, blocks and checksum; False where the file ends before."""
    descriptor = _read_number(file, 1)
    content_size, dictionary = descriptor >> 6, descriptor & 3
    is_single, has_checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    fields = (0, 2, 4, 8)[content_size] or is_single
    file.seek((1 - is_single) + (0, 1, 2, 4)[dictionary] + fields, os.SEEK_CUR)
    while True:
        start = file.read(3)
        if len(start) < 3:
            return False
        block = int.from_bytes(start, "little")
        is_last, kind, size = block & 1, block >> 1 & 3, block >> 3
        file.seek(1 if kind == REPEATED_BLOCK else size, os.SEEK_CUR)
        if is_last:
            file.seek(4 * has_checksum, os.SEEK_CUR)
            return True


def _read_number(file: IO[bytes], size: int) -> int:
    return int.from_bytes(file.read(size), "little")
