"""Launching: a batch that has no worker gets one, which outlives the command that starts it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Any

from enrich.providers.executor.lock import hold_lock
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from enrich.providers.executor.folder import BatchState, Folder

MOST_STARTS = 3
"""How often a worker is started without a new answer before its batch has failed."""


def tend_batch(folder: Folder, worker: str) -> BatchState:
    """How a batch stands. One that has not ended and has no worker is ended, or gets one: the
    module `worker`."""
    if (state := folder.state).ended:
        return state
    with hold_lock(folder.path / "start.lock") as mine:
        if mine and _claim_start(folder):
            start_worker(folder, worker)
    return folder.state


def _claim_start(folder: Folder) -> bool:
    """Whether a worker is to be started, which is then counted; ends a batch that needs none."""
    with hold_lock(folder.lock) as free:
        state = folder.state
        if not free or state.ended:
            return False
        if folder.is_cancelling:
            folder.finish("cancelled")
            return False
        size = folder.output.stat().st_size if folder.output.exists() else 0
        starts = state.starts + 1 if size <= state.size else 1
        if starts > MOST_STARTS:
            message = f"the engine died {MOST_STARTS} times without an answer; see {folder.log}"
            folder.finish("failed", code="engine_failed", error=message)
            return False
        folder.save(replace(state, starts=starts, size=size))
        return True


def start_worker(folder: Folder, worker: str) -> None:
    """Start a worker that goes on by itself, and wait until it holds the folder's lock or died.

    Ctrl-C and the end of the terminal do not reach it.
    """
    with open_private(folder.log, "ab") as log:
        process = subprocess.Popen(
            [*_build_command(folder, worker), "--tell"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            **_detach_options(),
        )
    # A process that nobody waits for would stay in the list of processes after its end.
    Thread(target=process.wait, daemon=True).start()
    if process.stdout:
        with process.stdout as told:
            told.read(1)


def run_worker_here(folder: Folder, worker: str) -> None:
    """Run a worker to its end; Ctrl-C ends it as well."""
    with open_private(folder.log, "ab") as log:
        subprocess.run(
            _build_command(folder, worker),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )


def _build_command(folder: Folder, worker: str) -> list[str]:
    """How a worker is started."""
    return [sys.executable, "-m", worker, str(folder.path)]


def _detach_options() -> dict[str, Any]:
    """What Popen takes so that a process goes on without its parent (Python's `subprocess`)."""
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        return {"creationflags": flags}
    return {"start_new_session": True}
