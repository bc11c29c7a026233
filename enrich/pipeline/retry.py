"""Retry: plan failed requests again while they have attempts left; stop runs that only fail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from enrich.compiler import input_rows, tables
from enrich.compiler.version import Version
from enrich.errors import count_nouns
from enrich.ledger.budget import Remaining
from enrich.ledger.run import Run
from enrich.pipeline.fallback import pass_on
from enrich.pipeline.in_flight import list_in_flight
from enrich.pipeline.portion import (
    Spending,
    assign_batches,
    limit_results,
    list_portions,
    list_todo,
    plan_portion,
)
from enrich.pipeline.withdraw import withdraw_planned
from enrich.pricing import pictures
from enrich.pricing.estimate import TokenRate
from enrich.providers.capabilities import quote_price
from enrich.providers.refusal import read_refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider

LEAST_SHARE = 0.1
"""The least share of held requests that a budget must cover for another batch of them. Without it,
each batch that costs a little less than estimated would release a few requests, and a day of
waiting."""
LEAST_ANSWERS = 5
"""How many answers it takes to say that nearly all fail in the same way."""
ALIKE_SHARE = 0.9
"""The share that counts as nearly all."""


def stop_run(database: Ledger, model: str, why: str) -> None:
    """Stop a model's latest run: nothing more of it is sent. Needs the ledger, in a transaction."""
    withdraw_planned(database, model)
    database.call("stopped", model=model, why=why)


def stop_hopeless(files: DatabaseFiles, database: Ledger, todo: tuple[Batch, ...]) -> None:
    """Stop the models whose answers so far have nearly all failed in the same way: the rest would
    fail as well, and cost as much."""
    for model in sorted({batch.model for batch in todo if not batch.sent}):
        unsent = {b.version_id for b in todo if b.model == model and _is_unsent(b)}
        why = _explain_hopeless(database, Run.latest(database, model), unsent)
        if why:
            with database.transaction():
                stop_run(database, model, why)
            files.say(f"{model} is stopped: {why}")


def _is_unsent(batch: Batch) -> bool:
    return not batch.sent and batch.read_at is None


def _explain_hopeless(database: Ledger, run: Run, unsent: set[str]) -> str:
    """Returns why to stop a run: nearly all answers to its version failed in the same way. With a
    fallback, that is a reason only while more of the version is `unsent`.

    Returns "" if they did not, or if the run was asked to try failed rows again. Needs the ledger.
    """
    # Then the failures so far are the reason for the run, not a reason to stop it.
    if run.again or run.since:
        return ""
    for version_id in run.chain:
        why = _explain_failures(database, version_id)
        # A fallback is asked of the hard rows only. That it fails with these says something only if
        # the llm before it fails with nearly all of its rows, too.
        if not why or version_id in unsent or not run.fallbacks:
            return why
    return ""


def _explain_failures(database: Ledger, version_id: str) -> str:
    """Returns how nearly all answers to a version failed, "" if they did not."""
    ok, sent = database.call("ok_share", prompt=version_id)[0]
    # From the batches' counts, which is faster than reading the answers.
    if ok > (1 - ALIKE_SHARE) * sent:
        return ""
    found = database.call("alike", prompt=version_id)
    if not found:
        return ""
    outcome, many, total, reason = found[0]
    if outcome == "ok" or many < ALIKE_SHARE * total:
        return ""
    # A parameter is the same in all requests, so one refusal of it speaks for all.
    if total < LEAST_ANSWERS and not _is_shared(database, version_id, outcome, reason):
        return ""
    return f"{many:,} of the first {count_nouns(total, 'answer')} are {outcome}: {reason}"


def _is_shared(database: Ledger, version_id: str, outcome: str, reason: str | None) -> bool:
    """Whether a refusal is about what all requests of a version have in common."""
    params = json.loads(Version.from_ledger(database, version_id).params or "{}")
    return outcome == "error" and read_refusal(reason or "", params) is not None


def plan_retries(
    files: DatabaseFiles,
    open_provider: Callable[[str], Provider],
    batches: Sequence[Batch],
    read: Sequence[tuple[Batch, Mapping[str, int]]],
) -> tuple[int, bool]:
    """Plan again what failed in the batches just `read`, while attempts are left; and what a budget
    held of `batches`, now that the cost of the others is known.

    Returns how many more requests are asked, and whether any batches have been replaced.
    """
    failed = {batch.model for batch, outcomes in read if set(outcomes) - {"ok"}}
    held = {batch.model for batch in batches if batch.held} if read else set()
    asked, changed = 0, False
    for model in sorted(failed | held):
        waiting = [b for b in batches if b.model == model and b.held]
        with files.open_ledger() as database, database.transaction():
            run = Run.latest(database, model)
            cancelled = any(b.run == run.id and b.cancelled_at for b, _ in read)
            unsent = {b.version_id for b in batches if b.model == model and _is_unsent(b)}
            why = "it was cancelled" if cancelled else _explain_hopeless(database, run, unsent)
            if why:
                stop_run(database, model, why)
            planned = 0 if why else plan_again(database, open_provider, run, replan=bool(waiting))
        if why and not cancelled:
            files.say(f"{model} is stopped: {why}")
        asked += max(0, planned - sum(batch.requests for batch in waiting))
        changed = changed or bool(planned or waiting or why)
    return asked, changed


def plan_again(
    database: Ledger, open_provider: Callable[[str], Provider], run: Run, *, replan: bool
) -> int:
    """Plan the requests of a run that should be asked. Returns how many there are.

    `replan`: batches that have been planned and not sent are planned again as well.
    """
    versions = [Version.from_ledger(database, version_id) for version_id in run.chain]
    database.execute(input_rows.render_inputs_upgrade(run.model))
    database.execute(tables.render_failed_requests(run.model), since=run.since)
    if replan:
        withdraw_planned(database, run.model)
    list_in_flight(database)
    pass_on(database, run, versions, "_enrich_failed", record=True)
    requests, _ = list_todo(database, run)
    if not requests:
        return 0
    provider = open_provider(run.provider)
    named = {version.id: version for version in versions}
    for portion in list_portions(database, versions):
        version = named[portion.version_id]
        spending = _find_spending(database, provider, run, version)
        limits = limit_results(provider.limits, version.parsed_output)
        # Below this share, all of them stay held.
        least = LEAST_SHARE if replan else 0.0
        planned = plan_portion(database, portion, spending, limits, least=least)
        # Each portion is planned on what those before it leave.
        assign_batches(database, run, planned)
    return requests


def _find_spending(database: Ledger, provider: Provider, run: Run, version: Version) -> Spending:
    """Returns what requests of a version cost and what may be spent on them."""
    prompt = version.parsed_prompt
    return Spending(
        rate=TokenRate.from_ledger(
            database,
            version.id,
            prompt,
            json.loads(version.params or "{}"),
            pictures.guess_content(version.llm, prompt.images, len(version.prefix + version.text)),
        ),
        price=quote_price(provider, version.llm),
        budget=Remaining.of_run(database, run, planned=True),
    )
