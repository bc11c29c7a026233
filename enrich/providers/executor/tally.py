"""Tally: what the answers of a batch come to so far."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from enrich.pricing.price import Price


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many requests have been answered, how many of them failed, and the tokens that the
    answers have taken; `cached_tokens` are part of the input."""

    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def plus(self, status: int, body: object) -> Tally:
        """Returns the tally with one more answer, in the form of the chat or the Responses API;
        in any other form, it has taken no tokens."""
        good = status == 200
        usage = _read_mapping(body if isinstance(body, Mapping) else {}, "usage")
        details = _read_mapping(usage, "prompt_tokens_details", "input_tokens_details")
        return Tally(
            completed=self.completed + good,
            failed=self.failed + (not good),
            input_tokens=self.input_tokens + _read_count(usage, "prompt_tokens", "input_tokens"),
            cached_tokens=self.cached_tokens + _read_count(details, "cached_tokens"),
            output_tokens=self.output_tokens
            + _read_count(usage, "completion_tokens", "output_tokens"),
        )

    def add(self, other: Tally) -> Tally:
        """Returns the sum of two tallies."""
        return Tally(**{name: n + getattr(other, name) for name, n in asdict(self).items()})


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What the answers of a batch may cost: `usd`, at a price."""

    usd: float
    price: Price

    @classmethod
    def from_json(cls, text: bytes) -> Allowance:
        """Returns the allowance that `to_json` has written."""
        values = json.loads(text)
        return cls(usd=values["usd"], price=Price(**values["price"]))

    def price_tally(self, tally: Tally) -> float:
        """Returns what the answers of a tally cost, in USD."""
        return self.price.price_tokens(
            input_tokens=tally.input_tokens,
            cached_tokens=tally.cached_tokens,
            output_tokens=tally.output_tokens,
        )


def _read_mapping(values: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Returns the first of these members that is an object, or an empty one."""
    found = (values.get(name) for name in names)
    return next((each for each in found if isinstance(each, Mapping)), {})


def _read_count(values: Mapping[str, Any], *names: str) -> int:
    """Returns the first of these members that is a count, or 0."""
    found = (values.get(name) for name in names)
    return next((each for each in found if isinstance(each, int) and each > 0), 0)
