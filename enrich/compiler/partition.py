"""Partitions: the rows of a model divided by the values of one column."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enrich.db.quote import quote_name, quote_text
from enrich.errors import DatabaseError, InputError, ModelError
from enrich.manifest import guard

if TYPE_CHECKING:
    from enrich.db.database import Warehouse

WHERE_HINT = 'a condition on the SELECT\'s columns, as in --where "year < 1950"'


def check_condition(where: str) -> None:
    """Refuse a `--where` that is not one SQL expression, or that writes or runs anything."""
    try:
        guard.check_expression(where, source="--where", line=None)
    except ModelError as problem:
        raise InputError(problem.message, hint=WHERE_HINT) from problem


@dataclass(frozen=True, kw_only=True)
class Partition:
    """The column of the SELECT by which its rows are divided, and the `condition` on it for those
    that are worked on; "" for all."""

    name: str
    type: str
    condition: str = ""

    def limit(self, database: Warehouse, *, where: str, since: str) -> Partition:
        """Returns the partition with a condition. Raises InputError if `where` is not one on its
        column, or `since` not a value of it."""
        column = quote_name(self.name)
        conditions = []
        if since:
            conditions.append(f"{column} >= CAST({quote_text(since)} AS {self.type})")
        if where:
            check_condition(where)
            conditions.append(f"({where}\n)")
        limited = replace(self, condition=" AND ".join(conditions))
        empty = f"(SELECT CAST(NULL AS {self.type}) AS {column})"
        try:
            if since:  # a constant that fails to be cast fails only where it is evaluated
                database.execute(f"SELECT CAST({quote_text(since)} AS {self.type})")
            kind = database.describe(f"SELECT {limited.condition} FROM {empty}")
        except DatabaseError as problem:
            word = "--where" if where else "--since"
            what = f"{word} must name partitions by their column '{self.name}' ({self.type})"
            raise InputError(f"{what}: {problem.message}", hint=problem.hint) from problem
        if next(iter(kind.values())) != "BOOLEAN":
            raise InputError(f"--where is not a condition: {where}", hint=WHERE_HINT)
        return limited
