"""Plan: what a run will ask and why, and what that will cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import TYPE_CHECKING, ClassVar

from enrich.errors import count_nouns
from enrich.pricing.price import format_usd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from enrich.manifest.model import ModelKind
    from enrich.pricing.capacity import Projection
    from enrich.pricing.estimate import Estimate
    from enrich.pricing.price import Price

ASK_REASONS = {
    "new": "new",
    "rekeyed": "key changed",
    "input changed": "input changed",
    "retry": "failed before",
    "not asked yet": "not asked yet",
    "full refresh": "asked again",
}
"""Why rows are asked, apart from changes of the model: the words of `reasons.sql` and of
messages."""

ROW_STATES = {
    "answered": "answered",
    "kept": "kept from an earlier version",
    "triaged": "answered by labels",
    "copied": "copied from near-duplicates",
    "in progress": "in progress",
    "shared": "asked by another model",
    "given up": "failed before, not asked again",
    "unsendable": "cannot be sent",
}
"""The states of rows that are not asked: the words of `reasons.sql` and of messages."""


@dataclass(frozen=True, kw_only=True)
class OtherPrices:
    """What the same tokens cost `in_batch`, for a provider that answers at once, or at once when a
    run is `due_at` (UTC); None where that is not an option or not known."""

    in_batch: Price | None = None
    at_once: Price | None = None
    due_at: datetime | None = None

    def compare(self, price: Price, usd: float) -> tuple[str, ...]:
        """Returns notes for what costs `usd` at `price`."""
        notes = []
        if self.in_batch and self.in_batch.output < price.output:
            less = format_usd(usd * (1 - self.in_batch.output / price.output))
            notes.append(f"answered now: a batch costs about {less} less, and takes up to 24 hours")
        if self.due_at and self.at_once and price.output:
            more = format_usd(usd * max(0.0, self.at_once.output / price.output - 1))
            moment = self.due_at.replace(tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M")
            cost = f"for about {more} more at most"
            notes.append(f"what is left at {moment} is answered at once, {cost}")
        return tuple(notes)


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """What a later `llm` of a model is asked.

    `requests` are asked now, for `estimate`: the llm before it, `after`, has failed with them. Of
    the `most` requests that it may fail with in this run, it is `expected` to fail with so many,
    None if the ledger has no answers to go by. These would cost `more`, or all of `most` would.
    `unpacked`: it is the same llm, which is asked about each row alone that it failed with in a
    pack.
    """

    llm: str
    after: str
    requests: int
    estimate: Estimate
    most: int
    expected: int | None
    more: Estimate
    unpacked: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """The same in words."""
        now = f"{self.requests:,} with which {self.after} has failed are asked of {self.llm} now"
        what = f"rows with which {self.after} fails are then asked of {self.llm}"
        if self.unpacked:
            now = f"{self.requests:,} whose pack has not answered them are asked alone now"
            what = "rows that their pack does not answer are then asked alone"
        likely = f"{what}: about {self.expected or 0:,} of {self.most:,}, for {self.more}"
        cost = f", which would cost {self.more}" if self.more.cost else ""
        unknown = f"{what}: how many is not known yet, at most {self.most:,}{cost}"
        then = unknown if self.expected is None else likely
        given = ((self.requests, f"{now}, for {self.estimate}"), (self.most, then))
        return tuple(note for many, note in given if many)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run of a model would do. For a plain model, only `kind` and `after` are set.

    The `rows` of the SELECT are counted once each: those that are not asked by state in `states`
    (see ROW_STATES), those to be asked by reason in `reasons`. `gone` rows are no longer in the
    SELECT. `bytes` is the size of the request files. The tightest `budget` covers the first `paid`
    requests, for an estimated `spend` (USD); if `first` is less, so many go ahead of the others.
    `after` names the models that must run before this one can be planned; then the rest is empty.
    `changed` lists the parts that differ from the version last run, and `diff` shows them.
    `shared_with` are the models whose requests rows of the state `shared` wait for. `settled`:
    every row stands for the same request as before and has its answer. `held_back` says
    why the latest run failed. `pack` rows share a request (0: each has its own); `alone` is what
    they would take if each had. `copied` is what rows would take whose answers are copied.
    `fallbacks` are the llms after `llm`; all figures include what they are asked now. `capacity` is
    what more rows would take, if that was asked for. `notes` are warnings.
    """

    SHOWN: ClassVar = ("model", "rows", "requests", "batches", "estimate", "llm", "after")

    model: str
    kind: ModelKind = "enrichment"
    provider: str = ""
    llm: str = ""
    after: tuple[str, ...] = ()
    rows: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    shared_with: tuple[str, ...] = ()
    gone: int = 0
    requests: int = 0
    batches: int = 0
    bytes: int = 0
    paid: int = 0
    first: int = 0
    budget: str = ""
    spend: float = 0.0
    estimate: Estimate | None = None
    price: Price | None = None
    changed: tuple[str, ...] = ()
    diff: str = ""
    settled: bool = False
    held_back: str = ""
    pack: int = 0
    alone: Estimate | None = None
    copied: Estimate | None = None
    fallbacks: tuple[Fallback, ...] = ()
    capacity: Projection | None = None
    notes: tuple[str, ...] = ()

    def with_notes(self, unstable: tuple[str, ...], prices: OtherPrices) -> Plan:
        """Returns the plan with a note for each `unstable` function, which may change rows on every
        run, and with what answers would cost the other way: in a batch, or at once when due."""
        cost = ""
        if self.estimate and self.requests and self.estimate.usd:
            cost = f", for about {format_usd(self.estimate.usd * self.rows / self.requests)}"
        # All rows, because nobody can tell in advance which of them will change.
        rows = "the row" if self.rows == 1 else f"all {self.rows:,} rows"
        each = f"each run may ask {rows} again{cost}"
        notes = [note for fallback in self.fallbacks for note in fallback.notes]
        notes += [f"{word} may return something different each time: {each}" for word in unstable]
        usd = self.estimate.usd if self.estimate else None
        notes += prices.compare(self.price, usd) if usd and self.price else ()
        return replace(self, notes=(*self.notes, *notes))

    @property
    def to_ask(self) -> int:
        """The number of rows that will be asked."""
        return sum(self.reasons.values())

    @property
    def folded(self) -> int:
        """The number of rows that share their request with another row."""
        return self.to_ask - self.requests

    def __str__(self) -> str:
        """The plan in one line."""
        plain = "" if self.kind == "enrichment" else f"a {self.kind}"
        if self.after or plain:
            after = f"after {', '.join(self.after)}" if self.after else ""
            return f"{self.model}: {', '.join(filter(None, (plain, after)))}"
        words = {**ROW_STATES, "shared": f"asked by {', '.join(self.shared_with)}"}
        done = [f"{many:,} {words[state]}" for state, many in self.states.items()]
        why = ", ".join(f"{many:,} {word}" for word, many in self.reasons.items())
        asked = f"{self.to_ask:,} to ask ({why})" if self.reasons else "nothing to ask"
        left = (
            [f"{self.gone:,} {_agree_verb(self.gone)} no longer in the SELECT"] if self.gone else []
        )
        line = f"{self.model}: {count_nouns(self.rows, 'row')}: {', '.join([*done, asked, *left])}"
        if not self.requests or self.estimate is None:
            return line
        batches = count_nouns(self.batches, "batch")
        requests = count_nouns(self.requests, "request")
        if self.pack:
            requests = f"{count_nouns(self.requests, 'row')} in packs of {self.pack}"
        whose = f"{requests} to {self._whom} ({self.provider}) in {batches}"
        paid = f"{self.paid:,}" if self.paid else "none of them"
        held = f"; {self.budget} pays for {paid}" if self.paid < self.requests else ""
        ahead = f"; {self.first:,} go first, to see what they cost" if self.probes else ""
        return f"{line}; {whose}, {self.estimate}{held}{ahead}"

    @property
    def _whom(self) -> str:
        """The llms that are asked now."""
        later = [each for each in self.fallbacks if each.requests]
        first = [self.llm] if self.requests > sum(each.requests for each in later) else []
        return " and ".join([*first, *(each.llm for each in later)])

    @property
    def probes(self) -> bool:
        """Whether a few requests go ahead of the others that the budget pays for."""
        return 0 < self.first < self.paid


def _agree_verb(many: int) -> str:
    return "is" if many == 1 else "are"
