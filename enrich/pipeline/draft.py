"""Drafts: a run that has been planned. `enrich run` carries it out, `enrich plan` only shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from enrich.compiler import tables
from enrich.compiler.compilation import compile_model
from enrich.compiler.version import Version
from enrich.errors import ProjectError, count_nouns
from enrich.ledger.batch import list_unread
from enrich.ledger.budget import Remaining, find_limits
from enrich.ledger.run import Run
from enrich.pipeline import diff
from enrich.pipeline.dedupe import copy_duplicates
from enrich.pipeline.fallback import foresee_fallbacks, pass_on
from enrich.pipeline.fitness import check_fitness, list_doubts
from enrich.pipeline.in_flight import keep_foreseen, list_in_flight
from enrich.pipeline.plan import Plan
from enrich.pipeline.portion import (
    Portion,
    Spending,
    limit_results,
    list_portions,
    list_todo,
    measure_spend,
    plan_portion,
)
from enrich.pipeline.read import Judge, judge_again
from enrich.pipeline.render import measure_content
from enrich.pipeline.triage import answer_by_labels
from enrich.pipeline.withdraw import withdraw_planned
from enrich.pricing.estimate import TokenRate, add_estimates
from enrich.pricing.reasoning import is_reasoning
from enrich.providers.capabilities import check_provider, quote_price

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from enrich.compiler.compilation import CompiledModel
    from enrich.db.database import Both, Ledger, Warehouse
    from enrich.db.files import DatabaseFiles
    from enrich.ledger.run import Foreseen, RunOptions
    from enrich.manifest.config import Config
    from enrich.manifest.model import Model
    from enrich.pipeline.dedupe import Copies
    from enrich.pipeline.diff import Changes, EarlierVersions
    from enrich.pipeline.portion import PlannedPortion
    from enrich.pipeline.triage import Triaged
    from enrich.pricing.estimate import Estimate
    from enrich.providers import Provider


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A plan with everything needed to carry it out. There is a portion for each of the `versions`,
    which are those of the model's llms. `has_old_marks`: rows that ask the same as
    before were not recognized by their marks."""

    run: Run
    plan: Plan
    versions: Sequence[Version]
    portions: Sequence[PlannedPortion]
    has_old_marks: bool


def compile_for(
    database: Warehouse, config: Config, provider: Provider, model: Model, *, identity: str
) -> CompiledModel:
    """Compile a model for a provider. `identity` goes into fingerprints; "" if none are looked
    up."""
    # An identity can take a while: the embedded llm's is a hash of its weights.
    check_fitness(config, provider, model)
    prompt = model.own_prompt
    llm = prompt.llm or provider.llm
    params = prompt.merge_params(config.params)
    return compile_model(database, model, llm=llm, identity=identity, params=params)


def compile_ready(
    database: Warehouse, config: Config, provider: Provider, model: Model
) -> CompiledModel:
    """Compile a model for a provider, which must be able to answer it now."""
    prompt = model.own_prompt
    check_provider(provider, images=bool(prompt.images), endpoint=prompt.endpoint)
    return compile_for(database, config, provider, model, identity=provider.identity)


def foresee_run(
    files: DatabaseFiles,
    config: Config,
    provider: Provider,
    model: Model,
    options: RunOptions,
    *,
    views: Sequence[Model] = (),
    keep: Path | None = None,
) -> Plan:
    """Returns what `start_run` would plan. It is rolled back: nothing is kept, sent or spent.

    `views` are plain models that the SELECT reads and that may not have been built yet. The
    requests that would be sent are written to the file `keep`, for the plans after this one.
    """
    texts = (text for each in (model, *views) for text in each.texts)
    with files.open_both(warehouse="read", attached=(*texts, options.where)) as database:
        for view in views:
            database.execute(tables.render_view(view.name, view.query))
        work = compile_for(database, config, provider, model, identity=provider.identity)
        work = work.limit(database, where=options.where, since=options.since)
        found = select_present(database, config, provider, work, options)
        with database.roll_back():
            drafted = draft_run(database, config, provider, work, found, options)
            if keep is not None:
                keep_foreseen(database, model.name, drafted.portions, keep)
            return drafted.plan


def select_present(
    database: Both, config: Config, provider: Provider, work: CompiledModel, options: RunOptions
) -> EarlierVersions:
    """Select the model's rows and compare them with those that the ledger knows."""
    since = _find_since(database, work, options)
    return diff.select_and_compare(
        database, work, config=config, most_bytes=provider.limits.bytes, since=since
    )


def draft_run(
    database: Both,
    config: Config,
    provider: Provider,
    work: CompiledModel,
    found: EarlierVersions,
    options: RunOptions,
) -> Draft:
    """Plan which rows of `temp._enrich_snapshot` to ask, within the caller's transaction."""
    run = _build_run(database, config, provider, work, options)
    before = database.call("latest_run", model=run.model)
    now, last = found.now, Version.from_ledger(database, before[0][2]) if before else found.now
    versions = [each.version for each in work.chain]
    triaged, copies = _reuse_answers(database, work, found, run, versions, options.foreseen)
    requests, size = list_todo(database, run)
    rows = diff.count_changes(database, found, run, versions)
    portions, spend = _plan_portions(database, provider, work, run, options.foreseen.usd)
    spending = portions[0].spending
    planned = Plan(
        model=run.model,
        provider=run.provider,
        llm=work.body.llm,
        rows=sum(rows.states.values()) + sum(rows.reasons.values()),
        states=rows.states,
        reasons=rows.reasons,
        shared_with=rows.shared_with,
        gone=rows.gone,
        requests=requests,
        batches=sum(len(each.cuts) for each in portions),
        bytes=size,
        paid=sum(each.paid for each in portions),
        first=sum(each.sent for each in portions),
        budget=str(spending.budget),
        spend=spend,
        estimate=add_estimates(
            [each.estimate for each in portions if each.portion.requests] or [portions[0].estimate]
        ),
        price=spending.price,
        pack=work.body.pack,
        alone=_estimate_alone(work, portions),
        copied=spending.estimate(requests=copies.requests, size=copies.bytes)
        if copies.requests
        else None,
        fallbacks=foresee_fallbacks(database, versions, portions),
        notes=(
            *((str(triaged),) if triaged else ()),
            *(_list_unsendable(database) if "unsendable" in rows.states else ()),
            *(_list_notes(config, provider, work, portions) if requests else ()),
        ),
    )
    planned = _compare_with_last(database, planned, now, last, rows)
    old = found.recalled.hashed > planned.rows - rows.same
    return Draft(run=run, plan=planned, versions=versions, portions=portions, has_old_marks=old)


def _plan_portions(
    database: Both, provider: Provider, work: CompiledModel, run: Run, foreseen: float
) -> tuple[list[PlannedPortion], float]:
    """Returns the portion of each llm, which may be empty, and what all of them would spend."""
    versions = [each.version for each in work.chain]
    asked = {each.version_id: each for each in list_portions(database, versions)}
    portions: list[PlannedPortion] = []
    spend = 0.0
    for each in work.chain:
        portion = asked.get(each.version_id)
        portion = portion or Portion(version_id=each.version_id, requests=0, bytes=0)
        # An llm that is not asked yet may be: only a run without requests needs no price at all.
        spending = _find_spending(
            database, provider, each, run, asks=bool(asked), foreseen=foreseen, ahead=spend
        )
        limits = limit_results(provider.limits, work.prompt.output)
        planned = plan_portion(database, portion, spending, limits)
        portions.append(planned)
        spend += measure_spend(database, planned)
    return portions, spend


def _estimate_alone(work: CompiledModel, portions: Sequence[PlannedPortion]) -> Estimate | None:
    """Returns what the rows to be packed would take if each were asked alone; None without
    packs."""
    if not work.body.pack:
        return None
    packed, alone = portions[0], portions[1]
    requests = packed.portion.requests
    known = alone.spending if alone.spending.rate.answers else packed.spending
    size = packed.portion.own + requests * work.chain[1].overhead
    return known.estimate(requests=requests, size=size)


def _list_unsendable(database: Both) -> Iterator[str]:
    """Yields how many rows cannot be sent, and why, with the most frequent reason."""
    reasons = database.execute(
        "SELECT error, count(*) FROM temp._enrich_snapshot WHERE error IS NOT NULL "
        "GROUP BY ALL ORDER BY count(*) DESC, error"
    )
    many = count_nouns(sum(number for _, number in reasons), "row")
    such = "" if len(reasons) == 1 else "for example, "
    yield from (f"{many} cannot be sent: {such}{error}" for error, _ in reasons[:1])


def _list_notes(
    config: Config, provider: Provider, work: CompiledModel, portions: Sequence[PlannedPortion]
) -> tuple[str, ...]:
    """Returns what people should know about requests before they are sent."""
    doubts = list_doubts(config, provider, work.model)
    blind = [
        each.body.llm
        for each, planned in zip(work.chain, portions, strict=True)
        if is_reasoning(each.body.llm) and not planned.spending.rate.answers
    ]
    shows = f"`enrich preview {work.model.name}` shows how much it is"
    what = "thinks before it answers, which is billed as output and not in this estimate"
    return (*doubts, *(f"{llm} {what}: {shows}" for llm in blind))


def _compare_with_last(
    database: Both, planned: Plan, now: Version, last: Version, rows: Changes
) -> Plan:
    """Returns the plan with what is different from the version last run, and from its table."""
    is_new = last.id != now.id
    return replace(
        planned,
        changed=now.list_changes(last) if is_new else (),
        diff=now.diff(last) if is_new else "",
        settled=_is_settled(now, last, rows) and _is_table_current(database, planned.model),
        held_back=_find_obstacle(database, planned.model),
    )


def _reuse_answers(
    database: Both,
    work: CompiledModel,
    found: EarlierVersions,
    run: Run,
    versions: Sequence[Version],
    foreseen: Foreseen,
) -> tuple[Triaged | None, Copies]:
    """Bring the ledger to the present version, so that only what really has to be asked is planned.
    Returns what is answered by labels, and what near-duplicates do not have to be asked."""
    for each in work.chain:
        keep_version(database, each)
    # Batches of an earlier run that were never sent would count as in flight.
    withdraw_planned(database, run.model)
    list_in_flight(database, run.model, foreseen.files)
    # Another model that asks the same may have judged these answers last, by its own output.
    judge_again(
        database, Judge.of(database, run.version_id), tables.render_own_fingerprints(versions)
    )
    if work.prompt.sample is not None and not run.since:
        diff.keep_answers(database, found, work, run)
    triaged = answer_by_labels(database, work, run)
    copies = copy_duplicates(database, work, run)
    # Before the plan: an answer that the present output accepts need not be asked again.
    pass_on(database, run, versions, "_enrich_snapshot", record=False)
    return triaged, copies


def _find_spending(
    database: Both,
    provider: Provider,
    work: CompiledModel,
    run: Run,
    *,
    asks: bool,
    foreseen: float,
    ahead: float,
) -> Spending:
    """Returns what the run's requests to one llm cost and what may be spent on them. `ahead` is USD
    that its requests to other llms will cost. `asks`: there are requests to any llm.

    Raises ProjectError if there is a budget and the price is not known.
    """
    # A run without requests needs no price, so it must not fail for lack of one.
    price = quote_price(provider, work.body.llm) if asks else None
    budget = Remaining.of_run(database, run, planned=True, foreseen=foreseen, ahead=ahead)
    # A budget that cannot be checked would be no budget.
    if asks and budget.usd is not None and price is None:
        what = f"{run.model} has a budget, but the price of {work.body.llm} is not known"
        hint = "set it under `prices:` of the provider in project.yml, or remove the budget"
        raise ProjectError(what, hint=hint)
    rate = TokenRate.from_ledger(
        database, work.version_id, work.prompt, work.params, measure_content(database, work)
    )
    return Spending(rate=rate, price=price, budget=budget)


def _is_table_current(database: Both, model: str) -> bool:
    """Whether the model's table exists, is not held back, and no batch has been read since."""
    there = database.call("exists", schema="main", name=model)
    return (
        bool(there)
        and not _find_obstacle(database, model)
        and not database.call("read_since", model=model)[0][0]
    )


def _find_obstacle(database: Ledger, model: str) -> str:
    """Returns why the latest run of a model failed; "" if it did not."""
    found = database.call("obstacle", model=model)
    return (found[0][0] or "") if found else ""


def _is_settled(now: Version, last: Version, rows: Changes) -> bool:
    """Whether the table would stay the same: no row is new, gone, changed or without its answer."""
    there = sum(rows.states.values())
    still = now.id == last.id and rows.same == there and not rows.gone
    return still and not rows.reasons and not {"in progress", "shared"} & rows.states.keys()


def _build_run(
    database: Ledger, config: Config, provider: Provider, work: CompiledModel, options: RunOptions
) -> Run:
    """Returns the run with the next number."""
    # The project's lock is held, so no other process can take the same number.
    number = int(database.fetch_one("SELECT coalesce(max(run), 0) + 1 FROM ledger.runs")[0])
    prompt = work.prompt
    return Run(
        id=number,
        model=work.model.name,
        version_id=work.version_id,
        provider=provider.name,
        max_attempts=prompt.max_attempts or config.max_attempts,
        retry=prompt.retry if prompt.retry is not None else config.retry,
        forgives=_find_forgiven(database, work, options, number),
        since=_find_since(database, work, options),
        invocation=options.invocation or number,
        limits=find_limits(config.budget, prompt.budget, options.max_cost),
        due_at=options.due_at or _find_due(database, work.model.name),
        fallbacks=tuple(each.version_id for each in work.chain[1:]),
        partitions=work.partition.condition if work.partition else "",
        read_before=database.fetch_one("SELECT coalesce(max(read_number), 0) FROM ledger.batches")[
            0
        ],
    )


def _find_due(database: Ledger, model: str) -> datetime | None:
    """Returns when the run under way has to be done, if there is one: the next one goes on with
    it."""
    if not any(batch.model == model and batch.run for batch in list_unread(database)):
        return None
    return Run.latest(database, model).due_at


def _find_since(database: Ledger, work: CompiledModel, options: RunOptions) -> int:
    """Returns the number of batches whose answers no longer count: all so far for a full refresh,
    and the same as before for a run that continues an unfinished one."""
    if options.full_refresh:
        # At least 1, because 0 means that there is no full refresh.
        read = database.fetch_one("SELECT coalesce(max(read_number), 0) FROM ledger.batches")[0]
        return max(1, int(read))
    unfinished = _find_unfinished(database, work)
    return unfinished.since if unfinished else 0


def _find_forgiven(database: Ledger, work: CompiledModel, options: RunOptions, number: int) -> int:
    """Returns before which run failures no longer count: `number`, that of this run, for a retry or
    a full refresh, and the same as before for a run that continues an unfinished one."""
    if options.retry or options.full_refresh:
        return number
    # What has failed since has been tried again, and is not paid for a third time.
    unfinished = _find_unfinished(database, work)
    return unfinished.forgives if unfinished else 0


def _find_unfinished(database: Ledger, work: CompiledModel) -> Run | None:
    """Returns the latest run of the model if this one goes on with it."""
    if not database.call("latest_run", model=work.model.name):
        return None
    last = Run.latest(database, work.model.name)
    # Batches that have not been sent are what is left of an unfinished run. Only a run of the same
    # rows goes on with it: another one would ask all of its own again.
    limits = work.partition.condition if work.partition else ""
    same = last.version_id == work.version_id and last.partitions == limits
    return last if same and database.call("unsent", model=work.model.name)[0][0] else None


def keep_version(database: Ledger, work: CompiledModel) -> None:
    """Store this version of the model, so that its answers can be read without its files."""
    values = asdict(work.version)
    database.call("prompt_kept", query=work.model.query, prompt=values.pop("id"), **values)
