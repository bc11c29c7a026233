"""Queue: models that a command will run once the models they read are finished.

They wait in the ledger, so that `enrich status` can continue after `run --detach` or Ctrl-C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enrich.ledger.batch import list_unread
from enrich.ledger.run import RunOptions
from enrich.manifest.variables import dump_values, load_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.db.database import Ledger


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A model that waits for those in `after`; `provider` "" is the one of its prompt or
    project."""

    model: str
    command: str
    after: tuple[str, ...]
    provider: str
    options: RunOptions
    variables: Mapping[str, Any]


def enqueue(database: Ledger, each: Waiting) -> None:
    """Add a model to the queue.

    If it is queued already, it waits for the models of both entries and runs with the new options.
    """
    # Dropping what the earlier command waited for could run the model on a table still being made.
    before = [other.after for other in list_waiting(database) if other.model == each.model]
    dequeue(database, [each.model])
    after = dict.fromkeys(name for names in (*before, each.after) for name in names)
    database.call(
        "wait",
        model=each.model,
        command=each.command,
        after=list(after),
        provider=each.provider,
        retry=each.options.retry,
        full_refresh=each.options.full_refresh,
        max_cost=each.options.max_cost,
        due_at=each.options.due_at,
        where=each.options.where,
        since=each.options.since,
        invocation=each.options.invocation,
        variables=dump_values(each.variables),
    )


def list_waiting(database: Ledger) -> tuple[Waiting, ...]:
    """Returns every model in the queue, in the order in which they were added."""
    rows = database.fetch_dicts('SELECT * FROM ledger.waiting ORDER BY since, "after", model')
    return tuple(
        Waiting(
            model=row["model"],
            command=row["command"],
            after=tuple(row["after"]),
            provider=row["provider"],
            options=RunOptions(
                retry=row["retry"],
                full_refresh=row["full_refresh"],
                max_cost=row["max_cost"],
                due_at=row["due_at"],
                where=row["partitions_where"] or "",
                since=row["partitions_since"] or "",
                invocation=row["invocation"],
            ),
            variables=load_values(row["variables"]),
        )
        for row in rows
    )


def join_run(database: Ledger, command: str, run: int) -> None:
    """Record the first run of a command for its models that are still waiting."""
    # They share its budget for a run, whichever process starts them.
    sentence = "UPDATE ledger.waiting SET invocation = coalesce(invocation, $run)"
    database.execute(f"{sentence} WHERE command = $command", run=run, command=command)


def dequeue(database: Ledger, models: Iterable[str]) -> None:
    """Remove these models from the queue."""
    statement = "DELETE FROM ledger.waiting WHERE list_contains($models::VARCHAR[], model)"
    database.execute(statement, models=list(models))


def find_obstacle(database: Ledger, each: Waiting) -> tuple[str, str] | None:
    """Returns the first model that this one waits for and that has failed, and why; None if
    none."""
    for name in each.after:
        row = database.call("obstacle", model=name)
        if row and row[0][0]:
            return name, row[0][0]
    return None


def list_ready(database: Ledger) -> tuple[Waiting, ...]:
    """Returns the queued models whose upstream models have been answered and published."""
    found = list_waiting(database)
    # A queued model counts as busy itself, so that a chain of models starts link by link.
    busy = {each.model for each in found} | {batch.model for batch in list_unread(database)}
    return tuple(each for each in found if not busy & set(each.after))
