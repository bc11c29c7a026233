"""Scheduler: models run in the order of their SQL, a turn at a time.

One turn takes every batch as far as it goes, publishes what was read, and begins whatever waited
for that. `run_models` takes turns until its models are through; `enrich status` takes one.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from enrich.compiler.compilation import described
from enrich.errors import DiskError, EnrichError, InputError, Locked, Unavailable
from enrich.ledger.batch import standing, unread
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
from enrich.pipeline.listener import Progress
from enrich.pipeline.lock import hold_project
from enrich.pipeline.preview import settle_previews
from enrich.pipeline.publish import build_model, check_answers
from enrich.pipeline.release import find_tests, publish_models, refresh_books, tell_results
from enrich.pipeline.run import start_run
from enrich.pipeline.seed import load_seeds
from enrich.pipeline.turn import advance_batches
from enrich.providers.capabilities import read_notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from enrich.ledger.batch import Done
    from enrich.ledger.run import RunOptions
    from enrich.manifest.model import Model
    from enrich.pipeline.flow import Flow
    from enrich.pipeline.turn import Turn

NOT_BEGUN = "failed"
NOT_PUBLISHED = "could not be published"
HELD_BACK = "was held back by its tests"


def run_models(
    flow: Flow, picked: Sequence[Model], provider: str | None, options: RunOptions, *, detach: bool
) -> None:
    """Run these models, each after those it reads, once their seeds are loaded; returns when they
    are through, or a budget holds what is left. `detach`: after the first turn.

    Raises the first of what kept a model from being begun or published, after the others are
    through.
    """
    with hold_project(flow.files):
        load_seeds(flow)
        flow.check(picked, provider, refresh=options.full_refresh)
        settle_previews(flow.files)
    command, names = uuid4().hex[:12], {each.name for each in picked}
    try:
        with hold_project(flow.files):
            _line_up(flow, picked, provider, options, command)
        _take_turns(flow, names, command, detach=detach)
        _tell_spending(flow, names)
        _raise_problem(flow, names)
    except EnrichError:
        back_up(flow.workspace)  # other models may have been answered
        raise
    back_up(flow.workspace)


def _take_turns(flow: Flow, names: set[str], command: str, *, detach: bool) -> None:
    """Take turns until nothing of the command is under way, or there is no point in waiting on."""
    backoff = Backoff()
    while True:
        with _all_or_none(flow, command):
            with hold_project(flow.files):
                turn = take_turn(flow, command)
                _show_progress(flow, turn)
            _raise_refusal(turn, names)
            _raise_held_back(flow, names)
        with flow.files.open_ledger() as database:
            left = [each for each in list_waiting(database) if each.command == command]
        under_way = {name for name in names if turn.open(name)}
        still = all(batch.held for batch in turn.batches)  # nothing would change by waiting
        hopeful = backoff.note(turn, flow.listener)
        if detach or still or not (left or under_way) or turn.held(under_way):
            return
        if not hopeful:
            flow.listener.say("given up for now; nothing is lost, and enrich status tries again")
            return
        backoff.sleep_after(turn, flow.workspace.open_provider, flow.listener)


def _raise_problem(flow: Flow, names: set[str]) -> None:
    """Raise the first of what kept these models from being begun or published; it is no longer
    among the command's problems then."""
    problems = flow.found.problems
    own = [(n, p) for n, p in problems.items() if n in names or n in flow.graph.broken]
    problems.clear()
    for name, problem in own[:1]:
        if name in problem.message:
            raise problem
        raise type(problem)(f"{name}: {problem.message}", hint=problem.hint) from problem


def _raise_refusal(turn: Turn, names: set[str]) -> None:
    """Give up on a model whose batches are refused; what passes by itself is waited for."""
    for name, trouble in turn.troubles:
        if name in names and not isinstance(trouble, Unavailable):
            raise trouble


def _raise_held_back(flow: Flow, names: set[str]) -> None:
    """End the command at the first table that its tests hold back, if it is to fail fast."""
    for name in sorted(names if flow.fail_fast else ()):
        results = flow.found.results.get(name, ())
        failed = [each.test for each in results if each.verdict == "fail"]
        if failed:
            what = f"'{name}' is held back: the test {failed[0]} fails"
            raise InputError(what, hint=f"enrich test {name} shows its rows")


def _tell_spending(flow: Flow, names: set[str]) -> None:
    """Say what was spent of the budgets of these models' runs, of each budget once."""
    told: dict[str, None] = {}
    with flow.files.open_ledger() as database:
        for name in sorted(names):
            if not database.call("latest_run", model=name):
                continue
            left = Remaining.of_run(database, Run.latest(database, name))
            if left.account:
                whose = "" if left.scope in ("run", "month") else f"{name}: "
                told[f"{whose}{left.account}"] = None
    for sentence in told:
        flow.listener.say(sentence)


def follow(flow: Flow) -> None:
    """Take one turn, and say what went wrong in it; nothing of that ends the command."""
    with hold_project(flow.files):
        turn = take_turn(flow)
    back_up(flow.workspace)
    for sentence in dict.fromkeys(f"{t.message} ({t.hint})" for _, t in turn.troubles):
        flow.listener.say(sentence)


def take_turn(flow: Flow, command: str = "") -> Turn:
    """Take every batch as far as it goes, publish what was read, and begin what waited for it.

    What goes wrong with a model of `command` ends its part of the command; with any other it is
    told, and the model waits on.
    """
    tried: set[str] = set()
    troubles: list[tuple[str, EnrichError]] = []
    done: list[Done] = []
    while True:
        turn = _advance_and_publish(flow)
        turn.troubles[:0] = troubles
        turn.read[:0] = done
        with flow.files.open_ledger() as database:
            ready = [each for each in list_ready(database) if each.model not in tried]
        if not ready:
            return turn
        troubles, done = turn.troubles, turn.read
        for each in ready:
            tried.add(each.model)
            _begin_waiting(flow, each, command)


def _advance_and_publish(flow: Flow) -> Turn:
    """Take every batch as far as it goes, and publish what was read."""
    listener = flow.listener
    turn = advance_batches(flow.files, flow.workspace.open_provider)
    for batch, outcomes in turn.read:
        if (batch.status or "").lower() == "failed" and not outcomes:
            why = batch.error or batch.code
            listener.say(f"{batch.id} failed, and nothing of it was run: {why}")
            continue
        parts = ", ".join(f"{many:,} {word}" for word, many in outcomes.items())
        listener.say(f"{batch.id} {batch.status}: {batch.requests:,} sent = {parts}")
    with flow.files.open_ledger() as database:
        unpublished = {str(row[0]) for row in database.call("unpublished")}
    _publish(flow, unpublished)
    if turn.read or unpublished:
        refresh_books(flow)
    if turn.planned:
        listener.say(f"{turn.planned:,} requests are asked again")
    if turn.replanned:
        with flow.files.open_ledger() as database:
            turn.batches = list(unread(database))
    return turn


def _publish(flow: Flow, names: set[str]) -> None:
    publish_models(flow, names, partial(_skip_after, flow, why=NOT_PUBLISHED))


def _show_progress(flow: Flow, turn: Turn) -> None:
    """Tell how far each model is."""
    seen = [*turn.batches, *(batch for batch, _ in turn.read)]
    names = sorted({batch.model for batch in seen})
    if not names:
        return
    with flow.files.open_ledger() as database:
        figures = {name: database.call("progress", model=name)[0] for name in names}
    for name, (total, answered, _, failed, spent) in figures.items():
        own = [batch for batch in seen if batch.model == name]
        words = {"read" if batch.read_at else standing(batch) for batch in own}
        words = words - {"read"} or {"done"}
        flow.listener.progress(
            Progress(
                model=name,
                total=int(total),
                answered=int(answered),
                failed=int(failed),
                spent=spent,
                state=", ".join(sorted(words)),
            )
        )


def _line_up(
    flow: Flow, picked: Sequence[Model], provider: str | None, options: RunOptions, command: str
) -> None:
    """Begin what waits for nothing; then the others wait, but for those after one that did not
    come through.

    They wait from then on only: whatever is killed before leaves nobody to go on without it.
    """
    later = {each.name: flow.upstream(each, picked) for each in picked}
    stopped: dict[str, str] = {}
    for each in picked:
        if later[each.name]:
            continue
        if each.name not in flow.found.problems:
            try:
                options = _begin(flow, each, provider, options)
            except (Locked, DiskError):
                raise
            except EnrichError as problem:
                flow.fail(each.name, problem)
                stopped[each.name] = NOT_BEGUN
        else:
            stopped[each.name] = NOT_BEGUN
        if each.name in flow.found.problems:
            stopped.setdefault(each.name, NOT_PUBLISHED)
        if _was_held_back(flow, each.name):
            stopped[each.name] = HELD_BACK
    with flow.files.open_ledger() as database, database.transaction():
        for name, after in later.items():
            cause = next((other for other in after if other in stopped), "")
            if cause:
                _tell_skipped(flow, name, cause, stopped[cause])
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


def _was_held_back(flow: Flow, name: str) -> bool:
    """Whether a plain model was made just now, and held back by its tests."""
    return name in flow.found.built and bool(flow.found.built[name].held_back)


@contextmanager
def _all_or_none(flow: Flow, command: str) -> Iterator[None]:
    """Where a command ends with an error, nothing waits for its turn any more."""
    try:
        yield
    except EnrichError:
        with flow.files.open_ledger() as database:
            left = [each.model for each in list_waiting(database) if each.command == command]
            dequeue(database, left)
        raise


def _begin(flow: Flow, model: Model, provider: str | None, options: RunOptions) -> RunOptions:
    """Build a plain model, or start an enrichment model's run; gives the options, which know the
    command's first run from then on."""
    flow.check_seeds(model)
    if not model.asks:
        _build(flow, model, refresh=options.full_refresh)
        return options
    chosen = flow.provider_of(model, provider)
    result = start_run(flow.files, flow.config, chosen, model, options)
    planned = result.plan.noted(flow.graph.find_unstable(model.name))
    for sentence in (str(planned), *planned.notes):
        flow.listener.say(sentence)
    notice = read_notice(chosen)
    if notice and result.plan.requests:
        flow.listener.say(notice)
    if result.answered or not result.plan.requests:
        _publish(flow, {model.name})
    return replace(options, invocation=options.invocation or result.run)


def _build(flow: Flow, model: Model, *, refresh: bool) -> None:
    """Make a plain model's view or table."""
    tests = find_tests(flow, model, flow.workspace.sql_tests)
    with flow.files.open_warehouse(attached=True) as database:
        check_answers(database, model, refresh=refresh)
        described(database, model)
        found = build_model(database, model, tests, folder=flow.files.work)
    tell_results(flow, found)
    made_at = None if found.held_back else datetime.now(UTC).replace(tzinfo=None)
    flow.found.built[model.name] = State(
        model=model.name, kind=model.kind, held_back=found.held_back, published_at=made_at
    )
    if not found.held_back:
        flow.listener.say(f"{model.name}: {model.kind} made")


def _begin_waiting(flow: Flow, each: Waiting, command: str) -> None:
    """Begin a model that waited, unless one before it did not come through."""
    with flow.files.open_ledger() as database:
        stuck = find_obstacle(database, each)
        if stuck:
            dequeue(database, [each.model])
    if stuck:
        _tell_skipped(flow, each.model, *stuck)
        _skip_after(flow, stuck[0], why=stuck[1])
        return
    own = flow.with_variables(each.variables)
    why = ""
    try:
        options = _begin(own, own.graph.find_model(each.model), each.provider, each.options)
    except (Locked, DiskError):
        raise
    except EnrichError as problem:
        if each.command != command:
            flow.listener.say(f"{each.model} waits: {problem.message}; {problem.hint}")
            again = f"it is tried again each time; enrich cancel {each.model} ends that"
            flow.listener.say(again)
            return
        flow.fail(each.model, problem)
        options, why = each.options, NOT_BEGUN
    if _was_held_back(flow, each.model):
        why = HELD_BACK
    with flow.files.open_ledger() as database:
        dequeue(database, [each.model])
        if options.invocation:
            join_run(database, each.command, options.invocation)
    if why:
        _skip_after(flow, each.model, why=why)


def _skip_after(flow: Flow, name: str, *, why: str) -> None:
    """Let no model wait for one that does not come through."""
    with flow.files.open_ledger() as database:
        left = [each.model for each in list_waiting(database) if name in each.after]
        dequeue(database, left)
    for other in left:
        _tell_skipped(flow, other, name, why)


def _tell_skipped(flow: Flow, name: str, cause: str, why: str) -> None:
    flow.listener.say(f"skipped {name}: upstream model {cause} {why}")
