"""Portions: the requests to one llm are priced, and cut into batches within limits and budgets."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from enrich.compiler.pack import HEADING_BYTES, PACK_BYTES
from enrich.ledger.batch import FIRST_ANSWERS
from enrich.manifest.column_type import BYTES_PER_TOKEN
from enrich.pricing.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from enrich.compiler.version import Version
    from enrich.db.database import Database, Ledger
    from enrich.ledger.budget import Remaining
    from enrich.ledger.run import Run
    from enrich.manifest.output import Output
    from enrich.pricing.estimate import TokenRate
    from enrich.pricing.price import Price
    from enrich.providers import Limits

NUMBER_BYTES = 22
"""How long a number of a vector can be as JSON, with its comma."""
RESULT_BYTES = 200_000_000
"""How large the result file of a batch of embeddings may be, which no provider limits: a vector is
many times as long as its text."""
ROWS_TOGETHER = 1_000_000
"""How many rows are joined at once: DuckDB's memory holds about twice as many, and beyond that a
join takes its rows through the disk."""
LEAST_PROBE, MOST_PROBE = 3, 20
"""How many requests go first if there is a budget and no answer to estimate from: a twentieth,
within these bounds. One or two say little about the average, and more cost more if the estimate is
wrong."""


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


@dataclass(frozen=True, kw_only=True)
class Portion:
    """The requests of `temp._enrich_todo` to one llm, whose version it is: from row `start` on,
    `requests` rows of `bytes` in total. `own` is the bytes of the rows without what lines have
    besides, which is `overhead` for each. `pack` is how many of them share a line, 0 if none do."""

    version_id: str
    requests: int
    bytes: int
    start: int = 0
    own: int = 0
    overhead: int = 0
    pack: int = 0


@dataclass(frozen=True, kw_only=True)
class PlannedPortion:
    """A portion with its batches: the budget covers the first `paid` requests, and the first `sent`
    of these are sent."""

    portion: Portion
    spending: Spending
    paid: int
    sent: int
    cuts: Sequence[Cut]

    @property
    def estimate(self) -> Estimate:
        """What all its requests take."""
        return self.spending.estimate(requests=self.portion.requests, size=self.portion.bytes)


def plan_portion(
    database: Database, portion: Portion, spending: Spending, limits: Limits, *, least: float = 0.0
) -> PlannedPortion:
    """Returns the portion with its batches. If the budget covers less than the share `least` of its
    requests, none are sent."""
    paid = count_affordable(database, portion, spending)
    paid = paid if paid >= least * portion.requests else 0
    sent = _end_line(database, portion, cut_probe(spending, paid), most=paid)
    cuts = cut_batches(database, portion, limits, ends=(sent, paid))
    return PlannedPortion(portion=portion, spending=spending, paid=paid, sent=sent, cuts=cuts)


def _end_line(database: Database, portion: Portion, sent: int, *, most: int) -> int:
    """Returns how many requests go first if those of the last line all do, as far as the budget
    covers them: what they share is paid for with the first one."""
    if not portion.pack or sent >= most:
        return sent
    (last,) = database.fetch_one(
        "SELECT min(n) FROM temp._enrich_todo WHERE ends AND n >= $n",
        n=portion.start + sent - 1,
    )
    return min(most, int(last) - portion.start + 1)


def limit_results(limits: Limits, output: Output) -> Limits:
    """Returns the limits with fewer requests for each batch if their answers are long vectors."""
    if not output.is_vector:
        return limits
    most = RESULT_BYTES // ((output.columns[0].type.length or 1) * NUMBER_BYTES)
    return replace(limits, requests=max(1, min(limits.requests, most)))


def list_portions(database: Database, versions: Sequence[Version]) -> list[Portion]:
    """Returns the portions of `temp._enrich_todo`, one for each version that asks anything."""
    found = database.execute(
        "SELECT place, min(n), count(*), sum(bytes), sum(own) FROM temp._enrich_todo "
        "GROUP BY ALL ORDER BY ALL"
    )
    return [
        Portion(
            version_id=versions[place].id,
            requests=requests,
            bytes=int(size),
            start=start,
            own=int(own),
            overhead=versions[place].overhead,
            pack=versions[place].pack,
        )
        for place, start, requests, size, own in found
    ]


def list_todo(database: Ledger, run: Run) -> tuple[int, int]:
    """Create `temp._enrich_todo`: the requests of `temp._enrich_asked` to send. Returns how many
    they are, and their bytes.

    A request is left out if it has an answer, is in flight in any batch, or has no attempts left.
    """
    (packed,) = database.fetch_one("SELECT EXISTS (FROM temp._enrich_asked WHERE pack > 0)")
    database.call(
        "todo",
        run=run.id,
        model=run.model,
        forgives=run.forgives,
        read_before=run.read_before,
        since=run.since,
        retry=list(run.retry),
        max_attempts=run.max_attempts,
        most_bytes=PACK_BYTES,
        heading=HEADING_BYTES,
        packed=packed,
    )
    many, size = database.fetch_one(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM temp._enrich_todo"
    )
    return int(many), int(size)


def cut_batches(
    database: Database, portion: Portion, limits: Limits, *, ends: Sequence[int]
) -> list[Cut]:
    """Cut a portion into batches within the provider's limits. No batch has requests from both
    sides of one of the `ends`, which count the requests before them."""
    most_bytes = limits.bytes
    # A batch above the token limit would be rejected even by an empty queue.
    if limits.enqueued_tokens is not None:
        most_bytes = min(most_bytes, limits.enqueued_tokens * BYTES_PER_TOKEN)
    # One query for each batch: a window over running sums would overfill it by a row, or leave
    # room, because where a batch starts depends on where the one before it was cut.
    start = portion.start
    stops = [portion.start + each for each in (*ends, portion.requests)]
    cuts: list[Cut] = []
    while start < stops[-1]:
        stop = next(each for each in stops if each > start)
        most = min(limits.requests, stop - start)
        requests, size = most, sum_bytes(database, start, most)
        if portion.pack or size > most_bytes:
            last, upto = database.call("cut", start=start, requests=most, bytes=most_bytes)[0]
            # A single request above the token limit has no room: the provider will refuse it.
            requests = 1 if last is None else last - start + 1
            size = sum_bytes(database, start, 1) if last is None else int(upto)
        cuts.append(Cut(start=start, requests=requests, bytes=size))
        start += requests
    return cuts


def sum_bytes(database: Database, start: int, requests: int) -> int:
    """Returns the bytes of so many requests of `temp._enrich_todo`, from row `start` on."""
    (size,) = database.fetch_one(
        "SELECT coalesce(sum(bytes), 0) FROM temp._enrich_todo WHERE n >= $start AND n < $end",
        start=start,
        end=start + requests,
    )
    return int(size)


def measure_spend(database: Database, planned: PlannedPortion) -> float:
    """Returns what the requests that the budget covers cost, in USD; 0 if no price is known."""
    size = sum_bytes(database, planned.portion.start, planned.paid)
    return planned.spending.estimate(requests=planned.paid, size=size).usd or 0.0


def count_affordable(database: Database, portion: Portion, spending: Spending) -> int:
    """Returns how many requests of a portion, from the first on, the budget still covers."""
    left = spending.budget.usd
    if left is None or spending.price is None:
        return portion.requests
    # An estimate is linear in bytes and requests, so two of them give the cost of every prefix.
    bytewise, each = (
        spending.estimate(requests=requests, size=size).usd or 0.0
        for requests, size in ((0, 1), (1, 0))
    )
    found = database.call(
        "affordable",
        start=portion.start,
        requests=portion.requests,
        bytewise=bytewise,
        each=each,
        left=left,
    )
    return int(found[0][0])


def cut_probe(spending: Spending, paid: int) -> int:
    """Returns how many of the `paid` requests to send first: a few, if there is a budget and no
    answer to estimate from.

    Reasoning tokens are billed, and nothing predicts how many an llm uses. The cost of a few
    answers does.
    """
    blind = spending.budget.usd is not None and not spending.rate.answers
    free = spending.estimate(requests=1, size=0).usd == 0
    return min(paid, max(LEAST_PROBE, min(paid // 20, MOST_PROBE))) if blind and not free else paid


def assign_batches(database: Ledger, run: Run, planned: PlannedPortion) -> list[str]:
    """Write a portion to the ledger as batches with their estimated costs. Returns the batches'
    ids.

    Batches after the requests that are sent are held, until the first of these are answered, which
    they await, or the budget is raised.
    """
    portion = planned.portion
    first: list[str] = []
    batches: list[str] = []
    for each in planned.cuts:
        held = None
        if each.start >= portion.start + planned.sent:
            is_paid = first and each.start < portion.start + planned.paid
            held = FIRST_ANSWERS if is_paid else str(planned.spending.budget)
        awaits = first if held == FIRST_ANSWERS else []
        batches.append(_plan_batch(database, run, planned, each, held=held, awaits=awaits))
        first += [] if held else batches[-1:]
    # Some batches at a time: a join of all rows would not fit into memory, and go through the disk.
    for some in group_cuts(planned.cuts, ROWS_TOGETHER):
        cuts = planned.cuts[some]
        placed = {
            "batches": batches[some],
            "starts": [each.start for each in cuts],
            "first": cuts[0].start,
            "upto": cuts[-1].start + cuts[-1].requests,
        }
        if portion.pack:
            database.call("assign_packed", **placed, overhead=portion.overhead)
        else:
            database.call("assign", **placed)
    return batches


def group_cuts(cuts: Sequence[Cut], enough: int) -> Iterator[slice]:
    """Yields which cuts to assign together: as few of them as have `enough` rows."""
    first, rows = 0, 0
    for end, cut in enumerate(cuts, start=1):
        rows += cut.requests
        if rows >= enough or end == len(cuts):
            yield slice(first, end)
            first, rows = end, 0


def name_batch(model: str) -> str:
    """Returns the id of a new batch of a model."""
    # People see the id at the provider, so it starts with the model's name; it is also a file name
    # and a value of metadata, hence its characters and its length.
    return f"{re.sub(r'[^A-Za-z0-9_-]', '', model)[:40]}-{uuid4().hex[:12]}"


def _plan_batch(
    database: Ledger,
    run: Run,
    planned: PlannedPortion,
    each: Cut,
    *,
    held: str | None,
    awaits: Sequence[str],
) -> str:
    """Write a new batch to the ledger. Returns its id."""
    batch = name_batch(run.model)
    # The price is stored with the batch, so that its cost does not change with the price list.
    spending = planned.spending
    price = spending.price
    database.call(
        "batch_planned",
        batch=batch,
        run=run.id,
        model=run.model,
        prompt=planned.portion.version_id,
        provider=run.provider,
        requests=each.requests,
        bytes=each.bytes,
        part=each.start,
        held=held,
        awaits=list(awaits) or None,
        input_price=price and price.input,
        cached_price=price and price.cached,
        output_price=price and price.output,
        reserved=spending.estimate(requests=each.requests, size=each.bytes).usd,
    )
    return batch
