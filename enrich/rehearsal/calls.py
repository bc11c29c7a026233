"""Calls: a log of every HTTP call, and the script of what is to happen to the next ones."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from enrich.rehearsal.routes import ROUTES, route_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enrich.rehearsal.faults import Step
    from enrich.rehearsal.settings import Settings


class Call(NamedTuple):
    """One HTTP call; status 0 means that no response was sent."""

    method: str
    path: str
    status: int


class Calls:
    """What was called, and what happens next; safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._log: list[Call] = []
        self._numbers: Counter[str] = Counter()
        self._scripts: defaultdict[str, deque[Step]] = defaultdict(deque)

    def script(self, route: str, steps: Iterable[Step], *, anew: bool) -> None:
        """Let these things happen to the next calls of a route, one each; `anew`: instead of what
        was to happen to them."""
        if route not in ROUTES:
            raise ValueError(f"no such route: {route}; there are: {', '.join(ROUTES)}")
        with self._lock:
            if anew:
                self._scripts[route].clear()
            self._scripts[route].extend(steps)

    def next_step(self, route: str) -> Step:
        """What happens to the call that came just now: the script first, then chance."""
        with self._lock:
            number = self._numbers[route]
            self._numbers[route] += 1
            if self._scripts[route]:
                return self._scripts[route].popleft()
        return self._settings.faults.of_call(self._settings.seed, route, number)

    def log(self, method: str, path: str, status: int) -> None:
        with self._lock:
            self._log.append(Call(method, path, status))

    @property
    def all(self) -> tuple[Call, ...]:
        with self._lock:
            return tuple(self._log)

    def count(self, route: str) -> int:
        """How many calls took a route."""
        return sum(route_of(call.method, call.path)[0] == route for call in self.all)
