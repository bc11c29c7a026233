"""Plan: what a run will ask and why, what that will cost, and how it is cut into batches."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

from enrich.manifest.column_type import BYTES_PER_TOKEN
from enrich.pricing.estimate import Estimate
from enrich.pricing.price import format_usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from enrich.db.database import Database, Ledger
    from enrich.ledger.budget import Remaining
    from enrich.ledger.run import Run
    from enrich.manifest.model import ModelKind
    from enrich.pricing.estimate import TokenRate
    from enrich.pricing.price import Price
    from enrich.providers import Limits

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

LEAST_PROBE, MOST_PROBE = 3, 20
"""How many requests go first if there is a budget and no answer to estimate from: a twentieth,
within these bounds. One or two say little about the average, and more cost more if the estimate is
wrong."""

ROW_STATES = {
    "answered": "answered",
    "kept": "kept from an earlier version",
    "in progress": "in progress",
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
class Plan:
    """What a run of a model would do. For a plain model, only `kind` and `after` are set.

    The `rows` of the SELECT are counted once each: those that are not asked by state in `states`
    (see ROW_STATES), those to be asked by reason in `reasons`. `gone` rows are no longer in the
    SELECT. `bytes` is the size of the request files. The tightest `budget` covers the first `paid`
    requests, for an estimated `spend` (USD); if `first` is less, so many go ahead of the others.
    `after` names the models that must run before this one can be planned; then the rest is empty.
    `changed` lists the parts that differ from the version last run, and `diff` shows them.
    `settled`: every row stands for the same request as before and has its answer. `held_back` says
    why the latest run failed. `notes` are warnings.
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
    notes: tuple[str, ...] = ()

    def with_notes(self, unstable: tuple[str, ...], prices: OtherPrices) -> Plan:
        """Returns the plan with a note for each `unstable` function, which may change rows on every
        run, and with what answers would cost the other way: in a batch, or at once when due."""
        cost = ""
        if self.estimate and self.requests and self.estimate.usd:
            cost = f", for about {format_usd(self.estimate.usd * self.rows / self.requests)}"
        # All rows, because nobody can tell in advance which of them will change.
        each = f"each run may ask all {self.rows:,} rows again{cost}"
        notes = [f"{word} may return something different each time: {each}" for word in unstable]
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
        done = [f"{many:,} {ROW_STATES[state]}" for state, many in self.states.items()]
        why = ", ".join(f"{many:,} {word}" for word, many in self.reasons.items())
        asked = f"{self.to_ask:,} to ask ({why})" if self.reasons else "nothing to ask"
        left = (
            [f"{self.gone:,} {_agree_verb(self.gone)} no longer in the SELECT"] if self.gone else []
        )
        line = f"{self.model}: {self.rows:,} rows: {', '.join([*done, asked, *left])}"
        if not self.requests or self.estimate is None:
            return line
        batches = f"{self.batches:,} {'batch' if self.batches == 1 else 'batches'}"
        requests = f"{self.requests:,} {'request' if self.requests == 1 else 'requests'}"
        whose = f"{requests} to {self.llm} ({self.provider}) in {batches}"
        paid = f"{self.paid:,}" if self.paid else "none of them"
        held = f"; {self.budget} pays for {paid}" if self.paid < self.requests else ""
        ahead = f"; {self.first:,} go first, to see what they cost" if self.probes else ""
        return f"{line}; {whose}, {self.estimate}{held}{ahead}"

    @property
    def probes(self) -> bool:
        """Whether a few requests go ahead of the others that the budget pays for."""
        return 0 < self.first < self.paid


def _agree_verb(many: int) -> str:
    return "is" if many == 1 else "are"


@dataclass(frozen=True, kw_only=True)
class Spending:
    """The tokens and the price of requests, as far as known, and what may be spent on them."""

    rate: TokenRate
    price: Price | None
    budget: Remaining

    def estimate(self, *, requests: int, size: int) -> Estimate:
        """Returns the estimated tokens and cost of `requests` requests with `size` bytes in
        total."""
        return Estimate.from_rate(self.rate, self.price, requests=requests, size=size)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A batch to be created: it starts with row `start` of `temp._enrich_todo`."""

    start: int
    requests: int
    bytes: int


def list_todo(database: Ledger, run: Run, *, overhead: int) -> tuple[int, int]:
    """Create `temp._enrich_todo`: the requests of `temp._enrich_asked` to send. Returns how many
    they are, and their bytes.

    A request is left out if it has an answer, is in flight in any batch, or has no attempts left.
    """
    database.call(
        "todo",
        run=run.id,
        again=run.again or run.since > 0,
        since=run.since,
        retry=list(run.retry),
        max_attempts=run.max_attempts,
        overhead=overhead,
    )
    many, size = database.fetch_one(
        "SELECT count(*), coalesce(max(upto), 0) FROM temp._enrich_todo"
    )
    return int(many), int(size)


def cut_batches(database: Database, limits: Limits, *, paid: int) -> list[Cut]:
    """Cut `temp._enrich_todo` into batches within the provider's limits. The first `paid` requests,
    which the budgets cover, are in batches of their own."""
    total = int(database.fetch_one("SELECT count(*) FROM temp._enrich_todo")[0])
    most_bytes = limits.bytes
    # A batch above the token limit would be rejected even by an empty queue.
    if limits.enqueued_tokens is not None:
        most_bytes = min(most_bytes, limits.enqueued_tokens * BYTES_PER_TOKEN)
    # One query for each batch: a window over running sums would overfill it by a row, or leave
    # room, because where a batch starts depends on where the one before it was cut.
    start = before = 0
    cuts: list[Cut] = []
    while start < total:
        most = min(limits.requests, paid - start) if start < paid else limits.requests
        last, upto = database.call(
            "cut", start=start, before=before, requests=most, bytes=most_bytes
        )[0]
        if last is None:  # a single request above the token limit: the provider will refuse it
            last, upto = database.fetch_one(
                "SELECT n, upto FROM temp._enrich_todo WHERE n = $n", n=start
            )
        cuts.append(Cut(start=start, requests=last - start + 1, bytes=int(upto) - before))
        start, before = last + 1, int(upto)
    return cuts


def measure_first(database: Database, requests: int) -> int:
    """Returns the bytes of the first `requests` rows of `temp._enrich_todo`."""
    return int(
        database.fetch_one(
            "SELECT coalesce(max(upto), 0) FROM temp._enrich_todo WHERE n < $n", n=requests
        )[0]
    )


def count_affordable(database: Database, spending: Spending) -> int:
    """Returns how many rows of `temp._enrich_todo`, from the first on, the budget still covers."""
    left = spending.budget.usd
    if left is None or spending.price is None:
        return int(database.fetch_one("SELECT count(*) FROM temp._enrich_todo")[0])
    # An estimate is linear in bytes and requests, so two of them give the cost of every prefix.
    bytewise, each = (
        spending.estimate(requests=requests, size=size).usd or 0.0
        for requests, size in ((0, 1), (1, 0))
    )
    return int(database.call("affordable", bytewise=bytewise, each=each, left=left)[0][0])


def cut_probe(spending: Spending, paid: int) -> int:
    """Returns how many of the `paid` requests to send first: a few, if there is a budget and no
    answer to estimate from.

    Reasoning tokens are billed, and nothing predicts how many an llm uses. The cost of a few
    answers does.
    """
    blind = spending.budget.usd is not None and not spending.rate.answers
    free = spending.estimate(requests=1, size=0).usd == 0
    return min(paid, max(LEAST_PROBE, min(paid // 20, MOST_PROBE))) if blind and not free else paid


def assign_batches(
    database: Ledger, run: Run, cuts: Sequence[Cut], spending: Spending, *, paid: int
) -> list[str]:
    """Write the cuts to the ledger as batches with their estimated costs. Returns the batches' ids.

    Batches after the first `paid` requests are held by the budget.
    """
    batches = [
        _plan_batch(database, run, each, spending, part=part, held=each.start >= paid)
        for part, each in enumerate(cuts)
    ]
    if batches:
        database.call("assign", batches=batches, starts=[each.start for each in cuts])
    return batches


def _plan_batch(
    database: Ledger, run: Run, each: Cut, spending: Spending, *, part: int, held: bool
) -> str:
    """Write a new batch to the ledger. Returns its id."""
    # People see the id at the provider, so it starts with the model's name; it is also a file name
    # and a value of metadata, hence its characters and its length.
    batch = f"{re.sub(r'[^A-Za-z0-9_-]', '', run.model)[:40]}-{uuid4().hex[:12]}"
    # The price is stored with the batch, so that its cost does not change with the price list.
    price = spending.price
    database.call(
        "batch_planned",
        batch=batch,
        run=run.id,
        model=run.model,
        prompt=run.version_id,
        provider=run.provider,
        requests=each.requests,
        bytes=each.bytes,
        part=part,
        held=str(spending.budget) if held else None,
        input_price=price and price.input,
        cached_price=price and price.cached,
        output_price=price and price.output,
        reserved=spending.estimate(requests=each.requests, size=each.bytes).usd,
    )
    return batch
