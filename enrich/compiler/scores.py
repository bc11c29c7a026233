"""Answers beside labels: what a model said of each labelled row, and what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from enrich.compiler import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.output import Type

Measure = Literal["labels", "text", "value"]


def measure(kind: Type) -> Measure:
    """How a column is scored: by its labels (ENUM, BOOLEAN, lists of texts), as text, or as one
    value that is right or wrong."""
    item = kind.item.family if kind.item else kind.family
    if item in ("enum", "boolean") or (kind.item and item == "text"):
        return "labels"
    return "text" if kind.family == "text" else "value"


def doubled(labels: str, key: Iterable[str]) -> str:
    """A key that the labels have more than once, if any."""
    names = ", ".join(map(quote.name, key))
    twice = f"GROUP BY {names} HAVING count(*) > 1 LIMIT 1"
    return f"SELECT concat_ws(', ', {names}) FROM {labels} {twice}"


def scored(
    model: str,
    labels: str,
    *,
    key: Mapping[str, bool],
    column: str,
    kind: Type,
    expected: str,
    given: str,
) -> str:
    """Make `temp.scored`: one row for each row of the model that has a label: prompt, line, whether
    it is answered, and what was said and expected, as lists of texts.

    `key` tells which of its columns have the same type in both tables. `given` is the type of the
    label's column `expected`. Labels compare without regard to case and outer spaces.
    """
    fold, listed = measure(kind) == "labels", kind.family == "list"
    told, answers = (quote.name("warehouse", schema, model) for schema in ("enrich", "main"))
    said = _items(f"answers.{quote.name(column)}", listed=listed, fold=fold)
    wanted = f"labels.{quote.name(expected)}"
    if listed and given == "VARCHAR":
        inner = f"regexp_replace({wanted}, '^\\s*[\\[(]|[\\])]\\s*$', '', 'g')"
        wanted = f"string_split_regex({inner}, '\\s*[,;|]\\s*')"
        right = _items(wanted, listed=True, fold=True)
    else:
        right = _items(wanted, listed=given.endswith("]"), fold=fold)
    same = " AND ".join(_same(name, plain, "labels", "told") for name, plain in key.items())
    there = " AND ".join(f"told.{name} = answers.{name}" for name in map(quote.name, key))
    return f"""CREATE OR REPLACE TEMP TABLE scored AS
SELECT told.prompt, row_number() OVER () AS line, answers.{quote.name(next(iter(key)))} IS NOT NULL
    AS answered, {said} AS said, {right} AS expected
FROM {labels} AS labels JOIN {told} AS told ON {same} LEFT JOIN {answers} AS answers ON {there}
WHERE labels.{quote.name(expected)} IS NOT NULL AND told.prompt IS NOT NULL"""


def _items(value: str, *, listed: bool, fold: bool) -> str:
    """A value as a list of texts, without what is NULL; `fold`: in lower case, without quotes and
    spaces around it."""
    many = f"CAST({value} AS VARCHAR[])" if listed else f"[CAST({value} AS VARCHAR)]"
    kept = f"list_filter({many}, lambda item: item IS NOT NULL)"
    if not fold:
        return f"coalesce({kept}, [])"
    plain = "lower(trim(item, ' ''\"'))"
    folded = f"list_transform({kept}, lambda item: {plain})"
    return f"coalesce(list_sort(list_distinct(list_filter({folded}, lambda item: item <> ''))), [])"


def _same(column: str, plain: bool, left: str, right: str) -> str:
    """That two rows have the same key, as texts where the types differ."""
    sides = (f"{side}.{quote.name(column)}" for side in (left, right))
    if not plain:
        sides = (f"CAST({side} AS VARCHAR)" for side in sides)
    return " = ".join(sides)
