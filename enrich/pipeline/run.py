"""Run: one model along the line, one resumable step at a time.

    select -> render -> plan        `start`, one transaction of the ledger; `foresee` takes it back
    write -> submit -> poll -> fetch -> read        `turn`, each batch as far as it goes
    publish        `publish`, one transaction of the warehouse

All of it happens in turns: one process at a time holds the project's turn, and none while it waits.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enrich.compiler import tables
from enrich.compiler.body import line_overhead
from enrich.compiler.version import Version
from enrich.db.database import made
from enrich.db.ownership import check_free
from enrich.errors import DiskError, ProjectError, ProviderError, Unavailable
from enrich.ledger.batch import FULL, hold, unread
from enrich.ledger.budget import Left
from enrich.ledger.run import Run
from enrich.pipeline import diff, draft, plan, poll, snapshot
from enrich.pipeline import read as responses
from enrich.pipeline.plan import Plan, Terms
from enrich.pipeline.preview import settle_previews
from enrich.pipeline.read import Judge, read_batches
from enrich.pipeline.submit import tidy, withdraw
from enrich.pricing import pictures
from enrich.pricing.estimate import BYTES_PER_TOKEN, Pace
from enrich.providers.capabilities import quote_price

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from enrich.compiler.compilation import Compiled
    from enrich.db.database import Database, Files
    from enrich.errors import EnrichError
    from enrich.ledger.batch import Batch
    from enrich.ledger.run import RunOptions
    from enrich.manifest.config import Config
    from enrich.manifest.model import Model
    from enrich.providers import Provider


WORTH = 0.1
"""The least share of what a budget held that makes another batch worth waiting for."""
FIRST = 5
"""How many answers tell whether nearly all fail alike."""
ALIKE = 0.9
"""What nearly all is, as a share."""
MOST_TRIES = 20
"""How often a batch may meet a full queue in which nothing of ours stands."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run as it began, and its plan.

    `answered`: the ledger holds answers, to these requests or to those of earlier runs.
    """

    run: int
    plan: Plan
    answered: bool


@dataclass(kw_only=True)
class Turn:
    """What one turn did: the batches as they stand, those that were read, and what went wrong with
    which model; how many requests are asked again, and whether any batch is another than before."""

    batches: list[Batch] = field(default_factory=list)
    read: list[tuple[Batch, Mapping[str, int]]] = field(default_factory=list)
    troubles: list[tuple[str, EnrichError]] = field(default_factory=list)
    planned: int = 0
    replanned: bool = False

    def open(self, model: str) -> list[Batch]:
        """The model's batches that are still under way."""
        return [batch for batch in self.batches if batch.model == model and batch.read_at is None]

    def held(self, models: set[str]) -> bool:
        """Whether nothing of these models is under way, because a budget holds all there is."""
        left = [batch for model in models for batch in self.open(model)]
        return bool(left) and all(batch.held for batch in left)


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


def check(
    files: Files, config: Config, provider: Provider, model: Model, *, ready: bool
) -> Compiled:
    """Compile a model against the warehouse as it stands; nothing is read, written or spent.

    `ready`: its provider must be able to answer now.
    """
    with files.open(warehouse="read", attached=True) as database:
        for schema in ("main", "enrich"):
            check_free(database, model.name, "a model", schema=schema)
        if ready:
            return draft.compile_ready(database, config, provider, model)
        return draft.compile_for(database, config, provider, model, identity="")


def start(
    files: Files, config: Config, provider: Provider, model: Model, order: RunOptions
) -> Started:
    """Snapshot the model's rows and plan what to ask; one transaction, nothing is sent."""
    with files.open(warehouse="read", ledger=True, attached=True) as database:
        work = draft.compile_ready(database, config, provider, model)
        snapshot.take(database, work, config=config, most_bytes=provider.limits.bytes)
        found = diff.compare(database, work, config=config)
        with database.transaction():
            drawn = draft.drawn(database, config, provider, work, found, order)
            run = drawn.run
            _remember(database, work, run)
            plan.assign(database, run, drawn.cuts, drawn.terms, paid=drawn.plan.first)
            database.script(
                "run_started",
                run=run.run,
                model=run.model,
                prompt=run.prompt,
                provider=run.provider,
                max_attempts=run.max_attempts,
                retry=list(run.retry),
                again=run.again,
                rows=drawn.plan.rows,
                requests=drawn.plan.requests,
                since=run.since,
                invocation=run.invocation,
                budgets=list(run.limits),
                limits=list(run.limits.values()),
            )
        answered = bool(database.run(tables.answered(model.name)))
    return Started(run=run.run, plan=drawn.plan, answered=answered)


def _remember(database: Database, work: Compiled, run: Run) -> None:
    """Record which row stands for which request from this run on."""
    model = work.model.name
    if not diff.known_rows(database, work):
        database.run(tables.inputs_created(model, work.key))
    database.run(tables.inputs_closed(model), run=run.run)
    database.run(tables.inputs_opened(model), run=run.run)


def advance(files: Files, open_provider: Callable[[str], Provider]) -> Turn:
    """Take every unread batch as far as it goes, and plan again what should be asked again.

    What goes wrong with one batch stops no other. What passes by itself is tried again in the next
    turn. Where a model's batch is refused before it was sent, what else was planned for the model
    is forgotten: it would be refused as well.
    """
    result = Turn()
    previews = settle_previews(files)
    with files.open(ledger=True) as database:
        _stop_hopeless(files, database, unread(database))
        todo = unread(database)
        proven = {str(row[0]) for row in database.script("proven")}
    stopped: set[str] = set()
    fetched: list[Batch] = []
    for batch in todo:
        if batch.model in stopped and not batch.sent:
            continue
        try:
            provider = open_provider(batch.provider)
            if not _may_go(batch, todo, result, provider, proven):
                result.batches.append(batch)
                continue
            after = _unheld(files, batch)
            if after.held is None:
                after = poll.advance(files, provider, after)
        except (ProviderError, ProjectError) as problem:
            result.troubles.append((batch.model, problem))
            if batch.sent or isinstance(problem, Unavailable):
                result.batches.append(batch)
                continue
            with files.open(ledger=True) as database, database.transaction():
                stop(database, batch.model, f"a batch was refused: {problem.message}")
            stopped.add(batch.model)
            continue
        result.batches.append(after)
        if after.ended:
            fetched.append(after)
    tidy(files, open_provider)
    result.read, unreadable = read_batches(files, fetched)
    result.troubles += [(batch.model, problem) for batch, problem in unreadable]
    latest = {batch.batch: batch for batch, _ in result.read}
    result.batches = [latest.get(batch.batch, batch) for batch in result.batches]
    _again(files, open_provider, result)
    result.read += previews
    return result


def stop(database: Database, model: str, why: str) -> None:
    """Send no more of a model's latest run. Needs the ledger, in a transaction."""
    withdraw(database, model)
    database.script("stopped", model=model, why=why)


def _stop_hopeless(files: Files, database: Database, todo: tuple[Batch, ...]) -> None:
    """Stop the models of which nearly all answers so far failed in the same way: what was not sent
    would fail so, too, and cost as much."""
    for model in sorted({batch.model for batch in todo if not batch.sent}):
        why = _hopeless(database, Run.latest(database, model))
        if why:
            with database.transaction():
                stop(database, model, why)
            files.say(f"{model} is stopped: {why}")


def _hopeless(database: Database, run: Run) -> str:
    """Why asking more of a run makes no sense: nearly all answers to its version failed alike.

    "" if it does make sense, or if the run was told to ask failed rows anew. Needs the ledger.
    """
    if run.again or run.since:
        return ""
    ok, sent = database.script("ok_share", prompt=run.prompt)[0]
    if ok > (1 - ALIKE) * sent:  # told by the batches alone, without a look at each answer
        return ""
    found = database.script("alike", prompt=run.prompt)
    if not found:
        return ""
    outcome, many, total, reason = found[0]
    if outcome == "ok" or total < FIRST or many < ALIKE * total:
        return ""
    return f"{many:,} of the first {total:,} answers are {outcome}: {reason}"


def _may_go(
    batch: Batch, todo: tuple[Batch, ...], result: Turn, provider: Provider, proven: set[str]
) -> bool:
    """Whether this batch may be submitted now; polling is always allowed.

    The provider's limits are kept. The first batch of a version goes alone, if it costs anything:
    should all of it fail, the others are not paid for.
    """
    if batch.sent:
        return True
    latest = {other.batch: other for other in (*todo, *result.batches)}
    if batch.prompt not in proven and batch.reserved != 0 and not batch.held:
        alone = (other for other in latest.values() if other.prompt == batch.prompt)
        if any(other.sent and other.batch != batch.batch for other in alone):
            return False
    busy = [
        other
        for other in latest.values()
        if other.provider == batch.provider and other.sent and other.ended_at is None
    ]
    limits = provider.limits
    if batch.code == FULL and not busy and batch.tries > MOST_TRIES:
        what = f"{batch.batch} is refused again and again: {batch.error}"
        hint = "make batches smaller: max_requests or enqueued_tokens in project.yml"
        raise ProviderError(what, hint=hint)
    if batch.code == FULL and busy:
        return False
    if limits.batches is not None and len(busy) >= limits.batches:
        return False
    if limits.enqueued_tokens is None or not busy:
        return True
    tokens = sum(other.bytes for other in (*busy, batch)) // BYTES_PER_TOKEN
    return tokens <= limits.enqueued_tokens


def _unheld(files: Files, batch: Batch) -> Batch:
    """The batch, held if a budget that bears on it does not pay for it. What is held already waits
    to be planned anew, for meanwhile somebody else may have asked the same."""
    if batch.sent or batch.held:
        return batch
    with files.open(ledger=True) as database:
        run = Run.latest(database, batch.model)
        left = Left.of(
            database, run.limits, model=run.model, run=run.run, invocation=run.invocation
        )
    return hold(files, batch, None if left.pays(batch.reserved) else str(left))


def _again(files: Files, open_provider: Callable[[str], Provider], result: Turn) -> None:
    """Plan what failed of the models just read, as far as it may be asked again; and anew what a
    budget held, now that it is known what the rest cost."""
    failed = {batch.model for batch, outcomes in result.read if set(outcomes) - {"ok"}}
    held = {batch.model for batch in result.batches if batch.held} if result.read else set()
    for model in sorted(failed | held):
        waiting = [b for b in result.batches if b.model == model and b.held]
        with files.open(ledger=True) as database, database.transaction():
            run = Run.latest(database, model)
            cancelled = any(b.run == run.run and b.cancelled_at for b, _ in result.read)
            why = "it was cancelled" if cancelled else _hopeless(database, run)
            if why:
                stop(database, model, why)
            planned = 0 if why else _replan(database, open_provider, run, anew=bool(waiting))
        if why and not cancelled:
            files.say(f"{model} is stopped: {why}")
        result.planned += max(0, planned - sum(batch.requests for batch in waiting))
        result.replanned = result.replanned or bool(planned or waiting or why)


def _replan(
    database: Database, open_provider: Callable[[str], Provider], run: Run, *, anew: bool
) -> int:
    """Plan what of a run's requests should be asked; gives how many that are. `anew`: what was
    planned and not sent is planned again, too."""
    version = Version.of(database, run.prompt)
    judge = Judge.of(database, run.prompt)
    database.run(tables.inputs_completed(run.model))
    database.run(tables.failed(run.model), since=run.since)
    if anew:
        withdraw(database, run.model)
    responses.judge_again(database, judge)
    requests, _ = plan.todo(database, run, overhead=line_overhead(judge.endpoint, judge.prefix))
    if not requests:
        return 0
    provider = open_provider(run.provider)
    prompt = version.asked
    terms = Terms(
        pace=Pace.seen(
            database,
            run.prompt,
            prompt,
            json.loads(version.params or "{}"),
            pictures.unmeasured(version.llm, prompt.images, len(version.prefix + version.text)),
        ),
        price=quote_price(provider, version.llm),
        budget=draft.left(database, run),
    )
    paid = plan.affordable(database, terms)
    if anew and paid < WORTH * requests:
        paid = 0
    paid = plan.first_cut(terms, paid)
    cuts = plan.cut(database, provider.limits, paid=paid)
    plan.assign(database, run, cuts, terms, paid=paid)
    return requests
