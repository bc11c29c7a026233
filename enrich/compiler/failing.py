"""A test becomes a SELECT of the rows that should not be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enrich.db import quote
from enrich.manifest.variables import literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.data_test import DataTest

BEFORE = "temp._enrich_before"
"""The table as it was published last, where a test compares with it."""


def before(model: str) -> str:
    """Keep the published table aside."""
    table = quote.name("warehouse", "main", model)
    return f"CREATE OR REPLACE TEMP TABLE _enrich_before AS FROM {table}"


def rows(
    test: DataTest, model: str, *, columns: Mapping[str, str], key: tuple[str, ...]
) -> str | None:
    """The failing rows of the table `model` as it would be published, or, for `min_ok`, of its
    provenance. `columns` are the table's with their types.

    None: there is nothing to compare with.
    """
    table = quote.name("warehouse", "main", model)
    if test.kind == "sql":
        return test.sql
    if test.kind == "min_ok":
        return _min_ok(model, test.limit)
    if test.kind == "drift":
        return _drift(test, table, columns, key)
    if test.kind == "check":
        return condition(test.sql, table)
    if test.kind == "unique":
        names = ", ".join(map(quote.name, test.columns))
        there = " AND ".join(f"{quote.name(column)} IS NOT NULL" for column in test.columns)
        many = f"count(*) OVER (PARTITION BY {names})"
        return f"SELECT * FROM {table} WHERE {there} QUALIFY {many} > 1"
    column = quote.name(test.columns[0])
    if test.kind == "not_null":
        return f"SELECT * FROM {table} WHERE {column} IS NULL"
    kind = columns.get(test.columns[0], "")
    listed = kind.endswith("]")
    if test.kind == "accepted_values":
        wrong = _accepted("item" if listed else column, test.values, kind)
        if listed:
            wrong = f"len(list_filter({column}, lambda item: {wrong})) > 0"
        return f"SELECT * FROM {table} WHERE {wrong}"
    there = f"{_table(test.target[0])} AS parent"
    field = f"parent.{quote.name(test.target[1])}"
    if listed:
        lost = f"SELECT unnest({column}) AS _enrich_item FROM {table}"
        orphans = f"({lost}) ANTI JOIN {there} ON {field} = _enrich_item"
        listed_orphans = f"SELECT list(_enrich_item) FROM {orphans} WHERE _enrich_item IS NOT NULL"
        return f"SELECT * FROM {table} WHERE list_has_any({column}, ({listed_orphans}))"
    return f"""SELECT child.* FROM {table} AS child ANTI JOIN {there} ON {field} = child.{column}
WHERE child.{column} IS NOT NULL"""


def condition(sql: str, table: str) -> str:
    """The rows of a table for which a condition is false; where it aggregates, one row if it is
    false of all of them."""
    from sqlglot import exp, parse_one

    tree = parse_one(sql, read="duckdb")
    own = [
        node for node in tree.find_all(exp.AggFunc) if not node.find_ancestor(exp.Query, exp.Window)
    ]
    if own:
        return f"SELECT count(*) AS rows FROM {table} HAVING NOT {quote.written(sql)}"
    return f"SELECT * FROM {table} WHERE NOT {quote.written(sql)}"


def _table(words: str) -> str:
    """A table as the test names it, perhaps with its schema and database."""
    return quote.table(words)


def _accepted(value: str, accepted: tuple[Any, ...], kind: str) -> str:
    """That a value is none of those accepted; labels and texts compare as texts. NULL is always
    accepted: `not_null` is a test of its own."""
    there = [word for word in accepted if word is not None]
    if not there:
        return f"{value} IS NOT NULL"
    if kind.startswith(("ENUM", "VARCHAR")) or any(isinstance(word, str) for word in there):
        value = f"CAST({value} AS VARCHAR)"
        there = [str(word).lower() if isinstance(word, bool) else str(word) for word in there]
    return f"{value} NOT IN ({', '.join(map(literal, there))})"


def _min_ok(model: str, limit: float) -> str:
    """The rows that are not ok, where too few of those that came back are."""
    table = quote.name("warehouse", "enrich", model)
    share = f"(SELECT count(*) FILTER (outcome = 'ok') / count(outcome) FROM {table})"
    return f"SELECT * FROM {table} WHERE outcome <> 'ok' AND {share} < {limit!r}"


def _drift(
    test: DataTest, table: str, columns: Mapping[str, str], key: tuple[str, ...]
) -> str | None:
    """How far the table moved from the published one; `columns` are what both have."""
    output = [column for column in columns if column.lower() not in {k.lower() for k in key}]
    if not output or len(columns) < len(output) + len(key):  # the key is another one now
        return None
    if test.drift == "changed":
        now, was = (
            f"({', '.join(f'CAST({side}.{quote.name(c)} AS VARCHAR)' for c in output)})"
            for side in ("now", "was")
        )
        same = ", ".join(map(quote.name, key))
        old = quote.struct({column: f"was.{quote.name(column)}" for column in output})
        both = f"{table} AS now JOIN {BEFORE} AS was USING ({same})"
        return f"""SELECT now.*, {old} AS was FROM {both}
WHERE {now} IS DISTINCT FROM {was} AND (
    SELECT avg(CAST({now} IS DISTINCT FROM {was} AS INTEGER))
    FROM {both}
) > {test.limit!r}"""
    if test.drift == "nulls":
        return "\nUNION ALL\n".join(_moved(column, "IS NULL", test, table) for column in output)
    labelled = {
        column: kind for column, kind in columns.items() if column in output and "ENUM" in kind
    }
    return (
        "\nUNION ALL\n".join(_labels(c, kind, test, table) for c, kind in labelled.items()) or None
    )


def _moved(column: str, rule: str, test: DataTest, table: str) -> str:
    name = quote.name(column)
    sides = (
        f"(SELECT avg(CAST({name} {rule} AS INTEGER)) FROM {side})" for side in (BEFORE, table)
    )
    before, now = sides
    return f"""SELECT * FROM (
    SELECT {quote.text(column)} AS "column", {before} AS before, {now} AS now
) WHERE abs(now - before) > {test.limit!r}"""


def _labels(column: str, kind: str, test: DataTest, table: str) -> str:
    """The labels of an ENUM, or of a list of them, whose share moved; shares are of rows."""
    name = quote.name(column)
    label = f"unnest(list_distinct({name}))" if kind.endswith("]") else name
    sides = (
        f"""(SELECT CAST(label AS VARCHAR) AS label,
        count(*) / (SELECT count(*) FROM {side}) AS share
    FROM (SELECT {label} AS label FROM {side}) WHERE label IS NOT NULL GROUP BY label)"""
        for side in (BEFORE, table)
    )
    before, now = sides
    return f"""SELECT * FROM (
    SELECT {quote.text(column)} AS "column", label,
        coalesce(was.share, 0) AS before, coalesce(present.share, 0) AS now
    FROM {before} AS was FULL JOIN {now} AS present USING (label)
) WHERE abs(now - before) > {test.limit!r}
    AND (SELECT count(*) FROM {BEFORE}) > 0 AND (SELECT count(*) FROM {table}) > 0"""
