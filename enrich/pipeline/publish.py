"""Publish: replace a model's table in the warehouse, in one transaction, after its tests passed.

The next table is made and tested inside the transaction; where a test fails it is taken back, and
the table that was there stays. What is published is a function of the ledger alone: the model's
rows as last snapshotted, and the responses to what they stand for. So it can be made again at any
time, at no cost.

What would become the same again is not made twice: see `marks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from enrich.compiler import history, tables
from enrich.db import quote
from enrich.db.ownership import MARK, check_free, cleared, comment, mark, mark_in
from enrich.errors import ProjectError, reading
from enrich.ledger.run import Run
from enrich.manifest.model import HISTORY_ENDING, RESERVED_TABLES
from enrich.pipeline.read import Judge, judge_again
from enrich.pipeline.test import Broken, keep_failures, needs_published, run_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from enrich.db.database import Both, Ledger, Warehouse
    from enrich.manifest.data_test import DataTest
    from enrich.manifest.model import Model
    from enrich.pipeline.test import Result

ANSWERS_MARK = "a model: prompt "
"""How the mark of a table of answers goes on."""
SCHEMAS = ("main", "enrich")
"""Where a model's tables stand: the published one, and its provenance."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """What came of publishing a model: its tests' results, and whether one of them held the table
    back. `same`: the table is what it was, and was not tested again."""

    model: str
    results: tuple[Result, ...] = ()
    same: bool = False

    @property
    def held_back(self) -> tuple[str, ...]:
        """The tests that do not let the table be published."""
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
    """Replace the tables of a model, unless they are as they would become, or a test fails.

    `under_way`: more answers are to come, so that a failure is no verdict yet. `about` becomes the
    table's comment. Needs warehouse and ledger; `folder` is for working files.
    """
    run = Run.latest(database, model)
    database.execute(tables.inputs_completed(model))
    version = _version(database, run, tests)
    if _current(database, model, version, about):
        outcomes, stale = database.fetch_one(tables.outcomes(model))
        found = Published(model=model, same=True)
    else:
        found, outcomes, stale = _replaced(database, run, tests, version, folder, about=about)
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
    """Test a model's table as `publish` would, without publishing it; a plain model's, which asks
    nothing, as it stands. Needs warehouse and ledger."""
    if asks and database.call("latest_run", model=model):
        run = Run.latest(database, model)
        database.execute(tables.inputs_completed(model))
        version = _version(database, run, tests)
        found, _, _ = _replaced(database, run, tests, version, folder, keep=False)
    else:
        found = _tested(database, model, tests, folder)
    keep_failures(database, model, found.results, folder=folder)
    return found


def test_alone(
    database: Warehouse, tests: Sequence[DataTest], *, folder: Path
) -> tuple[Result, ...]:
    """Run SQL tests that belong to no model. Needs the warehouse."""
    found = _tested(database, "", tests, folder)
    keep_failures(database, "", found.results, folder=folder)
    return found.results


def check_names(database: Warehouse, model: Model) -> None:
    """Refuse a model at whose names somebody else's tables stand. Needs the warehouse."""
    check_free(database, model.name, "a model")
    if model.asks:
        for name in (model.name, f"{model.name}{HISTORY_ENDING}"):
            check_free(database, name, "a model", schema="enrich")


def check_answers(database: Warehouse, model: Model, *, refresh: bool) -> None:
    """Refuse a plain model whose table holds answers, unless it is to be made anew (`refresh`).
    Needs the warehouse."""
    if model.asks:
        return
    found = database.call("exists", schema="main", name=model.name)
    if found and not refresh and mark_in(str(found[0][1])).startswith(f"{MARK}{ANSWERS_MARK}"):
        prompt = f"{model.source.removesuffix('.sql')}.prompt.md"
        what = f"{model.source}: the table '{model.name}' holds answers, and there is no {prompt}"
        hint = (
            f"put the prompt back; or rename {model.source}, and the table stays; or replace it: "
        )
        raise ProjectError(what, hint=f"{hint}enrich run {model.name} --full-refresh")


def _version(database: Ledger, run: Run, tests: Sequence[DataTest]) -> str:
    """What the model's tables are made from."""
    rows_from, read = database.fetch_one(tables.state(run.model))
    definitions = "".join(test.definition for test in tests)
    told = sha256(definitions.encode()).hexdigest()[:8] if tests else "none"
    made_from = f"{run.version_id}, rows of run {rows_from}, {read} batches read"
    return f"{ANSWERS_MARK}{made_from}, tests {told}"


def _replaced(
    database: Both,
    run: Run,
    tests: Sequence[DataTest],
    version: str,
    folder: Path,
    *,
    keep: bool = True,
    about: str = "",
) -> tuple[Published, str, int]:
    """Make the model's next tables and test them; kept, if no test fails and `keep` says so.

    Gives also how often each outcome is in them, as JSON, and how many rows are stale.
    """
    model, judge = run.model, Judge.of(database, run.version_id)
    with database.transaction():
        judge_again(database, judge, tables.present(model))
    database.execute(tables.settled(model))
    database.execute(tables.kept(model, judge.output, judge.form))
    there: dict[str, str] = dict(database.call("exists", schema="main", name=model))
    before = needs_published(tests) and bool(there)
    table = quote.name("warehouse", "main", model)
    rows_before = database.fetch_one(f"SELECT count(*) FROM {table}")[0] if "TABLE" in there else 0
    if before:
        database.execute(tables.render_published_copy(model))

    def make(trial: Sequence[DataTest]) -> tuple[list[Result], str, int]:
        for schema in SCHEMAS:
            if check_free(database, model, "a model", schema=schema) == "VIEW":
                cleared(database, model, "a model")
        check_free(database, f"{model}{HISTORY_ENDING}", "a model", schema="enrich")
        database.execute(tables.published(model, judge.output, judge.form))
        database.execute(tables.provenance(model))
        database.execute(history.history(model, judge.output, judge.form))
        words = {each.name: each.description for each in judge.output.columns if each.description}
        for schema in SCHEMAS:
            sealed = _sealed(database, schema, model, version)
            columns = words if schema == "main" else {}
            mark(database, "TABLE", schema, model, sealed, about=about, columns=columns)
        mark(database, "TABLE", "enrich", f"{model}{HISTORY_ENDING}", "a model")
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
        return results, *database.fetch_one(tables.outcomes(model))

    found, (outcomes, stale) = _audited(database, model, tests, make, keep=keep)
    return found, outcomes, stale


Made = tuple["list[Result]", "Any", "Any"]


def _audited(
    database: Warehouse,
    model: str,
    tests: Sequence[DataTest],
    make: Callable[[Sequence[DataTest]], Made],
    *,
    keep: bool,
) -> tuple[Published, tuple[Any, Any]]:
    """Do what `make` does in one transaction, and keep it if all tests pass that must.

    A test that cannot be evaluated ends its transaction: then all is made again without it.
    """
    broken: dict[str, Result] = {}
    while True:
        trial = [test for test in tests if test.name not in broken]
        database.execute("BEGIN TRANSACTION")
        done = False
        try:
            results, *rest = make(trial)
            told = {result.test: result for result in results} | broken
            found = Published(
                model=model,
                results=tuple(filter(None, map(told.get, (test.name for test in tests)))),
            )
            done = keep and not found.held_back
            return found, (rest[0], rest[1])
        except Broken as problem:
            broken[problem.result.test] = problem.result
        finally:
            database.execute("COMMIT" if done else "ROLLBACK")


def _tested(database: Warehouse, model: str, tests: Sequence[DataTest], folder: Path) -> Published:
    """The tests of a table or view as it stands."""

    def make(trial: Sequence[DataTest]) -> Made:
        return run_tests(database, model, trial, key=(), folder=folder, before=False), "", 0

    found, _ = _audited(database, model, tests, make, keep=False)
    return found


def find_key(database: Ledger, model: str) -> dict[str, str]:
    """The columns of a model's key and their types, as the ledger has them."""
    return database.describe(f"SELECT key.* FROM {tables.inputs(model)}")


def _current(database: Warehouse, model: str, version: str, about: str) -> bool:
    """Whether both tables were made from just this, and have their rows still."""
    for schema in SCHEMAS:
        found = database.call("exists", schema=schema, name=model)
        if not found or found[0][0] != "TABLE":
            return False
        if found[0][1] != comment(database, _sealed(database, schema, model, version), about):
            return False
    return bool(database.call("exists", schema="enrich", name=f"{model}{HISTORY_ENDING}"))


def _sealed(database: Warehouse, schema: str, model: str, version: str) -> str:
    """The version with a hash of all that is in the table: a change by anybody shows."""
    table = quote.name("warehouse", schema, model)
    rows, seal = database.fetch_one(f"SELECT count(*), bit_xor(hash(every)) FROM {table} AS every")
    return f"{version}, {rows} rows, seal {seal or 0:x}"


def build_model(
    database: Warehouse, model: Model, tests: Sequence[DataTest], *, folder: Path
) -> Published:
    """Make a plain SQL model's view or table, unless a test fails. Needs the warehouse."""
    kind = model.kind.upper()

    def make(trial: Sequence[DataTest]) -> Made:
        cleared(database, model.name, "a model")
        name = quote.name("warehouse", "main", model.name)
        with reading(model.source):
            database.execute(f"CREATE {kind} {name} AS\n{model.query}")
        mark(database, kind, "main", model.name, "a model", about=model.description)
        found = run_tests(database, model.name, trial, key=(), folder=folder, before=False)
        return found, "", 0

    found, _ = _audited(database, model.name, tests, make, keep=True)
    keep_failures(database, model.name, found.results, folder=folder)
    return found


def write_books(database: Both) -> None:
    """Make anew what enrich tells of all models: `enrich.costs`, `.prompts` and `.evaluations`.

    Needs warehouse and ledger.
    """
    with database.transaction():
        for name in RESERVED_TABLES:
            check_free(database, name, name, schema="enrich")
        database.call("costs")
        database.call("prompts")
        database.call("evaluations")
        for name in RESERVED_TABLES:
            mark(database, "TABLE", "enrich", name, name)
