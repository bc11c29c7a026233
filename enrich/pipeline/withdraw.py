"""Withdraw: a batch is stopped, forgotten or given up; what was answered is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enrich.ledger.batch import NOW, check_whose, now, save, seen, update
from enrich.pipeline.read import UNRUN, Ended, Judge, closed, read_files

if TYPE_CHECKING:
    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider


def withdraw_planned(database: Ledger, model: str) -> None:
    """Forget the model's batches that nobody was asked to run; `discard_unused` deletes what was
    uploaded of them."""
    database.call("unused_files", model=model, batch=None)
    for table in ("requests", "batches"):
        database.call(f"withdraw_{table}", model=model)


def cancel_batch(files: DatabaseFiles, provider: Provider, batch: Batch) -> Batch:
    """Stop a batch: what was not sent is forgotten, what was sent is asked to end early."""
    if batch.remote is None and batch.intended_at is None:
        return _forget_planned(files, batch)
    batch = save(files, batch, cancelled_at=now())
    if batch.remote in (None, NOW) or batch.ended_at is not None:
        return batch
    check_whose(provider, batch)
    return seen(files, batch, provider.cancel(batch.remote))


def _forget_planned(files: DatabaseFiles, batch: Batch) -> Batch:
    """Forget a batch that was never sent: its rows count as not asked."""
    with files.open_ledger() as database, database.transaction():
        database.call("unused_files", model=batch.model, batch=batch.id)
        for table in ("requests", "batches"):
            database.execute(f"DELETE FROM ledger.{table} WHERE batch = $batch", batch=batch.id)
    return replace(batch, status="cancelled", cancelled_at=now(), ended_at=now(), read_at=now())


def give_up(files: DatabaseFiles, batch: Batch, *, billed: bool = False) -> Batch:
    """Wait for a batch no more, whatever its provider does with it: its rows count as not run.

    `billed`: the provider may run it, and what was reserved for it stays spent.
    """
    with files.open_ledger() as database, database.transaction():
        judge = Judge.of(database, batch.version_id)
        ended = Ended(
            batch=batch.id, run=batch.run, requests=batch.requests, unrun=UNRUN["given up"]
        )
        read_files(database, [ended], judge)
        database.call("unused_files", model=batch.model, batch=batch.id)
        moment = now()
        batch = update(database, batch, status="cancelled", cancelled_at=moment, ended_at=moment)
        return closed(database, batch, {"expired": batch.requests}, billed=billed)
