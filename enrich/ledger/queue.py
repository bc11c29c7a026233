"""Waiting: models that a command is to run once those they read are through.

They wait in the ledger, so that `enrich status` goes on where `run --detach` or Ctrl-C left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enrich.ledger.batch import unread
from enrich.ledger.run import RunOptions
from enrich.manifest.variables import dump_values, load_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.db.database import Ledger


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A model that waits for those it comes `after`; `provider` "" is the usual one."""

    model: str
    command: str
    after: tuple[str, ...]
    provider: str
    options: RunOptions
    variables: Mapping[str, Any]


def enqueue(database: Ledger, each: Waiting) -> None:
    """Let a model wait.

    If it waited already, it waits for all of it, and is run as this command says.
    """
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
        invocation=each.options.invocation,
        variables=dump_values(each.variables),
    )


def list_waiting(database: Ledger) -> tuple[Waiting, ...]:
    """Every model that waits, in the order they were put there."""
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
                invocation=row["invocation"],
            ),
            variables=load_values(row["variables"]),
        )
        for row in rows
    )


def join_run(database: Ledger, command: str, run: int) -> None:
    """The first run of a command has begun: those that wait belong to it."""
    sentence = "UPDATE ledger.waiting SET invocation = coalesce(invocation, $run)"
    database.execute(f"{sentence} WHERE command = $command", run=run, command=command)


def dequeue(database: Ledger, models: Iterable[str]) -> None:
    """Let these models wait no more."""
    statement = "DELETE FROM ledger.waiting WHERE list_contains($models::VARCHAR[], model)"
    database.execute(statement, models=list(models))


def find_obstacle(database: Ledger, each: Waiting) -> tuple[str, str] | None:
    """The first model that this one waits for and which will not come through, and why."""
    for name in each.after:
        row = database.call("obstacle", model=name)
        if row and row[0][0]:
            return name, row[0][0]
    return None


def list_ready(database: Ledger) -> tuple[Waiting, ...]:
    """Those that wait for nothing any more: what they come after is answered and published."""
    found = list_waiting(database)
    busy = {each.model for each in found} | {batch.model for batch in unread(database)}
    return tuple(each for each in found if not busy & set(each.after))
