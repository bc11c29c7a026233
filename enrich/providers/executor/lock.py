"""Locks: files that one process holds, and that the operating system releases when it dies."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import BaseFileLock


def take_lock(path: Path, *, wait: float = 0.0) -> BaseFileLock | None:
    """Locks a file and returns the lock, which is held until it is released or the process ends;
    None if another process holds it for longer than `wait` seconds. Raises FileNotFoundError if the
    folder is gone."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        return None
    return lock


@contextmanager
def hold_lock(path: Path) -> Iterator[bool]:
    """Holds a lock while the block runs; yields whether the lock was free."""
    lock = take_lock(path)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()
