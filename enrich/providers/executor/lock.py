"""Locks: files that one process holds, and that the operating system frees when it dies."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import BaseFileLock


def take_lock(path: Path, *, wait: float = 0.0) -> BaseFileLock | None:
    """Lock a file: the lock, held until it is released or the process ends; None if somebody else
    holds it for longer than `wait` seconds. Raises FileNotFoundError where its folder is gone."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        return None
    return lock


@contextmanager
def hold_lock(path: Path) -> Iterator[bool]:
    """Hold a lock inside; whether it was free."""
    lock = take_lock(path)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()
