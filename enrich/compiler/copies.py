"""Copies: SQL that writes a model's table to files, and from there to another database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.db.quote import quote_name, quote_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from enrich.manifest.publication import Publication

STAGED_FILE = "_enrich_file"
"""The column with the name of a staged file, which is none of the table's own."""
STAGED_READERS = {
    "parquet": f"read_parquet($paths, hive_partitioning = false, filename = '{STAGED_FILE}')",
    "csv": f"read_csv($paths, hive_partitioning = false, filename = '{STAGED_FILE}', "
    "all_varchar = true)",
}
COMPOSITE_TYPES = ("STRUCT(", "MAP(", "UNION(")
ODD_TYPES = {"postgres": COMPOSITE_TYPES, "sqlite": (*COMPOSITE_TYPES, "[")}
"""What the types that a database cannot hold contain; such a value is copied as JSON."""


def render_table_seal(model: str, columns: Iterable[str]) -> str:
    """The number of rows of a table or view, and a hash of them, whatever their order."""
    # A sum, for equal rows would cancel each other out in a bit_xor.
    values = ", ".join(map(quote_name, columns))
    table = quote_name("warehouse", "main", model)
    return f"SELECT count(*), sum(CAST(hash({values}) AS HUGEINT)) FROM {table}"


def render_staging(model: str, said: Publication, *, divided: bool) -> str:
    """Write a table to $path: one file or, if `divided`, a folder for each value."""
    by = ", ".join(map(quote_name, said.partition_by))
    options = [f"FORMAT {said.format}"]
    options += [f"PARTITION_BY ({by})"] if divided else []
    return f"COPY (FROM {quote_name('warehouse', 'main', model)}) TO $path ({', '.join(options)})"


def render_empty_part(model: str, said: Publication) -> str:
    """Write the file of a partition without rows to $path: it has no column that divides them."""
    by = ", ".join(map(quote_name, said.partition_by))
    rows = f"SELECT * EXCLUDE ({by}) FROM {quote_name('warehouse', 'main', model)} LIMIT 0"
    return f"COPY ({rows}) TO $path (FORMAT {said.format})"


def render_part_seals(columns: Iterable[str], form: str) -> str:
    """For each of the files $paths: its name, and a hash of its rows, whatever their order."""
    values = ", ".join(map(quote_name, columns))
    return f"""SELECT {STAGED_FILE}, concat(count(*), '-', sum(CAST(hash({values}) AS HUGEINT)))
FROM {STAGED_READERS[form]} GROUP BY {STAGED_FILE}"""


def render_staged_view(path: str, columns: dict[str, str], kind: str) -> str:
    """Show the file of a table as `temp._enrich_staged`, in types that a database of a kind can
    hold. `columns` are those of the file, where an ENUM, whose labels might be any words, is
    text."""
    odd = ODD_TYPES.get(kind, ())
    values = ", ".join(
        f"CAST(to_json({quote_name(name)}) AS VARCHAR) AS {quote_name(name)}"
        if any(word in of for word in odd)
        else quote_name(name)
        for name, of in columns.items()
    )
    return f"CREATE OR REPLACE TEMP VIEW _enrich_staged AS SELECT {values} {render_file(path)}"


def render_file(path: str) -> str:
    """The rows of a staged file, as a FROM clause."""
    return f"FROM read_parquet({quote_text(path)}, hive_partitioning = false)"


def render_unique(table: str, key: Sequence[str]) -> str:
    """Whether the `key` identifies the rows of a table."""
    # Among the values as they are there: in Parquet, two large HUGEINTs may be one DOUBLE.
    keys = ", ".join(map(quote_name, key))
    found = f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {table})"
    return f"SELECT (SELECT count(*) FROM {table}) = ({found})"


def render_row_differences(table: str, key: Sequence[str]) -> tuple[str, str]:
    """Two statements: the keys of the rows that `table` is no longer to have as they are, and the
    rows that it does not have yet. The key must identify the rows of both."""
    keys = ", ".join(map(quote_name, key))
    gone = f"SELECT {keys} FROM (FROM {table} EXCEPT FROM temp._enrich_staged)"
    fresh = f"FROM temp._enrich_staged EXCEPT FROM {table}"
    return (
        f"CREATE OR REPLACE TEMP TABLE _enrich_gone AS {gone}",
        f"CREATE OR REPLACE TEMP TABLE _enrich_fresh AS {fresh}",
    )


def render_changes(table: str, key: Sequence[str]) -> tuple[str, str]:
    """Two statements, which make of `table` what is staged, by these differences."""
    same = " AND ".join(
        f"gone.{quote_name(name)} IS NOT DISTINCT FROM kept.{quote_name(name)}" for name in key
    )
    return (
        f"DELETE FROM {table} AS kept WHERE EXISTS (FROM temp._enrich_gone AS gone WHERE {same})",
        f"INSERT INTO {table} FROM temp._enrich_fresh",
    )


def render_books(books: str) -> str:
    """Create the table that says what copies were made from, unless it exists."""
    return f"""CREATE TABLE IF NOT EXISTS {books} (
    table_name VARCHAR, model VARCHAR, ledger VARCHAR, shape VARCHAR, seal VARCHAR,
    row_count BIGINT, copied_at TIMESTAMP
)"""
