"""Publish: replace a model's table in the warehouse, in one transaction, if its tests pass.

The new table is written and tested inside the transaction; if a test fails, that is rolled back
and the old table stays. What is published depends on the ledger alone, so it can be created again
at any time, at no cost.

A table that would not change is not written again, and of a table of which few rows have changed
only these are: see `answer_tables`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enrich.compiler import input_rows, tables
from enrich.db.database import read_statement
from enrich.db.ownership import MARK_START, check_name_free, clear_name, find_mark, mark_table
from enrich.db.quote import quote_name
from enrich.errors import ProjectError, name_on_interrupt
from enrich.ledger.run import Run
from enrich.manifest.model import HISTORY_ENDING, RESERVED_TABLES
from enrich.pipeline.answer_tables import (
    ANSWERS_MARK,
    Origin,
    find_key,
    find_origin,
    say_about,
    settle_answers,
    write_tables,
)
from enrich.pipeline.read import Judge
from enrich.pipeline.test import BrokenTest, keep_failures, needs_published, run_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from enrich.db.database import Both, Warehouse
    from enrich.manifest.data_test import DataTest
    from enrich.manifest.model import Model
    from enrich.pipeline.test import Result


@dataclass(frozen=True, kw_only=True)
class Published:
    """The outcome of publishing a model: the results of its tests. `same`: the table has not
    changed and was not tested again."""

    model: str
    results: tuple[Result, ...] = ()
    same: bool = False

    @property
    def held_back(self) -> tuple[str, ...]:
        """The tests that keep the table from being published."""
        return tuple(result.test for result in self.results if result.verdict == "fail")


def publish_model(
    database: Both,
    model: str,
    tests: Sequence[DataTest],
    *,
    folder: Path,
    under_way: bool = False,
    about: str = "",
) -> Published:
    """Replace the tables of a model, unless they would not change or a test fails.

    `under_way`: more answers are to come, so a failing test is not recorded as a verdict. `about`
    becomes the table's comment. `folder` is for working files. Needs warehouse and ledger.
    """
    run = Run.latest(database, model)
    database.execute(input_rows.render_inputs_upgrade(model))
    origin, was = Origin.of(database, run, tests), find_origin(database, model)
    if origin == was and say_about(database, model, about):
        outcomes, stale = database.fetch_one(tables.render_outcome_counts(model))
        found = Published(model=model, same=True)
    else:
        found, outcomes, stale = _replace_tables(
            database, run, tests, folder, origin=origin, was=was, about=about
        )
        keep_failures(database, model, found.results, folder=folder)
    held = list(found.held_back)
    database.call(
        "published",
        run=run.id,
        outcomes=outcomes,
        stale=stale,
        held=[] if under_way else held,
        kept=not held,
    )
    return found


def test_model(
    database: Both, model: str, tests: Sequence[DataTest], *, folder: Path, asks: bool
) -> Published:
    """Test a model's table as `publish_model` would create it, without publishing it; the table of
    a plain model is tested as it is. Needs warehouse and ledger."""
    if asks and database.call("latest_run", model=model):
        run = Run.latest(database, model)
        database.execute(input_rows.render_inputs_upgrade(model))
        origin, was = Origin.of(database, run, tests), find_origin(database, model)
        found, _, _ = _replace_tables(
            database, run, tests, folder, origin=origin, was=was, keep=False
        )
    else:
        found = _test_in_place(database, model, tests, folder)
    keep_failures(database, model, found.results, folder=folder)
    return found


def test_alone(
    database: Warehouse, tests: Sequence[DataTest], *, folder: Path
) -> tuple[Result, ...]:
    """Run SQL tests that read no model. Needs the warehouse."""
    found = _test_in_place(database, "", tests, folder)
    keep_failures(database, "", found.results, folder=folder)
    return found.results


def check_names(database: Warehouse, model: Model) -> None:
    """Raises ProjectError if a table that enrich did not create has one of the model's names. Needs
    the warehouse."""
    check_name_free(database, model.name, "a model")
    if model.asks:
        for name in (model.name, f"{model.name}{HISTORY_ENDING}"):
            check_name_free(database, name, "a model", schema="enrich")


def check_answers(database: Warehouse, model: Model, *, refresh: bool) -> None:
    """Raises ProjectError if a plain model would replace a table of answers without `refresh`.
    Needs the warehouse."""
    # Most likely its prompt file has been moved or deleted by mistake, and the answers were paid
    # for.
    if model.asks:
        return
    found = database.call("exists", schema="main", name=model.name)
    if (
        found
        and not refresh
        and find_mark(str(found[0][1])).startswith(f"{MARK_START}{ANSWERS_MARK}")
    ):
        prompt = f"{model.source.removesuffix('.sql')}.prompt.md"
        what = f"{model.source}: the table '{model.name}' holds answers, but there is no {prompt}"
        hint = f"restore the prompt; or rename {model.source} to keep the table; or replace it: "
        raise ProjectError(what, hint=f"{hint}enrich run {model.name} --full-refresh")


def _replace_tables(
    database: Both,
    run: Run,
    tests: Sequence[DataTest],
    folder: Path,
    *,
    origin: Origin,
    was: Origin | None,
    keep: bool = True,
    about: str = "",
) -> tuple[Published, str, int]:
    """Create the model's new tables and test them; they are kept if no test fails and `keep` is
    set.

    Returns the results, the counts of outcomes in the tables as JSON, and the number of stale rows.
    """
    model, judge = run.model, Judge.of(database, run.version_id)
    changed = settle_answers(database, run, judge, was)
    there: dict[str, str] = dict(database.call("exists", schema="main", name=model))
    before = needs_published(tests) and bool(there)
    table = quote_name("warehouse", "main", model)
    rows_before = database.fetch_one(f"SELECT count(*) FROM {table}")[0] if "TABLE" in there else 0
    if before:
        database.execute(tables.render_published_copy(model))

    def make(trial: Sequence[DataTest]) -> tuple[list[Result], str, int]:
        write_tables(database, model, judge, origin, about=about, changed=changed)
        key = tuple(find_key(database, model))
        results = run_tests(
            database,
            model,
            trial,
            key=key,
            folder=folder,
            before=before,
            rows_before=int(rows_before),
        )
        return results, *database.fetch_one(tables.render_outcome_counts(model))

    found, (outcomes, stale) = _try_tables(database, model, tests, make, keep=keep)
    return found, outcomes, stale


MadeTable = tuple["list[Result]", "Any", "Any"]


def _try_tables(
    database: Warehouse,
    model: str,
    tests: Sequence[DataTest],
    make: Callable[[Sequence[DataTest]], MadeTable],
    *,
    keep: bool,
) -> tuple[Published, tuple[Any, Any]]:
    """Run `make` in one transaction, and commit it if `keep` is set and no test fails.

    A test that cannot be evaluated aborts DuckDB's transaction, so everything is created again
    without it. Its result is reported with those of the others.
    """
    broken: dict[str, Result] = {}
    while True:
        trial = [test for test in tests if test.name not in broken]
        # Not `database.transaction()`, which would commit: tables are rolled back without an error.
        database.execute("BEGIN TRANSACTION")
        done = False
        try:
            results, *rest = make(trial)
            by_name = {result.test: result for result in results} | broken
            found = Published(
                model=model,
                results=tuple(filter(None, map(by_name.get, (test.name for test in tests)))),
            )
            done = keep and not found.held_back
            return found, (rest[0], rest[1])
        except BrokenTest as problem:
            broken[problem.result.test] = problem.result
        finally:
            database.execute("COMMIT" if done else "ROLLBACK")


def _test_in_place(
    database: Warehouse, model: str, tests: Sequence[DataTest], folder: Path
) -> Published:
    """Test a table or view as it is."""

    def make(trial: Sequence[DataTest]) -> MadeTable:
        return run_tests(database, model, trial, key=(), folder=folder, before=False), "", 0

    found, _ = _try_tables(database, model, tests, make, keep=False)
    return found


def build_model(
    database: Warehouse, model: Model, tests: Sequence[DataTest], *, folder: Path
) -> Published:
    """Create a plain model's view or table, unless a test fails. Needs the warehouse."""
    kind = model.kind.upper()

    def make(trial: Sequence[DataTest]) -> MadeTable:
        clear_name(database, model.name, "a model")
        name = quote_name("warehouse", "main", model.name)
        with name_on_interrupt(model.source):
            database.execute(f"CREATE {kind} {name} AS\n{model.query}")
        mark_table(database, kind, "main", model.name, "a model", about=model.description)
        found = run_tests(database, model.name, trial, key=(), folder=folder, before=False)
        return found, "", 0

    found, _ = _try_tables(database, model.name, tests, make, keep=True)
    keep_failures(database, model.name, found.results, folder=folder)
    return found


def write_books(database: Both) -> None:
    """Rebuild the tables about all models: `enrich.costs`, `.prompts` and `.evaluations`.

    Raises ProjectError if a table that enrich did not create has one of these names. Needs
    warehouse and ledger.
    """
    with database.transaction():
        for name in RESERVED_TABLES:
            check_name_free(database, name, name, schema="enrich")
        database.call("costs")
        database.call("prompts")
        database.call("evaluations")
        for name in RESERVED_TABLES:
            mark_table(database, "TABLE", "enrich", name, name)
        # Those of an earlier enrich stay until something is written: to look for them takes long.
        macros = read_statement("macros")
        database.execute(macros.replace("CREATE MACRO IF NOT EXISTS", "CREATE OR REPLACE MACRO"))
