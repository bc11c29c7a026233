"""Withdraw: stop, forget or give up a batch; answers that have come in are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enrich.ledger.batch import (
    check_owner,
    record_remote,
    save_batch,
    update_batch,
    utc_now,
)
from enrich.pipeline.read import UNRUN_REASONS, EndedBatch, Judge, close_batch, read_files

if TYPE_CHECKING:
    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider


def withdraw_planned(database: Ledger, model: str) -> None:
    """Delete the model's batches that have not been sent; `discard_unused` deletes their
    uploads."""
    database.call("unused_files", model=model, batch=None)
    _withdraw(database, model, everything=True)


def withdraw_waiting(database: Ledger, model: str) -> None:
    """Delete the model's batches that await others: they have not even been uploaded."""
    _withdraw(database, model, everything=False)


def _withdraw(database: Ledger, model: str, *, everything: bool) -> None:
    for table in ("requests", "batches"):
        database.call(f"withdraw_{table}", model=model, all=everything)


def stop_batch(files: DatabaseFiles, provider: Provider, batch: Batch) -> Batch:
    """Stop a batch: delete it if it was not sent, or ask its provider to cancel it. Returns the
    updated batch. Raises ProviderError if the provider refuses."""
    if batch.remote is None and batch.intended_at is None:
        return forget_batch(files, batch)
    # First, because a create may be in doubt: the batch is then cancelled as soon as it is found.
    batch = save_batch(files, batch, cancelled_at=utc_now())
    if batch.remote is None or batch.ended_at is not None:
        return batch
    check_owner(provider, batch)
    return record_remote(files, batch, provider.cancel(batch.remote))


def forget_batch(files: DatabaseFiles, batch: Batch) -> Batch:
    """Delete a batch that was never sent, or that was refused: its rows count as not asked."""
    with files.open_ledger() as database, database.transaction():
        database.call("unused_files", model=batch.model, batch=batch.id)
        for table in ("requests", "batches"):
            database.execute(f"DELETE FROM ledger.{table} WHERE batch = $batch", batch=batch.id)
    return replace(
        batch, status="cancelled", cancelled_at=utc_now(), ended_at=utc_now(), read_at=utc_now()
    )


def give_up(files: DatabaseFiles, batch: Batch, *, billed: bool = False) -> Batch:
    """Stop tracking a batch, whatever its provider does with it: its rows count as not run.

    `billed`: the provider may run it, so its estimated cost stays spent. Returns the closed batch.
    """
    # Read as a batch without result files, so each of its requests gets an outcome.
    with files.open_ledger() as database, database.transaction():
        judge = Judge.of(database, batch.version_id)
        ended = EndedBatch(
            batch=batch.id, run=batch.run, requests=batch.requests, unrun=UNRUN_REASONS["given up"]
        )
        read_files(database, [ended], judge)
        database.call("unused_files", model=batch.model, batch=batch.id)
        moment = utc_now()
        batch = update_batch(
            database, batch, status="cancelled", cancelled_at=moment, ended_at=moment
        )
        return close_batch(database, batch, {"expired": batch.requests}, billed=billed)
