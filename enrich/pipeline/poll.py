"""Poll: a batch is taken as far as it goes without waiting, until its result files are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.ledger.batch import FULL, check_whose, save, seen
from enrich.pipeline.fetch import fetch_results, patience
from enrich.pipeline.submit import submit_batch

if TYPE_CHECKING:
    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider


def advance_batch(files: DatabaseFiles, provider: Provider, batch: Batch) -> Batch:
    """Take a batch as far as it goes without waiting, until its result files are here."""
    check_whose(provider, batch)
    missed = batch.late
    if batch.remote is None:
        batch = submit_batch(files, provider, batch)
    elif batch.ended_at is None or batch.late:
        batch = seen(files, batch, provider.poll(batch.remote), patience=patience(provider))
    if batch.ended and batch.code == FULL:
        return _requeue(files, batch)
    if batch.ended:
        batch = fetch_results(files, provider, batch, missed=missed)
    return batch


def _requeue(files: DatabaseFiles, batch: Batch) -> Batch:
    """The provider's queue was full: the same file waits for its turn again; not an attempt."""
    return save(
        files,
        batch,
        tries=batch.tries + 1,
        remote=None,
        intended_at=None,
        ended_at=None,
        submitted_at=None,
        status=None,
        code=FULL,
    )
