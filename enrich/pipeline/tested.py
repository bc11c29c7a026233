"""Tested: whether there is what tests name, as far as it can be known before anything is asked.

A test that cannot be evaluated keeps a table from being published, after its answers have been paid
for. A table that a test names must be a model, a seed, a source, reviews, or in the warehouse; the
columns of tables that no llm makes are bound by DuckDB when the model is compiled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enrich.errors import EnrichError, ModelError, nearest
from enrich.manifest.reviews import REVIEW_ENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from enrich.manifest.data_test import DataTest
    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model

OWN_TABLES = ("duckdb_", "pg_", "sqlite_", "pragma_", "information_schema")
"""How the names of DuckDB's own tables start."""


def check_targets(
    graph: Graph, sql_tests: Sequence[DataTest], find_missing: Callable[[set[str]], set[str]]
) -> tuple[Graph, list[str]]:
    """Returns the graph with the tests that can be bound, and with the models that a test of theirs
    makes broken, and sentences on SQL tests that are about no model and cannot be run.
    `find_missing` picks from names in lower case those that the warehouse lacks."""
    # One that only warns holds no table back.
    sql_tests = [test for test in sql_tests if test.severity == "error"]
    known = _list_known(graph)
    own = {name: _list_own(model) for name, model in graph.models.items()}
    named = {
        table for tests in (*own.values(), sql_tests) for test in tests for table in test.reads
    }
    # A name of several parts may be in another database, or be made by a run.
    unknown = {
        name for name in named - known if "." not in name and not name.startswith(OWN_TABLES)
    }
    missing = find_missing(unknown) if unknown else set()
    broken: dict[str, EnrichError] = {}
    unread: list[str] = []
    for test in sql_tests:
        if (fault := _explain_missing(test, missing, graph)) is not None:
            about = [name for name in graph.models if name.lower() in test.reads]
            broken |= dict.fromkeys(about, fault)
            unread += [] if about else [f"{fault.message}; the test is not run ({fault.hint})"]
    for name, tests in own.items():
        found = (_explain_missing(t, missing, graph) or _explain_column(t, graph) for t in tests)
        if (problem := next((each for each in found if each is not None), None)) is not None:
            broken[name] = problem
    models = {
        name: replace(model, bound_tests=_list_bound(graph, model, (*own[name], *sql_tests)))
        for name, model in graph.models.items()
        if name not in broken
    }
    return replace(graph, models=models, broken={**graph.broken, **broken}), unread


def _list_known(graph: Graph) -> set[str]:
    """Returns the tables that there are or will be, in lower case."""
    names = {name.lower() for name in (*graph.models, *graph.broken, *graph.leaves)}
    return names | {f"{name}{REVIEW_ENDING}" for name in names}


def _list_own(model: Model) -> tuple[DataTest, ...]:
    """Returns the tests of a prompt that name another table."""
    tests = model.prompt.tests if model.prompt else ()
    return tuple(test for test in tests if test.reads and test.severity == "error")


def _list_bound(graph: Graph, model: Model, tests: Iterable[DataTest]) -> tuple[DataTest, ...]:
    """Returns which of these tests are about this model and read no other one: the tables of other
    models may still be those of earlier prompts."""
    others = {name.lower() for name in graph.models} - {model.name.lower()}
    return tuple(
        test
        for test in tests
        if not test.reads & others and (not test.is_file or model.name.lower() in test.reads)
    )


def _explain_missing(test: DataTest, missing: set[str], graph: Graph) -> ModelError | None:
    """Returns the error that a test names a table that does not exist; None if it does not."""
    absent = sorted(test.reads & missing)
    if not absent:
        return None
    hint = nearest(absent[0], (*graph.models, *graph.leaves))
    what = f"there is no table '{absent[0]}'"
    said = "" if test.is_file else f"the test '{test.written}': "
    return ModelError(f"{test.source}: {said}{what}", hint=hint)


def _explain_column(test: DataTest, graph: Graph) -> ModelError | None:
    """Returns the error that a test names a column that the prompt of a model does not make; None
    if it does not."""
    if test.target is None:
        return None
    table, column = test.target
    model = next((m for m in graph.models.values() if m.name.lower() == table.lower()), None)
    if model is None or model.prompt is None:
        return None
    columns = (*model.prompt.key, *(each.name for each in model.prompt.output.columns))
    if column.lower() in map(str.lower, columns):
        return None
    what = f"the test '{test.written}': '{column}' is not a column of '{table}'"
    return ModelError(f"{test.source}: {what}", hint=nearest(column, columns))
