"""Preview: answer a few rows now, one request at a time, and show them with their answers.

A preview sends the same requests to the same llm as a batch. So its answers go to the ledger like
any others, and no later run pays for them again. A preview is a batch of run 0 that the provider
answers at once, and that is followed to its end in one turn.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from enrich.compiler import inputs, tables
from enrich.errors import InputError, OverBudget, ProjectError, ProviderError
from enrich.ledger.batch import list_unread
from enrich.ledger.budget import Remaining, find_limits
from enrich.ledger.run import EVERY_RUN, Run
from enrich.pipeline import draft, read
from enrich.pipeline.in_flight import list_in_flight
from enrich.pipeline.poll import advance_batch
from enrich.pipeline.portion import (
    Cut,
    PlannedPortion,
    Portion,
    Spending,
    assign_batches,
    list_todo,
)
from enrich.pipeline.read import Judge, read_batches
from enrich.pipeline.render import measure_content
from enrich.pipeline.select import select_rows
from enrich.pipeline.withdraw import forget_batch
from enrich.pricing.estimate import TokenRate
from enrich.pricing.price import format_usd
from enrich.providers.capabilities import NOW_PAUSE, choose_now, quote_price
from enrich.results import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enrich.compiler.compilation import CompiledModel
    from enrich.db.database import Both, Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch, ReadBatch
    from enrich.manifest.config import Config
    from enrich.manifest.model import Model
    from enrich.providers import Provider


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A row of a preview: its cells, its outcome, and either the answer's columns or the error and
    the llm's raw text."""

    inputs: Mapping[str, Any]
    outcome: str
    error: str | None = None
    answer: Mapping[str, Any] | None = None
    raw: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


SENT = Answered(inputs={}, outcome="pending", error="already asked: its batch is still running")
PLANNED = Answered(
    inputs={},
    outcome="pending",
    error="planned, but not sent yet: enrich run sends it, and enrich cancel drops it",
)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Rows with their answers. `asked` requests were sent for it, for `cost` USD; the other rows
    had been answered before."""

    model: str
    llm: str
    provider: str
    rows: tuple[Answered, ...]
    asked: int
    cost: float | None

    def _repr_html_(self) -> str:
        shown = ((row.inputs, row.answer or row.raw or "", row.outcome) for row in self.rows)
        return Rows(columns=("row", "answer", "outcome"), rows=tuple(shown))._repr_html_()


@dataclass(frozen=True, kw_only=True)
class AskedRows:
    """Rows that have been asked: their keys as text and as `labels` for people, their cells, and
    the fingerprint of each row's request or the error that keeps it from being sent. `asked`
    requests were sent for it, for `cost` USD."""

    work: CompiledModel
    keys: list[str]
    labels: list[str]
    shown: list[dict[str, Any]]
    fingerprints: list[str | None]
    errors: list[str | None]
    asked: int
    cost: float | None


def preview_rows(
    files: DatabaseFiles,
    config: Config,
    provider: Provider,
    model: Model,
    *,
    limit: int,
    where: str = "",
) -> Preview:
    """Answer the first `limit` rows for which the SQL condition `where` is true.

    Raises OverBudget if the estimated cost exceeds what is left of a budget, and ProviderError if
    the provider refuses every request. Nothing is spent in either case.
    """
    done = ask_rows(files, config, provider, model, limit=limit, where=where)
    with files.open_ledger() as database:
        asked = [each for each in done.fingerprints if each]
        found = _find_waiting(database, asked) | _find_answers(database, done.work, asked)
    rows = (
        Answered(inputs={}, outcome="error", error=error)
        if error and fingerprint not in found
        else found.get(fingerprint or "", SENT)
        for fingerprint, error in zip(done.fingerprints, done.errors, strict=True)
    )
    return Preview(
        model=model.name,
        llm=done.work.body.llm,
        provider=provider.name,
        rows=tuple(replace(row, inputs=cells) for row, cells in zip(rows, done.shown, strict=True)),
        asked=done.asked,
        cost=done.cost,
    )


def ask_rows(
    files: DatabaseFiles,
    config: Config,
    provider: Provider,
    model: Model,
    *,
    limit: int,
    where: str = "",
    among: str | None = None,
    copied: bool = False,
) -> AskedRows:
    """Answer the rows that `CompiledModel.narrow` selects. Requests that the ledger has answers to
    are not sent again. Raises what `preview_rows` raises."""
    now = choose_now(provider)
    with files.open_both(warehouse="read", attached=(*model.texts, where)) as database:
        work = draft.compile_ready(database, config, provider, model)
        few = work.narrow(where=where.strip(), limit=limit, among=among, copied=copied)
        try:
            select_rows(database, few, config=config, most_bytes=provider.limits.bytes)
        except InputError as problem:
            # Most likely the condition is wrong: the SELECT has just been compiled without it.
            said = f"--where: {problem.message}" if where.strip() else problem.message
            raise InputError(said, hint=problem.hint) from problem
        # Of the SELECT itself, because a request holds only the cells that the prompt names.
        shown = database.fetch_dicts("SELECT * FROM temp._enrich_rows")
        rows = database.execute(inputs.render_snapshot_rows(few.key))
        with database.transaction():
            batch = _plan_preview(database, config, now, few, model)
    cost: float | None = 0.0
    if batch is not None:
        cost = _answer_batch(files, now, batch, whom=f"{work.body.llm} ({provider.name})")
    return AskedRows(
        work=work,
        keys=[key for key, _, _, _ in rows],
        labels=[label for _, label, _, _ in rows],
        shown=shown,
        fingerprints=[fingerprint for _, _, fingerprint, _ in rows],
        errors=[error for _, _, _, error in rows],
        asked=batch.requests if batch else 0,
        cost=cost,
    )


def _answer_batch(
    files: DatabaseFiles, provider: Provider, batch: Batch, *, whom: str
) -> float | None:
    """Send a preview's requests and read the answers. Returns their cost in USD."""
    files.say(f"asking {batch.requests:,} of {whom} now, for about {format_usd(batch.reserved)}")
    ended = _answer_requests(files, provider, batch)
    done, troubles = read_batches(files, [ended])
    for _, trouble in troubles:
        raise trouble
    with files.open_ledger() as database:
        query = "SELECT cost FROM ledger.batches WHERE batch = $batch"
        cost: float | None = database.fetch_one(query, batch=done[0][0].id)[0]
    return cost


def _plan_preview(
    database: Both, config: Config, provider: Provider, work: CompiledModel, model: Model
) -> Batch | None:
    """Write the requests without an answer to the ledger, as one open batch. Returns it, or
    None."""
    # The version is stored with the model as it is, without the row limit of the preview.
    draft.keep_version(database, replace(work, model=model))
    read.judge_again(database, Judge.of(database, work.version_id))
    one = _build_preview_run(config, provider, work, model)
    list_in_flight(database)
    requests, size = list_todo(database, one)
    if not requests:
        return None
    spending = Spending(
        rate=TokenRate.from_ledger(
            database, work.version_id, work.prompt, work.params, measure_content(database, work)
        ),
        price=quote_price(provider, work.body.llm, now=True),
        budget=Remaining.of_run(database, one),
    )
    cost = spending.estimate(requests=requests, size=size).usd
    # Raised rather than held: nobody waits for a preview.
    if not spending.budget.pays(cost):
        has = f"{spending.budget} has {format_usd(spending.budget.usd)} left"
        what = f"the preview would cost about {format_usd(cost)}, and {has}"
        raise OverBudget(what, hint="ask fewer rows with -n, or raise the budget")
    (name,) = assign_batches(
        database,
        one,
        PlannedPortion(
            portion=Portion(
                version_id=work.version_id,
                requests=requests,
                bytes=size,
                overhead=work.overhead,
                pack=work.body.pack,
            ),
            spending=spending,
            paid=requests,
            sent=requests,
            cuts=[Cut(start=0, requests=requests, bytes=size)],
        ),
    )
    return next(batch for batch in list_unread(database) if batch.id == name)


def _build_preview_run(
    config: Config, provider: Provider, work: CompiledModel, model: Model
) -> Run:
    """Returns run 0, which all previews belong to."""
    prompt = work.prompt
    return Run(
        id=0,
        model=model.name,
        version_id=work.version_id,
        provider=provider.name,
        max_attempts=prompt.max_attempts or config.max_attempts,
        retry=prompt.retry if prompt.retry is not None else config.retry,
        # Whoever previews a row that has failed wants to see what it does now.
        forgives=EVERY_RUN,
        since=0,
        invocation=0,
        limits=find_limits(config.budget, prompt.budget, None),
    )


def _find_answers(
    database: Ledger, work: CompiledModel, fingerprints: list[str]
) -> dict[str, Answered]:
    """Returns what the ledger has for these fingerprints."""
    judge = Judge.of(database, work.version_id)
    rows = database.fetch_dicts(
        tables.render_preview_answers(judge.output, judge.form), fingerprints=fingerprints
    )
    return {
        row["fingerprint"]: Answered(
            inputs={},
            outcome=row["outcome"],
            error=row["error"],
            answer=row["answer"],
            raw=row["raw"],
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            cost=row["cost"],
        )
        for row in rows
    }


def _find_waiting(database: Ledger, fingerprints: list[str]) -> dict[str, Answered]:
    """Returns which of these fingerprints are in batches that are planned and not sent yet."""
    planned = [each.id for each in list_unread(database) if not (each.sent or each.shared)]
    query = """SELECT DISTINCT fingerprint FROM ledger.requests
        WHERE list_contains($planned, batch) AND list_contains($fingerprints, fingerprint)"""
    rows = database.execute(query, planned=planned, fingerprints=fingerprints) if planned else []
    return {str(fingerprint): PLANNED for (fingerprint,) in rows}


def _answer_requests(files: DatabaseFiles, provider: Provider, batch: Batch) -> Batch:
    """Send the requests of a preview. Returns the ended batch, which is ready to be read.

    If the provider refuses every request, the batch is deleted and the error raised. After Ctrl-C,
    what has been sent is waited for and read, and the rest is not asked.
    """
    try:
        batch = _follow_batch(files, provider, batch)
    except ProviderError:
        left = _find_open(files, batch)
        if left.remote is None:  # otherwise it may have answers, which the next command reads
            forget_batch(files, left)
        raise
    except KeyboardInterrupt:
        batch = _find_open(files, batch)
        if batch.remote is None:
            forget_batch(files, batch)
            raise
        provider.cancel(batch.remote)
        read_batches(files, [_follow_batch(files, provider, batch)])
        raise
    if (batch.status or "").lower() == "failed" and not batch.completed:
        forget_batch(files, batch)
        hint = "`enrich debug` checks the setup; nothing was answered"
        raise ProviderError(batch.error or "the preview failed", hint=hint)
    return batch


def _follow_batch(files: DatabaseFiles, provider: Provider, batch: Batch) -> Batch:
    """Returns a batch once it has ended."""
    while not (batch := advance_batch(files, provider, batch)).ended:
        time.sleep(NOW_PAUSE)
    return batch


def _find_open(files: DatabaseFiles, batch: Batch) -> Batch:
    """Returns an open batch as the ledger knows it."""
    with files.open_ledger() as database:
        return next(each for each in list_unread(database) if each.id == batch.id)


def settle_previews(
    files: DatabaseFiles, open_provider: Callable[[str], Provider]
) -> list[ReadBatch]:
    """Read the results of abandoned previews. Returns the batches with their outcomes.

    A preview holds the project's lock until it is read, so any that is found unread was abandoned.
    Its worker does not know that: it has finished, or is waited for, since it has only a few rows.
    """
    with files.open_ledger() as database:
        left = [batch for batch in list_unread(database) if not batch.run]
    ended = []
    for batch in left:
        if not batch.sent:
            forget_batch(files, batch)
            continue
        files.say(f"reading a preview of {batch.model} that was interrupted")
        try:
            ended.append(_follow_batch(files, open_provider(batch.provider), batch))
        except (ProviderError, ProjectError) as problem:
            files.say(f"{problem.message} ({problem.hint})")
    done, troubles = read_batches(files, ended)
    for _, trouble in troubles:
        files.say(trouble.message)
    return done
