"""Still: copies of databases as they were at one moment, taken without a lock.

A reader that attaches a file keeps its writer waiting. So what only looks (`enrich view`) copies
the files, and knows by their times and sizes that nobody wrote to them in the meantime. What DuckDB
has written by any moment is complete: it is what a crash would leave behind, and opens as such.
"""

from __future__ import annotations

import time
from dataclasses import replace
from shutil import copyfile
from typing import TYPE_CHECKING

from enrich.db.alias import Scratch, list_logs

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.db.files import DatabaseFiles

SETTLED_SECONDS = 0.02
"""How long a file must have been left alone: kernels stamp files with a clock that ticks only every
few milliseconds, so an earlier stamp could hide a write."""

Stamp = tuple[tuple[str, int, int, int], ...]
"""Of each file that is there: its path, inode, size in bytes, and time of the last change (ns)."""


def stamp_files(files: DatabaseFiles) -> Stamp:
    """Returns what changes whenever one of a project's databases does."""
    return tuple(
        (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
        for path in _list_parts(files)
        if (found := path.stat() if path.exists() else None)
    )


def copy_files(files: DatabaseFiles) -> DatabaseFiles | None:
    """Returns copies of a project's databases as of one moment, or None if they are being written.

    The copies are removed with the object. Must not be called by a process that has the databases
    open: on POSIX, closing a file ends all locks that the process has on it.
    """
    scratch = Scratch()
    try:
        before = stamp_files(files)
        if any(time.time_ns() - stamp[3] < SETTLED_SECONDS * 1e9 for stamp in before):
            return None
        for name, path in (("warehouse", files.warehouse), ("ledger", files.ledger)):
            copy = scratch.path / f"{name}.duckdb"
            if path.exists():
                copyfile(path, copy)
                for log, other in zip(list_logs(path), list_logs(copy), strict=True):
                    if log.exists():
                        copyfile(log, other)
        if stamp_files(files) != before:
            return None
    # A file that goes away meanwhile, or that Windows locks.
    except OSError:
        return None
    return replace(files, work=scratch.path / "work", copies=scratch)


def _list_parts(files: DatabaseFiles) -> tuple[Path, ...]:
    both = (files.warehouse, files.ledger)
    return tuple(part for path in both for part in (path, *list_logs(path)))
