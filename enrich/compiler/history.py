"""What was before: the answers that rows had, and the life of one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.judge import render_answer
from enrich.compiler.tables import COST, inputs
from enrich.db import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.output import Output
    from enrich.manifest.prompt import ResponseFormat


def _held(model: str, condition: str) -> str:
    """WITH queries that end with `held`: each `ok` answer that a row had, by the response's rowid
    `line` and the run `from_run` in which the row came to ask for it; from when until when.

    An answer holds from when it came, or the row came to ask for it, until the next one does, or
    the row is gone; `until_at` NULL: it still does. What comes for a request that has been answered
    anew meanwhile never holds. A `chain` is the time in which a row was never gone.
    """
    return f"""WITH place AS (
    SELECT key, fingerprint, from_run, until_run, came.started_at AS opened,
        went.started_at AS closed,
        lag(until_run) OVER (PARTITION BY key ORDER BY from_run) IS DISTINCT FROM from_run AS anew
    FROM {inputs(model)} AS place
        JOIN ledger.runs AS came ON came.run = place.from_run
        LEFT JOIN ledger.runs AS went ON went.run = place.until_run
    WHERE {condition}
), chained AS (
    SELECT *, sum(anew::INTEGER) OVER (PARTITION BY key ORDER BY from_run) AS chain FROM place
), stood AS (
    SELECT *, CASE WHEN bool_and(until_run IS NOT NULL) OVER chain THEN max(closed) OVER chain END
        AS gone
    FROM chained WINDOW chain AS (PARTITION BY key, chain)
), given AS (
    SELECT key, from_run, gone, response.rowid AS line, attempt,
        greatest(received_at, opened) AS from_at
    FROM stood JOIN ledger.responses AS response USING (fingerprint)
    WHERE outcome = 'ok'
), timely AS (
    SELECT * FROM given QUALIFY coalesce(from_at < min(from_at) OVER (
        PARTITION BY key ORDER BY from_run RANGE BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ), true)
), held AS (
    SELECT key, from_run, line, from_at, least(gone, lead(from_at) OVER (
        PARTITION BY key ORDER BY from_at, attempt, line
    )) AS until_at
    FROM timely QUALIFY coalesce(until_at > from_at, true)
)"""


def history(model: str, output: Output, form: ResponseFormat) -> str:
    """`enrich.NAME_history`: the answers that each row had before, as far as they fit into the
    present columns, and as they came; the version that asked, and from when until when they held.
    """
    answer = render_answer("content", output, form, strict=False)
    table = quote.name("warehouse", "enrich", f"{model}_history")
    moved = f"""key IN (
        SELECT key FROM {inputs(model)} WHERE until_run IS NOT NULL
        UNION
        SELECT key FROM {inputs(model)} SEMI JOIN (
            SELECT fingerprint FROM ledger.responses
            WHERE outcome = 'ok' AND fingerprint IN (SELECT fingerprint FROM {inputs(model)})
            GROUP BY fingerprint HAVING count(*) > 1
        ) USING (fingerprint)
    )"""
    return f"""CREATE OR REPLACE TABLE {table} AS
{_held(model, moved)}
SELECT key.*, answer.*, prompt, llm, fingerprint, from_at, until_at, raw FROM (
    SELECT key, {answer} AS answer, asked.prompt AS prompt, llm, fingerprint, from_at, until_at,
        content AS raw
    FROM held JOIN ledger.responses AS response ON response.rowid = line
        JOIN (SELECT batch, prompt FROM ledger.batches) AS asked ON asked.batch = response.batch
    WHERE until_at IS NOT NULL
)
ORDER BY key, from_at"""


def life(model: str, key: Mapping[str, str]) -> str:
    """All that became of one row, in order: its requests as it came to stand for them, and what
    came back for each. `key` maps the key's columns to their types; $key_0, $key_1 ... are the
    values as text."""
    same = " AND ".join(
        f"place.key.{quote.name(column)} = TRY_CAST($key_{number} AS {kind})"
        for number, (column, kind) in enumerate(key.items())
    )
    return f"""{_held(model, same)}, answers AS (
    SELECT place.from_run AS from_run, response.*, held.from_at, held.until_at
    FROM place JOIN (SELECT rowid AS line, * FROM ledger.responses) AS response USING (fingerprint)
        LEFT JOIN held ON held.line = response.line AND held.from_run = place.from_run
    WHERE held.line IS NOT NULL OR received_at >= opened
)
SELECT coalesce(answers.from_at, received_at, came.started_at) AS happened_at,
    place.from_run AS run,
    coalesce(outcome, CASE WHEN place.error IS NOT NULL THEN 'error' ELSE 'pending' END) AS outcome,
    coalesce(place.error, reason) AS error, coalesce(asked.prompt, came.prompt) AS prompt,
    llm, answers.batch, attempt, input_tokens, output_tokens,
    CASE WHEN received_at < came.started_at THEN 0.0 ELSE {COST} END AS cost,
    received_at, from_at, until_at, content AS answer
FROM {inputs(model)} AS place JOIN ledger.runs AS came ON came.run = place.from_run
    LEFT JOIN answers ON answers.from_run = place.from_run
    LEFT JOIN (
        SELECT batch, prompt, input_price, cached_price, output_price FROM ledger.batches
    ) AS asked ON asked.batch = answers.batch
WHERE {same}
ORDER BY happened_at, run, attempt"""
