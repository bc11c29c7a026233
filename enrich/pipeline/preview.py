"""Preview: a few rows answered now, one request at a time, and shown beside their answers.

The answers are the same in kind as a batch's: the same request to the same llm. So they go into the
ledger like any other, and no later run pays for them again. A preview is a batch of run 0, made and
read in one turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from enrich.compiler import inputs, tables
from enrich.errors import InputError, OverBudget, ProviderError
from enrich.ledger.batch import NOW, file_name, folder, now, save, unread
from enrich.ledger.budget import Remaining, find_limits
from enrich.ledger.run import Run
from enrich.pipeline import draft, plan, read
from enrich.pipeline.fetch import result_paths
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
    from enrich.ledger.batch import Batch, Done
    from enrich.manifest.config import Config
    from enrich.manifest.model import Model
    from enrich.providers import Provider


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A row and what became of it: its cells, and its outcome with the answer's columns, or the
    error and the raw text that the llm gave."""

    inputs: Mapping[str, Any]
    outcome: str
    error: str | None = None
    answer: Mapping[str, Any] | None = None
    raw: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


BUSY = Answered(inputs={}, outcome="pending", error="asked already: its batch is under way")


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Rows with their answers. `asked` of them were asked now, for `cost` USD; the others had been
    answered before."""

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
class Asked:
    """Rows that were asked: their keys as text, and as people read them, their cells, the request
    each stands for or why it cannot be asked. `asked` of them were asked now, for `cost` USD."""

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
    """Answer the first `limit` rows that the SQL condition `where` is true for.

    Raises OverBudget where that is estimated to cost more than is left of a budget, and
    ProviderError where the provider refuses every request; nothing is spent then.
    """
    done = ask_rows(files, config, provider, model, limit=limit, where=where)
    with files.open_ledger() as database:
        found = _found(database, done.work, [each for each in done.fingerprints if each])
    rows = (
        found.get(
            fingerprint or "",
            Answered(inputs={}, outcome="error", error=error) if error else BUSY,
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
) -> Asked:
    """Have rows answered: those of `Compiled.only`. What the ledger knows is not asked again."""
    with files.open_both(warehouse="read", attached=True) as database:
        work = draft.compile_ready(database, config, provider, model)
        few = work.narrow(where=where.strip(), limit=limit, among=among)
        try:
            select_rows(database, few, config=config, most_bytes=provider.limits.bytes)
        except InputError as problem:
            said = f"--where: {problem.message}" if where.strip() else problem.message
            raise InputError(said, hint=problem.hint) from problem
        shown = database.fetch_dicts("SELECT * FROM temp._enrich_rows")
        rows = database.execute(inputs.render_snapshot_rows(few.key))
        with database.transaction():
            batch = _planned(database, config, provider, few, model)
    cost: float | None = 0.0
    if batch is not None:
        cost = _answered(files, provider, batch, whom=f"{work.body.llm} ({provider.name})")
    return Asked(
        work=work,
        keys=[key for key, _, _, _ in rows],
        labels=[label for _, label, _, _ in rows],
        shown=shown,
        fingerprints=[fingerprint for _, _, fingerprint, _ in rows],
        errors=[error for _, _, _, error in rows],
        asked=batch.requests if batch else 0,
        cost=cost,
    )


def _answered(files: DatabaseFiles, provider: Provider, batch: Batch, *, whom: str) -> float | None:
    """Have a preview's requests answered and read; gives what they cost in USD."""
    files.say(f"asking {batch.requests:,} of {whom} now, for about {format_usd(batch.reserved)}")
    ended = _answer_all(files, provider, batch)
    done, troubles = read_batches(files, [ended])
    for _, trouble in troubles:
        raise trouble
    with files.open_ledger() as database:
        query = "SELECT cost FROM ledger.batches WHERE batch = $batch"
        cost: float | None = database.fetch_one(query, batch=done[0][0].id)[0]
    return cost


def _planned(
    database: Both, config: Config, provider: Provider, work: CompiledModel, model: Model
) -> Batch | None:
    """The requests that nobody has answered yet, as one batch that is under way; or None."""
    draft.keep_version(database, replace(work, model=model))
    read.judge_again(database, Judge.of(database, work.version_id))
    prompt = work.prompt
    retry = prompt.retry if prompt.retry is not None else config.retry
    one = Run(
        id=0,
        model=model.name,
        version_id=work.version_id,
        provider=provider.name,
        max_attempts=prompt.max_attempts or config.max_attempts,
        retry=retry,
        again=True,
        since=0,
        invocation=0,
        limits=find_limits(config.budget, prompt.budget, None),
    )
    requests, size = plan.list_todo(database, one, overhead=work.overhead)
    if not requests:
        return None
    spending = Spending(
        rate=TokenRate.from_ledger(
            database, work.version_id, prompt, work.params, measure_content(database, work)
        ),
        price=quote_price(provider, work.body.llm, now=True),
        budget=Remaining.of_run(database, one),
    )
    cost = spending.estimate(requests=requests, size=size).usd
    if not spending.budget.pays(cost):
        has = f"{spending.budget} has {format_usd(spending.budget.usd)} left"
        what = f"the preview would cost about {format_usd(cost)}, and {has}"
        raise OverBudget(what, hint="ask fewer rows with -n, or raise the budget")
    cut = Cut(start=0, requests=requests, bytes=size)
    (name,) = plan.assign_batches(database, one, [cut], spending, paid=requests)
    database.call("answering", batch=name)
    return next(batch for batch in unread(database) if batch.id == name)


def _found(database: Ledger, work: CompiledModel, fingerprints: list[str]) -> dict[str, Answered]:
    """What the ledger has for each request."""
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


def _answer_all(files: DatabaseFiles, provider: Provider, batch: Batch) -> Batch:
    """Have the requests of a preview answered now; gives it as it ended, to be read.

    Where the provider refused them all, it is as if nothing had been asked.
    """
    with files.open_ledger() as database:
        judge = Judge.of(database, batch.version_id)
        requests = folder(files, batch) / file_name(batch.id)
        write_requests(database, requests, batch, judge)
    (results,) = result_paths(files, replace(batch, result_files=(NOW,)))
    try:
        answer_now(provider, requests, results)
    except ProviderError:
        with files.open_ledger() as database, database.transaction():
            for table in ("requests", "batches"):
                database.execute(f"DELETE FROM ledger.{table} WHERE batch = $batch", batch=batch.id)
        raise
    except KeyboardInterrupt:  # what had been asked was waited for, and the rest was not
        _ended_now(files, batch, status="cancelled")
        raise
    return _ended_now(files, batch, status="completed")


def settle_previews(files: DatabaseFiles) -> list[Done]:
    """Read what came in for previews that were left: who holds the turn finds none under way.

    Of one that was killed nobody knows which of its calls were answered and billed.
    """
    with files.open_ledger() as database:
        left = [batch for batch in unread(database) if batch.remote == NOW]
    ended = [e if e.ended_at else _ended_now(files, e, status="interrupted") for e in left]
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


def _ended_now(files: DatabaseFiles, batch: Batch, *, status: str) -> Batch:
    """A preview that is over."""
    results = folder(files, batch) / "result-0.jsonl"
    found = (NOW,) if results.exists() else ()
    return save(files, batch, status=status, ended_at=now(), result_files=found)
