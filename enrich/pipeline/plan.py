"""Plan: what a run will ask and why, what that will take, and how it is cut into batches."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

from enrich.manifest.column_type import BYTES_PER_TOKEN
from enrich.pricing.estimate import Estimate
from enrich.pricing.price import usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enrich.db.database import Database, Ledger
    from enrich.ledger.budget import Remaining
    from enrich.ledger.run import Run
    from enrich.manifest.model import ModelKind
    from enrich.pricing.estimate import TokenRate
    from enrich.pricing.price import Price
    from enrich.providers import Limits

ASKED = {
    "new": "new",
    "rekeyed": "key changed",
    "input changed": "input changed",
    "retry": "failed before",
    "not asked yet": "not asked yet",
    "full refresh": "asked anew",
}
"""Why rows are asked, besides changes of the model: as `reasons.sql` and as people call it."""

LEAST_FIRST, MOST_FIRST = 3, 20
"""How many requests go first, where a budget has no answers to go by: a twentieth, but so many."""

STATES = {
    "answered": "answered",
    "kept": "kept from an earlier version",
    "in progress": "in progress",
    "given up": "failed before, not asked again",
    "unsendable": "cannot be sent",
}
"""Where rows stand that are not asked: as `reasons.sql` and as people call it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run of a model would do, row by row and in all. A plain one becomes its `kind`.

    The `rows` of the SELECT are counted once: those that are not asked in `states` (see STATES),
    those to be asked, by why, in `reasons`. `gone` are not in the SELECT any more. `bytes` are
    those of the request files. The first `paid` requests are within the tightest `budget`, for an
    estimated `spend` (USD); `first` of them go ahead of the others, if fewer. `after` names the
    models that must be run before anything of this can be known: then the rest is empty.
    `changed` says what is different from the version last run, and `diff` shows it. `settled`:
    every row is as it was, with its answer. `held_back` says why the table is not what it could be.
    `notes` are sentences on what could surprise.
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

    def noted(self, unstable: tuple[str, ...]) -> Plan:
        """The same with a note on what is `unstable`: its rows may be paid again each time."""
        cost = ""
        if self.estimate and self.requests and self.estimate.usd:
            cost = f", for about {usd(self.estimate.usd * self.rows / self.requests)}"
        each = f"each run may ask all {self.rows:,} rows again{cost}"
        return replace(
            self,
            notes=tuple(f"{word} may give something else each time: {each}" for word in unstable),
        )

    @property
    def to_ask(self) -> int:
        """Rows that will be asked."""
        return sum(self.reasons.values())

    @property
    def folded(self) -> int:
        """Rows that share their request with another row."""
        return self.to_ask - self.requests

    def __str__(self) -> str:
        """The plan in one line."""
        plain = "" if self.kind == "enrichment" else f"a {self.kind}"
        if self.after or plain:
            after = f"after {', '.join(self.after)}" if self.after else ""
            return f"{self.model}: {', '.join(filter(None, (plain, after)))}"
        done = [f"{many:,} {STATES[state]}" for state, many in self.states.items()]
        why = ", ".join(f"{many:,} {word}" for word, many in self.reasons.items())
        asked = f"{self.to_ask:,} to ask ({why})" if self.reasons else "nothing to ask"
        left = [f"{self.gone:,} {_are(self.gone)} no longer in the SELECT"] if self.gone else []
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
        """Whether a few requests go ahead of those that a budget pays for."""
        return 0 < self.first < self.paid


def _are(many: int) -> str:
    return "is" if many == 1 else "are"


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What requests take and cost, as far as is known, and what may be spent on them."""

    rate: TokenRate
    price: Price | None
    budget: Remaining

    def estimate(self, *, requests: int, size: int) -> Estimate:
        """What so many requests of together `size` bytes will take."""
        return Estimate.of(self.rate, self.price, requests=requests, size=size)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One batch to be: it begins with row `start` of `temp._enrich_todo`."""

    start: int
    requests: int
    bytes: int


def list_todo(database: Ledger, run: Run, *, overhead: int) -> tuple[int, int]:
    """Make `temp._enrich_todo`: which of `temp._enrich_asked` to send; gives how many, and bytes.

    A request is left out when it is answered, in flight in any batch, or has no
    tries left.
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
    """Cut `temp._enrich_todo` so that every limit of the provider is kept, and so that the first
    `paid` requests, which the budgets pay for, are in batches of their own."""
    total = int(database.fetch_one("SELECT count(*) FROM temp._enrich_todo")[0])
    most_bytes = limits.bytes
    if limits.enqueued_tokens is not None:
        most_bytes = min(most_bytes, limits.enqueued_tokens * BYTES_PER_TOKEN)
    start = before = 0
    cuts: list[Cut] = []
    while start < total:
        most = min(limits.requests, paid - start) if start < paid else limits.requests
        last, upto = database.call(
            "cut", start=start, before=before, requests=most, bytes=most_bytes
        )[0]
        if last is None:  # one request above the token limit alone: the provider will say so
            last, upto = database.fetch_one(
                "SELECT n, upto FROM temp._enrich_todo WHERE n = $n", n=start
            )
        cuts.append(Cut(start=start, requests=last - start + 1, bytes=int(upto) - before))
        start, before = last + 1, int(upto)
    return cuts


def measure_first(database: Database, requests: int) -> int:
    """The bytes of the first so many of `temp._enrich_todo`."""
    return int(
        database.fetch_one(
            "SELECT coalesce(max(upto), 0) FROM temp._enrich_todo WHERE n < $n", n=requests
        )[0]
    )


def count_affordable(database: Database, spending: Spending) -> int:
    """How many of `temp._enrich_todo`, from the first on, the rest of the budgets pays for."""
    left = spending.budget.usd
    if left is None or spending.price is None:
        return int(database.fetch_one("SELECT count(*) FROM temp._enrich_todo")[0])
    bytewise, each = (
        spending.estimate(requests=requests, size=size).usd or 0.0
        for requests, size in ((0, 1), (1, 0))
    )
    return int(database.call("affordable", bytewise=bytewise, each=each, left=left)[0][0])


def cut_probe(spending: Spending, paid: int) -> int:
    """How many of the `paid` requests to send now: a few, where a budget has no answers to go by.

    What an llm thinks before it answers is billed, and no rule of thumb knows it; what a few cost,
    tells what the others will.
    """
    blind = spending.budget.usd is not None and not spending.rate.answers
    free = spending.estimate(requests=1, size=0).usd == 0
    return min(paid, max(LEAST_FIRST, min(paid // 20, MOST_FIRST))) if blind and not free else paid


def assign_batches(
    database: Ledger, run: Run, cuts: Sequence[Cut], spending: Spending, *, paid: int
) -> list[str]:
    """Put the cuts into the ledger as batches, with what each is estimated to cost; gives their
    ids. Those after the first `paid` requests are held by the budget."""
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
    """A new batch; its id begins with the model's name, for those who see it."""
    batch = f"{re.sub(r'[^A-Za-z0-9_-]', '', run.model)[:40]}-{uuid4().hex[:12]}"
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
