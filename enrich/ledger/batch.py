"""Batches, as the ledger keeps them. Each step of a batch is committed as soon as it is done.

    planned -> uploading -> intended -> submitted -> ended -> read

A step that the ledger records is never repeated. A step that a crash interrupts is repeated, except
a create: an intent without a remote id is looked up at the provider, and a batch found there is
adopted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from enrich.db.creation import make_folder
from enrich.errors import ProviderError
from enrich.pricing.price import Price
from enrich.providers.capabilities import choose_endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.providers import Provider, Remote


LEAST_LATE_POLLS = 3
"""How often an ended batch is polled again, at least, for lines that its counts promise.

The id of an output file can arrive a moment after the status `completed`.
"""


MOST_LATE_POLLS = 100
"""How often at most: if the clock is set back meanwhile, the time limit alone would never be
reached."""


OVERDUE_AFTER = timedelta(hours=26)
"""When an open batch counts as overdue: OpenAI's completion window is 24 hours, the only one
offered."""


BATCHES_FOLDER = "batches"
"""Where the files of batches are, in the folder of working files."""


QUEUE_FULL = "token_limit_exceeded"
"""OpenAI's code for a batch that failed because its queue was full. None of it was run, and the
same file can be submitted again."""


FIRST_ANSWERS = "the first answers"
"""What a batch is held by whose requests wait for a few that go first, to see what they cost."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as the ledger keeps it; a time that is None is a step that has not been done.

    `identity` is the provider that its requests were made for: see `Provider.identity`. `outcomes`,
    once it has been read, is a JSON object with the count of each outcome; they add up to
    `requests`. `reserved` is its estimated cost and `cost` the actual one (USD), prices are USD for
    a million tokens, and the tokens of a batch under way are those of its answers so far. `held`
    names what keeps it from being sent: a budget, or `FIRST_ANSWERS`. `awaits` are the
    batches that it waits for, to be planned again. `hurried_at` is when it was cancelled because
    its run was due.
    """

    id: str
    run: int
    model: str
    version_id: str
    provider: str
    identity: str
    endpoint: str
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
    hurried_at: datetime | None = None
    held: str | None = None
    awaits: tuple[str, ...] = ()
    input_price: float | None = None
    cached_price: float | None = None
    output_price: float | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reserved: float | None = None
    cost: float | None = None

    @property
    def sent(self) -> bool:
        """Whether the provider may know of it."""
        # An intent without a remote id: the response to the create was lost, or not awaited.
        return self.remote is not None or self.intended_at is not None

    @property
    def shared(self) -> bool:
        """Whether its requests are those of other models' batches, so that it is never sent."""
        return bool(self.awaits) and not self.held

    @property
    def intent(self) -> str:
        """The id in the metadata of the current create; a new one each time a full queue rejected
        it."""
        # The rejected batch stays in the provider's list, where the same id would find it again.
        return f"{self.id}.{self.tries}" if self.tries else self.id

    @property
    def ended(self) -> bool:
        """Whether it will not change any more, and its result files are known."""
        return self.ended_at is not None and not self.late

    @property
    def spent(self) -> float:
        """What its answers so far have cost, in USD; 0 if no price is known."""
        if self.cost is not None or self.price is None:
            return self.cost or 0.0
        return self.price.price_tokens(
            input_tokens=self.input_tokens or 0,
            cached_tokens=self.cached_tokens or 0,
            output_tokens=self.output_tokens or 0,
        )

    @property
    def price(self) -> Price | None:
        """What its tokens cost; None if that was not known when it was planned."""
        figures = (self.input_price, self.cached_price, self.output_price)
        if any(figure is None for figure in figures):
            return None
        fresh, cached, output = (float(figure or 0) for figure in figures)
        return Price(input=fresh, cached=cached, output=output, source="the ledger")

    @property
    def overdue(self) -> bool:
        """Whether it has been open for longer than OVERDUE_AFTER, by the local clock."""
        open_ = self.submitted_at is not None and self.ended_at is None
        return open_ and utc_now() - (self.submitted_at or utc_now()) > OVERDUE_AFTER

    @property
    def unrun(self) -> bool:
        """Whether it failed as a whole and none of its requests was run."""
        # Together and others write statuses in upper case.
        return (self.status or "").lower() == "failed" and not self.result_files

    @property
    def is_unaffordable(self) -> bool:
        """Whether a budget keeps it from being sent."""
        return self.held not in (None, FIRST_ANSWERS)

    @property
    def answered(self) -> int:
        """How many requests the provider reports as completed or failed."""
        return (self.completed or 0) + (self.failed or 0)


ReadBatch = tuple[Batch, "Mapping[str, int]"]
"""A batch that has been read, and the count of each outcome."""


def describe_standing(batch: Batch) -> str:
    """Returns the state of a batch in one word: the provider's status if there is one."""
    held = "held" if batch.is_unaffordable else "shared" if batch.shared else "waiting"
    return batch.status or held


def list_unread(database: Ledger) -> tuple[Batch, ...]:
    """Returns every batch that has not been read yet, oldest first. Needs the ledger."""
    # Asked first, because reading the columns takes DuckDB ten times as long, even of no rows.
    if database.fetch_one("SELECT count(*) FROM ledger.batches WHERE read_at IS NULL") == (0,):
        return ()
    # The identity is the version's, because it is part of each of its fingerprints.
    columns = {"id": "batch AS id", "version_id": "prompt AS version_id"}
    names = [columns.get(field.name, field.name) for field in fields(Batch)]
    rows = database.fetch_dicts(
        f"SELECT {', '.join(names)} FROM ledger.batches "
        "JOIN (SELECT prompt, identity, endpoint FROM ledger.prompts) USING (prompt) "
        "WHERE read_at IS NULL ORDER BY planned_at, part, batch"
    )
    listed = ("result_files", "awaits")
    return tuple(Batch(**row | {name: tuple(row[name] or ()) for name in listed}) for row in rows)


def check_owner(provider: Provider, batch: Batch) -> None:
    """Raises ProviderError if the provider is not the one that the batch was planned for."""
    # Its id means nothing anywhere else, and its rows may not be meant for another provider.
    identity = choose_endpoint(provider, batch.endpoint).identity
    if identity != batch.identity:
        what = f"{batch.id} is for {batch.identity}, but '{provider.name}' is {identity}"
        hint = (
            f"set '{provider.name}' in project.yml back to what it was, or: enrich cancel --forget"
        )
        raise ProviderError(what, hint=hint)


def make_batch_folder(files: DatabaseFiles, batch: Batch) -> Path:
    """Returns the folder of a batch's request and result files, and creates it if necessary."""
    return make_folder(files.work, BATCHES_FOLDER, batch.id)


def name_request_file(batch: str) -> str:
    """Returns the name of a batch's request file, here and at its provider."""
    # OpenAI accepts only names that end in .jsonl. Being unique, the name also finds a lost upload.
    return f"{batch}.jsonl"


def record_remote(
    files: DatabaseFiles,
    batch: Batch,
    remote: Remote,
    *,
    submitted_at: datetime | None = None,
    patience: float = 0.0,
) -> Batch:
    """Record what the provider reports about a batch. Returns the updated batch.

    A batch that somebody cancelled at the provider is cancelled here as well.
    """
    # Otherwise the rows that it did not answer would be planned again, against that person's will.
    stopped = remote.status.lower() in ("cancelling", "cancelled") and batch.cancelled_at is None
    # Ctrl-C ends a preview so, and a run that is due its batch.
    stopped = stopped and batch.run > 0 and batch.hurried_at is None
    if stopped:
        files.say(
            f"{batch.id} was cancelled at {batch.provider} and stays cancelled: "
            f"enrich run {batch.model} asks for what it did not answer"
        )
    late = remote.late and not has_waited(batch, batch.late, patience)
    return save_batch(
        files,
        batch,
        cancelled_at=utc_now() if stopped else batch.cancelled_at,
        remote=remote.id,
        status=remote.status,
        completed=remote.completed,
        failed=remote.failed,
        code=remote.code,
        error=remote.error,
        input_tokens=remote.input_tokens,
        cached_tokens=remote.cached_tokens,
        output_tokens=remote.output_tokens,
        result_files=remote.files,
        late=batch.late + 1 if late else 0,
        submitted_at=batch.submitted_at or submitted_at,
        ended_at=(batch.ended_at or utc_now()) if remote.ended else None,
    )


def has_waited(batch: Batch, missed: int, patience: float) -> bool:
    """Whether missing results have been waited for long enough: for `patience` seconds by the local
    clock, and for LEAST_LATE_POLLS polls."""
    # Time alone is not enough: after a night's sleep of a laptop it has passed before the first
    # poll.
    seconds = (utc_now() - (batch.ended_at or utc_now())).total_seconds()
    return missed >= MOST_LATE_POLLS or (seconds >= patience and missed >= LEAST_LATE_POLLS)


def save_batch(files: DatabaseFiles, batch: Batch, **changes: object) -> Batch:
    """Commit changes to a batch, unless it has these values already. Returns the updated batch."""
    # Most polls change nothing, and then the ledger need not be attached.
    if replace(batch, **changes) == batch:  # type: ignore[arg-type]
        return batch
    with files.open_ledger() as database:
        return update_batch(database, batch, **changes)


def update_batch(database: Ledger, batch: Batch, **changes: object) -> Batch:
    """Write changes to a batch within the caller's connection. Returns the updated batch."""
    columns = ", ".join(f"{name} = ${name}" for name in changes)
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in changes.items()}
    database.execute(
        f"UPDATE ledger.batches SET {columns} WHERE batch = $batch", batch=batch.id, **values
    )
    return replace(batch, **changes)  # type: ignore[arg-type]


def utc_now() -> datetime:
    """Returns the time in UTC without a time zone, as the ledger keeps it."""
    # A TIMESTAMP WITH TIME ZONE would depend on the session's zone, and reading one needs pytz.
    return datetime.now(UTC).replace(tzinfo=None)
