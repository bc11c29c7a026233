"""Turn: every batch goes as far as it can, and what failed is planned again.

All of it happens under the project's lock, which nobody holds while waiting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enrich.errors import ProjectError, ProviderError, Unavailable
from enrich.ledger.batch import FULL, hold, unread
from enrich.ledger.budget import Remaining
from enrich.ledger.run import Run
from enrich.manifest.column_type import BYTES_PER_TOKEN
from enrich.pipeline import poll
from enrich.pipeline.preview import settle_previews
from enrich.pipeline.read import read_batches
from enrich.pipeline.retry import plan_retries, stop_hopeless, stop_run
from enrich.pipeline.submit import discard_unused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enrich.db.files import DatabaseFiles
    from enrich.errors import EnrichError
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider

MOST_TRIES = 20
"""How often a batch may meet a full queue in which nothing of ours stands."""


@dataclass(kw_only=True)
class Turn:
    """What one turn did: the batches as they stand, those that were read, and what went wrong with
    which model; how many requests are asked again, and whether any batch is another than before."""

    batches: list[Batch] = field(default_factory=list)
    read: list[tuple[Batch, Mapping[str, int]]] = field(default_factory=list)
    troubles: list[tuple[str, EnrichError]] = field(default_factory=list)
    planned: int = 0
    replanned: bool = False

    def open(self, model: str) -> list[Batch]:
        """The model's batches that are still under way."""
        return [batch for batch in self.batches if batch.model == model and batch.read_at is None]

    def held(self, models: set[str]) -> bool:
        """Whether nothing of these models is under way, because a budget holds all there is."""
        left = [batch for model in models for batch in self.open(model)]
        return bool(left) and all(batch.held for batch in left)


def advance_batches(files: DatabaseFiles, open_provider: Callable[[str], Provider]) -> Turn:
    """Take every unread batch as far as it goes, and plan again what should be asked again.

    What goes wrong with one batch stops no other. What passes by itself is tried again in the next
    turn. Where a model's batch is refused before it was sent, what else was planned for the model
    is forgotten: it would be refused as well.
    """
    result = Turn()
    previews = settle_previews(files)
    with files.open_ledger() as database:
        stop_hopeless(files, database, unread(database))
        todo = unread(database)
        proven = {str(row[0]) for row in database.call("proven")}
    stopped: set[str] = set()
    fetched: list[Batch] = []
    for batch in todo:
        if batch.model in stopped and not batch.sent:
            continue
        try:
            provider = open_provider(batch.provider)
            if not _may_go(batch, todo, result, provider, proven):
                result.batches.append(batch)
                continue
            after = _unheld(files, batch)
            if after.held is None:
                after = poll.advance_batch(files, provider, after)
        except (ProviderError, ProjectError) as problem:
            result.troubles.append((batch.model, problem))
            if batch.sent or isinstance(problem, Unavailable):
                result.batches.append(batch)
                continue
            with files.open_ledger() as database, database.transaction():
                stop_run(database, batch.model, f"a batch was refused: {problem.message}")
            stopped.add(batch.model)
            continue
        result.batches.append(after)
        if after.ended:
            fetched.append(after)
    discard_unused(files, open_provider)
    result.read, unreadable = read_batches(files, fetched)
    result.troubles += [(batch.model, problem) for batch, problem in unreadable]
    latest = {batch.id: batch for batch, _ in result.read}
    result.batches = [latest.get(batch.id, batch) for batch in result.batches]
    again = plan_retries(files, open_provider, result.batches, result.read)
    result.planned, result.replanned = again
    result.read += previews
    return result


def _may_go(
    batch: Batch, todo: tuple[Batch, ...], result: Turn, provider: Provider, proven: set[str]
) -> bool:
    """Whether this batch may be submitted now; polling is always allowed.

    The provider's limits are kept. The first batch of a version goes alone, if it costs anything:
    should all of it fail, the others are not paid for.
    """
    if batch.sent:
        return True
    latest = {other.id: other for other in (*todo, *result.batches)}
    if batch.version_id not in proven and batch.reserved != 0 and not batch.held:
        alone = (other for other in latest.values() if other.version_id == batch.version_id)
        if any(other.sent and other.id != batch.id for other in alone):
            return False
    busy = [
        other
        for other in latest.values()
        if other.provider == batch.provider and other.sent and other.ended_at is None
    ]
    limits = provider.limits
    if batch.code == FULL and not busy and batch.tries > MOST_TRIES:
        what = f"{batch.id} is refused again and again: {batch.error}"
        hint = "make batches smaller: max_requests or enqueued_tokens in project.yml"
        raise ProviderError(what, hint=hint)
    if batch.code == FULL and busy:
        return False
    if limits.batches is not None and len(busy) >= limits.batches:
        return False
    if limits.enqueued_tokens is None or not busy:
        return True
    tokens = sum(other.bytes for other in (*busy, batch)) // BYTES_PER_TOKEN
    return tokens <= limits.enqueued_tokens


def _unheld(files: DatabaseFiles, batch: Batch) -> Batch:
    """The batch, held if a budget that bears on it does not pay for it. What is held already waits
    to be planned anew, for meanwhile somebody else may have asked the same."""
    if batch.sent or batch.held:
        return batch
    with files.open_ledger() as database:
        run = Run.latest(database, batch.model)
        left = Remaining.of_run(database, run)
    return hold(files, batch, None if left.pays(batch.reserved) else str(left))
