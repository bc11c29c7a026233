"""The project's lock: one process at a time plans, submits and reads. It is not held during
waits."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from enrich.db.creation import make_folder
from enrich.errors import DiskError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import FileLock

    from enrich.db.files import DatabaseFiles


@contextmanager
def hold_project(files: DatabaseFiles) -> Iterator[None]:
    """Hold the project's lock: wait until no other enrich process works in the project.

    Raises DiskError if the lock file cannot be created or locked.
    """
    lock = _name_lock(files)
    # Tried without waiting first, so that a wait is announced.
    if not _take_now(lock):
        # Without a timeout: a turn is short, and a process that dies frees its lock.
        files.say("another enrich process is working in this project; waiting for it to finish")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def hold_file(path: Path) -> Iterator[None]:
    """Hold a lock of its own, in this file, as soon as no other process does. Raises DiskError."""
    from filelock import FileLock

    lock = FileLock(path, mode=0o600)
    if not _take_now(lock):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def hold_if_free(files: DatabaseFiles) -> Iterator[bool]:
    """Hold the project's lock, unless another process does; yields whether it is held.

    Raises DiskError if the lock file cannot be created or locked.
    """
    lock = _name_lock(files)
    is_held = _take_now(lock)
    try:
        yield is_held
    finally:
        if is_held:
            lock.release()


def _name_lock(files: DatabaseFiles) -> FileLock:
    from filelock import FileLock

    # The file's name is older than this module: two versions of enrich must exclude each other.
    return FileLock(make_folder(files.work) / "turn.lock", mode=0o600)


def _take_now(lock: FileLock) -> bool:
    """Whether the lock was free, and is held now."""
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except OSError as problem:
        message = f"{lock.lock_file} cannot be locked: {problem.strerror}"
        raise DiskError(
            message, hint="check the permissions of the file and its folder"
        ) from problem
    return True
