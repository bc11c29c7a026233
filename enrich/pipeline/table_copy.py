"""Table copies: a table in another database, changed in one transaction.

A table `enrich_copies` in its schema says what each copy was made from. Only the rows that differ
are written, if the model has a key that identifies them and the columns are those of the earlier
copy.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from enrich.compiler import copies
from enrich.db.quote import quote_name
from enrich.errors import Damaged, DatabaseError, ProjectError
from enrich.manifest.destination import COPY_BOOKS
from enrich.pipeline.staged import OTHERS_HINT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from enrich.db.attached import AttachedDatabase
    from enrich.db.database import Database
    from enrich.manifest.destination import TableDestination
    from enrich.pipeline.staged import Staged

GIVEN_SCHEMAS = ("main", "public")
"""Schemas that databases have from the start, and some no others."""


def attach_place(database: Database, each: AttachedDatabase) -> None:
    """Attach a database for writing. Raises DatabaseError, without its address."""
    try:
        each.attach(database, writable=True)
    except (DatabaseError, Damaged) as problem:
        # `from None`: the cause would show the address in a traceback.
        raise each.explain(problem) from None


def write_table(
    database: Database, staged: Staged, destination: TableDestination, key: Sequence[str]
) -> None:
    """Make a table in an attached database what is staged, by the columns of the `key` if there are
    any. Raises ProjectError if enrich did not create the table, or DatabaseError."""
    table = quote_name(destination.database.name, destination.schema, destination.table)
    books = quote_name(destination.database.name, destination.schema, COPY_BOOKS)
    # Before the transaction: in Postgres, DuckDB sees a new schema only after it.
    if destination.schema not in GIVEN_SCHEMAS:
        schema = quote_name(destination.database.name, destination.schema)
        database.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    database.execute(copies.render_books(books))
    exists, shape = _find_copy(database, staged, destination, books)
    path = database.aliases.alias_file(staged.files[0])
    columns = database.describe(copies.render_file(path))
    database.execute(copies.render_staged_view(path, columns, destination.database.type))
    fits = exists and shape == _describe_shape(staged) and _has_columns(database, staged, table)
    statements: list[str] = []
    if fits and _identifies(database, table, columns, key):
        for statement in copies.render_row_differences(table, key):
            database.execute(statement)
        statements += copies.render_changes(table, key)
    elif fits:
        statements += [f"DELETE FROM {table}", f"INSERT INTO {table} FROM temp._enrich_staged"]
    else:
        statements += [f"DROP TABLE {table}"] if exists else []
        # Empty first: a DuckLake keeps a few new rows apart, and then divides the table no more.
        statements += [f"CREATE TABLE {table} AS FROM temp._enrich_staged LIMIT 0"]
        statements += _render_division(destination, table)
        statements += [f"INSERT INTO {table} FROM temp._enrich_staged"]
    with database.transaction():
        for statement in statements:
            database.execute(statement)
        _note_copy(database, staged, destination, books)


def count_rows(database: Database, destination: TableDestination) -> dict[str, int]:
    """Returns the number of rows of the table by its name, nothing if there is none."""
    if not _find_kind(database, destination):
        return {}
    table = quote_name(destination.database.name, destination.schema, destination.table)
    return {destination.table: database.fetch_one(f"SELECT count(*) FROM {table}")[0]}


def explain_refusal(destination: TableDestination, problem: DatabaseError) -> DatabaseError:
    """Returns the error that a table could not be written, in plain words if another program holds
    its database."""
    if "database is locked" not in problem.message:
        return problem
    message = f"the database '{destination.database.name}' is held by another program"
    return DatabaseError(message, hint="close it there, or wait until its transaction has ended")


def _find_kind(database: Database, destination: TableDestination) -> str:
    """Returns "table" or "view", whichever has the name, "" if it is free."""
    # DuckDB ignores the case of names, so these two do as well.
    for kind in ("table", "view"):
        query = (
            f"SELECT 1 FROM duckdb_{kind}s() WHERE lower(database_name) = lower($database) "
            f"AND lower(schema_name) = lower($schema) AND lower({kind}_name) = lower($table)"
        )
        schema, table = destination.schema, destination.table
        if database.execute(query, database=destination.database.name, schema=schema, table=table):
            return kind
    return ""


def _describe_shape(staged: Staged) -> str:
    """Returns what a table has to be created again for."""
    return " ".join((staged.table.shape, *staged.said.partition_by))


def _identifies(database: Database, table: str, columns: Iterable[str], key: Sequence[str]) -> bool:
    """Whether the key of a model, which nothing has checked if it is a plain one, identifies the
    rows of the table and those that are staged."""
    known = {name.lower() for name in columns}
    return (
        bool(key)
        and all(name.lower() in known for name in key)
        and all(
            database.fetch_one(copies.render_unique(each, key))[0]
            for each in (table, "temp._enrich_staged")
        )
    )


def _find_copy(
    database: Database, staged: Staged, destination: TableDestination, books: str
) -> tuple[bool, str]:
    """Returns whether the table exists, and the hash of its columns. Raises ProjectError if enrich
    did not create it from this model."""
    exists = _find_kind(database, destination)
    query = f"SELECT model, ledger, shape FROM {books} WHERE lower(table_name) = lower($table)"
    found = database.execute(query, table=destination.table)
    if not found or exists == "view":
        if exists:
            message = f"{destination.said.to} exists, and enrich did not create it"
            raise ProjectError(message, hint=OTHERS_HINT)
        return False, ""
    model, ledger, shape = found[0]
    if (model, ledger) != (staged.table.model, staged.table.ledger):
        message = f"{destination.said.to} is the copy of another table, {model}"
        raise ProjectError(message, hint=OTHERS_HINT)
    return bool(exists), str(shape)


def _has_columns(database: Database, staged: Staged, table: str) -> bool:
    """Whether nobody has added or removed a column."""
    return list(database.describe(f"FROM {table}")) == list(staged.table.columns)


def _render_division(destination: TableDestination, table: str) -> list[str]:
    """Returns the statement that divides a new table among the files of a DuckLake, if any."""
    if not destination.said.partition_by:
        return []
    by = ", ".join(map(quote_name, destination.said.partition_by))
    return [f"ALTER TABLE {table} SET PARTITIONED BY ({by})"]


def _note_copy(
    database: Database, staged: Staged, destination: TableDestination, books: str
) -> None:
    """Write down what the table was made from, in the same transaction."""
    table = staged.table
    statement = f"DELETE FROM {books} WHERE lower(table_name) = lower($table)"
    database.execute(statement, table=destination.table)
    values = "$table, $model, $ledger, $shape, $seal, $rows, $moment"
    database.execute(
        f"INSERT INTO {books} VALUES ({values})",
        table=destination.table,
        model=table.model,
        ledger=table.ledger,
        shape=_describe_shape(staged),
        seal=table.seal,
        rows=table.rows,
        moment=datetime.now(UTC).replace(tzinfo=None),
    )
