"""Back-off: the waits between the turns of a run. No lock is held during a wait.

Waits grow during an outage. A provider that has been reached before gets more patience than one
that never was, whose address may be wrong.
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
"""Seconds to wait after the first transient failure; each further wait is half as long again."""
LONGEST_WAIT = 60.0
"""Seconds: longer waits would only make a run notice later that an outage is over."""
MOST_FAILURES = 20
"""How many turns in a row may fail to reach a provider before a run gives up: after eight minutes
or more, the sum of the waits."""
MOST_FIRST_FAILURES = 8
"""How many if no provider has been reached yet: after twelve seconds or more."""


@dataclass(kw_only=True)
class Backoff:
    """The time between two turns: it grows while no batch changes its status."""

    seconds: float = 0.0
    seen: tuple[object, ...] = ()
    failures: int = 0
    reached: bool = False
    reported: set[str] = field(default_factory=set)

    def note(self, turn: Turn, listener: Listener) -> bool:
        """Report transient failures, each one once. Returns False once waiting has become
        pointless."""
        for _, trouble in turn.troubles:
            if trouble.message not in self.reported:
                # A provider that answered explained itself; the hint is about reaching it.
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
        """Wait as long as the providers of the open batches ask for."""
        timings = [read_timing(open_provider(name)) for name in {b.provider for b in turn.batches}]
        if not timings:
            return
        # One slow provider must not delay the batches of a local one, which end within seconds.
        quickest = min(timings, key=lambda timing: (timing.first_poll, timing.longest_poll))
        shortest, longest = quickest.first_poll, quickest.longest_poll
        seen = _list_statuses(turn)
        full = [batch for batch in turn.batches if batch.tries and not batch.sent]
        own = [batch for batch in turn.batches if not batch.shared]
        for batch in full if own == full else ():
            listener.say(f"{batch.id} is waiting: the provider's queue is full")
        # A rejected batch leaves its queue full for as long as other batches take, so each
        # rejection makes the next wait longer, even though the batch's status has changed.
        least = shortest * 1.5 ** max((batch.tries for batch in full), default=0)
        # Where a batch has just moved, the next one is likely to move soon.
        growing = least if seen != self.seen else self.seconds * 1.5
        self.seconds = min(longest, growing)
        self.seen = seen
        outage = min(LONGEST_WAIT, FIRST_WAIT * 1.5**self.failures) if turn.troubles else 0.0
        time.sleep(max(self.seconds, outage) * random.uniform(0.8, 1.2))  # noqa: S311  # jitter: several processes must not poll in step


def _list_statuses(turn: Turn) -> tuple[object, ...]:
    """Returns what changes when any batch of the turn has moved on."""
    return tuple((batch.id, batch.sent, batch.status) for batch in turn.batches)
