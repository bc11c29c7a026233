"""Talk: what enrich says while it works. Sentences and progress, never data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from enrich.batches import Batch


class Talk(Protocol):
    """Who listens. `say` gets one sentence; `progress` the batches of a model as they stand."""

    def say(self, sentence: str) -> None: ...

    def progress(self, model: str, batches: list[Batch]) -> None: ...


class Silence:
    """Nobody listens: what a program that uses enrich as a library starts with."""

    def say(self, sentence: str) -> None:
        """Say nothing."""

    def progress(self, model: str, batches: list[Batch]) -> None:
        """Show nothing."""
