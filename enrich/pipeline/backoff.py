"""Waiting: the time between two turns of a run. No lock is held meanwhile.

An outage is waited for, longer each time: a provider that was reached before may take its time, one
that never was may have a wrong address.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enrich.providers.capabilities import read_timing

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.pipeline.listener import Listener
    from enrich.pipeline.turn import Turn
    from enrich.providers import Provider


FIRST_WAIT = 0.25
"""Seconds to wait after the first call that failed in passing; each further wait is half longer."""
LONGEST_WAIT = 60.0
MOST_FAILURES = 20
"""How many turns in a row may fail to reach a provider before a run ends."""
MOST_FIRST_FAILURES = 8
"""How many, if none was ever reached."""


@dataclass(kw_only=True)
class Backoff:
    """The time between two turns: it grows while no batch changes its status."""

    seconds: float = 0.0
    seen: tuple[object, ...] = ()
    failures: int = 0
    reached: bool = False
    reported: set[str] = field(default_factory=set)

    def note(self, turn: Turn, listener: Listener) -> bool:
        """Tell what went wrong in passing, each thing once; False once there is no point in waiting
        on."""
        for _, trouble in turn.troubles:
            if trouble.message not in self.reported:
                why = "" if getattr(trouble, "answered", False) else f" ({trouble.hint})"
                listener.say(f"{trouble.message.rstrip('.')}{why}; trying again")
                self.reported.add(trouble.message)
        moved = bool(turn.read) or (self.seen and _list_statuses(turn) != self.seen)
        answered = all(getattr(trouble, "answered", False) for _, trouble in turn.troubles)
        self.reached = self.reached or bool(moved) or answered
        self.failures = self.failures + 1 if turn.troubles and not moved else 0
        return self.failures < (MOST_FAILURES if self.reached else MOST_FIRST_FAILURES)

    def sleep_after(
        self, turn: Turn, open_provider: Callable[[str], Provider], listener: Listener
    ) -> None:
        """Wait as long as the open batches' providers ask for. No lock is held meanwhile."""
        timings = [read_timing(open_provider(name)) for name in {b.provider for b in turn.batches}]
        if not timings:
            return
        quickest = min(timings, key=lambda timing: (timing.first_poll, timing.longest_poll))
        shortest, longest = quickest.first_poll, quickest.longest_poll
        seen = _list_statuses(turn)
        full = [batch for batch in turn.batches if batch.tries and not batch.sent]
        for batch in full if turn.batches == full else ():
            listener.say(f"{batch.id} waits: the provider's queue is full")
        least = shortest * 1.5 ** max((batch.tries for batch in full), default=0)
        growing = least if seen != self.seen else self.seconds * 1.5
        self.seconds = min(longest, growing)
        self.seen = seen
        outage = min(LONGEST_WAIT, FIRST_WAIT * 1.5**self.failures) if turn.troubles else 0.0
        time.sleep(max(self.seconds, outage) * random.uniform(0.8, 1.2))  # noqa: S311  # jitter, not a secret


def _list_statuses(turn: Turn) -> tuple[object, ...]:
    """How far the batches of a turn are."""
    return tuple((batch.id, batch.sent, batch.status) for batch in turn.batches)
