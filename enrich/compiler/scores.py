"""Answers beside labels: what a model said about each labeled row, and what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.db.quote import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.manifest.column_type import ColumnType


def render_duplicate_key(labels: str, key: Iterable[str]) -> str:
    """A key that occurs in more than one row of the labels, if there is one."""
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
    told: str,
) -> str:
    """Create `temp._enrich_scored`: one row for each row of the model that has a label, with its
    prompt, a line number, whether it is answered, and what was said and expected, as lists of
    texts.

    `told` is SQL for a table with the key of each row of the model and its `prompt`. `key` maps the
    key's columns to their types. `given` is the type of the label's column
    `expected`. Labels are compared without regard to case and outer spaces, other values as values
    of the output's type.
    """
    answers = quote_name("warehouse", "main", model)
    label = f"labels.{quote_name(expected)}"
    said, right = _render_sides(f"answers.{quote_name(column)}", label, kind, given)
    # A key in a file of labels may have another type than the model's, such as text for a number.
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


def _render_sides(answer: str, label: str, kind: ColumnType, given: str) -> tuple[str, str]:
    """SQL for what was said and what was expected, as lists of texts that can be compared."""
    measure, listed = kind.family.choose_measure(kind), kind.is_list
    if measure == "labels":
        # A CSV file cannot hold a list: `a; b` and `[a, b]` are how people write one there.
        split = listed and given == "VARCHAR"
        wanted = _split_text(label) if split else label
        said = _fold_labels(answer, listed=listed)
        return said, _fold_labels(wanted, listed=split or given.endswith("]"))
    # By way of the output's type, so that 1 and 1.0, or two ways to write a date, are the same. A
    # label that is no value of this type stays as it is written, and so never equals an answer.
    plain = f"CAST({label} AS VARCHAR)"
    value = plain if measure == "text" else f"coalesce({_cast_label(label, kind, given)}, {plain})"
    return _wrap_value(answer), _wrap_value(value)


def _split_text(text: str) -> str:
    """SQL for a text such as `[a, b]` or `a; b` as a list."""
    inner = f"regexp_replace({text}, '^\\s*[\\[(]|[\\])]\\s*$', '', 'g')"
    return f"string_split_regex({inner}, '\\s*[,;|]\\s*')"


def _cast_label(label: str, kind: ColumnType, given: str) -> str:
    """SQL for a label as DuckDB writes values of the output's type; NULL if it is not one."""
    if kind.is_list and given == "VARCHAR":
        bare = f"concat('[', {label}, ']')"
        label = f"CASE WHEN starts_with(trim({label}), '[') THEN {label} ELSE {bare} END"
    return f"CAST(TRY_CAST({label} AS {kind.sql}) AS VARCHAR)"


def _wrap_value(value: str) -> str:
    """SQL for a value as a list of one text, or an empty list for NULL."""
    return f"list_filter([CAST({value} AS VARCHAR)], lambda item: item IS NOT NULL)"


def _fold_labels(value: str, *, listed: bool) -> str:
    """SQL for labels as a sorted list of distinct texts, in lower case, without the quotes and
    spaces around them, and without NULL."""
    many = f"CAST({value} AS VARCHAR[])" if listed else f"[CAST({value} AS VARCHAR)]"
    kept = f"list_filter({many}, lambda item: item IS NOT NULL)"
    folded = f"list_transform({kept}, lambda item: lower(trim(item, ' ''\"')))"
    return f"coalesce(list_sort(list_distinct(list_filter({folded}, lambda item: item <> ''))), [])"
