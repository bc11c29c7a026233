"""Preview: answer a few rows now, one request at a time, and show them with their answers.

A preview sends the same requests to the same llm as a batch. So its answers go to the ledger like
any others, and no later run pays for them again. A preview is a batch of run 0, created and read in
one turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from enrich.compiler import inputs, tables
from enrich.errors import InputError, OverBudget, ProviderError
from enrich.ledger.batch import (
    PREVIEW_REMOTE,
    list_unread,
    make_batch_folder,
    name_request_file,
    save_batch,
    utc_now,
)
from enrich.ledger.budget import Remaining, find_limits
from enrich.ledger.run import Run
from enrich.pipeline import draft, plan, read
from enrich.pipeline.fetch import list_result_paths
from enrich.pipeline.plan import Cut, Spending
from enrich.pipeline.read import Judge, read_batches
from enrich.pipeline.render import measure_content
from enrich.pipeline.select import select_rows
from enrich.pipeline.write import write_requests
from enrich.pricing.estimate import TokenRate
from enrich.pricing.price import format_usd
from enrich.providers.capabilities import answer_now, quote_price
from enrich.results import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

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


IN_FLIGHT = Answered(
    inputs={}, outcome="pending", error="already asked: its batch is still running"
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
        return Rows(columns=("row", "answer", "outcome"), rows=tuple(shown)).html


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
        found = _find_answers(database, done.work, [each for each in done.fingerprints if each])
    rows = (
        found.get(
            fingerprint or "",
            Answered(inputs={}, outcome="error", error=error) if error else IN_FLIGHT,
        )
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
) -> AskedRows:
    """Answer the rows that `Compiled.only` selects. Requests that the ledger has answers to are not
    sent again. Raises what `preview_rows` raises."""
    with files.open_both(warehouse="read", attached=True) as database:
        work = draft.compile_ready(database, config, provider, model)
        few = work.narrow(where=where.strip(), limit=limit, among=among)
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
            batch = _plan_preview(database, config, provider, few, model)
    cost: float | None = 0.0
    if batch is not None:
        cost = _answer_batch(files, provider, batch, whom=f"{work.body.llm} ({provider.name})")
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
    requests, size = plan.list_todo(database, one, overhead=work.overhead)
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
    cut = Cut(start=0, requests=requests, bytes=size)
    (name,) = plan.assign_batches(database, one, [cut], spending, paid=requests)
    # Committed before the first call, so that a crash leaves a record of what may be billed.
    database.call("answering", batch=name)
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
        again=True,  # whoever previews a row that has failed wants to see what it does now
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


def _answer_requests(files: DatabaseFiles, provider: Provider, batch: Batch) -> Batch:
    """Send the requests of a preview. Returns the ended batch, which is ready to be read.

    If the provider refuses every request, the batch is deleted and the error raised.
    """
    with files.open_ledger() as database:
        judge = Judge.of(database, batch.version_id)
        requests = make_batch_folder(files, batch) / name_request_file(batch.id)
        write_requests(database, requests, batch, judge)
    # Named like a downloaded result file, because it is read like one.
    (results,) = list_result_paths(files, replace(batch, result_files=(PREVIEW_REMOTE,)))
    try:
        answer_now(provider, requests, results)
    except ProviderError:
        with files.open_ledger() as database, database.transaction():
            for table in ("requests", "batches"):
                database.execute(f"DELETE FROM ledger.{table} WHERE batch = $batch", batch=batch.id)
        raise
    except KeyboardInterrupt:  # `answer_now` has waited for the calls that it had already made
        _end_preview(files, batch, status="cancelled")
        raise
    return _end_preview(files, batch, status="completed")


def settle_previews(files: DatabaseFiles) -> list[ReadBatch]:
    """Read the results of abandoned previews. Returns the batches with their outcomes.

    A preview holds the project's lock until it is read, so any that is found unread was abandoned.
    If it was killed, which of its calls were billed is not known, and that is reported.
    """
    with files.open_ledger() as database:
        left = [batch for batch in list_unread(database) if batch.remote == PREVIEW_REMOTE]
    # Ctrl-C records how a preview ended; one without an end was killed.
    ended = [e if e.ended_at else _end_preview(files, e, status="interrupted") for e in left]
    done, troubles = read_batches(files, ended)
    for batch, outcomes in done:
        lost = outcomes.get("expired", 0) if batch.status == "interrupted" else 0
        if lost:
            cost = format_usd((batch.reserved or 0) * lost / batch.requests)
            what = f"a preview of {batch.model} was interrupted"
            files.say(f"{what}: {lost:,} of its calls may have been billed, about {cost}")
    for _, problem in troubles:
        files.say(problem.message)
    return done


def _end_preview(files: DatabaseFiles, batch: Batch, *, status: str) -> Batch:
    """Mark a preview as ended. Returns the updated batch."""
    results = make_batch_folder(files, batch) / "result-0.jsonl"
    found = (PREVIEW_REMOTE,) if results.exists() else ()
    return save_batch(files, batch, status=status, ended_at=utc_now(), result_files=found)
