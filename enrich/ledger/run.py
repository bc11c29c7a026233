"""Runs: the options of a command, and a model's run as the ledger keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from enrich.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from enrich.db.database import Ledger


EVERY_RUN = 2**63 - 1
"""A number above that of any run."""


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What earlier plans of a command would do: spend `usd`, and send the requests in `files`."""

    usd: float = 0.0
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of a command for its runs.

    `retry` resets the attempts of rows that failed in earlier runs, `full_refresh` asks for every
    row again. `where` and `since` name the partitions to work on: by a condition on their column,
    and by the first of them; "" for all. `max_cost` is USD. What is left at `due_at` (UTC) is
    answered at once. `invocation` is the command's first run, None before it starts. `foreseen` is
    what earlier plans of the same command would do; nothing unless it only plans.
    """

    retry: bool = False
    full_refresh: bool = False
    where: str = ""
    since: str = ""
    max_cost: float | None = None
    due_at: datetime | None = None
    invocation: int | None = None
    foreseen: Foreseen = field(default_factory=Foreseen)

    def foresee(self, usd: float, file: Path | None) -> RunOptions:
        """Returns the options for the plans after one that would spend so much and send the
        requests in this file. They share the command's budget."""
        files = (*self.foreseen.files, *([file] if file else ()))
        return replace(self, foreseen=Foreseen(usd=self.foreseen.usd + usd, files=files))

    @classmethod
    def of(
        cls,
        *,
        by: datetime | None,
        where: str | None,
        since: str | None,
        **options: Any,  # noqa: ANN401  # as above
    ) -> RunOptions:
        """Returns the options of a command; `by` is a moment in any time zone, or the local one.
        Raises ProjectError if `where` or `since` is empty; None is for all partitions."""
        # An empty one is a variable without a value, which must not pay for the whole table.
        for word, said in (("where", where), ("since", since)):
            if said is not None and not said.strip():
                hint = f"leave --{word} out to work on all partitions"
                raise ProjectError(f"--{word} is empty and names no partition", hint=hint)
        due_at = by.astimezone(UTC).replace(tzinfo=None) if by else None
        return cls(due_at=due_at, where=where or "", since=since or "", **options)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of a model, as the ledger keeps it.

    `forgives` is 0, or the run before which failures do not count: a retry, or a full refresh,
    which may be an earlier run that this one goes on with. `since` is 0, or for a full refresh the
    number of batches read before it: only answers read after these count. `invocation` is the first
    run of the same command. `limits` are USD by scope: see `find_limits`. `due_at`: see RunOptions.
    `fallbacks` are the versions for the llms that rows are asked of after the first has failed.
    `partitions` is the condition for those that it works on, "" for all. `read_before` is how many
    batches had been read when it started, None if an earlier enrich started it.
    """

    id: int
    model: str
    version_id: str
    provider: str
    max_attempts: int
    retry: tuple[str, ...]
    forgives: int
    since: int
    invocation: int
    limits: Mapping[str, float]
    due_at: datetime | None = None
    fallbacks: tuple[str, ...] = ()
    partitions: str = ""
    read_before: int | None = None

    @property
    def again(self) -> bool:
        """Whether rows that failed before are asked again."""
        return self.forgives > 0

    @property
    def chain(self) -> tuple[str, ...]:
        """The versions for all llms that a row is asked of, in order."""
        return (self.version_id, *self.fallbacks)

    def is_repeated(self, database: Ledger) -> bool:
        """Whether the model's latest run, which this one follows, asked the same version: then rows
        that have not changed stay with the answers that they have, whatever others there are."""
        before = database.call("latest_run", model=self.model)
        return bool(before) and Run.latest(database, self.model).version_id == self.version_id

    @classmethod
    def latest(cls, database: Ledger, model: str) -> Run:
        """Returns the model's latest run; it must have one."""
        # `latest_run.sql` selects its columns in the order of these fields.
        row = database.call("latest_run", model=model)[0]
        values = dict(zip(cls.__dataclass_fields__, row, strict=True))
        fixed = {
            "retry": tuple(values["retry"]),
            "limits": dict(values["limits"] or {}),
            "fallbacks": tuple(values["fallbacks"] or ()),
        }
        return cls(**values | fixed)
