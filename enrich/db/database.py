"""An open connection: every statement passes here, and says by its type what is attached."""

from __future__ import annotations

import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.db.alias import Aliases
from enrich.db.complaint import is_interrupted, translate_problem
from enrich.db.interruptible import call_interruptibly

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

LONG_LINE_MEMORY = "4GB"
"""What one thread may hold for a moment to read a very long line."""

Row = tuple[Any, ...]


@dataclass(kw_only=True)
class Database:
    """An open connection. Statements raise DatabaseError, or InputError where a SELECT is the
    user's own; never an error of DuckDB. `owner` is the id of the project's ledger, where the
    warehouse is open. `free`: SQL may read any file, and call extensions."""

    connection: duckdb.DuckDBPyConnection = field(repr=False)
    verbose: bool = False
    owner: str = ""
    is_unrestricted: bool = False
    aliases: Aliases = field(default_factory=Aliases, repr=False)

    def execute(self, sql: str, /, **values: Any) -> list[Row]:  # noqa: ANN401  # any SQL value
        """Run one statement with bound values; gives all rows of the answer.

        A Path among the values, or in a list of them, stands for that file, whatever its name.
        """
        import duckdb

        start = time.perf_counter()
        bound = {name: self._bind(value) for name, value in values.items()}
        try:
            rows = call_interruptibly(
                lambda: self._fetch_rows(sql, bound), self.connection.interrupt
            )
        except (duckdb.Error, OverflowError, RuntimeError, ValueError) as problem:
            if is_interrupted(problem):
                raise KeyboardInterrupt from problem
            raise translate_problem(problem) from problem
        if self.verbose:
            seconds = time.perf_counter() - start
            sys.stderr.write(f"sql {seconds:7.3f} s {len(rows):>6} rows  {_label_statement(sql)}\n")
        return rows

    def _fetch_rows(self, sql: str, bound: Mapping[str, Any]) -> list[Row]:
        cursor = self.connection.execute(sql, bound or None)
        return cursor.fetchall() if cursor else []

    def _bind(self, value: Any) -> Any:  # noqa: ANN401  # any SQL value
        if isinstance(value, list):
            return [self._bind(item) if isinstance(item, Path) else item for item in value]
        return self.aliases.alias_file(value) if isinstance(value, Path) else value

    def fetch_one(self, sql: str, /, **values: Any) -> Row:  # noqa: ANN401
        """The only row of an answer."""
        return self.execute(sql, **values)[0]

    def fetch_dicts(self, sql: str, /, **values: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """All rows of an answer, each by column name."""
        rows = self.execute(sql, **values)
        names = [column[0] for column in self.connection.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def call(self, name: str, /, **values: Any) -> list[Row]:  # noqa: ANN401
        """Run the constant statement enrich/db/sql/NAME.sql."""
        return self.execute(read_statement(name), **values)

    def describe(self, select: str) -> dict[str, str]:
        """The columns of a SELECT and their types."""
        return {row[0]: row[1] for row in self.execute(f"DESCRIBE FROM (\n{select}\n)")}

    @contextmanager
    def open_bare(self) -> Iterator[Database]:
        """A connection beside this one, in which none of the user's tables and macros are known."""
        with closing(self.connection.cursor()) as connection:
            yield Database(connection=connection, verbose=self.verbose, aliases=self.aliases)

    @contextmanager
    def allow_memory(self) -> Iterator[None]:
        """Inside, one thread may take much memory, for what cannot be had in pieces."""
        (limit,) = self.fetch_one("SELECT current_setting('memory_limit')")
        self.execute("SET threads = 1")
        self.execute(f"SET memory_limit = '{LONG_LINE_MEMORY}'")
        try:
            yield
        finally:
            self.execute("RESET threads")
            self.execute(f"SET memory_limit = '{limit}'")

    @contextmanager
    def allow_any_order(self) -> Iterator[None]:
        """Inside, rows need not keep their order: what writes a large file is twice as fast."""
        self.execute("SET preserve_insertion_order = false")
        try:
            yield
        finally:
            self.execute("RESET preserve_insertion_order")

    @contextmanager
    def roll_back(self) -> Iterator[None]:
        """Nothing of what happens inside is kept."""
        self.execute("BEGIN TRANSACTION")
        try:
            yield
        finally:
            self.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: what happens inside is kept only if the block ends without an error."""
        self.execute("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")


class Ledger(Database):
    """One with the ledger attached as `ledger`."""


class Warehouse(Database):
    """One with the warehouse attached as `warehouse`, in which plain names are looked up."""


class Both(Ledger, Warehouse):
    """One with both."""


def _label_statement(sql: str) -> str:
    """What to call a statement: its opening comment, or its first words."""
    first, _, _ = sql.partition("\n")
    return first[3:] if first.startswith("-- ") else " ".join(sql.split())[:72]


@cache
def read_statement(name: str) -> str:
    """The text of enrich/db/sql/NAME.sql."""
    return (files("enrich.db") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
