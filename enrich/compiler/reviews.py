"""Verdicts of people become typed rows, and are compared with answers and with each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enrich.compiler.comparison import render_said
from enrich.compiler.judge import render_answer, render_judgement
from enrich.db.quote import quote_name, quote_text, render_struct
from enrich.manifest.reviews import REVIEW_ENDING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enrich.manifest.output import Column, Output

VERDICT_COLUMNS = (
    "review_verdict",
    "fingerprint",
    "queue",
    "blind",
    "reviewer",
    "reviewed_at",
)
"""The columns of `enrich.NAME_review` that follow the key's and the output's."""
LISTED_FIELDS = {
    "verdict": "VARCHAR",
    "fingerprint": "VARCHAR",
    "queue": "VARCHAR",
    "blind": "BOOLEAN",
    "reviewer": "VARCHAR",
    "at": "VARCHAR",
    "sampled": "BOOLEAN",
}
"""The parameters of `render_verdicts` that are the same for all models, with the types of their
items."""

VALUED = "is_keyed AND verdict IN ('right', 'corrected')"
"""SQL: whether a verdict says what the row's output columns should be."""


def render_verdicts(output: Output, key: Mapping[str, str]) -> str:
    """Create `temp._enrich_verdicts`: one row for each verdict, with its place `line`, the key, the
    columns of the output as `answer`, and the names of those that do not fit in `misfits`.

    Each parameter is a list with an item for each verdict: those of LISTED_FIELDS; $key_0, $key_1
    ... with the key's values as text; and $value_0, $value_1 ... with a JSON object for each column
    of the output that holds only this column. `key` maps the key's columns to their types.
    """
    lists = {
        **LISTED_FIELDS,
        **{f"key_{number}": "VARCHAR" for number in range(len(key))},
        **{f"value_{number}": "VARCHAR" for number in range(len(output.columns))},
    }
    given = ", ".join(
        f'unnest(CAST(${name} AS {kind}[])) AS "{name}"' for name, kind in lists.items()
    )
    judged = "".join(
        f", value_of_{number} AS ({_render_value(number, column, output)})"
        for number, column in enumerate(output.columns)
    )
    joins = " ".join(f"JOIN value_of_{n} USING (line)" for n in range(len(output.columns)))
    keys = {
        column: f"TRY_CAST(key_{number} AS {kind})"
        for number, (column, kind) in enumerate(key.items())
    }
    answer = {column.name: f"value_of_{n}.value" for n, column in enumerate(output.columns)}
    misfits = ", ".join(
        f"CASE WHEN value_of_{n}.fault IS NOT NULL THEN {quote_text(column.name)} END"
        for n, column in enumerate(output.columns)
    )
    keyed = " AND ".join(f"{value} IS NOT NULL" for value in keys.values())
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_verdicts AS
WITH given AS (
    SELECT unnest(range(len($verdict))) AS line, {given}
){judged}
SELECT line, {render_struct(keys)} AS key, {keyed} AS is_keyed, {render_struct(answer)} AS answer,
    list_filter([{misfits}], lambda name: name IS NOT NULL) AS misfits,
    verdict, fingerprint, queue, blind, reviewer, try_cast("at" AS TIMESTAMPTZ)::TIMESTAMP AS "at",
    sampled
FROM given {joins}"""


def _render_value(number: int, column: Column, output: Output) -> str:
    """A SELECT of one column of each verdict: line, value, and the fault for which it is NULL."""
    # Each column is judged by itself, so that one that has changed costs no other one. CHECKs are
    # left out: a value that breaks one is still what the reviewer said.
    alone = replace(output, columns=(column,), checks=())
    source = f"SELECT line, value_{number} AS content FROM given"
    value = (
        f"{render_answer('content', alone, 'json_schema', strict=True)}.{quote_name(column.name)}"
    )
    return f"""SELECT line, fault, CASE WHEN fault IS NULL THEN {value} END AS value
FROM ({render_judgement(source, alone, "json_schema")})"""


def _render_last(condition: str, *by: str) -> str:
    """A SELECT of the last verdict for which `condition` is true, for each value of `by`."""
    return f"""SELECT * FROM temp._enrich_verdicts WHERE {condition}
QUALIFY row_number() OVER (PARTITION BY {", ".join(by)} ORDER BY line DESC) = 1"""


def render_review_table(model: str) -> str:
    """Create `NAME_review`: the columns of the key and the output, one row for each key, as the
    last reviewer left it."""
    return f"""CREATE TABLE {quote_name("warehouse", "main", model + REVIEW_ENDING)} AS
SELECT key.*, answer.* FROM ({_render_last(VALUED, "key")}) ORDER BY key"""


def render_review_provenance(model: str) -> str:
    """Create `enrich.NAME_review`: every verdict that stands."""
    return f"""CREATE OR REPLACE TABLE {quote_name("warehouse", "enrich", model + REVIEW_ENDING)} AS
SELECT key.*, answer.*, verdict AS review_verdict, fingerprint, queue, blind, reviewer,
    "at" AS reviewed_at
FROM temp._enrich_verdicts ORDER BY line"""


def render_sampled_counts(
    model: str, key: Sequence[str], columns: Sequence[tuple[str, bool]]
) -> str:
    """One row of counts: for each column of the output, and then for all of them together, how many
    rows of the random sample are published and reviewed, and how many of these are right.

    `columns` says of each whether it is a list. A cell whose review does not fit is not counted.
    """
    answers = quote_name("warehouse", "main", model)
    same = " AND ".join(f"truth.key.{name} = answers.{name}" for name in map(quote_name, key))
    cells, fits, agreed = [], [], []
    for number, (column, listed) in enumerate(columns):
        sides = (f"truth.answer.{quote_name(column)}", f"answers.{quote_name(column)}")
        truth, answer = (render_said(side, listed=listed) for side in sides)
        fit = f"NOT list_contains(misfits, {quote_text(column)})"
        cells += [
            f"{fit} AS fits_{number}",
            f"{truth} IS NOT DISTINCT FROM {answer} AS same_{number}",
        ]
        fits.append(f"fits_{number}")
        agreed.append(f"same_{number}")
    fits.append(" AND ".join(fits))
    agreed.append(" AND ".join(agreed))
    counts = ", ".join(
        f"count(*) FILTER ({fit}), count(*) FILTER ({fit} AND {right})"
        for fit, right in zip(fits, agreed, strict=True)
    )
    return f"""SELECT {counts} FROM (
    SELECT {", ".join(cells)} FROM ({_render_last(VALUED, "key")}) AS truth
        SEMI JOIN (SELECT key FROM temp._enrich_verdicts WHERE sampled) USING (key)
        JOIN {answers} AS answers ON {same}
)"""


def render_pair_counts(columns: Sequence[tuple[str, bool]]) -> str:
    """One row for each column and pair of reviewers who judged the same rows: column, reviewer,
    other, the number of these rows, on how many they agree, and, summed over all labels, how often
    the one said it times how often the other did."""
    cells = "\nUNION ALL\n".join(
        f"""SELECT {number} AS place, {quote_text(column)} AS "column", reviewer, key,
        CAST({render_said(f"answer.{quote_name(column)}", listed=listed)} AS VARCHAR) AS said
    FROM last WHERE NOT list_contains(misfits, {quote_text(column)})"""
        for number, (column, listed) in enumerate(columns)
    )
    pair = 'place, "column", reviewer, other'
    return f"""WITH last AS ({_render_last(VALUED, "reviewer", "key")}), cells AS (
    {cells}
), pairs AS (
    SELECT one.place, one."column", one.reviewer, two.reviewer AS other, one.said AS one,
        two.said AS two
    FROM cells AS one JOIN cells AS two
        ON one.place = two.place AND one.key = two.key AND one.reviewer < two.reviewer
), ones AS (
    SELECT {pair}, one AS said, count(*) AS many FROM pairs GROUP BY ALL
), twos AS (
    SELECT {pair}, two AS said, count(*) AS many FROM pairs GROUP BY ALL
), chances AS (
    SELECT {", ".join(f"ones.{word}" for word in pair.split(", "))},
        sum(ones.many * twos.many)::BIGINT AS chance
    FROM ones JOIN twos ON (ones.place, ones.reviewer, ones.other)
            = (twos.place, twos.reviewer, twos.other) AND ones.said IS NOT DISTINCT FROM twos.said
    GROUP BY ALL
)
SELECT "column", reviewer, other, count(*), count(*) FILTER (one IS NOT DISTINCT FROM two),
    coalesce(any_value(chance), 0)
FROM pairs LEFT JOIN chances USING ({pair})
GROUP BY {pair} ORDER BY reviewer, other, place"""


def render_example_rows(query: str, key: Sequence[str], text: str) -> str:
    """The place of the last verdict on each row of the SELECT `query` that says what its columns
    should be, all of which fit, and `text`, SQL over the row; in the order of the key."""
    fields = {column: f"inputs.{quote_name(column)}" for column in key}
    return f"""SELECT line, said FROM ({_render_last(VALUED, "key")}) AS truth JOIN (
    SELECT {render_struct(fields)} AS key, {text} AS said FROM (
{query}
) AS inputs) AS inputs USING (key)
WHERE len(misfits) = 0 ORDER BY key"""
