"""Waiting: the time between two turns of a run. No lock is held meanwhile."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.providers import Provider
    from enrich.run import Turn
    from enrich.talk import Talk


@dataclass(kw_only=True)
class Wait:
    """The time between two turns: it grows while no batch changes its status."""

    seconds: float = 0.0
    seen: tuple[object, ...] = ()
    failures: int = 0

    def after(self, turn: Turn, provider: Callable[[str], Provider], talk: Talk) -> None:
        """Wait as long as the open batches' providers ask for. No lock is held meanwhile."""
        self.failures = self.failures + 1 if turn.troubles else 0
        for sentence in dict.fromkeys(trouble.message for _, trouble in turn.troubles):
            talk.say(f"{sentence}; trying again")
        pauses = [provider(name).pause for name in {batch.provider for batch in turn.batches}]
        if not pauses:
            return
        shortest, longest = min(pauses)
        seen = tuple((batch.batch, batch.status) for batch in turn.batches)
        full = [batch for batch in turn.batches if batch.tries and not batch.sent]
        for batch in full if turn.batches == full else ():
            talk.say(f"{batch.batch} waits: the provider's queue is full")
        least = shortest * 1.5 ** max((batch.tries for batch in full), default=0)
        growing = least if seen != self.seen else self.seconds * 1.5
        self.seconds = min(longest, growing)
        self.seen = seen
        time.sleep(self.seconds * random.uniform(0.8, 1.2))  # noqa: S311  # jitter, not a secret
