"""The worker of one batch: a process that a provider's module runs with its engines.

It reads requests as they are needed, has its engines answer them,
appends each answer at once, and leaves when the batch has ended, was cancelled or its folder has
gone. Killed at any moment, it goes on where it was when it is started again. Batches under one root
take turns, the oldest first: two at once would only fight for what answers them.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from enrich.providers.executor.answers import Answers
from enrich.providers.executor.engine import EngineFailed
from enrich.providers.executor.folder import BatchState, Folder
from enrich.providers.executor.lock import take_lock
from enrich.providers.executor.requests import InvalidFile, count_requests

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from filelock import BaseFileLock

    from enrich.providers.executor.engine import Engine, OpenEngines

BUDGET_REACHED = "budget_reached"
"""The code of a batch that ended because its allowance was used up."""
BEAT_SECONDS = 0.25
"""Between two looks at the folder, and between two fsyncs."""
LOOKERS_SECONDS = 1.0
"""Seconds for which others may hold the lock: whoever polls holds it for a moment."""


def run_worker(open_engines: OpenEngines) -> None:
    """Works on the folder in the command line, unless another worker does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tell", action="store_true", help="write a line once it has started")
    options = parser.parse_args()
    sys.excepthook = _exit_at_once
    faulthandler.enable()
    os.umask(0o077)
    folder = Folder(options.folder)
    lock = take_lock(folder.lock, wait=LOOKERS_SECONDS)
    if lock is None:
        sys.exit("another worker has this batch")
    folder.say_pid()
    if options.tell:
        _report_start()
    try:
        _work_off(folder, open_engines)
    except OSError as error:
        if folder.exists:
            folder.finish("failed", code="disk_failed", error=str(error))
        os._exit(0)
    lock.release()


def _report_start() -> None:
    """Tells whoever started the worker that it holds the lock, and sends later output to the
    log."""
    with suppress(OSError):  # they may have exited
        os.write(sys.stdout.fileno(), b"\n")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def _exit_at_once(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Exits at once after an unexpected error, without waiting for rows in native code."""
    sys.__excepthook__(kind, error, trace)
    sys.stderr.flush()
    os._exit(1)


def _work_off(folder: Folder, open_engines: OpenEngines) -> None:
    """Brings a batch to its end; the caller holds its lock. Raises OSError, also if the folder is
    gone."""
    if folder.state.ended:
        return
    try:
        total = folder.state.total or count_requests(folder.input, folder.job.endpoint)
    except InvalidFile as error:
        folder.finish("failed", code=error.code, error=str(error))
        return
    folder.save(replace(folder.state, total=total))
    turn = _await_turn(folder)
    if turn is None:
        folder.finish("cancelled")
        return
    try:
        engines = open_engines(folder)
    except EngineFailed as error:
        folder.finish("failed", code="engine_failed", error=str(error))
        turn.release()
        return
    _answer_all(folder, engines)
    os._exit(0)  # rows of a cancelled batch may still be in native code


def _await_turn(folder: Folder) -> BaseFileLock | None:
    """Waits for the engine and returns its lock; None if the batch was cancelled before. A preview
    waits for nobody: it has few rows, and a person looks on."""
    if folder.job.is_preview:
        return take_lock(folder.path / "turn.lock")
    while not folder.is_cancelling:
        if not folder.exists:
            raise FileNotFoundError(folder.path)
        turn = take_lock(folder.path.parent / "engine.lock")
        if turn is not None:
            # Locks know no order, so a younger batch gives way to an older one that waits.
            if not any(other.is_busy for other in folder.list_older()):
                return turn
            turn.release()
        time.sleep(BEAT_SECONDS)
    return None


def _answer_all(folder: Folder, engines: Sequence[Engine]) -> None:
    """Answers the remaining rows, and saves the state while it does."""
    answers = Answers(folder)
    state = replace(folder.state, status="in_progress")
    answers.allowance = folder.allowance
    folder.save(state.with_tally(answers.tally))
    pool = ThreadPoolExecutor(len(engines))
    pending = {pool.submit(engine.run, answers) for engine in engines}
    leave: float | None = None
    shown = ""
    while pending and (leave is None or time.monotonic() < leave):
        done, pending = wait(pending, timeout=BEAT_SECONDS)
        for each in done:
            try:
                each.result()
            except EngineFailed as error:
                _fail(folder, answers, str(error))
                return
        note = "; ".join(dict.fromkeys(engine.note for engine in engines if engine.note))
        if answers.sync() or note != shown:
            folder.save(replace(state, status=note or "in_progress").with_tally(answers.tally))
            shown = note
        answers.allowance = folder.allowance
        if not folder.exists:
            os._exit(0)
        if folder.is_cancelling and leave is None:
            answers.stop.set()
            leave = time.monotonic() + max(engine.grace for engine in engines)
    folder.save(_conclude(folder, answers, state.with_tally(answers.close())))


def _fail(folder: Folder, answers: Answers, error: str) -> None:
    """End a batch of which no further row can be answered; what was answered is kept."""
    answers.stop.set()
    answers.close()
    folder.finish("failed", code="engine_failed", error=error)


def _conclude(folder: Folder, answers: Answers, state: BatchState) -> BatchState:
    """Returns the final state of a batch: `expired` if its allowance was used up before its end."""
    if state.completed + state.failed == state.total:
        return replace(state, status="completed")
    if folder.is_cancelling:
        return replace(state, status="cancelled")
    if answers.spent:
        error = "the budget was used up: the answers took more tokens than estimated"
        return replace(state, status="expired", code=BUDGET_REACHED, error=error)
    return replace(state, status="completed")  # a preview keeps no line of a lost answer
