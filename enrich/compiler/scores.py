"""Answers beside labels: what a model said of each labelled row, and what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.db.quote import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.manifest.column_type import ColumnType


def render_doubled_key(labels: str, key: Iterable[str]) -> str:
    """A key that the labels have more than once, if any."""
    names = ", ".join(map(quote_name, key))
    twice = f"GROUP BY {names} HAVING count(*) > 1 LIMIT 1"
    return f"SELECT concat_ws(', ', {names}) FROM {labels} {twice}"


def render_scores(
    model: str,
    labels: str,
    *,
    key: Mapping[str, str],
    column: str,
    kind: ColumnType,
    expected: str,
    given: str,
) -> str:
    """Declare `temp._enrich_scored`: one row for each row of the model that has a label: prompt,
    line, whether it is answered, and what was said and expected, as lists of texts.

    `key` maps its columns to their types. `given` is the type of the label's column `expected`.
    Labels compare without regard to case and outer spaces, other values as the output's type.
    """
    of, listed = kind.family.choose_measure(kind), kind.is_list
    told, answers = (quote_name("warehouse", schema, model) for schema in ("enrich", "main"))
    answer, label = f"answers.{quote_name(column)}", f"labels.{quote_name(expected)}"
    if of == "labels":
        # A CSV file cannot hold a list: `a; b` and `[a, b]` are how people write one there.
        split = listed and given == "VARCHAR"
        wanted = _split(label) if split else label
        said = _folded(answer, listed=listed)
        right = _folded(wanted, listed=split or given.endswith("]"))
    else:
        # By way of the output's type, so that 1 and 1.0, or two ways to write a date, are the same.
        plain = f"CAST({label} AS VARCHAR)"
        value = plain if of == "text" else f"coalesce({_cast(label, kind, given)}, {plain})"
        said, right = _alone(answer), _alone(value)
    # A label's key is what a file made of it, text where the model has a number.
    same = " AND ".join(
        f"TRY_CAST(labels.{quote_name(name)} AS {type_}) = told.{quote_name(name)}"
        for name, type_ in key.items()
    )
    there = " AND ".join(f"told.{name} = answers.{name}" for name in map(quote_name, key))
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_scored AS
SELECT told.prompt, row_number() OVER () AS line, answers.{quote_name(next(iter(key)))} IS NOT NULL
    AS answered, {said} AS said, {right} AS expected
FROM {labels} AS labels JOIN {told} AS told ON {same} LEFT JOIN {answers} AS answers ON {there}
WHERE {label} IS NOT NULL AND told.prompt IS NOT NULL"""


def _split(text: str) -> str:
    """A text such as `[a, b]` or `a; b` as a list."""
    inner = f"regexp_replace({text}, '^\\s*[\\[(]|[\\])]\\s*$', '', 'g')"
    return f"string_split_regex({inner}, '\\s*[,;|]\\s*')"


def _cast(label: str, kind: ColumnType, given: str) -> str:
    """A label as text, as a value of the output's type would be written; NULL where it is none."""
    if kind.is_list and given == "VARCHAR":
        bare = f"concat('[', {label}, ']')"
        label = f"CASE WHEN starts_with(trim({label}), '[') THEN {label} ELSE {bare} END"
    return f"CAST(TRY_CAST({label} AS {kind.sql}) AS VARCHAR)"


def _alone(value: str) -> str:
    """One value as a list of one text, or of none."""
    return f"list_filter([CAST({value} AS VARCHAR)], lambda item: item IS NOT NULL)"


def _folded(value: str, *, listed: bool) -> str:
    """Labels as a sorted list of different texts, in lower case, without quotes and spaces around
    them, and without what is NULL."""
    many = f"CAST({value} AS VARCHAR[])" if listed else f"[CAST({value} AS VARCHAR)]"
    kept = f"list_filter({many}, lambda item: item IS NOT NULL)"
    folded = f"list_transform({kept}, lambda item: lower(trim(item, ' ''\"')))"
    return f"coalesce(list_sort(list_distinct(list_filter({folded}, lambda item: item <> ''))), [])"
