"""Private files: only their owner may read files with rows or with answers."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path


def open_private(path: Path, mode: Literal["wb", "ab"]) -> IO[bytes]:
    """Opens a file for writing or appending that only its owner may read."""
    # With an opener, which `Path.open` does not have: a chmod afterwards would leave a moment in
    # which others can open the file.
    return open(path, mode, opener=_open_as_owner)


def _open_as_owner(path: str, flags: int) -> int:
    """Opens a file with a mode that lets nobody else in; on Windows the folder's permissions
    apply."""
    return os.open(path, flags, 0o600)
