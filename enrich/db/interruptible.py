"""Calls that Ctrl-C can end, although they wait in C.

Python hears of a signal in its main thread only, and not before that thread is back from C: DuckDB
looks there between its tasks, and one of them may take minutes. So the call is made in a thread of
its own, and the main thread waits for it, and interrupts it.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LOOK = None if os.name == "posix" else 0.2
"""Seconds after which the main thread looks for signals while it waits; None: they wake it."""
AGAIN = 0.05
"""Seconds after which a call that has not ended is interrupted again: it may just have begun."""


def interruptible(call: Callable[[], T], interrupt: Callable[[], None]) -> T:
    """What `call` gives. At Ctrl-C it is ended by `interrupt`, and KeyboardInterrupt is raised."""
    if current_thread() is not main_thread():
        return call()
    future: Future[T] = Future()

    def work() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(call())
        except BaseException as problem:  # noqa: BLE001  # it is raised where it is waited for
            future.set_exception(problem)

    try:
        Thread(target=work, daemon=True).start()
        while not future.done():
            wait([future], LOOK)
    except KeyboardInterrupt:
        # Whoever caught this may use what the call uses: it is over, or will never begin.
        while not future.cancel() and not future.done():
            with suppress(KeyboardInterrupt):
                interrupt()
                wait([future], AGAIN)
        raise
    return future.result()
