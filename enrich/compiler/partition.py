"""Partitions: the rows of a model divided by the values of one column."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enrich.db.quote import quote_name, quote_text
from enrich.errors import DatabaseError, InputError, ModelError
from enrich.manifest import guard

if TYPE_CHECKING:
    from enrich.db.database import Warehouse

SOME_VALUES = ("0", "2000-01-01", "00:00:00", "00000000-0000-0000-0000-000000000000")
"""Texts of which one is a value of each type that is not an ENUM."""
WHERE_HINT = 'a condition on the SELECT\'s columns, as in --where "year < 1950"'


def check_condition(where: str) -> frozenset[str]:
    """Refuse a `--where` that is not one SQL expression, or that writes or runs anything. Returns
    the functions that it calls."""
    try:
        return guard.check_expression(where, source="--where", line=None)
    except ModelError as problem:
        raise InputError(problem.message, hint=WHERE_HINT) from problem


def _check_steady(database: Warehouse, calls: frozenset[str]) -> None:
    """Raises InputError for a function that gives other values each time: a row of the partitions
    that it names would be missing from those that it selects, and so be taken for gone."""
    query = """SELECT min(function_name) FROM duckdb_functions()
    WHERE stability = 'VOLATILE' AND list_contains($calls, function_name)"""
    (name,) = database.fetch_one(query, calls=sorted(calls))
    if name is not None:
        what = f"--where calls {name}(), which gives another value for each row"
        raise InputError(what, hint=WHERE_HINT)


@dataclass(frozen=True, kw_only=True)
class Partition:
    """The column of the SELECT by which its rows are divided, and the `condition` on it for those
    that are worked on; "" for all."""

    name: str
    type: str
    condition: str = ""

    @property
    def label(self) -> str:
        """What the name of a part starts with: a part of another column is not mistaken for one of
        this one's."""
        return self.name.lower()

    def render_part(self, value: str) -> str:
        """SQL for the name of the part that a row with this SQL `value` is in: `day=2026-11-01`, or
        `day` for NULL."""
        start = quote_text(f"{self.label}=")
        return f"coalesce({start} || CAST({value} AS VARCHAR), {quote_text(self.label)})"

    def render_values(self, parts: str) -> str:
        """A SELECT of `_enrich_part` and its value, from a SELECT of parts; those of other columns,
        and values that are no longer of the column's type, are left out."""
        # The column may be called `part`.
        start, null = f"{self.label}=", quote_text(self.label)
        value = f"TRY_CAST(substr(part, {len(start) + 1}) AS {self.type})"
        column = quote_name(self.name)
        fits = f"starts_with(part, {quote_text(start)}) AND {value} IS NOT NULL"
        return f"""SELECT part AS _enrich_part,
    CASE WHEN part <> {null} THEN {value} END AS {column}
FROM ({parts}) WHERE part = {null} OR ({fits})"""

    def limit_rows(self, query: str) -> str:
        """Returns a SELECT limited to the partitions that are worked on."""
        return f"SELECT * FROM (\n{query}\n) WHERE {self.condition}" if self.condition else query

    def limit(self, database: Warehouse, *, where: str, since: str) -> Partition:
        """Returns the partition with a condition. Raises InputError if `where` is not one on its
        column, or `since` not a value of it."""
        column = quote_name(self.name)
        conditions = []
        if since:
            conditions.append(f"{column} >= CAST({quote_text(since)} AS {self.type})")
        if where:
            _check_steady(database, check_condition(where))
            conditions.append(f"({where}\n)")
        limited = replace(self, condition=" AND ".join(conditions))
        values = (f"TRY_CAST({quote_text(word)} AS {self.type})" for word in SOME_VALUES)
        value = f"coalesce({', '.join(values)})"
        # With a second column, by which COLUMNS(*) shows.
        empty = f"(SELECT CAST(NULL AS {self.type}) AS {column}, NULL AS _enrich_other)"
        try:
            kinds = database.describe(f"SELECT {limited.condition} FROM {empty}")
            if list(kinds.values()) != ["BOOLEAN"]:
                raise InputError(f"--where is not one condition: {where}", hint=WHERE_HINT)
            # WHERE refuses aggregates and windows, and a constant that cannot be cast fails only
            # where it is compared with a value.
            database.execute(
                f"SELECT 1 FROM (SELECT {value} AS {column}) WHERE {limited.condition}"
            )
        except DatabaseError as problem:
            word = "--where" if where else "--since"
            what = f"{word} must name partitions by their column '{self.name}' ({self.type})"
            hint = WHERE_HINT if where else "a value of it, as in --since 2026-11-01"
            raise InputError(f"{what}: {problem.message}", hint=hint) from problem
        return limited
