"""An open connection: every statement passes here, and its type says what is attached."""

from __future__ import annotations

import re
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
from enrich.db.quote import render_attach

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

LONG_LINE_MEMORY = "4GB"
"""The memory that one thread may take for a moment to read a very long line."""

ATTACHING = re.compile(r"^ATTACH '(?:[^']|'')*'(.*)", re.DOTALL)

Row = tuple[Any, ...]


@dataclass(kw_only=True)
class Database:
    """An open connection, whose statements raise DatabaseError or Damaged, never DuckDB's errors.

    `owner` is the id of the project's ledger if the warehouse is open. If `is_unrestricted`, SQL
    may read any file and call extensions.
    """

    connection: duckdb.DuckDBPyConnection = field(repr=False)
    verbose: bool = False
    owner: str = ""
    is_unrestricted: bool = False
    aliases: Aliases = field(default_factory=Aliases, repr=False)

    def execute(self, sql: str, /, **values: Any) -> list[Row]:  # noqa: ANN401  # any SQL value
        """Run one statement with bound values, and return all rows of the result.

        A Path among the values, or in a list of them, is that file, whatever characters it has.
        Raises DatabaseError, Damaged, or KeyboardInterrupt at Ctrl-C.
        """
        import duckdb

        start = time.perf_counter()
        bound = {name: self._bind(value) for name, value in values.items()}
        try:
            rows = call_interruptibly(
                lambda: self._fetch_rows(sql, bound), self.connection.interrupt
            )
        # DuckDB's client raises some of Python's own errors as well: RuntimeError at Ctrl-C, the
        # others where a value does not fit Python's type or DuckDB's.
        except (duckdb.Error, OverflowError, RuntimeError, ValueError) as problem:
            if is_interrupted(problem):
                raise KeyboardInterrupt from problem
            raise translate_problem(problem, self._list_tables) from problem
        if self.verbose:
            seconds = time.perf_counter() - start
            sys.stderr.write(f"sql {seconds:7.3f} s {len(rows):>6} rows  {_label_statement(sql)}\n")
        return rows

    def _list_tables(self) -> list[str]:
        """Returns the names of the warehouse's tables and views, for a hint; none if they cannot be
        read."""
        import duckdb

        # On a cursor of its own, because an error ends the transaction of this one.
        query = """SELECT table_name FROM information_schema.tables
            WHERE table_catalog = 'warehouse' AND table_schema = 'main'"""
        try:
            with closing(self.connection.cursor()) as beside:
                return [str(name) for (name,) in beside.execute(query).fetchall()]
        except (duckdb.Error, RuntimeError):
            return []

    def _fetch_rows(self, sql: str, bound: Mapping[str, Any]) -> list[Row]:
        cursor = self.connection.execute(sql, bound or None)
        return cursor.fetchall() if cursor else []

    def _bind(self, value: Any) -> Any:  # noqa: ANN401  # any SQL value
        if isinstance(value, list):
            return [self._bind(item) if isinstance(item, Path) else item for item in value]
        return self.aliases.alias_file(value) if isinstance(value, Path) else value

    def attach(self, path: Path | str, name: str, option: str = "") -> None:
        """Attach a file, or what an address names, as `name`.

        Raises DatabaseError or Damaged, whose cause may show the address.
        """
        self.execute(render_attach(str(self._bind(path)), name, option))

    def fetch_one(self, sql: str, /, **values: Any) -> Row:  # noqa: ANN401
        """Run a statement, and return the only row of its result."""
        return self.execute(sql, **values)[0]

    def fetch_dicts(self, sql: str, /, **values: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """Run a statement, and return all rows of its result, each by column name."""
        rows = self.execute(sql, **values)
        names = [column[0] for column in self.connection.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def call(self, name: str, /, **values: Any) -> list[Row]:  # noqa: ANN401
        """Run the constant statement enrich/db/sql/NAME.sql."""
        return self.execute(read_statement(name), **values)

    def describe(self, select: str) -> dict[str, str]:
        """Returns the columns of a SELECT and their types."""
        # On lines of its own, the SELECT cannot end in a comment that swallows the parenthesis.
        return {row[0]: row[1] for row in self.execute(f"DESCRIBE FROM (\n{select}\n)")}

    @contextmanager
    def open_bare(self) -> Iterator[Database]:
        """Opens a second connection, which knows none of the user's tables and macros."""
        with closing(self.connection.cursor()) as connection:
            yield Database(connection=connection, verbose=self.verbose, aliases=self.aliases)

    @contextmanager
    def allow_memory(self) -> Iterator[None]:
        """Inside, a single thread may take more memory, for data that cannot be read in pieces."""
        # One thread, for each of them would take as much.
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
        """Inside, rows need not keep their order, which makes writing a large file twice as
        fast."""
        self.execute("SET preserve_insertion_order = false")
        try:
            yield
        finally:
            self.execute("RESET preserve_insertion_order")

    @contextmanager
    def roll_back(self) -> Iterator[None]:
        """Nothing that happens inside is kept."""
        self.execute("BEGIN TRANSACTION")
        try:
            yield
        finally:
            self.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What happens inside is kept only if the block ends without an error, otherwise none of
        it."""
        self.execute("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")


class Ledger(Database):
    """A connection with the ledger attached as `ledger`."""


class Warehouse(Database):
    """A connection with the warehouse attached as `warehouse`, where plain names are looked up."""


class Both(Ledger, Warehouse):
    """A connection with both attached."""


def _label_statement(sql: str) -> str:
    """Returns what to call a statement: its opening comment or its first words."""
    first, _, _ = sql.partition("\n")
    if attaching := ATTACHING.match(sql):  # its address may hold a password
        return f"ATTACH ...{attaching[1]}"
    return first[3:] if first.startswith("-- ") else " ".join(sql.split())[:72]


@cache
def read_statement(name: str) -> str:
    """Returns the text of enrich/db/sql/NAME.sql."""
    return (files("enrich.db") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
