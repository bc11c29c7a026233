"""Launching: a batch without a worker gets one, which outlives the command that starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Any

from enrich.providers.executor.lock import hold_lock
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.providers.executor.folder import BatchState, Folder

MOST_STARTS = 3
"""How often a worker is started without producing an answer before its batch fails."""


def tend_batch(folder: Folder, worker: str, environment: Mapping[str, str]) -> BatchState:
    """How a batch stands. One that has not ended and has no worker is ended, or gets one: the
    module `worker`."""
    if (state := folder.state).ended:
        return state
    # Two commands may poll at the same time, and only one of them may start a worker. This needs a
    # second lock: the worker takes the folder's own, which cannot be handed down to it.
    with hold_lock(folder.path / "start.lock") as mine:
        if mine and _claim_start(folder):
            start_worker(folder, worker, environment)
    return folder.state


def _claim_start(folder: Folder) -> bool:
    """Returns whether to start a worker, and counts the start; ends a batch that needs none."""
    with hold_lock(folder.lock) as free:
        state = folder.state
        if not free or state.ended:
            return False
        if folder.is_cancelling:
            folder.finish("cancelled")
            return False
        # Starts only count while the output does not grow: a worker that is killed now and then, as
        # by a reboot, must not end its batch.
        size = folder.output.stat().st_size if folder.output.exists() else 0
        starts = state.starts + 1 if size <= state.size else 1
        if starts > MOST_STARTS:
            message = f"the engine died {MOST_STARTS} times without an answer; see {folder.log}"
            folder.finish("failed", code="engine_failed", error=message)
            return False
        folder.save(replace(state, starts=starts, size=size))
        return True


def start_worker(folder: Folder, worker: str, environment: Mapping[str, str]) -> None:
    """Start a worker that goes on by itself, and wait until it holds the folder's lock or died.

    The worker goes on by itself: Ctrl-C and the end of the terminal do not reach it.
    """
    with open_private(folder.log, "ab") as log:
        process = subprocess.Popen(
            [*_build_command(folder, worker), "--tell"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **environment},
            **_detach_options(),
        )
    # On POSIX, a process that nobody waits for remains as a zombie after its end.
    Thread(target=process.wait, daemon=True).start()
    # `read` returns with the byte that the worker writes, or with nothing when it dies.
    if process.stdout:
        with process.stdout as told:
            told.read(1)


def _build_command(folder: Folder, worker: str) -> list[str]:
    """Returns the command that starts a worker."""
    return [sys.executable, "-m", worker, str(folder.path)]


def _detach_options() -> dict[str, Any]:
    """Returns the arguments of Popen that let a process go on without its parent."""
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        return {"creationflags": flags}
    return {"start_new_session": True}
