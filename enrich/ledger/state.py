"""States: where each enrichment model stands after its latest run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from enrich.db.database import statement
from enrich.ledger.batch import unread
from enrich.ledger.queue import list_waiting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from enrich.db.database import Ledger
    from enrich.ledger.batch import Batch
    from enrich.manifest.model import ModelKind


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a model stands after its latest run; of a plain one, what its `kind` became.

    `outcomes` counts the rows of the SELECT by outcome as last published, `pending` among them;
    it is empty before the first answers are in. `batches` are those of the latest run's model that
    are under way. `failure` is why its last batch failed as a whole, `stopped` why no more of its
    run is sent, `held_back` the tests that do not let its table be published. A model that waits
    for others comes `after` them; it may never have been run.
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
    after: tuple[str, ...] = ()
    started_at: datetime | None = None
    published_at: datetime | None = None

    @property
    def ok(self) -> int:
        return self.outcomes.get("ok", 0)

    @property
    def failed(self) -> int:
        """Rows whose last outcome is another than ok."""
        return sum(many for word, many in self.outcomes.items() if word not in ("ok", "pending"))

    @property
    def pending(self) -> int:
        """Rows without any outcome so far."""
        return self.outcomes.get("pending", 0) if self.outcomes else self.rows

    @property
    def held(self) -> tuple[Batch, ...]:
        """Batches that a budget does not let go."""
        return tuple(batch for batch in self.batches if batch.held)

    @property
    def busy(self) -> bool:
        """Whether batches are still under way, or others come first."""
        return bool(self.batches or self.after)


def states(database: Ledger, names: list[str] | None = None) -> tuple[State, ...]:
    """Where the named models stand, or all that were ever run. Needs the ledger."""
    under_way = unread(database)
    queue = list_waiting(database)
    busy = {each.model for each in queue} | {batch.model for batch in under_way}
    waits = {
        each.model: tuple(name for name in each.after if name in busy) or each.after
        for each in queue
    }
    found = []
    for row in database.fetch_dicts(statement("states")):
        if names is not None and row["model"] not in names:
            continue
        own = tuple(batch for batch in under_way if batch.model == row["model"])
        outcomes = json.loads(row.pop("outcomes") or "{}")
        held = tuple(row.pop("held") or ())
        after = waits.pop(row["model"], ())
        found.append(State(**row, outcomes=outcomes, held_back=held, after=after, batches=own))
    wanted = {name: after for name, after in waits.items() if names is None or name in names}
    return (*found, *(State(model=name, after=after) for name, after in wanted.items()))
