"""Batches: each one as the ledger keeps it, and every step of its way written down as it is done.

    planned -> uploaded -> intended -> submitted -> ended -> read

What the ledger says is done is done. What a crash interrupts is done again, except a create: an
intent without a remote id is looked up at the provider and adopted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from enrich.db.creation import make_folder
from enrich.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.providers import Provider, Remote


LATE_POLLS = 3
"""How often, at the least, an ended batch is polled again for lines its counts speak of."""


MOST_POLLS = 100
"""How often at the most, should the clock be put back meanwhile."""


OVERDUE = timedelta(hours=26)
"""How long a batch may be under way: its window is 24 hours."""


NOW = "now"
"""The remote id of a preview: a batch whose requests are asked one by one, in one turn."""


FULL = "token_limit_exceeded"
"""The code of a batch that failed because the provider's queue was full; it is as good as new."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as the ledger keeps it; a time that is None is a step not done.

    `identity` is whom its requests were made for: see `Provider.identity`. `outcomes`, once it is
    read, is a JSON object of how often each: they add up to `requests`. `reserved` is what it was
    estimated to cost, `cost` what it did (USD). `held` says which budget does not let it go.
    """

    id: str
    run: int
    model: str
    version_id: str
    provider: str
    identity: str
    requests: int
    bytes: int
    uploading_at: datetime | None = None
    input_file: str | None = None
    intended_at: datetime | None = None
    remote: str | None = None
    status: str | None = None
    completed: int | None = None
    failed: int | None = None
    code: str | None = None
    error: str | None = None
    result_files: tuple[str, ...] = ()
    late: int = 0
    tries: int = 0
    submitted_at: datetime | None = None
    ended_at: datetime | None = None
    read_at: datetime | None = None
    read_number: int | None = None
    outcomes: str | None = None
    cancelled_at: datetime | None = None
    held: str | None = None
    reserved: float | None = None
    cost: float | None = None

    @property
    def sent(self) -> bool:
        """Whether the provider may know of it."""
        return self.remote is not None or self.intended_at is not None

    @property
    def intent(self) -> str:
        """The id of the create under way: another one each time a full queue sent it back."""
        return f"{self.id}.{self.tries}" if self.tries else self.id

    @property
    def ended(self) -> bool:
        """Whether it changes no more, and its result files are known."""
        return self.ended_at is not None and not self.late

    @property
    def overdue(self) -> bool:
        """Whether it has been under way for longer than its window, by this machine's clock."""
        open_ = self.submitted_at is not None and self.ended_at is None and self.remote != NOW
        return open_ and now() - (self.submitted_at or now()) > OVERDUE

    @property
    def unrun(self) -> bool:
        """Whether it failed as a whole, and nothing of it was run."""
        return (self.status or "").lower() == "failed" and not self.result_files

    @property
    def answered(self) -> int:
        """Requests the provider has been through, as it says."""
        return (self.completed or 0) + (self.failed or 0)


Done = tuple[Batch, "Mapping[str, int]"]
"""A batch that was read, and how often each outcome came out of it."""


def standing(batch: Batch) -> str:
    """How a batch stands, in one word: its status if it has one."""
    return batch.status or ("held" if batch.held else "waiting")


def unread(database: Ledger) -> tuple[Batch, ...]:
    """Every batch that was not read yet, the oldest first. Needs the ledger."""
    columns = {"id": "batch AS id", "version_id": "prompt AS version_id"}
    names = [columns.get(field.name, field.name) for field in fields(Batch)]
    rows = database.fetch_dicts(
        f"SELECT {', '.join(names)} FROM ledger.batches "
        "JOIN (SELECT prompt, identity FROM ledger.prompts) USING (prompt) "
        "WHERE read_at IS NULL ORDER BY planned_at, part, batch"
    )
    return tuple(Batch(**row | {"result_files": tuple(row["result_files"] or ())}) for row in rows)


def hold(files: DatabaseFiles, batch: Batch, held: str | None) -> Batch:
    """Keep why a batch is not submitted; None: it may be."""
    return save(files, batch, held=held)


def check_whose(provider: Provider, batch: Batch) -> None:
    """A batch can be fetched only where it was sent to, and must not be sent anywhere else."""
    if provider.identity != batch.identity:
        what = f"{batch.id} is for {batch.identity}, but '{provider.name}' is {provider.identity}"
        hint = f"set '{provider.name}' in project.yml as it was, or enrich cancel --forget"
        raise ProviderError(what, hint=hint)


def folder(files: DatabaseFiles, batch: Batch) -> Path:
    """Where a batch's request and result files are; made where it is absent."""
    return make_folder(files.work, "batches", batch.id)


def file_name(batch: str) -> str:
    """What a batch's request file is called, here and at its provider."""
    return f"{batch}.jsonl"


def seen(
    files: DatabaseFiles,
    batch: Batch,
    remote: Remote,
    *,
    submitted_at: datetime | None = None,
    patience: float = 0.0,
) -> Batch:
    """Record how the provider says the batch stands.

    One that was cancelled there, by a person, is cancelled here as well.
    """
    stopped = remote.status.lower() in ("cancelling", "cancelled") and batch.cancelled_at is None
    if stopped:
        files.say(
            f"{batch.id} was cancelled at {batch.provider} and stays cancelled: "
            f"enrich run {batch.model} asks what it did not answer"
        )
    late = remote.late and not waited(batch, batch.late, patience)
    return save(
        files,
        batch,
        cancelled_at=now() if stopped else batch.cancelled_at,
        remote=remote.id,
        status=remote.status,
        completed=remote.completed,
        failed=remote.failed,
        code=remote.code,
        error=remote.error,
        result_files=remote.files,
        late=batch.late + 1 if late else 0,
        submitted_at=batch.submitted_at or submitted_at,
        ended_at=(batch.ended_at or now()) if remote.ended else None,
    )


def waited(batch: Batch, missed: int, patience: float) -> bool:
    """Whether what the counts speak of has been waited for long enough: so many seconds by this
    machine's clock, but not before a few polls."""
    seconds = (now() - (batch.ended_at or now())).total_seconds()
    return missed >= MOST_POLLS or (seconds >= patience and missed >= LATE_POLLS)


def save(files: DatabaseFiles, batch: Batch, **changes: object) -> Batch:
    if replace(batch, **changes) == batch:  # type: ignore[arg-type]
        return batch
    with files.open_ledger() as database:
        return update(database, batch, **changes)


def update(database: Ledger, batch: Batch, **changes: object) -> Batch:
    """Commit changes to a batch; gives the batch as it is then."""
    columns = ", ".join(f"{name} = ${name}" for name in changes)
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in changes.items()}
    database.execute(
        f"UPDATE ledger.batches SET {columns} WHERE batch = $batch", batch=batch.id, **values
    )
    return replace(batch, **changes)  # type: ignore[arg-type]


def now() -> datetime:
    """The time in UTC, as the ledger keeps it."""
    return datetime.now(UTC).replace(tzinfo=None)
