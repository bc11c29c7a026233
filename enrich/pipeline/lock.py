"""The project's lock: one process at a time plans, submits and reads. It is not held during
waits."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from enrich.db.creation import make_folder
from enrich.errors import DiskError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.db.files import DatabaseFiles


@contextmanager
def hold_project(files: DatabaseFiles) -> Iterator[None]:
    """Hold the project's lock: wait until no other enrich process works in the project.

    Raises DiskError if the lock file cannot be created or locked.
    """
    from filelock import FileLock, Timeout

    # The file's name is older than this module: two versions of enrich must exclude each other.
    lock = FileLock(make_folder(files.work) / "turn.lock", mode=0o600)
    # Tried without waiting first, so that a wait is announced.
    try:
        lock.acquire(timeout=0)
    except Timeout:
        # Without a timeout: a turn is short, and a process that dies frees its lock.
        files.say("another enrich process is working in this project; waiting for it to finish")
        lock.acquire()
    except OSError as problem:
        message = f"{lock.lock_file} cannot be locked: {problem.strerror}"
        raise DiskError(
            message, hint="check the permissions of the file and its folder"
        ) from problem
    try:
        yield
    finally:
        lock.release()
