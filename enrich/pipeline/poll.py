"""Poll: advance a batch without waiting, until its result files have been downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.ledger.batch import QUEUE_FULL, check_owner, record_remote, save_batch
from enrich.pipeline.fetch import fetch_results, read_patience
from enrich.pipeline.submit import submit_batch

if TYPE_CHECKING:
    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider


def advance_batch(files: DatabaseFiles, provider: Provider, batch: Batch) -> Batch:
    """Advance a batch as far as possible without waiting. Returns the updated batch.

    Raises ProviderError if the provider refuses or cannot be reached.
    """
    check_owner(provider, batch)  # before anything is sent to, or asked of, another account
    missed = batch.late  # before the poll below resets it
    if batch.remote is None:
        batch = submit_batch(files, provider, batch)
    elif batch.ended_at is None or batch.late:
        batch = record_remote(
            files, batch, provider.poll(batch.remote), patience=read_patience(provider)
        )
    if batch.ended and batch.code == QUEUE_FULL:
        return _requeue(files, batch)
    if batch.ended:
        batch = fetch_results(files, provider, batch, missed=missed)
    return batch


def _requeue(files: DatabaseFiles, batch: Batch) -> Batch:
    """Reset a batch that a full queue rejected, so that the same file is submitted again.

    OpenAI checks the limit while it validates a batch, so none of it was run: not an attempt.
    """
    return save_batch(
        files,
        batch,
        tries=batch.tries + 1,
        remote=None,
        intended_at=None,
        ended_at=None,
        submitted_at=None,
        status=None,
        code=QUEUE_FULL,
    )
