"""The project's lock: one process at a time plans, submits and reads; nobody holds it waiting."""

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
    """Inside, no other process of enrich is at work in the project; waits for one that is."""
    from filelock import FileLock, Timeout

    # The file's name is older than this module: two versions of enrich must exclude each other.
    lock = FileLock(make_folder(files.work) / "turn.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        files.say("another enrich is at work in this project; waiting for its turn to end")
        lock.acquire()
    except OSError as problem:
        message = f"{lock.lock_file} cannot be locked: {problem.strerror}"
        raise DiskError(message, hint="see what stands in its way") from problem
    try:
        yield
    finally:
        lock.release()
