"""The worker of one batch: a process that a provider's module runs with its engines.

It reads requests as they are needed, answers them with as many threads as its engines have slots,
appends each answer at once, and exits when the batch has ended or was cancelled, or when its folder
is gone. It can be killed at any moment, and continues when it is started again. Batches below one
root take turns, the oldest first, because two at the same time would compete for the engine.
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
from threading import Event
from typing import TYPE_CHECKING, Any

from enrich.providers.executor.answers import Answers, Tally
from enrich.providers.executor.engine import EngineFailed
from enrich.providers.executor.folder import BatchState, Folder
from enrich.providers.executor.lock import take_lock
from enrich.providers.executor.requests import InvalidFile, count_requests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from filelock import BaseFileLock

    from enrich.providers.executor.engine import Engine, OpenEngines

BEAT_SECONDS = 0.25
"""Seconds between two looks at the folder, and between two fsyncs."""
GRACE_SECONDS = 3.0
"""Seconds that the rows under way have to finish when their batch is cancelled."""
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
    """Waits for the engine and returns its lock; None if the batch was cancelled before."""
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
    folder.save(_add_tally(state, answers.tally))
    pending = _start_slots(answers, engines)
    leave: float | None = None
    while pending and (leave is None or time.monotonic() < leave):
        done, pending = wait(pending, timeout=BEAT_SECONDS)
        for slot in done:
            slot.result()
        if answers.sync():
            folder.save(_add_tally(state, answers.tally))
        if not folder.exists:
            os._exit(0)
        if folder.is_cancelling and leave is None:
            answers.stop.set()
            leave = time.monotonic() + GRACE_SECONDS
    final = _add_tally(state, answers.close())
    whole = final.completed + final.failed == state.total
    folder.save(replace(final, status="completed" if whole else "cancelled"))


def _start_slots(answers: Answers, engines: Sequence[Engine]) -> set[Future[None]]:
    """Starts all slots; the first slot of each engine warms it while its others wait."""
    ahead = answers.peek(2)  # warming is only worth its time for several rows
    pool = ThreadPoolExecutor(sum(engine.slots for engine in engines))
    slots = set()
    for engine in engines:
        ready = Event()
        if len(ahead) < 2:
            ready.set()
        slots.add(pool.submit(_warm_and_answer, answers, engine, ready, ahead))
        slots.update(
            pool.submit(answers.answer_with, engine, ready) for _ in range(engine.slots - 1)
        )
    return slots


def _warm_and_answer(
    answers: Answers, engine: Engine, ready: Event, ahead: Sequence[Mapping[str, Any]]
) -> None:
    """Warms an engine, and answers rows with its first slot."""
    try:
        if not ready.is_set():
            engine.warm(ahead[0]["body"])
    finally:
        ready.set()
    answers.answer_with(engine, ready)


def _add_tally(state: BatchState, tally: Tally) -> BatchState:
    """Returns the state with the counts of a tally."""
    return replace(state, completed=tally.completed, failed=tally.failed)
