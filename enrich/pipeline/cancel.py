"""Cancel: stop the batches of a project, or stop tracking them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.errors import EnrichError, ProjectError, ProviderError
from enrich.ledger.batch import list_unread
from enrich.ledger.queue import dequeue, list_waiting
from enrich.pipeline.lock import hold_project
from enrich.pipeline.scheduler import take_turn
from enrich.pipeline.withdraw import give_up, stop_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.ledger.batch import Batch
    from enrich.pipeline.flow import Flow


def cancel_models(flow: Flow, names: Sequence[str], *, forget: bool) -> tuple[Batch, ...]:
    """Stop the batches of the named models, or all, and take these models out of the queue.

    `forget`: stop tracking batches that their provider cannot cancel or does not know. Returns the
    batches. Raises ProviderError if one could not be cancelled, after all others have been.
    """
    with flow.files.open_ledger() as database:
        known = {batch.model for batch in list_unread(database)}
        known |= {each.model for each in list_waiting(database)}
    # A model without batches is nothing to complain about, but a name that is no model is a typo.
    for name in set(names) - known:
        flow.graph.find_model(name)
    problems: list[EnrichError] = []
    stopped: list[Batch] = []
    with hold_project(flow.files):
        for batch in _remove_waiting(flow, names):
            try:
                provider = flow.workspace.open_provider(batch.provider)
                stopped.append(stop_batch(flow.files, provider, batch))
            except (ProviderError, ProjectError) as problem:
                problems.append(problem)
                stopped.append(batch)
        # Reads what the batches had answered before they were cancelled.
        take_turn(flow)
        if forget:
            given_up = _forget_unread(flow, {batch.id for batch in stopped})
            stopped = [given_up.get(batch.id, batch) for batch in stopped]
    if problems and not forget:
        first = problems[0]
        hint = f"{first.hint}; to stop tracking it: enrich cancel --forget".lstrip("; ")
        raise ProviderError(first.message, hint=hint)
    return tuple(stopped)


def _remove_waiting(flow: Flow, names: Sequence[str]) -> list[Batch]:
    """Take these models, or all, and those that wait for them out of the queue. Returns the open
    batches of these models."""
    with flow.files.open_ledger() as database:
        batches = [b for b in list_unread(database) if not names or b.model in names]
        left = [
            each.model
            for each in list_waiting(database)
            if not names or {each.model, *each.after} & set(names)
        ]
        dequeue(database, left)
    for name in left:
        flow.listener.say(f"{name} is no longer waiting to run")
    return batches


def _forget_unread(flow: Flow, stopped: set[str]) -> dict[str, Batch]:
    """Give up on these batches if they are still unread. Returns them by id."""
    with flow.files.open_ledger() as database:
        left = [batch for batch in list_unread(database) if batch.id in stopped]
    given_up = {batch.id: give_up(flow.files, batch, billed=batch.sent) for batch in left}
    # Publishes their models: their rows now have the outcome "not run".
    take_turn(flow)
    return given_up
