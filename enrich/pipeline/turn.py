"""Turn: advance every batch as far as possible, and plan again what failed.

All of it happens under the project's lock, which is not held during waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enrich.errors import ProjectError, ProviderError, Unavailable, Unreachable
from enrich.ledger.batch import QUEUE_FULL, list_unread, update_batch
from enrich.ledger.budget import Remaining
from enrich.ledger.run import Run
from enrich.manifest.column_type import BYTES_PER_TOKEN
from enrich.pipeline import poll
from enrich.pipeline.hurry import hurry_runs
from enrich.pipeline.preview import settle_previews
from enrich.pipeline.read import read_batches
from enrich.pipeline.retry import plan_retries, stop_hopeless, stop_run
from enrich.pipeline.submit import discard_unused
from enrich.providers.capabilities import set_allowance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enrich.db.files import DatabaseFiles
    from enrich.errors import EnrichError
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider

MOST_FULL_TRIES = 20
"""How often a full queue may reject a batch while no other batch of the project is in it. Batches
of other projects can fill it for hours; a batch that never fits must not be retried for ever."""


@dataclass(kw_only=True)
class Turn:
    """The result of one turn: the batches, those that have been `read` with their outcomes, and the
    `troubles` by model; `planned` is how many requests are asked again, and `replanned` says
    whether any batches have been replaced. `unreachable` are the providers that could not be
    reached: one attempt takes a while, so it is not repeated for each of their batches."""

    batches: list[Batch] = field(default_factory=list)
    read: list[tuple[Batch, Mapping[str, int]]] = field(default_factory=list)
    troubles: list[tuple[str, EnrichError]] = field(default_factory=list)
    planned: int = 0
    replanned: bool = False
    unreachable: set[str] = field(default_factory=set)

    def list_open(self, model: str) -> list[Batch]:
        """Returns the model's open batches."""
        return [batch for batch in self.batches if batch.model == model and batch.read_at is None]

    def are_held(self, models: set[str]) -> bool:
        """Whether these models have open batches, and a budget holds all of them."""
        left = [batch for model in models for batch in self.list_open(model)]
        return bool(left) and all(batch.held for batch in left)


def advance_batches(files: DatabaseFiles, open_provider: Callable[[str], Provider]) -> Turn:
    """Advance every unread batch as far as possible, and plan again what should be asked again.

    A problem with one batch does not stop the others, and a transient one is tried again in the
    next turn. If a batch is refused before it is sent, the rest of the model's planned batches are
    deleted: they would be refused as well.
    """
    result = Turn()
    previews = settle_previews(files, open_provider)
    result.troubles += hurry_runs(files, open_provider)
    with files.open_ledger() as database:
        stop_hopeless(files, database, list_unread(database))
        # Again, because stopping deletes batches. A preview that is left is its worker's.
        todo = tuple(batch for batch in list_unread(database) if batch.run)
        proven = {str(row[0]) for row in database.call("proven")}
    fetched = _advance_each(files, open_provider, todo, proven, result)
    discard_unused(files, open_provider, result.unreachable)
    result.read, unreadable = read_batches(files, fetched)
    result.troubles += [(batch.model, problem) for batch, problem in unreadable]
    latest = {batch.id: batch for batch, _ in result.read}
    result.batches = [latest.get(batch.id, batch) for batch in result.batches]
    again = plan_retries(files, open_provider, result.batches, result.read)
    result.planned, result.replanned = again
    # Only now: `plan_retries` is about runs, and a preview belongs to none.
    result.read += previews
    return result


def _advance_each(
    files: DatabaseFiles,
    open_provider: Callable[[str], Provider],
    todo: tuple[Batch, ...],
    proven: set[str],
    result: Turn,
) -> list[Batch]:
    """Advance every batch, and collect batches and troubles in `result`. Returns the batches whose
    result files have been downloaded. `proven` are the versions that have answers."""
    stopped: set[str] = set()
    fetched: list[Batch] = []
    for batch in todo:
        if batch.model in stopped and not batch.sent:
            continue
        if batch.shared or batch.provider in result.unreachable:
            result.batches.append(batch)
            continue
        try:
            provider = open_provider(batch.provider)
            if not _may_submit(batch, todo, result, provider, proven):
                result.batches.append(batch)
                continue
            after = _apply_budget(files, provider, batch)
            if after.held is None:
                after = poll.advance_batch(files, provider, after)
        except (ProviderError, ProjectError) as problem:
            result.troubles.append((batch.model, problem))
            if isinstance(problem, Unreachable):
                result.unreachable.add(batch.provider)
            # A batch that the provider may know of stays tracked, whatever its provider says now.
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
    return fetched


def _may_submit(
    batch: Batch, todo: tuple[Batch, ...], result: Turn, provider: Provider, proven: set[str]
) -> bool:
    """Whether this batch may be submitted now, or polled, which is always allowed.

    The provider's limits are kept. The first batch of a version goes alone if it costs anything: if
    all of it fails, the others are not paid for. Raises ProviderError if a full queue has rejected
    the batch too often.
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
    # With other batches of the project in the queue, the one to wait for is known.
    if batch.code == QUEUE_FULL and not busy and batch.tries > MOST_FULL_TRIES:
        what = f"{batch.id} is refused again and again: {batch.error}"
        hint = "make batches smaller: max_requests or enqueued_tokens in project.yml"
        raise ProviderError(what, hint=hint)
    if batch.code == QUEUE_FULL and busy:
        return False
    if limits.batches is not None and len(busy) >= limits.batches:
        return False
    if limits.enqueued_tokens is None or not busy:
        return True  # a single batch above the limit is the provider's to refuse
    # OpenAI counts the prompt tokens of all open batches of an llm; bytes are all that is known
    # here.
    tokens = sum(other.bytes for other in (*busy, batch)) // BYTES_PER_TOKEN
    return tokens <= limits.enqueued_tokens


def _apply_budget(files: DatabaseFiles, provider: Provider, batch: Batch) -> Batch:
    """Returns the batch, held if a budget does not cover it; otherwise the provider is told what it
    may cost: what the others leave of the budget.

    A batch that is already held stays so until it is planned again: another model may have asked
    the same requests meanwhile.
    """
    if batch.held or batch.ended_at is not None or (batch.sent and batch.price is None):
        return batch
    with files.open_ledger() as database:
        left = Remaining.of_run(database, Run.latest(database, batch.model))
        if not batch.sent and not left.pays(batch.reserved):
            return update_batch(database, batch, held=str(left))
    if left.usd is not None and batch.price is not None:
        own = max(batch.reserved or 0.0, batch.spent) if batch.sent else 0.0
        usd = max(0.0, left.limit - left.spent + own)
        set_allowance(provider, batch.intent, usd, batch.price)
    return batch
