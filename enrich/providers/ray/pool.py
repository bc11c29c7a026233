"""The pool: the rows of a batch that no actor has, in the order of the request file."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enrich.providers.executor.requests import RequestLine

MOST_HANDED = 256
"""Rows that an actor is handed at a time, at the most: those with an equal beginning stay together,
for the caches of engines."""
SHARES = 4
"""Near the end an actor is handed this part of its share, so that all of them end together."""


@dataclass
class RowPool:
    """The rows that are left to hand out."""

    _lines: deque[RequestLine] = field(default_factory=deque)

    @classmethod
    def of(cls, lines: Iterable[RequestLine], answered: set[str]) -> RowPool:
        """Returns the rows without an answer."""
        return cls(deque(line for line in lines if line.custom_id not in answered))

    def __len__(self) -> int:
        return len(self._lines)

    def plan_portion(self, actors: int) -> int:
        """Returns how many rows an actor is handed at a time.

        >>> RowPool(deque(range(8000))).plan_portion(4), RowPool(deque(range(9))).plan_portion(4)
        (256, 1)
        """
        return max(1, min(MOST_HANDED, len(self._lines) // (SHARES * actors)))

    def hand_out(self, number: int) -> list[RequestLine]:
        """Takes the next rows, up to this many."""
        return [self._lines.popleft() for _ in range(min(number, len(self._lines)))]

    def give_back(self, lines: Iterable[RequestLine]) -> None:
        """Puts rows back that nobody has any more: they come next."""
        self._lines.extendleft(reversed(list(lines)))
