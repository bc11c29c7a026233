"""States: the state of each enrichment model after its latest run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from enrich.db.database import read_statement
from enrich.ledger.batch import list_unread
from enrich.ledger.queue import list_waiting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from enrich.db.database import Ledger
    from enrich.ledger.batch import Batch
    from enrich.manifest.model import ModelKind


@dataclass(frozen=True, kw_only=True)
class Copy:
    """The copy of a model's table: where it is, whether it is `behind` the table, why, if it could
    not be written, and when it was (UTC), None if never."""

    model: str
    place: str
    behind: bool
    problem: str = ""
    copied_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of a model after its latest run; a plain model has its `kind` and little else.

    `outcomes` counts the rows of the SELECT by outcome as last published, including `pending`; it
    is empty until the first answers are in. `batches` are the model's open batches. `failure` is
    why its last batch failed as a whole, `stopped` why the rest of its run is not sent, `held_back`
    the tests that keep its table from being published. `hint` says what to change if a server
    refused a part of the requests. `after` names the models that it is waiting
    for; such a model may never have been run. `copy` is the copy of its table in another place.
    """

    SHOWN: ClassVar = ("model", "rows", "ok", "failed", "pending", "llm", "published_at")

    model: str
    kind: ModelKind = "enrichment"
    provider: str = ""
    llm: str = ""
    run: int = 0
    rows: int = 0
    requests: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    stale: int = 0
    batches: tuple[Batch, ...] = ()
    failure: str = ""
    held_back: tuple[str, ...] = ()
    stopped: str = ""
    hint: str = ""
    after: tuple[str, ...] = ()
    started_at: datetime | None = None
    published_at: datetime | None = None
    copy: Copy | None = None

    @property
    def ok(self) -> int:
        return self.outcomes.get("ok", 0)

    @property
    def failed(self) -> int:
        """The number of rows whose latest outcome is neither ok nor pending."""
        return sum(many for word, many in self.outcomes.items() if word not in ("ok", "pending"))

    @property
    def pending(self) -> int:
        """The number of rows without an outcome so far."""
        return self.outcomes.get("pending", 0) if self.outcomes else self.rows

    @property
    def held(self) -> tuple[Batch, ...]:
        """The batches that a budget keeps from being sent, or that wait for the first answers."""
        return tuple(batch for batch in self.batches if batch.held)

    @property
    def unaffordable(self) -> tuple[Batch, ...]:
        """The batches that a budget keeps from being sent."""
        return tuple(batch for batch in self.batches if batch.is_unaffordable)

    @property
    def busy(self) -> bool:
        """Whether it has open batches or waits for other models."""
        return bool(self.batches or self.after)


def list_states(database: Ledger, names: list[str] | None = None) -> tuple[State, ...]:
    """Returns the states of the named models, or of all that have ever run. Needs the ledger."""
    under_way = list_unread(database)
    queue = list_waiting(database)
    busy = {each.model for each in queue} | {batch.model for batch in under_way}
    waits = {
        each.model: tuple(name for name in each.after if name in busy) or each.after
        for each in queue
    }
    found = []
    # If nothing that a model waits for is busy any more, it starts with the next turn: until then
    # it shows all of them.
    for row in database.fetch_dicts(read_statement("states")):
        if names is not None and row["model"] not in names:
            continue
        own = tuple(batch for batch in under_way if batch.model == row["model"])
        outcomes = json.loads(row.pop("outcomes") or "{}")
        held = tuple(row.pop("held") or ())
        after = waits.pop(row["model"], ())
        found.append(State(**row, outcomes=outcomes, held_back=held, after=after, batches=own))
    # Models that wait for their first run are in the queue, and not yet among the runs.
    wanted = {name: after for name, after in waits.items() if names is None or name in names}
    return (*found, *(State(model=name, after=after) for name, after in wanted.items()))
