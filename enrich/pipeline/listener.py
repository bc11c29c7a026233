"""Listener: what enrich reports while it works. Messages and progress, never data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from enrich.pricing.price import format_usd


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of a model's run, over all its attempts: of `total` requests, `answered` have
    an answer, and `failed` of these have failed for good. `spent` is USD, None if no price is
    known. `state` is the states of its batches, as the provider calls them."""

    model: str
    total: int
    answered: int
    failed: int = 0
    spent: float | None = None
    state: str = ""

    def __str__(self) -> str:
        parts = [f"{self.answered:,} of {self.total:,} answered"]
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts += [f"{format_usd(self.spent)} spent"] if self.spent else []
        return f"{self.model}: {', '.join(parts)} ({self.state})"


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
