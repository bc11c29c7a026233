"""The level: how many requests a server is asked at once, found out while it answers.

Additive increase, multiplicative decrease, as TCP finds the rate of a line (RFC 5681): the level
grows with each answer until the server turns one away, and then falls. A server that queues instead
of turning away is noticed by its answers a second, which no longer rise with the level.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

FIRST_LEVEL = 4
MOST_AT_ONCE = 256
"""Sockets: what one worker needs to keep a fast server busy, and most servers accept."""
FALL = 0.7
"""What is left of the level after a refusal. Halving, as TCP does, wastes a third of a server
whose limit is a number of requests at once."""
WORTHWHILE = 1.05
"""How much faster answers must come for a higher level to be worth its latency."""
PROBE_AFTER = 30.0
"""Seconds until a level that was found is tried anew: servers are scaled up and down."""


@dataclass(kw_only=True)
class Level:
    """Lets so many through at once. All of it happens in one thread, in an event loop."""

    most: int = MOST_AT_ONCE
    allowed: float = FIRST_LEVEL
    in_flight: int = 0
    latency: float = 1.0
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    _refused: bool = False
    _fell_at: float = float("-inf")
    _window_start: float | None = None
    _window_answers: int = 0
    _best_rate: float = 0.0
    _best_level: float = 0.0
    _settled_at: float | None = None

    def __post_init__(self) -> None:
        """A level is never above the most."""
        self.allowed = min(self.allowed, self.most)

    async def enter(self) -> None:
        """Wait to be let through."""
        while self.in_flight >= int(self.allowed):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self.in_flight += 1

    def leave(self) -> None:
        """Let the next one through."""
        self.in_flight -= 1
        self._wake()

    def answered(self, seconds: float, now: float) -> None:
        """A request was answered, which took so long."""
        self.latency += 0.1 * (seconds - self.latency)
        self._window_answers += 1
        if self._settled_at is not None:
            if now - self._settled_at < PROBE_AFTER:
                return
            self._settled_at, self._best_rate, self._window_start = None, 0.0, None
        # Before the first refusal each answer opens one more place, which doubles the level each
        # round trip; after it, one place a round trip.
        step = 1 / self.allowed if self._refused else 1.0
        self.allowed = min(float(self.most), self.allowed + step)
        self._judge(now)
        self._wake()

    def refused(self, now: float) -> None:
        """A request was turned away: fall, but once for all that were under way together."""
        self._refused = True
        if now - self._fell_at < self.latency:
            return
        self._fell_at = now
        self.allowed = max(1.0, self.allowed * FALL)

    def _judge(self, now: float) -> None:
        """Settle where more at once has not brought more answers a second."""
        if self._window_start is None:
            self._window_start, self._window_answers = now, 0
            return
        took = now - self._window_start
        if self._window_answers < 2 * self.allowed or took < 2 * self.latency:
            return
        rate = self._window_answers / took
        self._window_start, self._window_answers = now, 0
        if rate > self._best_rate * WORTHWHILE:
            self._best_rate, self._best_level = rate, self.allowed
        elif self.allowed > 1.25 * self._best_level:
            self.allowed, self._settled_at = self._best_level, now

    def _wake(self) -> None:
        """Let as many through as there are places."""
        free = int(self.allowed) - self.in_flight
        while free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1
