"""Background calls: they run in threads of their own, so that whoever waits can stop waiting."""

from __future__ import annotations

import os
from collections import deque
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

Returned = TypeVar("Returned")


class BackgroundThread:
    """A daemon thread that makes one call after the other, and waits for the next one."""

    # A daemon, because a call that never returns must not keep the process alive.
    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            self.calls.get()()
            _IDLE.append(self)


_IDLE: deque[BackgroundThread] = deque()
"""The threads without a call: to start one takes longer than most statements do."""
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_IDLE.clear)  # a child has none of its parent's threads


def fill_future(future: Future[Returned], call: Callable[[], Returned]) -> None:
    """Make the call in another thread, and pass what it returns or raises to `future`.

    If the future is cancelled before the thread starts, nothing is called.
    """
    # The caller creates the future, so that it has one even if Ctrl-C comes while the thread
    # starts.

    def work() -> None:
        """Make the call, unless the future has been cancelled."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(call())
        except BaseException as problem:  # noqa: BLE001  # raised where it is awaited
            future.set_exception(problem)

    try:
        thread = _IDLE.pop()
    except IndexError:
        thread = BackgroundThread()
    thread.calls.put(work)
