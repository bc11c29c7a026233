"""The bill: which requests have been executed, how often, and for how many tokens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.answers import hash_request

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Usage:
    """The tokens of one or several responses. `hidden` ones are output that only the total
    includes, and `thoughts` those of the output that were reasoning."""

    input: int = 0
    cached: int = 0
    output: int = 0
    hidden: int = 0
    thoughts: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.cached + other.cached,
            self.output + other.output,
            self.hidden + other.hidden,
            self.thoughts + other.thoughts,
        )

    @property
    def total(self) -> int:
        return self.input + self.output + self.hidden


@dataclass(frozen=True)
class Bill:
    """What would be billed: every request that was executed with HTTP 200, usable or not.

    `requests` counts the executions by `hash_request(body)`, in batches and synchronous ones, and
    `tiers` those by the service tier that they asked for.
    """

    requests: Counter[str]
    usage: Usage
    tiers: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """The number of billed executions."""
        return self.requests.total()

    @property
    def repeated(self) -> dict[str, int]:
        """The requests that are billed more than once, and how often."""
        return {key: times for key, times in self.requests.items() if times > 1}

    def times(self, body: Mapping[str, Any]) -> int:
        """Returns how often the request with this body is billed."""
        return self.requests[hash_request(body)]


class Till:
    """Counts executions and adds up the bill; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._attempts: Counter[str] = Counter()
        self._billed: Counter[str] = Counter()
        self._usage = Usage()
        self._tiers: Counter[str] = Counter()

    def count_attempt(self, key: str) -> int:
        """Count an execution of a request. Returns how many there were before it."""
        with self._lock:
            before = self._attempts[key]
            self._attempts[key] = before + 1
            return before

    def charge(self, key: str, usage: Usage, tier: str) -> None:
        with self._lock:
            self._billed[key] += 1
            self._usage += usage
            self._tiers[tier] += 1

    @property
    def bill(self) -> Bill:
        with self._lock:
            return Bill(self._billed.copy(), self._usage, self._tiers.copy())
