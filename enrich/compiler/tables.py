"""Answers become the published table and its provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import quote
from enrich.compiler.reader import parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.output import Output
    from enrich.prompt import Format

PROVENANCE = (
    "outcome",
    "error",
    "llm",
    "fingerprint",
    "batch",
    "attempt",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "answered_at",
    "stale",
)
"""The columns of `enrich.NAME` after the key's."""


def inputs(model: str) -> str:
    """The ledger's table of a model's rows, now and before."""
    return quote.name("ledger", "inputs", model)


def inputs_created(model: str, key: Mapping[str, str]) -> str:
    """One row for each time a key came to stand for a request; `until_run` NULL: it still does."""
    columns = ", ".join(f"{quote.name(column)} {kind}" for column, kind in key.items())
    return f"""CREATE OR REPLACE TABLE {inputs(model)} (
    key STRUCT({columns}), custom_id VARCHAR, fingerprint VARCHAR, error VARCHAR,
    from_run BIGINT, until_run BIGINT
)"""


def inputs_closed(model: str) -> str:
    """Rows that are gone, or stand for another request now, end with run $run."""
    return f"""UPDATE {inputs(model)} AS old SET until_run = $run
WHERE until_run IS NULL AND NOT EXISTS (
    SELECT 1 FROM temp.snapshot AS new WHERE new.key = old.key
        AND new.fingerprint IS NOT DISTINCT FROM old.fingerprint
        AND new.error IS NOT DISTINCT FROM old.error
)"""


def inputs_opened(model: str) -> str:
    """Rows that are new, or stand for another request now, begin with run $run."""
    return f"""INSERT INTO {inputs(model)}
SELECT key, custom_id, fingerprint, error, $run, NULL FROM temp.snapshot AS new
WHERE NOT EXISTS (
    SELECT 1 FROM {inputs(model)} AS old WHERE old.key = new.key AND until_run IS NULL
)"""


def answered(model: str) -> str:
    """One row if any request of the model, now or before, has a response; none if not."""
    return (
        f"""SELECT 1 FROM {inputs(model)} SEMI JOIN ledger.responses USING (fingerprint) LIMIT 1"""
    )


def failed(model: str) -> str:
    """The model's present requests without an `ok` answer, as a snapshot to ask from again."""
    return f"""CREATE OR REPLACE TEMP TABLE snapshot AS
SELECT min(present.custom_id) AS custom_id, fingerprint,
    arg_max(request.tail, request.attempt) AS tail
FROM {inputs(model)} AS present JOIN ledger.requests AS request USING (fingerprint)
WHERE until_run IS NULL AND fingerprint NOT IN (
    SELECT fingerprint FROM ledger.responses WHERE outcome = 'ok'
)
GROUP BY fingerprint"""


def present(model: str) -> str:
    """The fingerprints of the model's present rows, as a table `snapshot`."""
    return f"""CREATE OR REPLACE TEMP TABLE snapshot AS
SELECT DISTINCT fingerprint FROM {inputs(model)} WHERE until_run IS NULL"""


def settled(model: str, output: Output, form: Format) -> str:
    """A table `settled` of the model's current rows, each with the best response there is.

    A row without an `ok` answer to its present request keeps, as `kept`, the latest `ok` answer to
    an earlier one, if any of its columns still has a place in the output.
    """
    texts = ", ".join(
        f"CAST(answer.{quote.name(column.name)} AS VARCHAR)" for column in output.columns
    )
    return f"""CREATE OR REPLACE TEMP TABLE settled AS
WITH present AS (
    SELECT key, fingerprint, error FROM {inputs(model)} WHERE until_run IS NULL
), best AS (
    SELECT * FROM ledger.responses
    WHERE fingerprint IN (SELECT fingerprint FROM present)
    QUALIFY row_number() OVER (
        PARTITION BY fingerprint ORDER BY (outcome = 'ok') DESC, attempt DESC, received_at DESC
    ) = 1
), wanting AS (
    SELECT key FROM present LEFT JOIN best USING (fingerprint)
    WHERE best.outcome IS DISTINCT FROM 'ok'
), earlier AS (
    SELECT key, arg_max(content, (from_run, received_at)) AS content
    FROM {inputs(model)} AS old JOIN ledger.responses AS response USING (fingerprint)
        JOIN ledger.batches AS batch ON batch.batch = response.batch
        JOIN ledger.prompts AS prompt ON prompt.prompt = batch.prompt
    WHERE until_run IS NOT NULL AND outcome = 'ok' AND key IN (SELECT key FROM wanting)
        AND (prompt.response_format = 'text') = {"true" if form == "text" else "false"}
    GROUP BY key
), kept AS (
    SELECT key, content FROM (
        SELECT key, content, {parsed("content", output, form, strict=False)} AS answer FROM earlier
    )
    WHERE coalesce({texts}) IS NOT NULL
)
SELECT present.key AS key,
    CASE WHEN present.error IS NULL THEN best.outcome ELSE 'error' END AS outcome,
    coalesce(present.error, best.reason) AS error,
    best.llm, present.fingerprint AS fingerprint, best.batch, best.attempt, best.input_tokens,
    best.cached_tokens, best.output_tokens, best.received_at AS answered_at,
    best.content AS content, kept.content AS kept, kept.content IS NOT NULL AS stale
FROM present LEFT JOIN best USING (fingerprint) LEFT JOIN kept ON kept.key = present.key"""


def published(model: str, output: Output, form: Format) -> str:
    """The published table: the key's columns and the output's, one row for each answered row."""
    fresh = parsed("content", output, form, strict=True)
    stale = parsed("kept", output, form, strict=False)
    return f"""CREATE OR REPLACE TABLE {quote.name("warehouse", "main", model)} AS
SELECT key.*, answer.* FROM (
    SELECT key, CASE WHEN outcome = 'ok' THEN {fresh} ELSE {stale} END AS answer FROM temp.settled
    WHERE outcome = 'ok' OR stale
)"""


def provenance(model: str) -> str:
    """`enrich.NAME`: one row for each row of the model, and what became of it."""
    return f"""CREATE OR REPLACE TABLE {quote.name("warehouse", "enrich", model)} AS
SELECT key.*, {", ".join(PROVENANCE)} FROM temp.settled"""
