"""Integrity: every row of the ledger is read, and what refers to what is checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from enrich.db.files import LEDGER_ROW_GROUP
from enrich.db.quote import quote_name
from enrich.errors import Damaged, DatabaseError, count_nouns
from enrich.ledger.tables import check_ledger_exists, list_tables, quote_ledger_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles

VECTOR_ROWS = 2048
"""DuckDB's vector size: it reads this many rows at a time, so a smaller piece would fail as
well."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A table of the ledger: its rows, how many of them could not be read (`unread`), how many were
    read without one of their values (`incomplete`), and what is wrong (`faults`)."""

    table: str
    rows: int
    unread: int = 0
    incomplete: int = 0
    faults: tuple[str, ...] = ()


def check_ledger(files: DatabaseFiles) -> tuple[Part, ...]:
    """Read every row of every table and check references between them. Changes nothing.

    Raises Damaged if the ledger cannot be opened at all.
    """
    check_ledger_exists(files)
    with files.open_ledger("read") as database:
        found = {
            name: _check_table(database, name, columns) for name, columns in list_tables(database)
        }
        # References to a row that cannot be read would all be reported as missing.
        readable = not any(part.unread for part in found.values())
        if readable and {"batches", "prompts", "runs", "requests", "responses"} <= found.keys():
            for table, fault, many in _find_dangling(database):
                part = found[table]
                faults = (*part.faults, f"{many:,} {fault}")
                found[table] = replace(part, faults=faults)
    return tuple(found.values())


def _find_dangling(database: Ledger) -> list[tuple[Any, ...]]:
    try:
        return database.call("ledger_references")
    except DatabaseError:  # an older enrich created the ledger, without some of the columns
        return []


def _check_table(database: Ledger, table: str, columns: Mapping[str, str]) -> Part:
    """Read a whole table; if that fails, read it in pieces to find out how much is left of it."""
    # The hash makes DuckDB read every value: count(*) alone is answered from metadata.
    listed = ", ".join(quote_name(column) for column in columns)
    query = f"SELECT count(*), bit_xor(hash({listed})) FROM {quote_ledger_table(table)}"
    try:
        rows = int(database.fetch_one(query)[0])
    except Damaged:
        rows, unread = read_in_pieces(
            database, table, lambda part, _: int(database.fetch_one(query + part)[0])
        )
        fault = f"up to {count_nouns(unread, 'row')} of it cannot be read"
        return Part(table=table, rows=rows + unread, unread=unread, faults=(fault,))
    for (column,) in database.call("ledger_keys", table=table):
        name = quote_name(column)
        try:  # with a constant DuckDB scans the table, and the index would not be read
            for (key,) in database.execute(f"SELECT {name} FROM {quote_ledger_table(table)}"):
                database.execute(
                    f"SELECT 1 FROM {quote_ledger_table(table)} WHERE {name} = (SELECT $key)",
                    key=key,
                )
        except Damaged:
            return Part(table=table, rows=rows, faults=("its index is damaged, its rows are not",))
    return Part(table=table, rows=rows)


def read_in_pieces(
    database: Ledger, table: str, read: Callable[[str, bool], int]
) -> tuple[int, int]:
    """Read a table row group by row group, and a damaged one vector by vector.

    `read` takes a WHERE clause, and whether the piece is one of the smallest; it returns the number
    of rows. Returns how many rows were read, and how many could not be.
    """
    try:
        (most,) = database.fetch_one(
            f"SELECT coalesce(max(rowid), -1) FROM {quote_ledger_table(table)}"
        )
    except Damaged:  # nothing of the table can be found without its row ids
        most = -1
    rows, unread = 0, 0
    left = [(first, LEDGER_ROW_GROUP) for first in range(0, int(most) + 1, LEDGER_ROW_GROUP)][::-1]
    while left:  # a stack, so the lists are reversed to read rows in order
        first, many = left.pop()
        last = min(first + many - 1, int(most))
        try:
            rows += read(f" WHERE rowid BETWEEN {first} AND {last}", many == VECTOR_ROWS)
        except Damaged:
            if many == LEDGER_ROW_GROUP:
                left += [(each, VECTOR_ROWS) for each in range(first, last + 1, VECTOR_ROWS)][::-1]
            else:
                unread += last - first + 1
    return rows, unread
