"""Private files: what holds rows, or answers to them, is its owner's alone to read."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path


def open_private(path: Path, mode: Literal["wb", "ab"]) -> IO[bytes]:
    """Open a file to write it, or to append to it, that only its owner may read."""
    return open(path, mode, opener=_open_as_owner)  # Path.open has no opener


def _open_as_owner(path: str, flags: int) -> int:
    """Open a file whose mode lets nobody else in; Windows keeps the folder's permissions."""
    return os.open(path, flags, 0o600)
