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
SHARES, LEAST_HANDED = 4, 16
"""Near the end an actor is handed this part of its share, so that all of them end together, but not
so few that it waits for more."""


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

        >>> from enrich.providers.executor.requests import RequestLine
        >>> lines = deque(RequestLine(str(n), n, 1) for n in range(3000))
        >>> [RowPool(lines).plan_portion(actors) for actors in (1, 4, 100)]
        [256, 187, 16]
        """
        if actors == 1:
            return MOST_HANDED
        return max(LEAST_HANDED, min(MOST_HANDED, len(self._lines) // (SHARES * actors)))

    def hand_out(self, number: int) -> list[RequestLine]:
        """Takes the next rows, up to this many."""
        return [self._lines.popleft() for _ in range(min(number, len(self._lines)))]

    def give_back(self, lines: Iterable[RequestLine]) -> None:
        """Puts rows back that nobody has any more: they come next."""
        self._lines.extendleft(reversed(list(lines)))
