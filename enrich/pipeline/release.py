"""Release: test and publish a command's models, and report the results."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enrich.errors import (
    DatabaseError,
    EnrichError,
    InputError,
    Locked,
    ModelError,
    ProjectError,
    count_nouns,
)
from enrich.ledger.batch import list_unread
from enrich.manifest import declared_tests
from enrich.pipeline import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from enrich.manifest.data_test import DataTest
    from enrich.manifest.model import Model
    from enrich.pipeline.flow import Flow
    from enrich.pipeline.publish import Published
    from enrich.pipeline.test import Result


def publish_models(flow: Flow, names: set[str], skip_after: Callable[[str], None]) -> None:
    """Publish the answers so far of these models; tests may hold a table back. `skip_after` is
    called with the name of each model that could not be published."""
    if not names:
        return
    try:
        graph, tests = flow.graph, flow.workspace.sql_tests
    except EnrichError as problem:
        listed = ", ".join(sorted(names))
        flow.listener.say(f"{problem.message}; until that is fixed, {listed} cannot be tested")
        flow.found.problems["models"] = problem
        return
    for name in sorted(names):
        if name in graph.broken:  # its tests are in the files that cannot be parsed
            flow.listener.say(f"{name} is not published until its files are fixed")
            flow.found.problems[name] = graph.broken[name]
            continue
        try:
            _publish_one(flow, name, graph.models.get(name), tests)
        except Locked:
            raise
        except (ProjectError, ModelError, InputError, DatabaseError) as problem:
            flow.listener.say(f"{name} is not published: {problem.message}; {problem.hint}")
            flow.found.problems[name] = problem
            skip_after(name)


def _publish_one(flow: Flow, name: str, model: Model | None, tests: Sequence[DataTest]) -> None:
    if model is not None and not model.asks:  # its prompt is gone; the answers stay in the ledger
        with flow.files.open_ledger() as database:
            database.call("left_alone", model=name)
        return
    own = find_tests(flow, model, tests) if model else ()
    whole, under_way = not all(test.counts for test in own), _is_under_way(flow, name)
    if whole and under_way:
        return  # drift tests compare whole tables: in small steps, any change would look small
    read = _list_texts(model, own) if whole else ()
    with flow.files.open_both(attached=read) as database:
        found = publish.publish_model(
            database,
            name,
            own,
            folder=flow.files.work,
            under_way=under_way,
            about=model.description if model else "",
        )
    # What another model's answers do not change has been said before.
    known = found.same or flow.found.results.get(name) == found.results
    if not known and not (under_way and found.held_back):
        report_results(flow, found)


def _list_texts(model: Model | None, tests: Sequence[DataTest]) -> tuple[str, ...]:
    """Returns the SQL that these tests of a model run."""
    return (*(model.texts if model else ()), *(test.definition for test in tests))


def _is_under_way(flow: Flow, name: str) -> bool:
    with flow.files.open_ledger() as database:
        return any(b.model == name and not b.held for b in list_unread(database))


def find_tests(
    flow: Flow, model: Model, tests: Sequence[DataTest], *, gate: bool = True
) -> tuple[DataTest, ...]:
    """The tests of a model: its own, and those of SQL files that read it, if all else that they
    read is there. `gate`: those that decide whether it is published. A file that also reads a model
    downstream of it judges that one, whose rows are not made from this table yet."""
    own: tuple[DataTest, ...] = ()
    if model.prompt:
        own = declared_tests.add_implied_tests(model.prompt.tests, model.prompt.source)
    if flow.accept_drift:
        own = tuple(replace(t, severity="warn") if t.compares else t for t in own)
    names = {name.lower(): name for name in flow.graph.models}
    taken = {test.name.lower() for test in own}
    found = []
    for test in tests:
        others = {names[table] for table in test.reads if table in names} - {model.name}
        if model.name.lower() not in test.reads or not flow.are_built(others):
            continue
        if gate and any(model.name in flow.graph.find_ancestors(other) for other in others):
            continue
        if test.name.lower() in taken:
            message = f"{test.source}: '{model.name}' has a test of this name already"
            raise ModelError(message, hint="rename the file, or give the other one a `name`")
        found.append(test)
    return (*own, *found)


def test_models(flow: Flow, picked: Sequence[Model], *, alone: bool) -> tuple[Result, ...]:
    """The tests of these models, on their tables as they would be published; each SQL test once,
    with the last model that it reads. `alone`: also those that read none."""
    sql_tests = flow.workspace.sql_tests
    left = {test.name for test in sql_tests}
    names = {name.lower() for name in flow.graph.models}
    others = [test for test in sql_tests if not test.reads & names] if alone else []
    found: list[Result] = []
    if others:
        with flow.files.open_warehouse(attached=_list_texts(None, others)) as database:
            found += publish.test_alone(database, others, folder=flow.files.work)
    for each in reversed(picked):
        own = [
            t
            for t in find_tests(flow, each, sql_tests, gate=False)
            if not t.is_file or t.name in left
        ]
        left -= {test.name for test in own}
        if own:
            found = [*_test_one(flow, each, own), *found]
    return tuple(found)


def _test_one(flow: Flow, model: Model, tests: Sequence[DataTest]) -> tuple[Result, ...]:
    with flow.files.open_both(attached=_list_texts(model, tests)) as database:
        there = database.call("exists", schema="main", name=model.name)
        if not there and not database.call("latest_run", model=model.name):
            flow.listener.say(f"skipped the tests of {model.name}: it has not been run yet")
            return ()
        work = flow.files.work
        found = publish.test_model(database, model.name, tests, folder=work, asks=model.asks)
        return found.results


def report_results(flow: Flow, found: Published) -> None:
    """Report the results of tests, and keep them for the command's result."""
    flow.found.results[found.model] = found.results
    for result in found.results:
        if result.verdict == "pass":
            continue
        what = result.error or f"{count_nouns(result.failures, 'row')}, in {result.table}"
        word = "fails" if result.verdict == "fail" else "warns"
        flow.listener.say(f"{found.model}: test {result.test} {word}: {what}")
    if found.held_back:
        flow.listener.say(f"{found.model} is held back: its table stays as it was")


def refresh_books(flow: Flow) -> None:
    """Rebuild the tables about all models: costs, prompts and evaluations."""
    try:
        with flow.files.open_both() as database:
            publish.write_books(database)
    except ProjectError as problem:  # a user's table has the name; no reason to fail a run
        flow.listener.say(f"{problem.message}; {problem.hint}")
