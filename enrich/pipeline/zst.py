"""Zstandard files: whether a file is complete.

DuckDB (2.0.1) reads a truncated file as if it were a shorter one. The format of frames is that of
RFC 8878, section 3.1.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FRAME_MAGIC, SKIPPABLE_MAGIC = 0xFD2FB528, 0x184D2A50
"""The magic number of a frame, and the first of the sixteen for frames without data."""
REPEATED_BLOCK = 1
"""The type of a block that stores a single byte; its size says how often to repeat it."""


def is_whole(path: Path) -> bool:
    """Whether the file consists of complete frames and nothing else. It is not decompressed."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while (at := file.tell()) < size:
            magic = _read_number(file, 4)
            if magic & 0xFFFFFFF0 == SKIPPABLE_MAGIC:
                file.seek(_read_number(file, 4), os.SEEK_CUR)
            elif magic != FRAME_MAGIC or not _skip_frame(file):
                return False
            # seek() goes past the end without an error.
            if not at < file.tell() <= size:
                return False
    return size > 0


def _skip_frame(file: IO[bytes]) -> bool:
    """Skip a frame's header, blocks and checksum. Returns False if the file ends before."""
    # The descriptor says which fields follow, and of what size (RFC 8878, 3.1.1.1.1): a window
    # unless the frame is a single segment, a dictionary id, and the size of the contents.
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
