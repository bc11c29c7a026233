"""Pacing: limits for a minute, those that project.yml names and those that a server announces."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BURST = 0.1
"""The share of a minute's amount that may be used at once."""
SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
AGAIN_IN = re.compile(r"try again in (\d+(?:\.\d+)?\s*(?:ms|s|m)\S*)", re.IGNORECASE)
"""What OpenAI and Groq write into the message of a 429."""
LONGEST_ASKED_WAIT = 600.0


def read_span(text: str) -> float | None:
    """The seconds of a span of time as these APIs write it; None where it is none.

    >>> read_span("1m30.5s"), read_span("20ms"), read_span("12"), read_span("soon")
    (90.5, 0.02, 12.0, None)
    """
    parts = SPAN.findall(text)
    if parts:
        return sum(float(number) * SECONDS[unit] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        return None


def read_pause(headers: Mapping[str, str], message: str, now: float | None = None) -> float | None:
    """How many seconds a refused request is asked to wait, by the first that says so:
    `retry-after-ms` (Azure), `Retry-After` in seconds or as a date (RFC 9110), the time at which a
    used-up limit is whole again, the words of the message. None where nothing does."""
    milliseconds = read_span(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    if after := headers.get("retry-after", ""):
        seconds = read_span(after)
        if seconds is None:
            seconds = _until(after, time.time() if now is None else now)
        if seconds is not None:
            return _bounded(seconds)
    for what in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{what}") == "0":
            seconds = read_span(headers.get(f"x-ratelimit-reset-{what}", ""))
            if seconds is not None:
                return _bounded(seconds)
    match = AGAIN_IN.search(message)
    seconds = read_span(match[1].replace(" ", "")) if match else None
    return None if seconds is None else _bounded(seconds)


def _until(date: str, now: float) -> float | None:
    """The seconds until an HTTP date."""
    try:
        return parsedate_to_datetime(date).timestamp() - now
    except (TypeError, ValueError, OverflowError):
        return None


def _bounded(seconds: float) -> float:
    """A wait that is neither in the past nor endless."""
    return min(max(0.0, seconds), LONGEST_ASKED_WAIT) if seconds == seconds else 0.0


@dataclass(kw_only=True)
class MinuteLimit:
    """So much for a minute: a bucket that fills evenly, and holds a tenth of it."""

    amount: float
    filled_at: float
    left: float = field(init=False)

    def __post_init__(self) -> None:
        """It begins full."""
        self.left = self._room

    @property
    def _room(self) -> float:
        return max(1.0, self.amount * BURST)

    def take(self, amount: float, now: float) -> float:
        """Take an amount; returns the seconds to wait before it may be used."""
        self.left = min(self._room, self.left + (now - self.filled_at) * self.amount / 60)
        self.filled_at = now
        self.left -= amount
        return max(0.0, -self.left * 60 / self.amount)


@dataclass(kw_only=True)
class Pacing:
    """When the next request may be sent. All of it happens in one thread, in an event loop."""

    requests: MinuteLimit | None = None
    tokens: MinuteLimit | None = None
    closed_until: float = 0.0
    tokens_of_row: float = 0.0

    def reserve(self, size: int) -> float:
        """Take what a request of `size` bytes needs; returns the seconds until it may be sent."""
        now = asyncio.get_running_loop().time()
        pause = 0.0
        if self.requests is not None:
            pause = self.requests.take(1, now)
        if self.tokens is not None:
            # Until answers have shown what a row takes, three bytes are counted as a token.
            pause = max(pause, self.tokens.take(self.tokens_of_row or size / 3, now))
        return pause

    def closed_for(self) -> float:
        """For how many seconds the server has said that it takes no more."""
        return self.closed_until - asyncio.get_running_loop().time()

    def learn(self, headers: Mapping[str, str], tokens: int, now: float) -> None:
        """What an answer says: what its row took, and what its server has left for others."""
        if tokens:
            seen = self.tokens_of_row
            self.tokens_of_row = tokens if not seen else seen + 0.1 * (tokens - seen)
        for what, needed in (("requests", 1.0), ("tokens", self.tokens_of_row)):
            left = read_span(headers.get(f"x-ratelimit-remaining-{what}", ""))
            reset = read_span(headers.get(f"x-ratelimit-reset-{what}", ""))
            if left is not None and reset is not None and left < needed:
                self.closed_until = max(self.closed_until, now + _bounded(reset))
