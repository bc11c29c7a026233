"""Listener: what enrich says while it works. Sentences and progress, never data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from enrich.pricing.price import format_usd


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a model is: of the `total` requests of its run so many are `answered`, `failed` of
    these for good, over all rounds. `spent` is USD, None where no price is known; `state` is how
    its batches stand, in their provider's words."""

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
    """Who listens. `say` gets one sentence; `progress` how far a model is, whenever that changed
    or might have."""

    def say(self, sentence: str) -> None: ...

    def progress(self, progress: Progress) -> None: ...


class Silence:
    """Nobody listens: what a program that uses enrich as a library starts with."""

    def say(self, sentence: str) -> None:
        """Say nothing."""

    def progress(self, progress: Progress) -> None:
        """Show nothing."""
