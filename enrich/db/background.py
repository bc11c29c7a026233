"""Background calls: made in a thread of their own, so that whoever waits can stop waiting."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

Returned = TypeVar("Returned")


def fill(future: Future[Returned], call: Callable[[], Returned]) -> None:
    """Have a daemon thread make the call, and give `future` what it returns or raises.

    A future that is cancelled before the thread begins is never filled, and nothing is called. The
    caller makes the future, so that it has it even if Ctrl-C comes while the thread starts.
    """

    def work() -> None:
        """Make the call, if somebody still waits for it."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(call())
        except BaseException as problem:  # noqa: BLE001  # it is raised where it is waited for
            future.set_exception(problem)

    Thread(target=work, daemon=True).start()
