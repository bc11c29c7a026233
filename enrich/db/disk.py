"""Files on disk: flushed, measured, and removed as a whole."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


GONE_ENDING = ".gone"
"""How the name of a folder ends that is being removed; it begins with a dot."""


def sync_to_disk(path: Path) -> None:
    """Flush a file or folder to disk, so that a power failure after a rename leaves it complete."""
    # Windows cannot open a folder as a file.
    if sys.platform == "win32" and path.is_dir():
        return
    # On Windows, FlushFileBuffers needs a file that was opened for writing (GENERIC_WRITE).
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some file systems, such as network mounts, do not support it
        pass
    finally:
        os.close(descriptor)


def measure_files(paths: Iterable[Path]) -> int:
    """Returns the bytes of these files, and of all files below these folders. A file with two names
    counts once; what cannot be read, or is gone, does not count."""
    seen: dict[tuple[int, int], int] = {}
    for path in paths:
        for each in (path, *(path.rglob("*") if path.is_dir() else ())):
            with suppress(OSError):
                found = each.lstat()
                if not each.is_dir():
                    seen[(found.st_dev, found.st_ino)] = found.st_size
    return sum(seen.values())


def remove_whole(path: Path) -> None:
    """Remove a file or a folder, if it is there. A folder is renamed first, so that nobody finds
    half of it; what a crash left of it is removed as well. Raises OSError."""
    gone = path.with_name(f".{path.name}{GONE_ENDING}")
    if gone.exists():
        shutil.rmtree(gone)
    if path.is_dir() and not path.is_symlink():
        path.rename(gone)
        shutil.rmtree(gone)
    else:
        path.unlink(missing_ok=True)


def format_bytes(count: int) -> str:
    """Returns bytes as people read them, in powers of 1,000 as providers state their limits.

    >>> format_bytes(999), format_bytes(1_500_000)
    ('999 bytes', '1.5 MB')
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,} bytes"
