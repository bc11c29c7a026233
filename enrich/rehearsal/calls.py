"""Calls: a log of every HTTP call, and the script for the next ones."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enrich.rehearsal.apis import PlayedApi
    from enrich.rehearsal.faults import Step
    from enrich.rehearsal.settings import RehearsalSettings


class Call(NamedTuple):
    """One HTTP call; status 0 means that no response was sent."""

    method: str
    path: str
    status: int


class Calls:
    """Records the calls, and decides what happens to the next; safe to use from many threads."""

    def __init__(self, settings: RehearsalSettings, api: type[PlayedApi]) -> None:
        self._settings = settings
        self._api = api
        self._lock = Lock()
        self._log: list[Call] = []
        self._numbers: Counter[str] = Counter()
        self._scripts: defaultdict[str, deque[Step]] = defaultdict(deque)

    def script(self, route: str, steps: Iterable[Step], *, replace: bool) -> None:
        """Decide what happens to the next calls of a route, one step each, after the steps that
        were scripted before or `replace` them."""
        if route not in self._api.routes:
            raise ValueError(f"no such route: {route}; there are: {', '.join(self._api.routes)}")
        with self._lock:
            if replace:
                self._scripts[route].clear()
            self._scripts[route].extend(steps)

    def next_step(self, route: str) -> Step:
        """Returns what happens to the current call: the next step of the script, or chance."""
        with self._lock:
            number = self._numbers[route]
            self._numbers[route] += 1
            if self._scripts[route]:
                return self._scripts[route].popleft()
        return self._settings.faults.pick_call_step(self._settings.seed, route, number)

    def log(self, method: str, path: str, status: int) -> None:
        with self._lock:
            self._log.append(Call(method, path, status))

    @property
    def all(self) -> tuple[Call, ...]:
        with self._lock:
            return tuple(self._log)

    def count(self, route: str) -> int:
        """Returns how many calls a route has had."""
        find_route = self._api.find_route
        return sum(find_route(call.method, call.path)[0] == route for call in self.all)
