"""Earlier answers: those that rows had before, and the life of one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.input_rows import name_inputs_table
from enrich.compiler.judge import render_answer
from enrich.compiler.tables import RESPONSE_COST
from enrich.db.quote import quote_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.output import Output
    from enrich.manifest.prompt import ResponseFormat


def _render_held(model: str, condition: str) -> str:
    """WITH queries, the last of which is `held`: one row for each `ok` answer that a row had, with
    the response's rowid `line`, the run `from_run` in which the row started to ask for it, and the
    times `from_at` and `until_at` between which the answer held, the latter NULL if it still does.

    An answer holds from when it has arrived and the row asks for it, until the next answer holds or
    the row is gone. One that arrives after a later request has been answered never holds.
    """
    # A row can leave the SELECT and come back. A `chain` is a stretch without such a gap, and
    # `gone` is its end: without it an answer would seem to hold while the row was not there.
    return f"""WITH place AS (
    SELECT key, fingerprint, from_run, until_run, came.started_at AS opened,
        went.started_at AS closed,
        lag(until_run) OVER (
            PARTITION BY key ORDER BY from_run, until_run
        ) IS DISTINCT FROM from_run AS anew
    FROM {name_inputs_table(model)} AS place
        JOIN ledger.runs AS came ON came.run = place.from_run
        LEFT JOIN ledger.runs AS went ON went.run = place.until_run
    WHERE {condition}
), chained AS (
    SELECT *,
        sum(anew::INTEGER) OVER (PARTITION BY key ORDER BY from_run, until_run) AS chain
    FROM place
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


def render_history_rows(
    model: str, output: Output, form: ResponseFormat, *, changed: bool = False
) -> str:
    """The rows of `enrich.NAME_history`: the answers that each row had before, both as far as they
    fit the present columns and as they came; the version that asked, and when each of them held.
    With `changed`, only those of the rows in `temp._enrich_changed`."""
    answer = render_answer("content", output, form, strict=False)
    inputs = name_inputs_table(model)
    # Only these rows can have had another answer, except where two hashes are equal by chance: for
    # all the others, the windows of `_render_held` need not be computed.
    moved = f"""key IN (
        SELECT key FROM {inputs} WHERE until_run IS NOT NULL
        UNION
        SELECT key FROM {inputs} WHERE hash(fingerprint) IN (
            SELECT hash(fingerprint) FROM ledger.responses WHERE outcome = 'ok'
            GROUP BY ALL HAVING count(*) > 1
        )
    )"""
    if changed:  # these are few
        moved = "key IN (SELECT key FROM temp._enrich_changed)"
    return f"""{_render_held(model, moved)}
SELECT key.*, answer.*, prompt, llm, fingerprint, from_at, until_at, raw FROM (
    SELECT key, {answer} AS answer, asked.prompt AS prompt, llm, fingerprint, from_at, until_at,
        content AS raw
    FROM held JOIN ledger.responses AS response ON response.rowid = line
        JOIN (SELECT batch, prompt FROM ledger.batches) AS asked ON asked.batch = response.batch
    WHERE until_at IS NOT NULL
)
ORDER BY key, from_at"""


def render_life(model: str, key: Mapping[str, str]) -> str:
    """Everything that happened to one row, in order: the requests that it asked, and what came back
    for each. `key` maps the key's columns to their types; $key_0, $key_1 ... are the values as
    text."""
    same = " AND ".join(
        f"place.key.{quote_name(column)} = TRY_CAST($key_{number} AS {kind})"
        for number, (column, kind) in enumerate(key.items())
    )
    # A response from before the row asked for it was paid for by another row with equal cells, or
    # by this row earlier. It is listed only if the row took it over, and costs nothing then.
    return f"""{_render_held(model, same)}, answers AS (
    SELECT place.from_run AS from_run, response.*, held.from_at, held.until_at
    FROM place JOIN (SELECT rowid AS line, * FROM ledger.responses) AS response USING (fingerprint)
        LEFT JOIN held ON held.line = response.line AND held.from_run = place.from_run
    WHERE held.line IS NOT NULL OR received_at >= opened
)
SELECT coalesce(answers.from_at, received_at, came.started_at) AS happened_at,
    place.from_run AS run,
    coalesce(outcome, CASE WHEN place.error IS NOT NULL THEN 'error' ELSE 'pending' END) AS outcome,
    coalesce(place.error, reason) AS error,
    coalesce(asked.prompt, place.prompt, came.prompt) AS prompt,
    llm, answers.batch, attempt, input_tokens, output_tokens,
    CASE WHEN received_at < came.started_at THEN 0.0 ELSE {RESPONSE_COST} END AS cost,
    received_at, from_at, until_at, content AS answer
FROM {name_inputs_table(model)} AS place JOIN ledger.runs AS came ON came.run = place.from_run
    LEFT JOIN answers ON answers.from_run = place.from_run
        AND answers.fingerprint = place.fingerprint
    LEFT JOIN (
        SELECT batch, prompt, input_price, cached_price, output_price FROM ledger.batches
    ) AS asked ON asked.batch = answers.batch
WHERE {same}
ORDER BY happened_at, run, attempt"""
