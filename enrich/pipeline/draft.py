"""Drafts: a run before it is one. `enrich run` carries it out, `enrich plan` only shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from enrich.compiler import tables
from enrich.compiler.compilation import compiled
from enrich.compiler.version import Version
from enrich.errors import ProjectError
from enrich.ledger.budget import Left, limits
from enrich.ledger.run import Run
from enrich.pipeline import diff, plan, snapshot
from enrich.pipeline import read as responses
from enrich.pipeline.plan import Plan, Terms
from enrich.pipeline.read import Judge
from enrich.pipeline.submit import withdraw
from enrich.pricing.estimate import Pace
from enrich.providers.capabilities import check_provider, quote_price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.compiler.compilation import Compiled
    from enrich.db.database import Database, Files
    from enrich.ledger.run import RunOptions
    from enrich.manifest.config import Config
    from enrich.manifest.model import Model
    from enrich.pipeline.diff import Changes, Earlier
    from enrich.pipeline.plan import Cut
    from enrich.providers import Provider


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A plan with all that is needed to carry it out."""

    run: Run
    plan: Plan
    cuts: Sequence[Cut]
    terms: Terms


def compile_for(
    database: Database, config: Config, provider: Provider, model: Model, *, identity: str
) -> Compiled:
    """Compile a model for a provider; `identity` is the provider's where answers are looked up."""
    prompt = model.prompt
    llm = (prompt.llm if prompt else "") or provider.llm
    params = {**config.params, **(prompt.params if prompt else {})}
    return compiled(database, model, llm=llm, identity=identity, params=params)


def compile_ready(database: Database, config: Config, provider: Provider, model: Model) -> Compiled:
    """Compile a model for a provider that could answer it now."""
    if model.prompt is not None:
        images = bool(model.prompt.images)
        check_provider(provider, images=images, endpoint=model.prompt.endpoint)
    return compile_for(database, config, provider, model, identity=provider.identity)


def foresee(
    files: Files,
    config: Config,
    provider: Provider,
    model: Model,
    order: RunOptions,
    *,
    views: Sequence[Model] = (),
) -> Plan:
    """What `start` would plan. All of it is taken back: nothing is kept, sent or spent.

    `views` are plain models that the SELECT reads, and which need not be made yet.
    """
    with files.open(warehouse="read", ledger=True, attached=True) as database:
        for view in views:
            database.run(tables.view(view.name, view.query))
        work = compile_for(database, config, provider, model, identity=provider.identity)
        snapshot.take(database, work, config=config, most_bytes=provider.limits.bytes)
        found = diff.compare(database, work, config=config)
        with database.undone():
            return drawn(database, config, provider, work, found, order).plan


def drawn(
    database: Database,
    config: Config,
    provider: Provider,
    work: Compiled,
    found: Earlier,
    order: RunOptions,
) -> Drawn:
    """Plan what to ask of `temp._enrich_snapshot`, inside a transaction of the caller's."""
    run = _numbered(database, config, provider, work, order)
    before = database.script("latest_run", model=run.model)
    now, last = found.now, Version.of(database, before[0][2]) if before else found.now
    keep(database, work)
    withdraw(database, run.model)
    if work.prompt.sample is not None and not run.since:
        diff.keep(database, found, work)
    responses.judge_again(database, Judge.of(database, work.version))
    requests, size = plan.todo(database, run, overhead=work.overhead)
    rows = diff.reasons(database, found)
    terms = _terms(database, provider, work, run, requests=requests, foreseen=order.foreseen)
    paid = plan.affordable(database, terms)
    first = plan.first_cut(terms, paid)
    cuts = plan.cut(database, provider.limits, paid=first)
    within = plan.size_of(database, paid)
    planned = Plan(
        model=run.model,
        provider=run.provider,
        llm=work.body.llm,
        rows=sum(rows.states.values()) + sum(rows.reasons.values()),
        states=rows.states,
        reasons=rows.reasons,
        gone=rows.gone,
        requests=requests,
        batches=len(cuts),
        bytes=size,
        paid=paid,
        first=first,
        budget=str(terms.budget),
        spend=terms.estimate(requests=paid, size=within).usd or 0.0,
        estimate=terms.estimate(requests=requests, size=size),
        price=terms.price,
        changed=now.changed(last) if last.prompt != now.prompt else (),
        diff=now.diff(last) if last.prompt != now.prompt else "",
        settled=_settled(now, last, rows) and _shown(database, run.model),
        held_back=_obstacle(database, run.model),
    )
    return Drawn(run=run, plan=planned, cuts=cuts, terms=terms)


def _terms(
    database: Database,
    provider: Provider,
    work: Compiled,
    run: Run,
    *,
    requests: int,
    foreseen: float,
) -> Terms:
    """What the run's requests cost, and what may be spent; a price is looked up if any is asked."""
    price = quote_price(provider, work.body.llm) if requests else None
    budget = left(database, run, foreseen=foreseen)
    if requests and budget.usd is not None and price is None:
        what = f"{run.model} has a budget, but nobody knows the price of {work.body.llm}"
        hint = "set it under `prices:` of the provider in project.yml, or take the budget out"
        raise ProjectError(what, hint=hint)
    pace = Pace.seen(
        database, work.version, work.prompt, work.params, snapshot.content(database, work)
    )
    return Terms(pace=pace, price=price, budget=budget)


def _shown(database: Database, model: str) -> bool:
    """Whether the model's table is there, is not held back, and no batch was read since."""
    there = database.script("exists", schema="main", name=model)
    return (
        bool(there)
        and not _obstacle(database, model)
        and not database.script("read_since", model=model)[0][0]
    )


def _obstacle(database: Database, model: str) -> str:
    """Why the latest run of a model did not come through; "" if it did."""
    found = database.script("obstacle", model=model)
    return (found[0][0] or "") if found else ""


def _settled(now: Version, last: Version, rows: Changes) -> bool:
    """Whether the table would be what it is: no row is new, gone, changed or without its answer."""
    there = sum(rows.states.values())
    still = now.prompt == last.prompt and rows.same == there and not rows.gone
    return still and not rows.reasons and not rows.states.get("in progress")


def _numbered(
    database: Database, config: Config, provider: Provider, work: Compiled, order: RunOptions
) -> Run:
    """The run to be."""
    number = int(database.one("SELECT coalesce(max(run), 0) + 1 FROM ledger.runs")[0])
    prompt = work.prompt
    return Run(
        run=number,
        model=work.model.name,
        prompt=work.version,
        provider=provider.name,
        max_attempts=prompt.max_attempts or config.max_attempts,
        retry=prompt.retry if prompt.retry is not None else config.retry,
        again=order.retry,
        since=_since(database, work, order),
        invocation=order.invocation or number,
        limits=limits(config.budget, prompt.budget, order.max_cost),
    )


def _since(database: Database, work: Compiled, order: RunOptions) -> int:
    """From which batch on answers count: from now on for a full refresh, and from its beginning for
    a run that goes on with one which did not come to its end."""
    if order.full_refresh:
        read = database.one("SELECT coalesce(max(read_number), 0) FROM ledger.batches")[0]
        return max(1, int(read))
    if not database.script("latest_run", model=work.model.name):
        return 0
    last = Run.latest(database, work.model.name)
    same = last.prompt == work.version and database.script("unsent", model=work.model.name)[0][0]
    return last.since if same else 0


def left(database: Database, run: Run, *, foreseen: float = 0.0) -> Left:
    """What this run may still plan to spend."""
    return Left.of(
        database,
        run.limits,
        model=run.model,
        run=run.run,
        invocation=run.invocation,
        planned=True,
        foreseen=foreseen,
    )


def keep(database: Database, work: Compiled) -> None:
    """Keep this version of the model: its answers can be read without its files."""
    database.script("prompt_kept", query=work.model.query, **asdict(work.kept))
