"""Cancel: what a project has under way is stopped, or waited for no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.errors import EnrichError, ProjectError, ProviderError
from enrich.ledger.batch import unread
from enrich.ledger.queue import dequeue, list_waiting
from enrich.pipeline.lock import hold_project
from enrich.pipeline.scheduler import take_turn
from enrich.pipeline.withdraw import cancel_batch, give_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.ledger.batch import Batch
    from enrich.pipeline.flow import Flow


def cancel_models(flow: Flow, names: Sequence[str], *, forget: bool) -> tuple[Batch, ...]:
    """Stop the batches of the named models, or all, and let them wait for their turn no more.

    `forget`: wait no more for batches that their provider cannot stop or does not know. Raises
    ProviderError where one could not be stopped, after all others were.
    """
    with flow.files.open_ledger() as database:
        known = {batch.model for batch in unread(database)}
        known |= {each.model for each in list_waiting(database)}
    for name in set(names) - known:
        flow.graph.find_model(name)
    problems: list[EnrichError] = []
    stopped: list[Batch] = []
    with hold_project(flow.files):
        for batch in _take_out(flow, names):
            try:
                provider = flow.workspace.open_provider(batch.provider)
                stopped.append(cancel_batch(flow.files, provider, batch))
            except (ProviderError, ProjectError) as problem:
                problems.append(problem)
                stopped.append(batch)
        take_turn(flow)
        if forget:
            given_up = _forget(flow, {batch.id for batch in stopped})
            stopped = [given_up.get(batch.id, batch) for batch in stopped]
    if problems and not forget:
        first = problems[0]
        hint = f"{first.hint}; to wait for it no more: enrich cancel --forget".lstrip("; ")
        raise ProviderError(first.message, hint=hint)
    return tuple(stopped)


def _take_out(flow: Flow, names: Sequence[str]) -> list[Batch]:
    """The open batches of these models, or of all; none of these, nor what comes after them, waits
    to be begun any more."""
    with flow.files.open_ledger() as database:
        batches = [b for b in unread(database) if not names or b.model in names]
        left = [
            each.model
            for each in list_waiting(database)
            if not names or {each.model, *each.after} & set(names)
        ]
        dequeue(database, left)
    for name in left:
        flow.listener.say(f"{name} no longer waits to be run")
    return batches


def _forget(flow: Flow, stopped: set[str]) -> dict[str, Batch]:
    """Give up on what was to be stopped and is still unread, in whatever state it is."""
    with flow.files.open_ledger() as database:
        left = [batch for batch in unread(database) if batch.id in stopped]
    given_up = {batch.id: give_up(flow.files, batch, billed=batch.sent) for batch in left}
    take_turn(flow)
    return given_up
