"""Calls that Ctrl-C can end, although they wait in C.

Python hears of a signal in its main thread only, and not before that thread is back from C: DuckDB
looks there between its tasks, and one of them may take minutes. So the call is made in a thread of
its own, and the main thread waits for it, and interrupts it.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import current_thread, main_thread
from typing import TYPE_CHECKING

from enrich.db.background import Returned, fill

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNAL_SECONDS = None if os.name == "posix" else 0.2
"""Seconds after which the main thread looks for signals while it waits; None: they wake it."""
INTERRUPT_SECONDS = 0.05
"""Seconds after which a call that has not ended is interrupted again: it may just have begun."""


def interruptible(call: Callable[[], Returned], interrupt: Callable[[], None]) -> Returned:
    """What `call` gives. At Ctrl-C it is ended by `interrupt`, and KeyboardInterrupt is raised."""
    if current_thread() is not main_thread():
        return call()
    future: Future[Returned] = Future()
    try:
        fill(future, call)
        while not future.done():
            wait([future], SIGNAL_SECONDS)
    except KeyboardInterrupt:
        # Whoever caught this may use what the call uses: it is over, or will never begin.
        while not future.cancel() and not future.done():
            with suppress(KeyboardInterrupt):
                interrupt()
                wait([future], INTERRUPT_SECONDS)
        raise
    return future.result()
