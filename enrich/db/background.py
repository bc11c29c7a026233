"""Background calls: they run in a thread of their own, so that whoever waits can stop waiting."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

Returned = TypeVar("Returned")


def fill_future(future: Future[Returned], call: Callable[[], Returned]) -> None:
    """Make the call in a daemon thread, and pass what it returns or raises to `future`.

    If the future is cancelled before the thread starts, nothing is called.
    """
    # The caller creates the future, so that it has one even if Ctrl-C comes while the thread
    # starts. The thread is a daemon, for a call that never returns must not keep the process alive.

    def work() -> None:
        """Make the call, unless the future has been cancelled."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(call())
        except BaseException as problem:  # noqa: BLE001  # raised where it is awaited
            future.set_exception(problem)

    Thread(target=work, daemon=True).start()
