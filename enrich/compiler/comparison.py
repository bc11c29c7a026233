"""Two answers to each row of a sample, side by side: where they agree, and the tokens of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.tables import render_preview_answers
from enrich.db.quote import quote_name, quote_text, render_struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.manifest.output import Output
    from enrich.manifest.prompt import ResponseFormat

TOKEN_COLUMNS = ("input_tokens", "cached_tokens", "output_tokens")


def render_asked_side(side: str, output: Output, form: ResponseFormat) -> str:
    """Create `temp._enrich_SIDE` from the requests $fingerprints of the rows $keys: key, outcome,
    error, answer (a STRUCT, NULL where it is not ok) and tokens."""
    return render_side(
        side,
        f"""SELECT * FROM (
    SELECT unnest($keys::VARCHAR[]) AS key, unnest($fingerprints::VARCHAR[]) AS fingerprint
) AS sample LEFT JOIN ({render_preview_answers(output, form)}) AS found USING (fingerprint)""",
    )


def render_side(side: str, rows: str) -> str:
    """Create `temp._enrich_was` or `temp._enrich_now`, the two sides of a comparison, from the
    SELECT `rows`; `answer` is a STRUCT of the output's columns, NULL where there is none."""
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_{side} AS
SELECT key, fingerprint, outcome, error, answer, {", ".join(TOKEN_COLUMNS)} FROM (
{rows}
)"""


def render_published_side(side: str, model: str, key: Sequence[str], columns: Sequence[str]) -> str:
    """Create `temp._enrich_SIDE` from the rows $keys as they are published."""
    identity = render_struct({column: f"told.{quote_name(column)}" for column in key})
    answer = render_struct({column: f"answers.{quote_name(column)}" for column in columns})
    told = quote_name("warehouse", "enrich", model)
    answers = quote_name("warehouse", "main", model)
    same = " AND ".join(f"told.{name} = answers.{name}" for name in map(quote_name, key))
    tokens = ", ".join(f"told.{word}" for word in TOKEN_COLUMNS)
    return render_side(
        side,
        f"""SELECT CAST({identity} AS VARCHAR) AS key, told.fingerprint, 'ok' AS outcome,
    CAST(NULL AS VARCHAR) AS error, {answer} AS answer, {tokens}
FROM {told} AS told JOIN {answers} AS answers ON {same}
WHERE list_contains($keys, CAST({identity} AS VARCHAR))""",
    )


def render_agreement(columns: Sequence[tuple[str, bool]]) -> str:
    """One row for each column: its name, the share of rows with both answers that agree, and the
    number that do not. `columns` says of each whether it is a list: lists agree if they hold the
    same items."""
    sides = (
        f"""SELECT {quote_text(column)} AS "column", avg(CAST({agree} AS INTEGER)),
    count(*) FILTER (NOT {agree})
FROM temp._enrich_was AS was JOIN temp._enrich_now AS now USING (key)
WHERE was.answer IS NOT NULL AND now.answer IS NOT NULL"""
        for column, agree in ((name, render_agree(name, listed)) for name, listed in columns)
    )
    return "\nUNION ALL\n".join(sides)


def render_differences(columns: Sequence[tuple[str, bool]]) -> str:
    """One row for each cell that differs: key, column, was, now. A row with an outcome other than
    ok has one line for all its cells, with NULL as the column."""
    cells = (
        f"""SELECT key, {number} AS place, {quote_text(column)} AS "column",
    {_render_cell("was", column)} AS was, {_render_cell("now", column)} AS now
FROM temp._enrich_was AS was JOIN temp._enrich_now AS now USING (key)
WHERE was.answer IS NOT NULL AND now.answer IS NOT NULL AND NOT {render_agree(column, listed)}"""
        for number, (column, listed) in enumerate(columns)
    )
    # Place -1 sorts the outcome of a row before any of its cells.
    outcomes = """SELECT key, -1, NULL, concat_ws(': ', was.outcome, was.error),
    concat_ws(': ', coalesce(now.outcome, 'pending'), now.error)
FROM temp._enrich_was AS was JOIN temp._enrich_now AS now USING (key)
WHERE was.answer IS NULL OR now.answer IS NULL"""
    every = "\nUNION ALL\n".join([*cells, outcomes])
    return f'SELECT key, "column", was, now FROM ({every}) ORDER BY key, place'


def render_totals() -> str:
    """The number of rows, of those with both answers, and the tokens of each side."""
    # Rows with equal cells share one request, which was paid for once: hence GROUP BY fingerprint.
    sums = ", ".join(
        f"""(SELECT coalesce(sum({word}), 0)::BIGINT FROM (
        SELECT fingerprint, any_value({word}) AS {word} FROM temp._enrich_{side}
        WHERE key IN (SELECT key FROM temp._enrich_was INTERSECT SELECT key FROM temp._enrich_now)
        GROUP BY fingerprint
    ))"""
        for side in ("was", "now")
        for word in TOKEN_COLUMNS
    )
    return f"""SELECT count(*), count(*) FILTER (was.answer IS NOT NULL AND now.answer IS NOT NULL),
    {sums}
FROM temp._enrich_was AS was JOIN temp._enrich_now AS now USING (key)"""


def _render_cell(side: str, column: str) -> str:
    return f"CAST({side}.answer.{quote_name(column)} AS VARCHAR)"


def render_agree(column: str, listed: bool) -> str:
    """SQL for whether the cells of both sides say the same."""
    cells = (f"{side}.answer.{quote_name(column)}" for side in ("was", "now"))
    one, other = (render_said(cell, listed=listed) for cell in cells)
    return f"({one} IS NOT DISTINCT FROM {other})"


def render_said(cell: str, *, listed: bool) -> str:
    """SQL for what a cell says, for comparisons: the cell as text or, of a list, its items."""
    # An llm returns the labels of a list in any order, and sometimes one of them twice.
    if listed:
        return f"list_sort(list_distinct(CAST({cell} AS VARCHAR[])))"
    return f"CAST({cell} AS VARCHAR)"
