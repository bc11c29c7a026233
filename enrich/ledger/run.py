"""Runs: what a command asks of a model, and the run that came of it, as the ledger keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.db.database import Ledger


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a command asks of its runs.

    `retry` gives rows that failed in earlier runs their attempts anew, `full_refresh` asks every
    row. `max_cost` is USD. `invocation` is the command's first run, once there is one; `foreseen`
    is USD that the plans before take, where none is carried out.
    """

    retry: bool = False
    full_refresh: bool = False
    max_cost: float | None = None
    invocation: int | None = None
    foreseen: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of a model, as the ledger keeps it.

    `again` gives failed rows their attempts anew. Only answers that were read after the `since`-th
    batch count: those of a full refresh, for which it is not 0. `invocation` is the first
    run of the same command. `limits` are USD by budget: see `budget`.
    """

    id: int
    model: str
    version_id: str
    provider: str
    max_attempts: int
    retry: tuple[str, ...]
    again: bool
    since: int
    invocation: int
    limits: Mapping[str, float]

    @classmethod
    def latest(cls, database: Ledger, model: str) -> Run:
        """The model's latest run."""
        row = database.call("latest_run", model=model)[0]
        values = dict(zip(cls.__dataclass_fields__, row, strict=True))
        fixed = {"retry": tuple(values["retry"]), "limits": dict(values["limits"] or {})}
        return cls(**values | fixed)
