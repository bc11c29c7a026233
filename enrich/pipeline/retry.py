"""Retry: plan failed requests again while they have attempts left; stop runs that only fail."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.compiler import input_rows, tables
from enrich.compiler.version import Version
from enrich.errors import count_nouns
from enrich.ledger.budget import Remaining
from enrich.ledger.run import Run
from enrich.pipeline.answer_tables import judge_model
from enrich.pipeline.fallback import pass_on
from enrich.pipeline.in_flight import await_shared, list_in_flight, list_released
from enrich.pipeline.portion import (
    Spending,
    assign_batches,
    limit_results,
    list_portions,
    list_todo,
    plan_portion,
)
from enrich.pipeline.read import Judge, judge_again
from enrich.pipeline.withdraw import withdraw_planned, withdraw_waiting
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
    return not batch.sent and not batch.shared and batch.read_at is None


def _explain_hopeless(database: Ledger, run: Run, unsent: set[str]) -> str:
    """Returns why to stop a run: nearly all answers to its version failed in the same way. With a
    fallback, that is a reason only while more of the version is `unsent`.

    Returns "" if they did not, or if the run was asked to try failed rows again. Needs the ledger.
    """
    # Then the failures so far are the reason for the run, not a reason to stop it.
    if run.again or run.since:
        return ""
    for version_id in run.chain:
        why = _explain_failures(database, run, version_id)
        # A fallback is asked of the hard rows only. That it fails with these says something only if
        # the llm before it fails with nearly all of its rows, too.
        if not why or version_id in unsent or not run.fallbacks:
            return why
    return ""


def _explain_failures(database: Ledger, run: Run, version_id: str) -> str:
    """Returns how nearly all answers to a version failed, "" if they did not."""
    if (version_id,) in database.call("asked_elsewhere", model=run.model):
        # Each model counts the answers to its own rows, and judges them by its own output.
        heard = tables.render_heard_fingerprints(run.model, version_id)
        judge_again(database, Judge.of(database, run.version_id), heard)
    else:
        ok, sent = database.call("ok_share", prompt=version_id)[0]
        # From the batches' counts, which is faster than reading the answers.
        if ok > (1 - ALIKE_SHARE) * sent:
            return ""
    found = database.execute(tables.render_alike(run.model, version_id))
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


@dataclass(frozen=True, kw_only=True)
class Replanned:
    """What planning a run again has come to: how many `requests` are asked, of which so many for
    the `first` time, and whether the run was `stopped`."""

    requests: int = 0
    first: int = 0
    stopped: bool = False


def plan_retries(
    files: DatabaseFiles,
    open_provider: Callable[[str], Provider],
    batches: Sequence[Batch],
    read: Sequence[tuple[Batch, Mapping[str, int]]],
) -> tuple[int, bool]:
    """Plan again what failed in the batches just `read`, while attempts are left; what a budget
    held of `batches`, now that the cost of the others is known; and what models have left to others
    that ask the same, if these will not answer it.

    Returns how many more requests are asked, and whether any batches have been replaced.
    """
    failed = {batch.model for batch, outcomes in read if set(outcomes) - {"ok"}}
    held = {batch.model for batch in batches if batch.held} if read else set()
    asked, changed = 0, False
    for run in _list_runs(files, failed | held):
        waiting = sum(b.requests for b in batches if b.model == run.model and b.held)
        cancelled = any(b.run == run.id and b.cancelled_at for b, _ in read)
        done = _plan_or_stop(
            files, open_provider, run, batches, cancelled=cancelled, replan=bool(waiting)
        )
        asked += max(0, done.requests - waiting)
        changed = changed or bool(done.requests or waiting or done.stopped)
    awaiting = {batch.model for batch in batches if batch.awaits}
    # Only now: what a model has just planned is waited for by the others that ask the same.
    for run in _list_runs(files, _find_released(files) if awaiting else set()):
        done = _plan_or_stop(files, open_provider, run, batches, cancelled=False, replan=False)
        if done.first:
            taken = count_nouns(done.first, "request")
            files.say(f"{run.model}: {taken} left to another model {_agree(done.first)} asked now")
        asked += done.requests - done.first
        changed = True
    return asked, changed


def _agree(many: int) -> str:
    return "is" if many == 1 else "are"


def _list_runs(files: DatabaseFiles, models: set[str]) -> list[Run]:
    """Returns the latest runs of these models, in the order in which they were started."""
    if not models:
        return []
    with files.open_ledger() as database:
        return sorted((Run.latest(database, model) for model in models), key=lambda run: run.id)


def _find_released(files: DatabaseFiles) -> set[str]:
    with files.open_ledger() as database:
        return list_released(database)


def _plan_or_stop(
    files: DatabaseFiles,
    open_provider: Callable[[str], Provider],
    run: Run,
    batches: Sequence[Batch],
    *,
    cancelled: bool,
    replan: bool,
) -> Replanned:
    """Plan a run again, or stop it if it was `cancelled`, or if nearly all of its answers fail
    alike."""
    with files.open_ledger() as database, database.transaction():
        unsent = {b.version_id for b in batches if b.model == run.model and _is_unsent(b)}
        why = "it was cancelled" if cancelled else _explain_hopeless(database, run, unsent)
        if why:
            stop_run(database, run.model, why)
        requests = 0 if why else plan_again(database, open_provider, run, replan=replan)
        tried = "SELECT count(*) FILTER (attempt = 1) FROM temp._enrich_todo"
        (first,) = database.fetch_one(tried) if requests else (0,)
    if why and not cancelled:
        files.say(f"{run.model} is stopped: {why}")
    return Replanned(requests=requests, first=int(first), stopped=bool(why))


def plan_again(
    database: Ledger, open_provider: Callable[[str], Provider], run: Run, *, replan: bool
) -> int:
    """Plan the requests of a run that should be asked. Returns how many there are.

    `replan`: batches that have been planned and not sent are planned again as well, not only those
    that await others.
    """
    versions = [Version.from_ledger(database, version_id) for version_id in run.chain]
    database.execute(input_rows.render_inputs_upgrade(run.model))
    # A model that asks the same may have judged the answers last.
    judge_model(database, run.model, Judge.of(database, run.version_id))
    database.execute(tables.render_failed_requests(run.model), since=run.since)
    withdraw = withdraw_planned if replan else withdraw_waiting
    withdraw(database, run.model)
    list_in_flight(database, run.model)
    pass_on(database, run, versions, "_enrich_failed", record=True)
    requests, _ = list_todo(database, run)
    if requests:
        _assign_again(database, open_provider, run, versions, replan=replan)
    await_shared(database, run, versions)
    return requests


def _assign_again(
    database: Ledger,
    open_provider: Callable[[str], Provider],
    run: Run,
    versions: Sequence[Version],
    *,
    replan: bool,
) -> None:
    """Write the requests of `temp._enrich_todo` to the ledger as batches."""
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
