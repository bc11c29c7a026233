"""Retry: what failed is planned again, as far as it may be; what fails alike is stopped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from enrich.compiler import tables
from enrich.compiler.body import count_line_overhead
from enrich.compiler.version import Version
from enrich.ledger.budget import Remaining
from enrich.ledger.run import Run
from enrich.pipeline import plan
from enrich.pipeline.plan import Spending
from enrich.pipeline.read import Judge, judge_again
from enrich.pipeline.withdraw import withdraw_planned
from enrich.pricing import pictures
from enrich.pricing.estimate import TokenRate
from enrich.providers.capabilities import quote_price

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider

WORTH = 0.1
"""The least share of what a budget held that makes another batch worth waiting for."""
FIRST_ANSWERS = 5
"""How many answers tell whether nearly all fail alike."""
ALIKE = 0.9
"""What nearly all is, as a share."""


def stop_run(database: Ledger, model: str, why: str) -> None:
    """Send no more of a model's latest run. Needs the ledger, in a transaction."""
    withdraw_planned(database, model)
    database.call("stopped", model=model, why=why)


def stop_hopeless(files: DatabaseFiles, database: Ledger, todo: tuple[Batch, ...]) -> None:
    """Stop the models of which nearly all answers so far failed in the same way: what was not sent
    would fail so, too, and cost as much."""
    for model in sorted({batch.model for batch in todo if not batch.sent}):
        why = _hopeless(database, Run.latest(database, model))
        if why:
            with database.transaction():
                stop_run(database, model, why)
            files.say(f"{model} is stopped: {why}")


def _hopeless(database: Ledger, run: Run) -> str:
    """Why asking more of a run makes no sense: nearly all answers to its version failed alike.

    "" if it does make sense, or if the run was told to ask failed rows anew. Needs the ledger.
    """
    if run.again or run.since:
        return ""
    ok, sent = database.call("ok_share", prompt=run.version_id)[0]
    if ok > (1 - ALIKE) * sent:  # told by the batches alone, without a look at each answer
        return ""
    found = database.call("alike", prompt=run.version_id)
    if not found:
        return ""
    outcome, many, total, reason = found[0]
    if outcome == "ok" or total < FIRST_ANSWERS or many < ALIKE * total:
        return ""
    return f"{many:,} of the first {total:,} answers are {outcome}: {reason}"


def plan_retries(
    files: DatabaseFiles,
    open_provider: Callable[[str], Provider],
    batches: Sequence[Batch],
    read: Sequence[tuple[Batch, Mapping[str, int]]],
) -> tuple[int, bool]:
    """Plan what failed of the models just `read`, as far as it may be asked again; and anew what a
    budget held of `batches`, now that it is known what the rest cost.

    Gives how many requests more are asked, and whether any batch is another than before.
    """
    failed = {batch.model for batch, outcomes in read if set(outcomes) - {"ok"}}
    held = {batch.model for batch in batches if batch.held} if read else set()
    asked, changed = 0, False
    for model in sorted(failed | held):
        waiting = [b for b in batches if b.model == model and b.held]
        with files.open_ledger() as database, database.transaction():
            run = Run.latest(database, model)
            cancelled = any(b.run == run.id and b.cancelled_at for b, _ in read)
            why = "it was cancelled" if cancelled else _hopeless(database, run)
            if why:
                stop_run(database, model, why)
            planned = 0 if why else _plan_again(database, open_provider, run, anew=bool(waiting))
        if why and not cancelled:
            files.say(f"{model} is stopped: {why}")
        asked += max(0, planned - sum(batch.requests for batch in waiting))
        changed = changed or bool(planned or waiting or why)
    return asked, changed


def _plan_again(
    database: Ledger, open_provider: Callable[[str], Provider], run: Run, *, anew: bool
) -> int:
    """Plan what of a run's requests should be asked; gives how many that are. `anew`: what was
    planned and not sent is planned again, too."""
    version = Version.from_ledger(database, run.version_id)
    judge = Judge.of(database, run.version_id)
    database.execute(tables.render_inputs_upgrade(run.model))
    database.execute(tables.render_failed_requests(run.model), since=run.since)
    database.execute(tables.render_asked_requests("_enrich_failed"))
    if anew:
        withdraw_planned(database, run.model)
    judge_again(database, judge)
    requests, _ = plan.list_todo(
        database, run, overhead=count_line_overhead(judge.endpoint, judge.prefix)
    )
    if not requests:
        return 0
    provider = open_provider(run.provider)
    prompt = version.parsed_prompt
    spending = Spending(
        rate=TokenRate.from_ledger(
            database,
            run.version_id,
            prompt,
            json.loads(version.params or "{}"),
            pictures.guess_content(version.llm, prompt.images, len(version.prefix + version.text)),
        ),
        price=quote_price(provider, version.llm),
        budget=Remaining.of_run(database, run, planned=True),
    )
    paid = plan.count_affordable(database, spending)
    if anew and paid < WORTH * requests:
        paid = 0
    paid = plan.cut_probe(spending, paid)
    cuts = plan.cut_batches(database, provider.limits, paid=paid)
    plan.assign_batches(database, run, cuts, spending, paid=paid)
    return requests
