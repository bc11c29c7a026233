"""Two answers to each row of a sample, side by side: where they agree, and what each took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.tables import previewed
from enrich.db import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.manifest.output import Output
    from enrich.manifest.prompt import ResponseFormat

TOKENS = ("input_tokens", "cached_tokens", "output_tokens")


def render_asked_side(side: str, output: Output, form: ResponseFormat) -> str:
    """Make `temp._enrich_SIDE` of the requests $fingerprints of the rows $keys: key, outcome,
    error, answer (a STRUCT, NULL where it is not ok) and tokens."""
    return declared(
        side,
        f"""SELECT * FROM (
    SELECT unnest($keys::VARCHAR[]) AS key, unnest($fingerprints::VARCHAR[]) AS fingerprint
) AS sample LEFT JOIN ({previewed(output, form)}) AS found USING (fingerprint)""",
    )


def declared(side: str, rows: str) -> str:
    """Declare `temp._enrich_was` or `temp._enrich_now`, the two sides of a comparison: `answer` is
    a STRUCT of the output's columns, NULL where there is none."""
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_{side} AS
SELECT key, fingerprint, outcome, error, answer, {", ".join(TOKENS)} FROM (
{rows}
)"""


def render_published_side(side: str, model: str, key: Sequence[str], columns: Sequence[str]) -> str:
    """Make the same of the rows $keys as they are published."""
    stands = quote.struct({column: f"told.{quote.name(column)}" for column in key})
    answer = quote.struct({column: f"answers.{quote.name(column)}" for column in columns})
    told = quote.name("warehouse", "enrich", model)
    answers = quote.name("warehouse", "main", model)
    same = " AND ".join(f"told.{name} = answers.{name}" for name in map(quote.name, key))
    tokens = ", ".join(f"told.{word}" for word in TOKENS)
    return declared(
        side,
        f"""SELECT CAST({stands} AS VARCHAR) AS key, told.fingerprint, 'ok' AS outcome,
    CAST(NULL AS VARCHAR) AS error, {answer} AS answer, {tokens}
FROM {told} AS told JOIN {answers} AS answers ON {same}
WHERE list_contains($keys, CAST({stands} AS VARCHAR))""",
    )


def render_agreement(columns: Sequence[tuple[str, bool]]) -> str:
    """For each column, with whether it is a list: its name, the share of rows that agree, of those
    with both answers, and how many do not. Lists agree that hold the same items."""
    sides = (
        f"""SELECT {quote.text(column)} AS "column", avg(CAST({_same(column, listed)} AS INTEGER)),
    count(*) FILTER (NOT {_same(column, listed)})
FROM temp._enrich_was AS was JOIN temp._enrich_now AS now USING (key)
WHERE was.answer IS NOT NULL AND now.answer IS NOT NULL"""
        for column, listed in columns
    )
    return "\nUNION ALL\n".join(sides)


def render_differences(columns: Sequence[tuple[str, bool]]) -> str:
    """One row for each cell that differs: key, column, was, now; an outcome other than ok stands
    for all of a row's cells, its column is NULL."""
    cells = (
        f"""SELECT key, {number} AS place, {quote.text(column)} AS "column",
    {_text("was", column)} AS was, {_text("now", column)} AS now
FROM temp._enrich_was AS was JOIN temp._enrich_now AS now USING (key)
WHERE was.answer IS NOT NULL AND now.answer IS NOT NULL AND NOT {_same(column, listed)}"""
        for number, (column, listed) in enumerate(columns)
    )
    outcomes = """SELECT key, -1, NULL, concat_ws(': ', was.outcome, was.error),
    concat_ws(': ', coalesce(now.outcome, 'pending'), now.error)
FROM temp._enrich_was AS was JOIN temp._enrich_now AS now USING (key)
WHERE was.answer IS NULL OR now.answer IS NULL"""
    every = "\nUNION ALL\n".join([*cells, outcomes])
    return f'SELECT key, "column", was, now FROM ({every}) ORDER BY key, place'


def render_totals() -> str:
    """How many rows there are, how many have both answers, and the tokens of each side, of each
    request once."""
    sums = ", ".join(
        f"""(SELECT coalesce(sum({word}), 0)::BIGINT FROM (
        SELECT fingerprint, any_value({word}) AS {word} FROM temp._enrich_{side}
        WHERE key IN (SELECT key FROM temp._enrich_was INTERSECT SELECT key FROM temp._enrich_now)
        GROUP BY fingerprint
    ))"""
        for side in ("was", "now")
        for word in TOKENS
    )
    return f"""SELECT count(*), count(*) FILTER (was.answer IS NOT NULL AND now.answer IS NOT NULL),
    {sums}
FROM temp._enrich_was AS was JOIN temp._enrich_now AS now USING (key)"""


def _text(side: str, column: str) -> str:
    return f"CAST({side}.answer.{quote.name(column)} AS VARCHAR)"


def _same(column: str, listed: bool) -> str:
    """Whether both sides' cells say the same."""
    cells = [
        f"list_sort(list_distinct(CAST({side}.answer.{quote.name(column)} AS VARCHAR[])))"
        if listed
        else _text(side, column)
        for side in ("was", "now")
    ]
    return f"({cells[0]} IS NOT DISTINCT FROM {cells[1]})"
