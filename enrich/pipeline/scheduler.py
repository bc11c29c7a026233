"""Scheduler: run models in the order of their SQL, one turn at a time.

A turn advances every batch as far as possible, publishes what has been read, and starts the models
that were waiting for it. `run_models` takes turns until its models are finished; `enrich status`
takes one.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from enrich.compiler.compilation import describe_select
from enrich.errors import DiskError, EnrichError, InputError, Locked, Unavailable, count_nouns
from enrich.ledger.batch import describe_standing, list_unread
from enrich.ledger.budget import Remaining
from enrich.ledger.queue import (
    Waiting,
    dequeue,
    enqueue,
    find_obstacle,
    join_run,
    list_ready,
    list_waiting,
)
from enrich.ledger.run import Run
from enrich.ledger.state import State
from enrich.pipeline.backoff import Backoff
from enrich.pipeline.backup import back_up
from enrich.pipeline.deliver import deliver_copies, has_copies
from enrich.pipeline.listener import Progress
from enrich.pipeline.lock import hold_project
from enrich.pipeline.preview import settle_previews
from enrich.pipeline.publish import build_model, check_answers
from enrich.pipeline.release import find_tests, publish_models, refresh_books, report_results
from enrich.pipeline.run import start_run
from enrich.pipeline.seed import load_seeds
from enrich.pipeline.turn import advance_batches
from enrich.pipeline.upkeep import USUAL_BACKLOG, tidy_files, tidy_project
from enrich.providers.capabilities import read_notice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from enrich.db.database import Ledger
    from enrich.ledger.batch import ReadBatch
    from enrich.ledger.run import RunOptions
    from enrich.manifest.model import Model
    from enrich.pipeline.flow import Flow
    from enrich.pipeline.turn import Turn

NOT_STARTED = "failed"
NOT_PUBLISHED = "could not be published"
HELD_BACK = "was held back by its tests"


def run_models(
    flow: Flow, picked: Sequence[Model], provider: str | None, options: RunOptions, *, detach: bool
) -> None:
    """Load changed seeds and run these models, each after those it reads. Returns when they are
    finished or a budget holds the rest; with `detach`, after the first turn.

    Raises the first problem that kept a model from being started or published, after the others
    are finished.
    """
    flow = replace(flow, silent=len(picked) == 1)
    with hold_project(flow.files):
        load_seeds(flow, readers=picked)
        flow.check(picked, provider, refresh=options.full_refresh)
        settle_previews(flow.files, flow.workspace.open_provider)
    # Other commands may have models in the queue as well, so each command has an id.
    command, names = uuid4().hex[:12], {each.name for each in picked}
    try:
        with hold_project(flow.files):
            _start_or_queue(flow, picked, provider, options, command)
        _take_turns(flow, names, command, detach=detach)
        _report_spending(flow, names)
        _raise_problem(flow, names)  # last, so that the other models are finished
    except EnrichError:
        _end_command(flow, picked)  # other models may have been answered
        raise
    _end_command(flow, picked, look=True)


def _end_command(flow: Flow, models: Iterable[Model], *, look: bool = False) -> None:
    """Copy the tables of these models to where they are published (`look`: see there), back up the
    ledger, and then tidy up after batches that are in it."""
    deliver_copies(flow, models, look=look)
    back_up(flow.workspace)
    tidy_project(flow.workspace)


def _take_turns(flow: Flow, names: set[str], command: str, *, detach: bool) -> None:
    """Take turns until the command has no open batches, or waiting has become pointless."""
    backoff = Backoff()
    while True:
        with _dequeue_on_error(flow, command):
            with hold_project(flow.files):
                turn = take_turn(flow, command)
                _show_progress(flow, turn)
            _raise_refusal(turn, names)
            _raise_held_back(flow, names)
        with flow.files.open_ledger() as database:
            left = [each for each in list_waiting(database) if each.command == command]
        under_way = {name for name in names if turn.list_open(name)}
        still = all(batch.held for batch in turn.batches)  # waiting would change nothing
        hopeful = backoff.note(turn, flow.listener)
        if detach or still or not (left or under_way) or turn.are_held(under_way):
            return
        if not hopeful:
            flow.listener.say("giving up for now; nothing is lost, and `enrich status` tries again")
            return
        backoff.sleep_after(turn, flow.workspace.open_provider, flow.listener)


def _raise_problem(flow: Flow, names: set[str]) -> None:
    """Raise the first problem that kept one of these models from being started or published.

    The command's problems are cleared, so that they are not reported again.
    """
    problems = flow.found.problems
    own = [(n, p) for n, p in problems.items() if n in names or n in flow.graph.broken]
    problems.clear()
    for name, problem in own[:1]:
        # A command has several models, so the message must say which one it is about.
        if name in problem.message:
            raise problem
        raise type(problem)(f"{name}: {problem.message}", hint=problem.hint) from problem


def _raise_refusal(turn: Turn, names: set[str]) -> None:
    """Raise the error of a model whose batch was refused. Transient errors are waited for."""
    for name, trouble in turn.troubles:
        if name in names and not isinstance(trouble, Unavailable):
            raise trouble


def _raise_held_back(flow: Flow, names: set[str]) -> None:
    """With `fail_fast`, raise InputError for the first table that its tests hold back."""
    for name in sorted(names if flow.fail_fast else ()):
        results = flow.found.results.get(name, ())
        failed = [each.test for each in results if each.verdict == "fail"]
        if failed:
            what = f"'{name}' is held back: the test {failed[0]} fails"
            raise InputError(what, hint=f"enrich test {name} shows its rows")


def _report_spending(flow: Flow, names: set[str]) -> None:
    """Report what has been spent of the budgets of the command's runs of these models, each budget
    once."""
    sentences: dict[str, None] = {}
    with flow.files.open_ledger() as database:
        for run in _list_own_runs(flow, database, names):
            left = Remaining.of_run(database, run)
            if left.account:
                # Models share the budgets of a run and a month, which are reported once.
                whose = "" if left.scope in ("run", "month") else f"{run.model}: "
                sentences[f"{whose}{left.account}"] = None
    for sentence in sentences:
        flow.listener.say(sentence)


def _list_own_runs(flow: Flow, database: Ledger, names: set[str]) -> Iterator[Run]:
    """Yields the command's runs of these models, whichever process started them."""
    # The latest run of a model may be that of another command, which goes on at the same time.
    own = {name: run for name, run in flow.found.runs.items() if name in names}
    invocations = {run.invocation for run in own.values()}
    for name in sorted(names):
        if name in own:
            yield own[name]
        elif database.call("latest_run", model=name):
            latest = Run.latest(database, name)
            if latest.invocation in invocations:
                yield latest


def follow_batches(flow: Flow) -> None:
    """Take one turn and report what went wrong in it, without raising it."""
    with hold_project(flow.files):
        turn = take_turn(flow)
    models: Iterable[Model] = ()
    if has_copies(flow.config):
        with suppress(EnrichError):  # what is wrong with the models has been reported
            models = flow.graph.models.values()
    _end_command(flow, models)
    # One outage is the trouble of many batches.
    for sentence in dict.fromkeys(f"{t.message} ({t.hint})" for _, t in turn.troubles):
        flow.listener.say(sentence)


def take_turn(flow: Flow, command: str = "") -> Turn:
    """Advance every batch, publish what has been read, and start the models that waited for it.

    A problem with a model of `command` ends that model's part of the command. With any other model,
    it is reported and the model keeps waiting.
    """
    # A model that could not be started stays queued and ready, and must not be tried again at once.
    tried: set[str] = set()
    troubles: list[tuple[str, EnrichError]] = []
    done: list[ReadBatch] = []
    while True:
        turn = _advance_and_publish(flow)
        turn.troubles[:0] = troubles
        turn.read[:0] = done
        with flow.files.open_ledger() as database:
            ready = [each for each in list_ready(database) if each.model not in tried]
        # What was started may have been answered already, so batches are advanced once more.
        if not ready:
            return turn
        troubles, done = turn.troubles, turn.read
        for each in ready:
            tried.add(each.model)
            _start_waiting(flow, each, command)


def _advance_and_publish(flow: Flow) -> Turn:
    """Advance every batch as far as possible, and publish what has been read."""
    listener = flow.listener
    turn = advance_batches(flow.files, flow.workspace.open_provider)
    for batch, outcomes in turn.read:
        if (batch.status or "").lower() == "failed" and not outcomes:
            why = batch.error or batch.code
            listener.say(f"{batch.id} failed before any of it was run: {why}")
            continue
        parts = ", ".join(f"{many:,} {word}" for word, many in outcomes.items())
        why = f"; {batch.error}" if batch.error and batch.status == "expired" else ""
        listener.say(f"{batch.id} {batch.status}: {batch.requests:,} sent = {parts}{why}")
    with flow.files.open_ledger() as database:
        unpublished = {str(row[0]) for row in database.call("unpublished")}
    unpublished |= flow.found.started
    flow.found.started.clear()
    _publish(flow, unpublished)
    if turn.read or unpublished:
        refresh_books(flow)
    if turn.read:
        tidy_files(flow.workspace, most=len(turn.read) + USUAL_BACKLOG)
    if turn.planned:
        verb = "is" if turn.planned == 1 else "are"
        listener.say(f"{count_nouns(turn.planned, 'request')} {verb} asked again")
    if turn.replanned:  # after the batches had been listed
        with flow.files.open_ledger() as database:
            turn.batches = list(list_unread(database))
    return turn


def _publish(flow: Flow, names: set[str]) -> None:
    publish_models(flow, names, partial(_skip_after, flow, why=NOT_PUBLISHED))


def _show_progress(flow: Flow, turn: Turn) -> None:
    """Report the progress of each model."""
    # The requests of shared batches are counted where they are sent.
    sent = [batch for batch in turn.batches if not batch.shared]
    seen = [*sent, *(batch for batch, _ in turn.read)]
    names = sorted({batch.model for batch in seen})
    if not names:
        return
    with flow.files.open_ledger() as database:
        figures = {name: database.call("progress", model=name)[0] for name in names}
    for name, (total, answered, failed, spent, tokens, rate) in figures.items():
        own = [batch for batch in seen if batch.model == name]
        words = {"read" if batch.read_at else describe_standing(batch) for batch in own}
        # Batches that have been read say nothing about a model that still has open ones.
        words = words - {"read"} or {"done"}
        flow.listener.progress(
            Progress(
                model=name,
                total=int(total),
                answered=int(answered),
                failed=int(failed),
                spent=spent,
                tokens=int(tokens),
                rate=float(rate),
                state=", ".join(sorted(words)),
            )
        )


def _start_or_queue(
    flow: Flow, picked: Sequence[Model], provider: str | None, options: RunOptions, command: str
) -> None:
    """Start the models that depend on no other picked model, and queue the rest. Models after one
    that failed are skipped.

    Queuing comes last: if the process is killed before, no queued model can start without the
    models that it reads.
    """
    later = {each.name: flow.list_upstream(each, picked) for each in picked}
    first = [each for each in picked if not later[each.name]]
    options, stopped = _start_first(flow, first, provider, options)
    with flow.files.open_ledger() as database, database.transaction():
        for name, after in later.items():
            cause = next((other for other in after if other in stopped), "")
            if cause:
                _report_skipped(flow, name, cause, stopped[cause])
            elif after:
                row = Waiting(
                    model=name,
                    command=command,
                    after=after,
                    provider=provider or "",
                    options=options,
                    variables=flow.workspace.variables,
                )
                enqueue(database, row)


def _start_first(
    flow: Flow, first: Sequence[Model], provider: str | None, options: RunOptions
) -> tuple[RunOptions, dict[str, str]]:
    """Start these models. Returns the options, which name the command's first run, and why each of
    the models that failed did."""
    stopped: dict[str, str] = {}
    for each in first:
        if each.name not in flow.found.problems:
            try:
                options = _start_model(flow, each, provider, options)
            except (Locked, DiskError):
                raise
            except EnrichError as problem:
                flow.fail(each.name, problem)
                stopped[each.name] = NOT_STARTED
        else:
            stopped[each.name] = NOT_STARTED
        if each.name in flow.found.problems:
            stopped.setdefault(each.name, NOT_PUBLISHED)
        if _was_held_back(flow, each.name):
            stopped[each.name] = HELD_BACK
    return options, stopped


def _was_held_back(flow: Flow, name: str) -> bool:
    """Whether this command built a plain model that its tests held back."""
    return name in flow.found.built and bool(flow.found.built[name].held_back)


@contextmanager
def _dequeue_on_error(flow: Flow, command: str) -> Iterator[None]:
    """If the block raises, take the command's models out of the queue."""
    try:
        yield
    except EnrichError:
        with flow.files.open_ledger() as database:
            left = [each.model for each in list_waiting(database) if each.command == command]
            dequeue(database, left)
        raise


def _start_model(flow: Flow, model: Model, provider: str | None, options: RunOptions) -> RunOptions:
    """Build a plain model, or start an enrichment model's run. Returns the options, which name the
    command's first run from then on."""
    flow.check_seeds(model)
    if not model.asks:
        _build_plain_model(flow, model, refresh=options.full_refresh)
        return options
    chosen = flow.open_provider(model, provider)
    llm = model.own_prompt.llm or chosen.llm
    prices = flow.find_other_prices(chosen, llm, options.due_at)
    result = start_run(flow.files, flow.config, chosen, model, options)
    planned = result.plan.with_notes(flow.graph.find_unstable(model.name), prices)
    for sentence in (str(planned), *planned.notes):
        flow.listener.say(sentence)
    notice = read_notice(chosen)
    if notice and result.plan.requests:
        flow.workspace.say_once(notice)
    if result.answered or not result.plan.requests:
        flow.found.started.add(model.name)
    flow.found.runs.setdefault(model.name, result.run)
    return replace(options, invocation=result.run.invocation)


def _build_plain_model(flow: Flow, model: Model, *, refresh: bool) -> None:
    """Build a plain model's view or table, and report the results of its tests."""
    tests = find_tests(flow, model, flow.workspace.sql_tests)
    texts = (*model.texts, *(test.definition for test in tests))
    with flow.files.open_warehouse(attached=texts) as database:
        check_answers(database, model, refresh=refresh)
        describe_select(database, model)
        found = build_model(database, model, tests, folder=flow.files.work)
    report_results(flow, found)
    made_at = None if found.held_back else datetime.now(UTC).replace(tzinfo=None)
    flow.found.built[model.name] = State(
        model=model.name, kind=model.kind, held_back=found.held_back, published_at=made_at
    )
    if not found.held_back:
        flow.listener.say(f"{model.name}: created the {model.kind}")


def _start_waiting(flow: Flow, each: Waiting, command: str) -> None:
    """Start a model that waited, unless one before it has failed."""
    with flow.files.open_ledger() as database:
        stuck = find_obstacle(database, each)
        if stuck:
            dequeue(database, [each.model])
    if stuck:
        _report_skipped(flow, each.model, *stuck)
        _skip_after(flow, stuck[0], why=stuck[1])
        return
    # Whoever takes this turn may have other variables than the command that queued the model.
    own = flow.with_variables(each.variables)
    why = ""
    try:
        options = _start_model(own, own.graph.find_model(each.model), each.provider, each.options)
    except (Locked, DiskError):
        raise
    except EnrichError as problem:
        # Its own command, which would report the error, has ended: a later turn may succeed.
        if each.command != command:
            flow.listener.say(f"{each.model} is waiting: {problem.message}; {problem.hint}")
            again = f"it is tried again each time; to stop that: enrich cancel {each.model}"
            flow.listener.say(again)
            return
        flow.fail(each.model, problem)
        options, why = each.options, NOT_STARTED
    if _was_held_back(flow, each.model):
        why = HELD_BACK
    with flow.files.open_ledger() as database:
        dequeue(database, [each.model])
        if options.invocation:
            join_run(database, each.command, options.invocation)
    if why:
        _skip_after(flow, each.model, why=why)


def _skip_after(flow: Flow, name: str, *, why: str) -> None:
    """Take the models that wait for this one out of the queue, because it has failed."""
    with flow.files.open_ledger() as database:
        left = [each.model for each in list_waiting(database) if name in each.after]
        dequeue(database, left)
    for other in left:
        _report_skipped(flow, other, name, why)


def _report_skipped(flow: Flow, name: str, cause: str, why: str) -> None:
    flow.listener.say(f"skipped {name}: upstream model {cause} {why}")
