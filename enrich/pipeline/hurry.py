"""Hurry: a run that has to be done by a time has what is left then answered at once.

Nothing is asked twice: a batch is cancelled first, and only what it has not answered once it has
ended is planned again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.errors import ProjectError, ProviderError, Unavailable
from enrich.ledger.batch import list_unread, record_remote, save_batch, utc_now
from enrich.ledger.run import Run
from enrich.pipeline.retry import plan_again
from enrich.providers.capabilities import choose_now, is_at_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.db.files import DatabaseFiles
    from enrich.errors import EnrichError
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider


def hurry_runs(
    files: DatabaseFiles, open_provider: Callable[[str], Provider]
) -> list[tuple[str, EnrichError]]:
    """Hurry every run whose time has come: its batches are cancelled, and what is asked from then
    on is answered at once. Returns the troubles, by model; what failed is tried in the next turn.
    """
    with files.open_ledger() as database:
        late = {str(row[0]) for row in database.call("due", moment=utc_now())}
        batches = list_unread(database) if late else ()
    troubles: list[tuple[str, EnrichError]] = []
    for batch in batches:
        if batch.id not in late:
            continue
        try:
            provider = open_provider(batch.provider)
            if is_at_once(provider):
                continue
            _turn_run(files, provider, batch, open_provider)
            if batch.remote is not None and batch.ended_at is None:
                _cut_short(files, provider, batch)
        except (ProviderError, ProjectError) as problem:
            if not isinstance(problem, Unavailable):
                save_batch(files, batch, hurried_at=utc_now())  # it is waited for after all
            troubles.append((batch.model, problem))
    return troubles


def _turn_run(
    files: DatabaseFiles,
    provider: Provider,
    batch: Batch,
    open_provider: Callable[[str], Provider],
) -> None:
    """Let the run of a batch go on through the provider that answers at once, unless it does so
    already. Raises ProviderError if the provider only answers batches."""
    now = choose_now(provider)
    with files.open_ledger() as database, database.transaction():
        run = Run.latest(database, batch.model)
        if run.provider == now.name:
            return
        database.call("hurried", run=run.id, provider=now.name)
        plan_again(database, open_provider, Run.latest(database, batch.model), replan=True)
    what = f"{batch.model}: its time has come, so what is left is answered at once"
    files.say(f"{what} by {now.name}")


def _cut_short(files: DatabaseFiles, provider: Provider, batch: Batch) -> None:
    """Cancel a batch for its rows to be asked again."""
    # Committed first: without it, a cancelled batch counts as somebody's decision.
    batch = save_batch(files, batch, hurried_at=utc_now())
    record_remote(files, batch, provider.cancel(batch.remote or ""))
