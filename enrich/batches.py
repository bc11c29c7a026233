"""Batches: each one's way from plan to answers, a step at a time, every step committed.

    planned -> uploaded -> intended -> submitted -> ended -> read

What the ledger says is done is done. What a crash interrupts is done again, except a create: an
intent without a remote id is looked up at the provider and adopted.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from shutil import copyfileobj
from typing import TYPE_CHECKING

from enrich import responses, resultfile
from enrich.compiler.body import request_lines
from enrich.database import made, statement
from enrich.errors import (
    DatabaseError,
    DiskError,
    ProjectError,
    ProviderError,
    Unavailable,
    Unclear,
)
from enrich.price import usd
from enrich.responses import Ended, Judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from enrich.database import Database, Files
    from enrich.providers import Provider, Remote

LATE_POLLS = 3
"""How often, at the least, an ended batch is polled again for lines its counts speak of."""
MOST_POLLS = 100
"""How often at the most, should the clock be put back meanwhile."""
OVERDUE = timedelta(hours=26)
"""How long a batch may be under way: its window is 24 hours."""

UNRUN = {
    "expired": "not run: the batch expired first",
    "cancelled": "not run: the batch was cancelled",
    "failed": "not run: the batch failed",
    "given up": "not run: the batch was given up",
    "interrupted": "the preview was interrupted: the call may have been billed",
}
"""Why a request without a line was not run, by how its batch ended."""

TOGETHER = 10
"""How many batches are read at once: more is no faster, and takes more room."""

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

    batch: str
    run: int
    model: str
    prompt: str
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
        return f"{self.batch}.{self.tries}" if self.tries else self.batch

    @property
    def ended(self) -> bool:
        """Whether it changes no more, and its result files are known."""
        return self.ended_at is not None and not self.late

    @property
    def overdue(self) -> bool:
        """Whether it has been under way for longer than its window, by this machine's clock."""
        open_ = self.submitted_at is not None and self.ended_at is None and self.remote != NOW
        return open_ and _now() - (self.submitted_at or _now()) > OVERDUE

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


def unread(database: Database) -> tuple[Batch, ...]:
    """Every batch that was not read yet, the oldest first. Needs the ledger."""
    names = [field.name for field in fields(Batch)]
    rows = database.dicts(
        f"SELECT {', '.join(names)} FROM ledger.batches "
        "JOIN (SELECT prompt, identity FROM ledger.prompts) USING (prompt) "
        "WHERE read_at IS NULL ORDER BY planned_at, part, batch"
    )
    return tuple(Batch(**row | {"result_files": tuple(row["result_files"] or ())}) for row in rows)


def withdraw(database: Database, model: str) -> None:
    """Forget the model's batches that nobody was asked to run; `tidy` deletes what was uploaded.

    Needs the ledger.
    """
    database.script("unused_files", model=model, batch=None)
    for table in ("requests", "batches"):
        database.script(f"withdraw_{table}", model=model)


def advance(files: Files, provider: Provider, batch: Batch) -> Batch:
    """Take a batch as far as it goes without waiting, until its result files are here."""
    _check_whose(provider, batch)
    missed = batch.late
    if batch.remote is None:
        batch = _submit(files, provider, batch)
    elif batch.ended_at is None or batch.late:
        batch = _seen(files, batch, provider.poll(batch.remote), patience=_patience(provider))
    if batch.ended and batch.code == FULL:
        return _requeue(files, batch)
    if batch.ended:
        batch = _fetch(files, provider, batch, missed=missed)
    return batch


def answer(files: Files, provider: Provider, batch: Batch) -> Batch:
    """Have the requests of a preview answered now; gives it as it ended, to be read.

    Where the provider refused them all, it is as if nothing had been asked.
    """
    with files.open(ledger=True) as database:
        judge = Judge.of(database, batch.prompt)
        requests = folder(files, batch) / _file_name(batch.batch)
        _write(database, requests, batch, judge)
    (results,) = _result_paths(files, replace(batch, result_files=(NOW,)))
    try:
        provider.complete(requests, results)
    except ProviderError:
        with files.open(ledger=True) as database, database.transaction():
            for table in ("requests", "batches"):
                database.run(f"DELETE FROM ledger.{table} WHERE batch = $batch", batch=batch.batch)
        raise
    except KeyboardInterrupt:  # what had been asked was waited for, and the rest was not
        _ended_now(files, batch, status="cancelled")
        raise
    return _ended_now(files, batch, status="completed")


def settle_previews(files: Files) -> list[Done]:
    """Read what came in for previews that were left: who holds the turn finds none under way.

    Of one that was killed nobody knows which of its calls were answered and billed.
    """
    with files.open(ledger=True) as database:
        left = [batch for batch in unread(database) if batch.remote == NOW]
    ended = [e if e.ended_at else _ended_now(files, e, status="interrupted") for e in left]
    done, troubles = read(files, ended)
    for batch, outcomes in done:
        lost = outcomes.get("expired", 0) if batch.status == "interrupted" else 0
        if lost:
            cost = usd((batch.reserved or 0) * lost / batch.requests)
            what = f"a preview of {batch.model} was interrupted"
            files.say(f"{what}: {lost:,} of its calls may have been billed, about {cost}")
    for _, problem in troubles:
        files.say(problem.message)
    return done


def _ended_now(files: Files, batch: Batch, *, status: str) -> Batch:
    """A preview that is over."""
    results = folder(files, batch) / "result-0.jsonl"
    found = (NOW,) if results.exists() else ()
    return _save(files, batch, status=status, ended_at=_now(), result_files=found)


def read(
    files: Files, ended: Sequence[Batch]
) -> tuple[list[Done], list[tuple[Batch, DatabaseError]]]:
    """Give every request of ended batches its response; gives those done, and those that cannot be.

    Batches of one prompt are read together, some at a time, each time in one transaction. A batch
    that failed without any file was not run at all: its requests are as good as never sent.
    """
    done: list[Done] = []
    troubles: list[tuple[Batch, DatabaseError]] = []
    for prompt in dict.fromkeys(batch.prompt for batch in ended):
        alike = [batch for batch in ended if batch.prompt == prompt]
        for start in range(0, len(alike), TOGETHER):
            some = alike[start : start + TOGETHER]
            try:
                done += _read_together(files, some)
                continue
            except DatabaseError as problem:
                if len(some) == 1:
                    troubles.append((some[0], problem))
                    continue
            for batch in some:
                try:
                    done += _read_together(files, [batch])
                except DatabaseError as problem:
                    troubles.append((batch, problem))
    return done, troubles


def _read_together(files: Files, some: list[Batch]) -> list[Done]:
    with files.open(ledger=True) as database, database.transaction():
        judge = Judge.of(database, some[0].prompt)
        run = [_results(files, batch) for batch in some if not batch.unrun]
        outcomes = responses.read(database, run, judge) if run else {}
        found = [(batch, outcomes.get(batch.batch, {})) for batch in some]
        return [(_closed(database, batch, many), many) for batch, many in found]


def _closed(
    database: Database, batch: Batch, outcomes: Mapping[str, int], *, billed: bool = False
) -> Batch:
    """The batch is read: nothing will be asked of it again."""
    # From 2 on, so that a full refresh (`since` 1) of a ledger without answers counts them all.
    (number,) = database.one("SELECT coalesce(max(read_number), 1) + 1 FROM ledger.batches")
    batch = _update(
        database, batch, read_at=_now(), read_number=number, outcomes=json.dumps(outcomes)
    )
    billed = billed or batch.status == "interrupted"
    database.script("true_up", batch=batch.batch, billed=billed)
    return batch


def _results(files: Files, batch: Batch) -> Ended:
    return Ended(
        batch=batch.batch,
        run=batch.run,
        requests=batch.requests,
        files=tuple(_result_paths(files, batch)),
        unrun=UNRUN.get((batch.status or "").lower(), ""),
    )


def cancel(files: Files, provider: Provider, batch: Batch) -> Batch:
    """Stop a batch: what was not sent is forgotten, what was sent is asked to end early."""
    if batch.remote is None and batch.intended_at is None:
        return _dropped(files, batch)
    batch = _save(files, batch, cancelled_at=_now())
    if batch.remote in (None, NOW) or batch.ended_at is not None:
        return batch
    _check_whose(provider, batch)
    return _seen(files, batch, provider.cancel(batch.remote))


def _dropped(files: Files, batch: Batch) -> Batch:
    """Forget a batch that was never sent: its rows count as not asked."""
    with files.open(ledger=True) as database, database.transaction():
        database.script("unused_files", model=batch.model, batch=batch.batch)
        for table in ("requests", "batches"):
            database.run(f"DELETE FROM ledger.{table} WHERE batch = $batch", batch=batch.batch)
    return replace(batch, status="cancelled", cancelled_at=_now(), ended_at=_now(), read_at=_now())


def hold(files: Files, batch: Batch, held: str | None) -> Batch:
    """Keep why a batch is not submitted; None: it may be."""
    return _save(files, batch, held=held)


def give_up(files: Files, batch: Batch, *, billed: bool = False) -> Batch:
    """Wait for a batch no more, whatever its provider does with it: its rows count as not run.

    `billed`: the provider may run it, and what was reserved for it stays spent.
    """
    with files.open(ledger=True) as database, database.transaction():
        judge = Judge.of(database, batch.prompt)
        ended = Ended(
            batch=batch.batch, run=batch.run, requests=batch.requests, unrun=UNRUN["given up"]
        )
        responses.read(database, [ended], judge)
        database.script("unused_files", model=batch.model, batch=batch.batch)
        now = _now()
        batch = _update(database, batch, status="cancelled", cancelled_at=now, ended_at=now)
        return _closed(database, batch, {"expired": batch.requests}, billed=billed)


def _check_whose(provider: Provider, batch: Batch) -> None:
    """A batch can be fetched only where it was sent to, and must not be sent anywhere else."""
    if provider.identity != batch.identity:
        what = (
            f"{batch.batch} is for {batch.identity}, but '{provider.name}' is {provider.identity}"
        )
        hint = f"set '{provider.name}' in project.yml as it was, or enrich cancel --forget"
        raise ProviderError(what, hint=hint)


def folder(files: Files, batch: Batch) -> Path:
    """Where a batch's request and result files are; made where it is absent."""
    return made(files.work, "batches", batch.batch)


def _submit(files: Files, provider: Provider, batch: Batch) -> Batch:
    """Write, upload, intend, create; each step is committed before the next begins."""
    if batch.intended_at is not None:
        remote = _found(provider, batch)
        if remote is not None:
            batch = _seen(files, batch, remote, submitted_at=_now())
            return cancel(files, provider, batch) if batch.cancelled_at else batch
        waited = (_now() - (batch.intended_at or _now())).total_seconds()
        if waited < 0:  # the clock was put back: wait anew
            return _save(files, batch, intended_at=_now())
        if waited < provider.lost_after:
            return batch
    if batch.cancelled_at is not None:
        return give_up(files, batch)
    endpoint, attempt, file = _uploaded(files, provider, batch)
    batch = _save(files, batch, input_file=file)
    if not provider.ready(file):
        return batch
    batch = _save(files, batch, intended_at=_now())
    metadata = {
        "enrich_batch": batch.intent,
        "enrich_model": batch.model,
        "enrich_run": str(batch.run),
        "attempt": str(attempt),
    }
    try:
        remote = provider.submit(file, endpoint=endpoint, metadata=metadata)
    except Unclear as problem:
        files.say(f"{problem.message} ({problem.hint})")
        return batch
    except ProviderError:
        _save(files, batch, intended_at=None)
        raise
    return _seen(files, batch, remote, submitted_at=_now())


def _found(provider: Provider, batch: Batch) -> Remote | None:
    """The batch that an intent may have made, looked up at its provider."""
    try:
        return provider.find(batch.intent, file=batch.input_file or "")
    except Unavailable:
        raise
    except ProviderError as problem:
        what = f"{batch.batch} may have been made, and cannot be looked up: {problem.message}"
        hint = "look for it at the provider; if it is not there: enrich cancel --forget"
        raise ProviderError(what, hint=hint) from problem


def _uploaded(files: Files, provider: Provider, batch: Batch) -> tuple[str, int, str]:
    """Write the batch's request file and upload it, unless that was done; gives its endpoint, the
    highest attempt among its requests, and the id of the file.

    An upload that was begun before may be there: it is used, and what other copies there are, or
    come to light later, are left to `tidy`.
    """
    with files.open(ledger=True) as database:
        judge = Judge.of(database, batch.prompt)
        attempt = int(database.script("attempt", batch=batch.batch)[0][0])
        if batch.input_file is not None:
            return judge.endpoint, attempt, batch.input_file
        path = folder(files, batch) / _file_name(batch.batch)
        again = batch.uploading_at is not None
        _write(database, path, batch, judge)
        if again:
            database.script("spare_files", batch=batch.batch)
        else:
            _update(database, batch, uploading_at=_now())
    known = provider.uploaded(path.name) if again else ()
    return judge.endpoint, attempt, known[0] if known else provider.upload(path)


def tidy(files: Files, open_provider: Callable[[str], Provider]) -> None:
    """Delete at their providers what was uploaded and is of no use; what fails is tried again."""
    with files.open(ledger=True) as database:
        unused = database.dicts(statement("unused"))
    for each in unused:
        try:
            provider = open_provider(each["provider"])
            if provider.identity == each["identity"]:
                named = provider.uploaded(_file_name(each["batch"]))
                for file in {*named, *filter(None, [each["file"]])} - {each["used"]}:
                    provider.discard(file)
        except (ProviderError, ProjectError):
            continue
        with files.open(ledger=True) as database:
            forget = "DELETE FROM ledger.unused_files WHERE batch = $batch"
            database.run(forget, batch=each["batch"])


def _file_name(batch: str) -> str:
    """What a batch's request file is called, here and at its provider."""
    return f"{batch}.jsonl"


def _write(database: Database, path: Path, batch: Batch, judge: Judge) -> None:
    """The request file: complete or absent, and nobody else's to read."""
    part = path.with_suffix(".part")
    try:
        part.touch(mode=0o600)
        with database.unordered():
            write = request_lines(judge.endpoint, judge.prefix)
            database.run(write, batch=batch.batch, path=part)
        part.chmod(0o600)
        part.replace(path)
    except OSError as problem:
        hint = "make room, or see who may write there"
        raise DiskError(f"{path} cannot be written: {problem.strerror}", hint=hint) from problem
    except DatabaseError as problem:
        part.unlink(missing_ok=True)
        message = f"{path} cannot be written: {problem.message}"
        raise DiskError(message, hint=problem.hint) from problem


def _patience(provider: Provider) -> float:
    """Seconds for which result files may be missing that an ended batch's counts speak of."""
    return 10 * provider.lost_after


def _waited(batch: Batch, missed: int, patience: float) -> bool:
    """Whether what the counts speak of has been waited for long enough: so many seconds by this
    machine's clock, but not before a few polls."""
    seconds = (_now() - (batch.ended_at or _now())).total_seconds()
    return missed >= MOST_POLLS or (seconds >= patience and missed >= LATE_POLLS)


def _seen(
    files: Files,
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
            f"{batch.batch} was cancelled at {batch.provider} and stays cancelled: "
            f"enrich run {batch.model} asks what it did not answer"
        )
    late = remote.late and not _waited(batch, batch.late, patience)
    return _save(
        files,
        batch,
        cancelled_at=_now() if stopped else batch.cancelled_at,
        remote=remote.id,
        status=remote.status,
        completed=remote.completed,
        failed=remote.failed,
        code=remote.code,
        error=remote.error,
        result_files=remote.files,
        late=batch.late + 1 if late else 0,
        submitted_at=batch.submitted_at or submitted_at,
        ended_at=(batch.ended_at or _now()) if remote.ended else None,
    )


def _requeue(files: Files, batch: Batch) -> Batch:
    """The provider's queue was full: the same file waits for its turn again; not an attempt."""
    return _save(
        files,
        batch,
        tries=batch.tries + 1,
        remote=None,
        intended_at=None,
        ended_at=None,
        submitted_at=None,
        status=None,
        code=FULL,
    )


def _fetch(files: Files, provider: Provider, batch: Batch, *, missed: int) -> Batch:
    """Bring an ended batch's result files here. If they hold fewer lines than its counts speak of,
    they are fetched again later: it has not ended yet. That was so `missed` times before."""
    lines = 0
    for file, path in zip(batch.result_files, _result_paths(files, batch), strict=True):
        provider.fetch(file, path)
        _without_mark(path)
        lines += resultfile.survey(path).lines
    short = lines < min(batch.answered, batch.requests)
    if not short or _waited(batch, missed, _patience(provider)):
        return batch
    return _save(files, batch, late=missed + 1)


def _result_paths(files: Files, batch: Batch) -> list[Path]:
    beside = folder(files, batch)
    return [beside / f"result-{number}.jsonl" for number in range(len(batch.result_files))]


def _without_mark(path: Path) -> None:
    """Remove a byte order mark, which some servers begin a file with and no JSON reader takes."""
    with path.open("rb") as lines:
        if lines.read(len(BOM_UTF8)) != BOM_UTF8:
            return
        with path.with_suffix(".part").open("wb") as plain:
            copyfileobj(lines, plain)
    path.with_suffix(".part").replace(path)


def _save(files: Files, batch: Batch, **changes: object) -> Batch:
    if replace(batch, **changes) == batch:  # type: ignore[arg-type]
        return batch
    with files.open(ledger=True) as database:
        return _update(database, batch, **changes)


def _update(database: Database, batch: Batch, **changes: object) -> Batch:
    """Commit changes to a batch; gives the batch as it is then."""
    columns = ", ".join(f"{name} = ${name}" for name in changes)
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in changes.items()}
    database.run(
        f"UPDATE ledger.batches SET {columns} WHERE batch = $batch", batch=batch.batch, **values
    )
    return replace(batch, **changes)  # type: ignore[arg-type]


def _now() -> datetime:
    """The time in UTC, as the ledger keeps it."""
    return datetime.now(UTC).replace(tzinfo=None)
