"""Handed rows: what the driver has given to an actor, and the answers before they are stored."""

from __future__ import annotations

import json
import time
from collections import deque
from itertools import islice
from threading import Condition, Event
from typing import TYPE_CHECKING, Any, NamedTuple

from enrich.providers.executor.answers import make_line
from enrich.providers.executor.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from enrich.providers.executor.reply import EngineReply
    from enrich.providers.executor.requests import RequestLine
    from enrich.providers.ray.storage import PartWriter, Storage

UNSEEN_SECONDS = 10.0
"""An actor at which no driver has looked for so long asks nothing more: another may have taken its
place."""


class ActorReport(NamedTuple):
    """What an actor tells its driver: the custom_ids whose answers have become durable since the
    last time, what all its answers come to, how many rows it has not begun, whether its engine is
    open, what keeps that from answering, and how many seconds the rows under way are to be given if
    it is stopped."""

    answered: list[str]
    tally: Tally
    waiting: int
    ready: bool
    note: str
    grace: float


class HandedRows:
    """The rows of one actor; shared by the threads of its engines and the driver's looks."""

    spent = False
    """The driver keeps the books of all actors, and hands out no more than may be spent."""

    def __init__(self, storage: Storage, requests: str, part: PartWriter) -> None:
        self._storage, self._requests, self._part = storage, requests, part
        self._rows: deque[dict[str, Any]] = deque()
        self._ids: list[str] = []
        self._told = 0
        self._changed = Condition()
        self._looked_at = time.monotonic()
        self._peeked = False
        self.tally = Tally()
        self.last = False
        self.stop = Event()

    def give(self, lines: Sequence[RequestLine]) -> None:
        """Adds rows, which are read from the request file. Raises OSError."""
        found: list[dict[str, Any]] = []
        for start, size in _join_ranges(lines):
            text = self._storage.read_range(self._requests, start, size)
            found += map(json.loads, text.splitlines())
        with self._changed:
            self._rows.extend(found)

    def look(self, *, last: bool, stop: bool) -> tuple[list[str], int]:
        """Notes that the driver is alive and what it wants; returns the custom_ids that have become
        durable since the last look, and how many rows are waiting. Raises OSError."""
        durable = self._part.sync(now=last or stop)
        with self._changed:
            self._looked_at = time.monotonic()
            self.last = last
            if stop:
                self.stop.set()
            self._changed.notify_all()
            found, self._told = self._ids[self._told : durable], durable
            return found, len(self._rows)

    def await_rows(self) -> bool:
        """Waits for a row to ask; False once there will be none."""
        with self._changed:
            while not self.stop.is_set():
                if self._rows and not self._is_silent:
                    return True
                if self.last and not self._rows:
                    break
                self._changed.wait(UNSEEN_SECONDS)
        return False

    def keep(self) -> None:
        """Makes the answers so far durable. Raises OSError."""
        self._part.sync(now=True)

    def close(self) -> None:
        """Makes all answers durable; none follows. Raises OSError."""
        self._part.close()

    @property
    def _is_silent(self) -> bool:
        return time.monotonic() - self._looked_at > UNSEEN_SECONDS

    def peek(self, number: int) -> list[dict[str, Any]]:
        """The first rows, once: an engine is warmed up once."""
        with self._changed:
            found = [] if self._peeked else list(islice(self._rows, number))
            self._peeked = True
            return found

    def take(self) -> dict[str, Any] | None:
        """The next row; None where there is none now."""
        with self._changed:
            if self.stop.is_set() or self._is_silent or not self._rows:
                return None
            return self._rows.popleft()

    def check_spent(self, under_way: int = 0) -> bool:  # noqa: ARG002  # the driver counts them
        """False: see `spent`."""
        return False

    def put(self, custom_id: str, reply: EngineReply, clean: Callable[[str], str] = str) -> None:
        """Appends an answer to the actor's part."""
        text = clean(json.dumps(make_line(custom_id, reply))).encode() + b"\n"
        with self._changed:
            self._part.put(text)
            self._ids.append(custom_id)
            self.tally = self.tally.plus(reply.status, reply.body)


def _join_ranges(lines: Sequence[RequestLine]) -> list[tuple[int, int]]:
    """Returns where lines lie, as few ranges as possible.

    >>> from enrich.providers.executor.requests import RequestLine as Line
    >>> _join_ranges([Line("a", 0, 5), Line("b", 5, 7), Line("c", 20, 3)])
    [(0, 12), (20, 3)]
    """
    found: list[tuple[int, int]] = []
    for _, start, size in lines:
        if found and sum(found[-1]) == start:
            found[-1] = (found[-1][0], found[-1][1] + size)
        else:
            found.append((start, size))
    return found
