"""States: where each enrichment model stands after its latest run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich import batches
from enrich.database import statement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from enrich.batches import Batch
    from enrich.database import Database


@dataclass(frozen=True, kw_only=True)
class State:
    """Where an enrichment model stands after its latest run.

    `outcomes` counts the rows of the SELECT by outcome as last published, `pending` among them;
    it is empty before the first answers are in. `batches` are those of the latest run's model that
    are under way. `failure` is why its last batch failed as a whole.
    """

    model: str
    provider: str
    llm: str
    run: int
    rows: int
    requests: int
    outcomes: Mapping[str, int]
    stale: int
    batches: tuple[Batch, ...]
    failure: str
    started_at: datetime
    published_at: datetime | None

    @property
    def ok(self) -> int:
        return self.outcomes.get("ok", 0)

    @property
    def failed(self) -> int:
        """Rows whose last outcome is another than ok."""
        return sum(many for word, many in self.outcomes.items() if word not in ("ok", "pending"))

    @property
    def held(self) -> tuple[Batch, ...]:
        """Batches that a budget does not let go."""
        return tuple(batch for batch in self.batches if batch.held)

    @property
    def busy(self) -> bool:
        """Whether batches are still under way."""
        return bool(self.batches)


def states(database: Database, names: list[str] | None = None) -> tuple[State, ...]:
    """Where the named models stand, or all that were ever run. Needs the ledger."""
    under_way = batches.unread(database)
    found = []
    for row in database.dicts(statement("states")):
        if names is not None and row["model"] not in names:
            continue
        own = tuple(batch for batch in under_way if batch.model == row["model"])
        outcomes = json.loads(row.pop("outcomes") or "{}")
        found.append(State(**row, outcomes=outcomes, batches=own))
    return tuple(found)
