"""Rows: the rows of one model beside their answers, in a database of the view's own.

The inputs are stored nowhere else, and the SELECT is run once, when the rows are first looked at.
A filter or a sort is run once, too: its row numbers are kept, and every page of it is read by them.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from enrich.compiler import viewing
from enrich.compiler.viewing import ROW_DETAILS, ROWS, SORTABLE_DETAILS, ShownColumn
from enrich.db.database import Database
from enrich.db.quote import render_struct
from enrich.errors import InputError, nearest
from enrich.manifest.digits import load_exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import duckdb


IS_LISTED = "rowid IN (SELECT unnest($numbers::BIGINT[]))"
"""SQL for the rows with these numbers. `rowid` equals n, since the rows were written in the order
of n, and is found without a search: five times as fast as `n IN (...)` at a million rows."""
MOST_PAGE_ROWS = 1_000
KEPT_ORDERS = 8
"""How many filters and sorts are kept, each with the numbers of all its rows."""


@dataclass(frozen=True, kw_only=True)
class PageQuery:
    """Which rows of a model a page asks for: `limit` of them from the `offset`-th on, among those
    that have this outcome ("not ok": any other), this label in a column, this version of the
    prompt, and contain the text `search`. `sort` is the place of a column or one of
    SORTABLE_DETAILS. With `count`, the answer says how many rows there are in all. A later question
    of a tab has a larger `number`."""

    offset: int = 0
    limit: int = 100
    sort: str = ""
    descending: bool = False
    search: str = ""
    outcome: str = ""
    column: str = ""
    label: str = ""
    prompt: str = ""
    count: bool = False
    number: int = 0

    @classmethod
    def from_words(cls, words: Mapping[str, str]) -> PageQuery:
        """Reads the words of a URL. Raises InputError."""
        try:
            return cls(
                offset=max(0, int(words.get("offset", "0"))),
                limit=min(MOST_PAGE_ROWS, max(1, int(words.get("limit", "100")))),
                sort=words.get("sort", ""),
                descending=words.get("descending") == "true",
                search=words.get("search", ""),
                outcome=words.get("outcome", ""),
                column=words.get("column", ""),
                label=words.get("label", ""),
                prompt=words.get("prompt", ""),
                count=words.get("count") == "true",
                number=int(words.get("number", "0")),
            )
        except ValueError as problem:
            hint = "offset and limit are whole numbers"
            raise InputError(
                "the page asks for rows that cannot be counted", hint=hint
            ) from problem

    @property
    def is_plain(self) -> bool:
        """Whether it is all rows in the order of the key."""
        return not (self.sort or self.search or self.outcome or self.column or self.prompt)


@dataclass
class ShownRows:
    """The rows of a model as of one moment. `trouble` says why the inputs are missing, if so."""

    model: str
    columns: tuple[ShownColumn, ...]
    total: int
    blobs: tuple[bool, ...]
    path: Path
    engine: duckdb.DuckDBPyConnection
    trouble: str = ""
    _orders: OrderedDict[tuple[str, str, str], int] = field(default_factory=OrderedDict)
    _made: int = 0
    _lock: Lock = field(default_factory=Lock)
    _latest: dict[str, tuple[int, duckdb.DuckDBPyConnection]] = field(default_factory=dict)
    _asking: Lock = field(default_factory=Lock)

    @property
    def key(self) -> tuple[ShownColumn, ...]:
        return tuple(column for column in self.columns if column.role == "key")

    def find_page(self, query: PageQuery, tab: str = "") -> dict[str, Any]:
        """Returns rows as lists: n, outcome, error, stale, prompt, then the cells. `total` is None
        if it has not been counted yet. Raises InputError, and KeyboardInterrupt if the same tab
        has asked for something else in the meantime."""
        with self.open(tab, query.number) as database:
            if query.is_plain:
                numbers = range(query.offset, min(query.offset + query.limit, self.total))
                return self._read(database, list(numbers), self.total)
            condition, order, values = self._render_order(query)
            known = self._orders.get((condition, order, str(values)))
            if known is None and not query.count:
                # The first rows come at once; how many there are is counted by the next question.
                # Without ORDER BY, DuckDB keeps the order of the rows, and stops at the last one.
                by = f"ORDER BY {order}" if query.sort else ""
                found = database.execute(
                    f"SELECT n FROM {ROWS} WHERE {condition} {by} "
                    f"LIMIT {query.limit} OFFSET {query.offset}",
                    **values,
                )
                return self._read(database, [n for (n,) in found], None)
            table, total = self._keep_order(database, condition, order, values)
            upto = query.offset + query.limit
            found = database.execute(
                f"SELECT n FROM {table} WHERE i >= {query.offset} AND i < {upto} ORDER BY i"
            )
            return self._read(database, [n for (n,) in found], total)

    def find_numbers(
        self, query: PageQuery, many: int, *, outside: set[tuple[str, ...]]
    ) -> list[int]:
        """Returns the numbers of `many` of these rows at random, in random order, without those
        whose keys, as texts, are in `outside`."""
        with self.open() as database:
            condition, _, values = self._render_order(query)
            keys = ", ".join(f"CAST({column.place} AS VARCHAR)" for column in self.key)
            found = database.execute(
                f"SELECT n FROM {ROWS} WHERE {condition} "
                f"AND NOT list_contains($outside::VARCHAR[][], [{keys}]) "
                f"ORDER BY random() LIMIT {many}",
                **values,
                outside=[list(key) for key in outside],
            )
            return [n for (n,) in found]

    def find_failed_first(self, many: int) -> list[int]:
        """Returns the numbers of the first `many` rows, counting those that are not ok first, in
        the order of the key."""
        failed = "coalesce(outcome NOT IN ('ok', 'pending', 'new'), false)"
        with self.open() as database:
            found = database.execute(
                f"SELECT n FROM (SELECT n FROM {ROWS} ORDER BY {failed} DESC, n LIMIT {many}) "
                "ORDER BY n"
            )
            return [n for (n,) in found]

    def read_numbers(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Returns the rows with these numbers, in this order, with whole cells."""
        with self.open() as database:
            return self._read(database, numbers, len(numbers), whole=True)

    def find_row(self, number: int) -> dict[str, Any]:
        """Returns one row with its whole cells. Raises InputError if there is none."""
        cells = ", ".join(viewing.render_shown_cell(c, whole=True) for c in self.columns)
        details = ", ".join(f"CAST({name} AS VARCHAR)" for name in ROW_DETAILS)
        with self.open() as database:
            found = database.execute(
                f"SELECT {details}, {cells} FROM {ROWS} WHERE n = $n", n=number
            )
        if not found:
            raise InputError(f"'{self.model}' has no row {number}", hint="reload the page")
        size = len(ROW_DETAILS)
        return {
            "n": number,
            **dict(zip(ROW_DETAILS, found[0][:size], strict=True)),
            "cells": list(found[0][size:]),
            "pictures": self._find_pictures([number])[0],
        }

    def find_answers(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Returns, for each of these rows, its `id` (the custom_id) and the `fingerprint` of its
        answer."""
        with self.open() as database:
            found = database.fetch_dicts(
                f"SELECT n, custom_id AS id, fingerprint FROM {ROWS} WHERE {IS_LISTED}",
                numbers=list(numbers),
            )
        known = {row.pop("n"): row for row in found}
        return [known[number] for number in numbers]

    def find_by_id(self, ident: str) -> dict[str, Any] | None:
        """Returns the key, the answer and the fingerprint of the row with this custom_id, the first
        two as JSON values whose numbers keep their digits, and JSON as text; None if there is
        none. Raises InputError for an answer that JSON cannot hold."""

        def render_object(role: str) -> str:
            cells = {c.name: viewing.render_said_cell(c) for c in self.columns if c.role == role}
            return f"CAST(to_json({render_struct(cells)}) AS VARCHAR)" if cells else "'{}'"

        with self.open() as database:
            found = database.execute(
                f"SELECT {render_object('key')}, {render_object('output')}, fingerprint "
                f"FROM {ROWS} WHERE custom_id = $ident LIMIT 1",
                ident=ident,
            )
        if not found:
            return None
        key, answer, fingerprint = found[0]
        try:
            return {
                "key": load_exact(key),
                "answer": load_exact(answer),
                "fingerprint": fingerprint,
            }
        except (ValueError, RecursionError) as problem:
            message = "the answer holds NaN, or is nested too deeply, which a review cannot hold"
            raise InputError(message, hint="skip the row") from problem

    def find_picture(self, number: int, place: int) -> str | bytes | None:
        """Returns what a picture is: a URL, the path of a file, or the bytes of a BLOB."""
        if not 0 <= place < len(self.blobs):
            return None
        with self.open() as database:
            found = database.execute(f"SELECT p{place} FROM {ROWS} WHERE n = $n", n=number)
        value: str | bytes | None = found[0][0] if found else None
        return value

    @contextmanager
    def open(self, tab: str = "", number: int = 0) -> Iterator[Database]:
        """Opens a connection of its own, since each question comes in a thread of its own.

        A later question of a `tab`, by its `number`, ends what is still running for an earlier one:
        nobody waits for that any more. Raises KeyboardInterrupt if there has been a later one.
        """
        import duckdb

        with closing(self.engine.cursor()) as cursor:
            if tab:
                with self._asking:  # questions may arrive in another order than they were asked in
                    latest, before = self._latest.get(tab, (-1, None))
                    if number < latest:
                        raise KeyboardInterrupt
                    self._latest[tab] = number, cursor
                if before is not None:
                    with suppress(duckdb.Error):  # it has been closed
                        before.interrupt()
            yield Database(connection=cursor)

    def close(self) -> None:
        """Close the engine, and remove the file."""
        self.engine.close()
        with suppress(OSError):  # Windows, if a question is still being answered
            self.path.unlink()

    def _read(
        self,
        database: Database,
        numbers: Sequence[int],
        total: int | None,
        *,
        whole: bool = False,
    ) -> dict[str, Any]:
        """Returns these rows in this order."""
        cells = ", ".join(viewing.render_shown_cell(c, whole=whole) for c in self.columns)
        found = database.execute(
            f"SELECT n, outcome, error, stale, prompt, {cells} FROM {ROWS} WHERE {IS_LISTED}",
            numbers=list(numbers),
        )
        rows = {row[0]: list(row) for row in found}
        return {
            "rows": [rows[n] for n in numbers],
            "pictures": self._find_pictures(numbers),
            "total": total,
        }

    def _find_pictures(self, numbers: Sequence[int]) -> list[list[str | None]]:
        """Returns, for each row, what each of its pictures is: an address, "file" or None."""
        if not self.blobs:
            return [[] for _ in numbers]
        shown = ", ".join(
            f"CASE WHEN p{at} IS NOT NULL THEN 'file' END"
            if blob
            else f"CASE WHEN regexp_matches(p{at}, '^(https?://|data:)', 'i') THEN p{at} "
            f"WHEN trim(p{at}) <> '' THEN 'file' END"
            for at, blob in enumerate(self.blobs)
        )
        with self.open() as database:
            listed = database.execute(
                f"SELECT n, {shown} FROM {ROWS} WHERE {IS_LISTED}", numbers=list(numbers)
            )
        found = {row[0]: list(row[1:]) for row in listed}
        return [found.get(n, []) for n in numbers]

    def _render_order(self, query: PageQuery) -> tuple[str, str, dict[str, str]]:
        """Returns the condition and the order of a query, and the values that are bound to them."""
        conditions, values = ["true"], {}
        if query.outcome == "not ok":
            conditions.append("outcome NOT IN ('ok', 'pending', 'new')")
        elif query.outcome:
            conditions.append("outcome = $outcome")
            values["outcome"] = query.outcome
        if query.prompt:
            conditions.append("prompt = $prompt")
            values["prompt"] = query.prompt
        if query.column:
            conditions.append(viewing.render_has_label(self._find_column(query.column)))
            values["label"] = query.label
        if query.search:
            conditions.append(viewing.render_search(self.columns))
            values["search"] = query.search.lower()
        order = "n"
        if query.sort:
            if query.sort not in SORTABLE_DETAILS:
                self._find_column(query.sort)
            way = "DESC" if query.descending else "ASC"
            order = f"{query.sort} {way} NULLS LAST, n"
        return " AND ".join(conditions), order, values

    def _find_column(self, place: str) -> ShownColumn:
        for column in self.columns:
            if column.place == place:
                return column
        hint = nearest(place, [column.place for column in self.columns])
        raise InputError(f"'{self.model}' has no column '{place}'", hint=hint)

    def _keep_order(
        self, database: Database, condition: str, order: str, values: Mapping[str, str]
    ) -> tuple[str, int]:
        """Returns the table of the numbers of these rows in this order, and how many there are."""
        known = (condition, order, str(values))
        with self._lock:
            if known not in self._orders:
                self._made += 1
                database.execute(
                    f"CREATE TABLE memory.main.v{self._made} AS "
                    f"SELECT row_number() OVER (ORDER BY {order}) - 1 AS i, n "
                    f"FROM {ROWS} WHERE {condition} ORDER BY i",
                    **values,
                )
                self._orders[known] = self._made
                if len(self._orders) > KEPT_ORDERS:
                    _, oldest = self._orders.popitem(last=False)
                    database.execute(f"DROP TABLE memory.main.v{oldest}")
            self._orders.move_to_end(known)
            table = f"memory.main.v{self._orders[known]}"
        return table, int(database.fetch_one(f"SELECT count(*) FROM {table}")[0])
