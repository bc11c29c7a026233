"""Run: one model along the line, one resumable step at a time.

    select -> render -> plan        `start`, one transaction of the ledger
    write -> submit -> poll -> fetch -> read        `turn`, each batch as far as it goes
    publish        `publish`, one transaction of the warehouse

All of it happens in turns: one process at a time holds the project's turn, and none while it waits.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enrich import batches, plan, responses, snapshot
from enrich.compiler import tables
from enrich.compiler.body import line_overhead
from enrich.compiler.compilation import compiled
from enrich.database import made
from enrich.errors import DiskError, ProjectError, ProviderError, Unavailable
from enrich.plan import Run
from enrich.publish import check_free
from enrich.responses import Judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from enrich.batches import Batch
    from enrich.compiler.compilation import Compiled
    from enrich.config import Config
    from enrich.database import Database, Files
    from enrich.errors import EnrichError
    from enrich.model import Model
    from enrich.providers import Provider


MOST_TRIES = 20
"""How often a batch may meet a full queue in which nothing of ours stands."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run as it began: rows in the SELECT, and requests planned for them.

    `answered`: the ledger holds answers, to these requests or to those of earlier runs.
    """

    run: int
    rows: int
    requests: int
    answered: bool


@dataclass(kw_only=True)
class Turn:
    """What one turn did: the batches as they stand, those that were read, and what went wrong with
    which model."""

    batches: list[Batch] = field(default_factory=list)
    read: list[tuple[Batch, Mapping[str, int]]] = field(default_factory=list)
    troubles: list[tuple[str, EnrichError]] = field(default_factory=list)
    planned: int = 0

    def open(self, model: str) -> list[Batch]:
        """The model's batches that are still under way."""
        return [batch for batch in self.batches if batch.model == model and batch.read_at is None]


@contextmanager
def turn(files: Files) -> Iterator[None]:
    """The project's turn: whoever holds it may plan, submit and read; nobody holds it waiting."""
    from filelock import FileLock, Timeout

    lock = FileLock(made(files.work) / "turn.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        files.say("another enrich is at work in this project; waiting for its turn to end")
        lock.acquire()
    except OSError as problem:
        message = f"{lock.lock_file} cannot be locked: {problem.strerror}"
        raise DiskError(message, hint="see what stands in its way") from problem
    try:
        yield
    finally:
        lock.release()


def check(files: Files, config: Config, provider: Provider, model: Model) -> Compiled:
    """Compile a model against the warehouse as it stands; nothing is read, written or spent."""
    with files.open(warehouse="read") as database:
        for schema in ("main", "enrich"):
            check_free(database, model.name, "a model", schema=schema)
        return compile_for(database, config, provider, model)


def compile_for(
    database: Database, config: Config, provider: Provider, model: Model, *, ready: bool = True
) -> Compiled:
    """Compile a model for a provider, which must be `ready` to answer."""
    prompt = model.prompt
    llm = (prompt.llm if prompt else "") or provider.llm
    params = {**config.params, **(prompt.params if prompt else {})}
    if ready and prompt is not None:
        provider.check(images=bool(prompt.images), endpoint=prompt.endpoint)
    identity = provider.identity if ready else ""
    return compiled(database, model, llm=llm, identity=identity, params=params)


def start(
    files: Files, config: Config, provider: Provider, model: Model, *, again: bool
) -> Started:
    """Snapshot the model's rows and plan what to ask; one transaction, nothing is sent.

    `again` gives rows that failed in earlier runs their attempts anew.
    """
    with files.open(warehouse="read", ledger=True) as database:
        work = compile_for(database, config, provider, model)
        rows = snapshot.take(database, work, config=config, most_bytes=provider.limits.bytes)
        with database.transaction():
            number = int(database.one("SELECT coalesce(max(run), 0) + 1 FROM ledger.runs")[0])
            run = Run(
                run=number,
                model=model.name,
                prompt=work.version,
                provider=provider.name,
                max_attempts=work.prompt.max_attempts or config.max_attempts,
                retry=work.prompt.retry if work.prompt.retry is not None else config.retry,
                again=again,
            )
            _keep(database, work)
            _remember(database, work, run)
            batches.withdraw(database, model.name)
            responses.judge_again(database, Judge.of(database, work.version))
            requests = plan.plan(database, run, overhead=work.overhead, limits=provider.limits)
            database.script(
                "run_started",
                run=run.run,
                model=run.model,
                prompt=run.prompt,
                provider=run.provider,
                max_attempts=run.max_attempts,
                retry=list(run.retry),
                again=run.again,
                rows=rows,
                requests=requests,
            )
        answered = bool(database.run(tables.answered(model.name)))
    return Started(run=number, rows=rows, requests=requests, answered=answered)


def _keep(database: Database, work: Compiled) -> None:
    """Keep this version of the model: its answers can be read without its files."""
    database.script(
        "prompt_kept",
        prompt=work.version,
        model=work.model.name,
        identity=work.identity,
        llm=work.body.llm,
        endpoint=work.body.endpoint,
        response_format=work.prompt.response_format,
        output=work.prompt.output.ddl,
        prefix=work.body.prefix,
        text=work.prompt.text,
        query=work.model.query,
    )


def _remember(database: Database, work: Compiled, run: Run) -> None:
    """Record which row stands for which request from this run on."""
    model = work.model.name
    known = database.script("inputs_key", model=model)
    if not known or database.describe("SELECT key FROM temp.snapshot")["key"] != known[0][0]:
        database.run(tables.inputs_created(model, work.key))
    database.run(tables.inputs_closed(model), run=run.run)
    database.run(tables.inputs_opened(model), run=run.run)


def advance(files: Files, open_provider: Callable[[str], Provider]) -> Turn:
    """Take every unread batch as far as it goes, and plan again what should be asked again.

    What goes wrong with one batch stops no other. Where a model's batch is refused before it was
    sent, what else was planned for the model is forgotten: it would be refused as well.
    """
    result = Turn()
    with files.open(ledger=True) as database:
        todo = batches.unread(database)
    withdrawn: set[str] = set()
    fetched: list[Batch] = []
    for batch in todo:
        if batch.model in withdrawn and not batch.sent:
            continue
        try:
            provider = open_provider(batch.provider)
            if not _may_go(batch, todo, result, provider):
                result.batches.append(batch)
                continue
            after = batches.advance(files, provider, batch)
        except (ProviderError, ProjectError) as problem:
            result.troubles.append((batch.model, problem))
            if batch.sent or (isinstance(problem, Unavailable) and any(b.sent for b in todo)):
                result.batches.append(batch)
                continue
            with files.open(ledger=True) as database, database.transaction():
                batches.withdraw(database, batch.model)
            withdrawn.add(batch.model)
            continue
        result.batches.append(after)
        if after.ended:
            fetched.append(after)
    batches.tidy(files, open_provider)
    result.read, unreadable = batches.read(files, fetched)
    result.troubles += [(batch.model, problem) for batch, problem in unreadable]
    latest = {batch.batch: batch for batch, _ in result.read}
    result.batches = [latest.get(batch.batch, batch) for batch in result.batches]
    result.planned = _again(files, open_provider, result)
    return result


def _may_go(batch: Batch, todo: tuple[Batch, ...], result: Turn, provider: Provider) -> bool:
    """Whether the provider's limits let this batch be submitted now; polling is always allowed."""
    if batch.sent:
        return True
    latest = {other.batch: other for other in (*todo, *result.batches)}
    busy = [
        other
        for other in latest.values()
        if other.provider == batch.provider and other.sent and other.ended_at is None
    ]
    limits = provider.limits
    if batch.code == batches.FULL and not busy and batch.tries > MOST_TRIES:
        what = f"{batch.batch} is refused again and again: {batch.error}"
        hint = "make batches smaller: max_requests or enqueued_tokens in project.yml"
        raise ProviderError(what, hint=hint)
    if batch.code == batches.FULL and busy:
        return False
    if limits.batches is not None and len(busy) >= limits.batches:
        return False
    if limits.enqueued_tokens is None or not busy:
        return True
    tokens = sum(other.bytes for other in (*busy, batch)) // plan.BYTES_PER_TOKEN
    return tokens <= limits.enqueued_tokens


def _again(files: Files, open_provider: Callable[[str], Provider], result: Turn) -> int:
    """Plan what failed of the models just read, as far as it may be asked again."""
    models = {
        batch.model
        for batch, outcomes in result.read
        if set(outcomes) - {"ok"} and not batch.cancelled_at
    }
    planned = 0
    for model in sorted(models):
        with files.open(ledger=True) as database, database.transaction():
            run = Run.latest(database, model)
            judge = Judge.of(database, run.prompt)
            database.run(tables.failed(model))
            responses.judge_again(database, judge)
            planned += plan.plan(
                database,
                run,
                overhead=line_overhead(judge.endpoint, judge.prefix),
                limits=open_provider(run.provider).limits,
            )
    return planned
