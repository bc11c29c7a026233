"""Audit: the tests of a table, run before it is published, and what they found kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from enrich.db.creation import make_folder
from enrich.db.quote import quote_name, quote_text
from enrich.errors import DatabaseError, reading
from enrich.manifest.data_test import PUBLISHED_COPY, CandidateTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from enrich.db.database import Warehouse
    from enrich.manifest.data_test import DataTest, Severity

FAILURES_SCHEMA = "enrich_tests"
"""Where the failing rows of each test stand."""
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
"""Types that do not come back from a Parquet file as they were."""
Verdict = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a test found: how many rows that should not be there, or why it could not look.

    `table` is where they stand in the warehouse. `model` is the one whose table was tested.
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
    def verdict(self) -> Verdict:
        """What it means for the table."""
        if not self.failures and not self.error:
            return "pass"
        return "warn" if self.severity == "warn" else "fail"


@dataclass(kw_only=True)
class Broken(Exception):
    """A test that cannot be evaluated: what happened in its transaction must be taken back."""

    result: Result


def needs_published(tests: Sequence[DataTest]) -> bool:
    """Whether any test needs the table as it was published last."""
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
    """Run the tests on a table as the connection sees it, inside a transaction of the caller's.

    Failing rows go to Parquet files below `folder`, which outlive the transaction, for
    `keep_failures`. `before`: PUBLISHED_COPY is the table as published; it has `rows_before`.
    Raises Broken.
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
            found = _counted(database, model, test, rows_before)
            results += [] if test.implied and found.verdict == "pass" else [found]
            continue
        if test.compares and not before:  # a first table passes
            results.append(Result(model=model, test=test.name, severity=test.severity))
            continue
        query = test.render_failures(candidate)
        with reading(f"{test.source}: test {test.name}"):
            results.append(_run(database, model, test, query, folder))
    return results


def _counted(database: Warehouse, model: str, test: DataTest, before: int) -> Result:
    """What a test that only counts says of the table's rows and those `before`."""
    (now,) = database.fetch_one(f"SELECT count(*) FROM {quote_name('warehouse', 'main', model)}")
    error = test.judge_counts(before=before, now=int(now))
    return Result(model=model, test=test.name, severity=test.severity, error=error)


def _run(
    database: Warehouse, model: str, test: DataTest, query: str | None, folder: Path
) -> Result:
    """What the query of failing rows finds; none of them if there is no query. Raises Broken."""
    found = Result(model=model, test=test.name, severity=test.severity)
    if query is None:
        return found
    path = _file(folder, model, test.name)
    path.unlink(missing_ok=True)  # a process that was killed may have left one
    try:
        columns = database.describe(f"SELECT * FROM (\n{query}\n)")
        kept = ", ".join(f"{_stored(kind, quote_name(name))}" for name, kind in columns.items())
        # To a file, for a rollback takes tables back.
        copy = f"COPY (SELECT {kept} FROM (\n{query}\n)) TO $path (FORMAT parquet)"
        (many,) = database.fetch_one(copy, path=path)
    except DatabaseError as problem:
        error = f"cannot be evaluated: {problem.message}"
        raise Broken(
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


def _stored(kind: str, column: str) -> str:
    """A column as Parquet can hold it without loss."""
    lossy = kind.startswith(LOSSY_IN_PARQUET) and not kind.endswith("]")
    return f"CAST({column} AS VARCHAR) AS {column}" if lossy else column


def _brought_back(columns: Mapping[str, str]) -> str:
    """The columns of such a file in the types they had."""
    casts = (
        name if "NULL" in kind else f"CAST({name} AS {kind}) AS {name}"
        for name, kind in ((quote_name(column), kind) for column, kind in columns.items())
    )
    return ", ".join(casts)


def name_failures_table(model: str, test: str) -> str:
    """What the table of a test's failing rows is called."""
    return f"{model}__{test}" if model else test


def keep_failures(
    database: Warehouse, model: str, results: Sequence[Result], *, folder: Path
) -> None:
    """Replace the tables of failing rows of a model's tests. Needs the warehouse."""
    # By their comment, so that a table which somebody else put there stays.
    there = database.call("failing_tables", schema=FAILURES_SCHEMA, mark=_mark(model))
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
            path = _file(folder, model, result.test)
            database.execute(
                f"CREATE OR REPLACE TABLE {table} AS "
                f"SELECT {_brought_back(result.columns)} FROM read_parquet($path)",
                path=path,
            )
            database.execute(f"COMMENT ON TABLE {table} IS {quote_text(_mark(model))}")
    for result in found:
        _file(folder, model, result.test).unlink(missing_ok=True)


def _mark(model: str) -> str:
    """The comment on a table of failing rows."""
    return f"made by enrich from a test of {model or 'the project'}"


def _file(folder: Path, model: str, test: str) -> Path:
    """Where the failing rows wait for the end of the transaction."""
    return make_folder(folder, "tests") / f"{model}.{test}.parquet"
