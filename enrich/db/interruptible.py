"""Calls that Ctrl-C can end, although they wait in C.

Python handles a signal only in its main thread, and only once that thread has returned from C.
DuckDB checks for signals between its tasks, and one of those may take minutes. So the call runs in
a thread of its own, while the main thread waits for it and interrupts it.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import current_thread, main_thread
from typing import TYPE_CHECKING

from enrich.db.background import Returned, fill_future

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNAL_SECONDS = None if os.name == "posix" else 0.2
"""Seconds between two checks for signals while the main thread waits; None if a signal wakes it,
which it does not do on Windows."""
INTERRUPT_SECONDS = 0.05
"""Seconds after which a call that has not ended is interrupted again: DuckDB forgets an interrupt
that comes before the statement starts."""


def call_interruptibly(call: Callable[[], Returned], interrupt: Callable[[], None]) -> Returned:
    """Returns what `call` returns. At Ctrl-C, `interrupt` ends it, and KeyboardInterrupt is
    raised once it has ended."""
    # Signals reach only the main thread, so that any other can simply wait.
    if current_thread() is not main_thread():
        return call()
    future: Future[Returned] = Future()
    try:
        fill_future(future, call)
        while not future.done():
            with suppress(TimeoutError):
                future.exception(SIGNAL_SECONDS)  # waits for it, and raises nothing of its own
    except KeyboardInterrupt:
        # Whoever catches this may use the same connection: so wait until the call has ended, or is
        # certain never to start.
        while not future.cancel() and not future.done():
            with suppress(KeyboardInterrupt):
                interrupt()
                wait([future], INTERRUPT_SECONDS)
        raise
    return future.result()
