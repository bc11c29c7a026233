"""Listener: what enrich reports while it works. Messages and progress, never data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from enrich.pricing.price import format_usd


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of a model's run, over all its attempts: of `total` requests, `answered` have
    an answer, and `failed` of these have failed for good. `spent` is USD, None if no price is
    known. `tokens` are those of all answers so far, and `rate` is the rows a second of the batches
    under way, both 0 if not known. `state` is the states of its batches, as the provider calls
    them."""

    model: str
    total: int
    answered: int
    failed: int = 0
    spent: float | None = None
    tokens: int = 0
    rate: float = 0.0
    state: str = ""

    @property
    def speed(self) -> str:
        """The rows and tokens a second, and the time left, in words; "" if not known."""
        left = self.total - self.answered
        if not self.rate or not self.answered or left <= 0:
            return ""
        tokens = self.rate * self.tokens / self.answered
        parts = [f"{_format_rate(self.rate)} rows/s"]
        parts += [f"{_format_rate(tokens)} tokens/s"] if tokens else []
        return ", ".join([*parts, f"{timedelta(seconds=round(left / self.rate))} left"])

    def __str__(self) -> str:
        parts = [f"{self.answered:,} of {self.total:,} answered"]
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts += [f"{format_usd(self.spent)} spent"] if self.spent else []
        parts += [self.speed] if self.speed else []
        return f"{self.model}: {', '.join(parts)} ({self.state})"


def _format_rate(amount: float) -> str:
    """Returns an amount a second with two digits at least.

    >>> _format_rate(0.834), _format_rate(12345.6)
    ('0.83', '12,346')
    """
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.2g}"


class Listener(Protocol):
    """Receives messages. `say` is called with one sentence, `progress` with a model's progress
    whenever that may have changed."""

    def say(self, sentence: str) -> None: ...

    def progress(self, progress: Progress) -> None: ...


class Silence:
    """A listener that ignores everything: the default for programs that use enrich as a library."""

    def say(self, sentence: str) -> None:
        """Say nothing."""

    def progress(self, progress: Progress) -> None:
        """Show nothing."""
