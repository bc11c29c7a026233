"""Table copies: a table in another database, changed in one transaction.

A table `enrich_copies` in its schema says what each copy was made from. Only the rows that differ
are written, if the model has a key and its columns are those of the earlier copy.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from enrich.compiler import copies
from enrich.db.quote import quote_name
from enrich.errors import DatabaseError, ProjectError
from enrich.pipeline.staged import OTHERS_HINT

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    except DatabaseError as problem:
        # `from None`: the cause would show the address in a traceback.
        raise each.explain(problem) from None


def write_table(
    database: Database, staged: Staged, destination: TableDestination, key: Sequence[str]
) -> None:
    """Make a table in an attached database what is staged, by the columns of the `key` if there are
    any. Raises ProjectError if enrich did not create the table, or DatabaseError."""
    table = quote_name(destination.database.name, destination.schema, destination.table)
    books = quote_name(destination.database.name, destination.schema, copies.COPY_BOOKS)
    # Before the transaction: in Postgres, DuckDB sees a new schema only after it.
    if destination.schema not in GIVEN_SCHEMAS:
        schema = quote_name(destination.database.name, destination.schema)
        database.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    database.execute(copies.render_books(books))
    exists, shape = _find_copy(database, staged, destination, books)
    path = database.aliases.alias_file(staged.files[0])
    kind = destination.database.type
    database.execute(copies.render_staged_view(path, dict(staged.table.columns), kind))
    fits = exists and shape == staged.table.shape and _has_columns(database, staged, table)
    statements: list[str] = []
    if fits and key:
        for statement in copies.render_row_differences(table, key):
            database.execute(statement)
        statements += copies.render_changes(table, key)
    elif fits:
        statements += [f"DELETE FROM {table}", f"INSERT INTO {table} FROM temp._enrich_staged"]
    else:
        statements += [f"DROP TABLE {table}"] if exists else []
        statements += [f"CREATE TABLE {table} AS FROM temp._enrich_staged"]
        statements += _render_division(destination, table)
    with database.transaction():
        for statement in statements:
            database.execute(statement)
        _note_copy(database, staged, destination, books)


def _find_copy(
    database: Database, staged: Staged, destination: TableDestination, books: str
) -> tuple[bool, str]:
    """Returns whether the table exists, and the hash of its columns. Raises ProjectError if enrich
    did not create it from this model."""
    exists = database.fetch_one(
        "SELECT count(*) > 0 FROM duckdb_tables() WHERE database_name = $database "
        "AND schema_name = $schema AND lower(table_name) = lower($table)",
        database=destination.database.name,
        schema=destination.schema,
        table=destination.table,
    )[0]
    query = f"SELECT model, ledger, shape FROM {books} WHERE table_name = $table"
    found = database.execute(query, table=destination.table)
    if not found:
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
    database.execute(f"DELETE FROM {books} WHERE table_name = $table", table=destination.table)
    values = "$table, $model, $ledger, $shape, $seal, $rows, $moment"
    database.execute(
        f"INSERT INTO {books} VALUES ({values})",
        table=destination.table,
        model=table.model,
        ledger=table.ledger,
        shape=table.shape,
        seal=table.seal,
        rows=table.rows,
        moment=datetime.now(UTC).replace(tzinfo=None),
    )
