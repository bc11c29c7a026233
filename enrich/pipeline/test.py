"""Test: run the tests of a table before it is published, and keep the rows that they found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from enrich.db.creation import make_folder
from enrich.db.quote import quote_name, quote_text
from enrich.errors import DatabaseError, name_on_interrupt
from enrich.manifest.data_test import PUBLISHED_COPY, CandidateTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from enrich.db.database import Warehouse
    from enrich.manifest.data_test import DataTest, Severity

FAILURES_SCHEMA = "enrich_tests"
"""The schema of the tables with each test's failing rows."""
LOSSY_IN_PARQUET = (
    "HUGEINT",
    "UHUGEINT",
    "BIGNUM",
    "INTERVAL",
    "TIME WITH",
    "TIMETZ",
    "BIT",
    "UNION",
)
"""Prefixes of types that change when written to a Parquet file and read back."""
NOT_EVALUATED = "cannot be evaluated"
"""How the error of a test starts that DuckDB cannot run."""
TestVerdict = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a test: how many rows failed it, or why it could not be evaluated (`error`).

    `table` is the table of failing rows in the warehouse. `model` is the model that was tested.
    """

    SHOWN: ClassVar = ("model", "test", "verdict", "failures", "table", "error")

    model: str
    test: str
    severity: Severity
    failures: int = 0
    error: str = ""
    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_broken(self) -> bool:
        """Whether the test could not be evaluated."""
        return self.error.startswith(NOT_EVALUATED)

    @property
    def verdict(self) -> TestVerdict:
        """Whether the table passes, with or without a warning."""
        if not self.failures and not self.error:
            return "pass"
        return "warn" if self.severity == "warn" else "fail"


@dataclass(kw_only=True)
class BrokenTest(Exception):
    """A test that cannot be evaluated: its transaction must be rolled back."""

    result: Result


def needs_published(tests: Sequence[DataTest]) -> bool:
    """Whether any test needs a copy of the table as last published."""
    return any(test.compares and not test.counts for test in tests)


def run_tests(
    database: Warehouse,
    model: str,
    tests: Sequence[DataTest],
    *,
    key: tuple[str, ...],
    folder: Path,
    before: bool,
    rows_before: int = 0,
) -> list[Result]:
    """Run tests on a table as the connection sees it, within the caller's transaction.

    Failing rows go to Parquet files in `folder`, which survive a rollback, for `keep_failures`.
    `before`: PUBLISHED_COPY holds the published table, which has `rows_before` rows. Raises
    BrokenTest if a test cannot be evaluated.
    """
    table = quote_name("warehouse", "main", model)
    columns = database.describe(f"FROM {table}") if model else {}
    shared = columns
    if before:
        was = database.describe(f"FROM {PUBLISHED_COPY}")
        shared = {column: kind for column, kind in columns.items() if column in was}
    candidate = CandidateTable(model=model, columns=columns, shared=shared, key=key)
    results = []
    for test in tests:
        if test.counts:
            found = _run_count_test(database, model, test, rows_before)
            # Nobody wrote an implied test, so it is reported only if it fails.
            results += [] if test.implied and found.verdict == "pass" else [found]
            continue
        if test.compares and not before:  # a first table passes
            results.append(Result(model=model, test=test.name, severity=test.severity))
            continue
        query = test.render_failures(candidate)
        with name_on_interrupt(f"{test.source}: test {test.name}"):
            results.append(_run_query_test(database, model, test, query, folder))
    return results


def _run_count_test(database: Warehouse, model: str, test: DataTest, before: int) -> Result:
    """Run a test of the number of rows, now and `before`."""
    (now,) = database.fetch_one(f"SELECT count(*) FROM {quote_name('warehouse', 'main', model)}")
    error = test.judge_counts(before=before, now=int(now))
    return Result(model=model, test=test.name, severity=test.severity, error=error)


def _run_query_test(
    database: Warehouse, model: str, test: DataTest, query: str | None, folder: Path
) -> Result:
    """Run a test's query of failing rows; without a query, the test passes. Raises BrokenTest."""
    found = Result(model=model, test=test.name, severity=test.severity)
    if query is None:
        return found
    path = _name_failures_file(folder, model, test.name)
    path.unlink(missing_ok=True)  # a process that was killed may have left one
    try:
        # The types are kept beside the file, for those that Parquet does not keep.
        columns = database.describe(f"SELECT * FROM (\n{query}\n)")
        kept = ", ".join(
            f"{_render_storable(kind, quote_name(name))}" for name, kind in columns.items()
        )
        # A file, because a rollback would remove a table.
        copy = f"COPY (SELECT {kept} FROM (\n{query}\n)) TO $path (FORMAT parquet)"
        (many,) = database.fetch_one(copy, path=path)
    except DatabaseError as problem:
        error = f"{NOT_EVALUATED}: {problem.message}"
        raise BrokenTest(
            result=Result(model=model, test=test.name, severity=test.severity, error=error)
        ) from problem
    if not many:
        path.unlink(missing_ok=True)
        return found
    table = f"{FAILURES_SCHEMA}.{name_failures_table(model, test.name)}"
    return Result(
        model=model,
        test=test.name,
        severity=test.severity,
        failures=int(many),
        table=table,
        columns=columns,
    )


def _render_storable(kind: str, column: str) -> str:
    """Returns a column in a type that Parquet can hold without loss."""
    lossy = kind.startswith(LOSSY_IN_PARQUET) and not kind.endswith("]")
    return f"CAST({column} AS VARCHAR) AS {column}" if lossy else column


def _render_restored(columns: Mapping[str, str]) -> str:
    """Returns the columns of such a file in their original types."""
    # A column of NULLs has a type that nothing can be cast to.
    casts = (
        name if "NULL" in kind else f"CAST({name} AS {kind}) AS {name}"
        for name, kind in ((quote_name(column), kind) for column, kind in columns.items())
    )
    return ", ".join(casts)


def name_failures_table(model: str, test: str) -> str:
    """Returns the name of the table of a test's failing rows."""
    return f"{model}__{test}" if model else test


def keep_failures(
    database: Warehouse, model: str, results: Sequence[Result], *, folder: Path
) -> None:
    """Replace the tables of failing rows of a model's tests. Needs the warehouse."""
    # Found by their comment, so that a table which a user put there is left alone.
    there = database.call("failing_tables", schema=FAILURES_SCHEMA, mark=_render_mark(model))
    found = [result for result in results if result.failures]
    if not there and not found:
        return
    with database.transaction():
        database.execute(f"CREATE SCHEMA IF NOT EXISTS warehouse.{quote_name(FAILURES_SCHEMA)}")
        for (name,) in there:
            database.execute(f"DROP TABLE {quote_name('warehouse', FAILURES_SCHEMA, name)}")
        for result in found:
            name = name_failures_table(model, result.test)
            table = quote_name("warehouse", FAILURES_SCHEMA, name)
            path = _name_failures_file(folder, model, result.test)
            database.execute(
                f"CREATE OR REPLACE TABLE {table} AS "
                f"SELECT {_render_restored(result.columns)} FROM read_parquet($path)",
                path=path,
            )
            database.execute(f"COMMENT ON TABLE {table} IS {quote_text(_render_mark(model))}")
    for result in found:
        _name_failures_file(folder, model, result.test).unlink(missing_ok=True)


def _render_mark(model: str) -> str:
    """Returns the comment on a table of failing rows."""
    return f"made by enrich from a test of {model or 'the project'}"


def _name_failures_file(folder: Path, model: str, test: str) -> Path:
    """Returns the file in which failing rows survive the transaction."""
    return make_folder(folder, "tests") / f"{model}.{test}.parquet"
