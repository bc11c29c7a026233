"""Answers become the published table and its provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.judge import render_answer
from enrich.db import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.output import Output
    from enrich.manifest.prompt import ResponseFormat

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
    "cost",
    "prompt",
    "answered_at",
    "stale",
)
"""The columns of `enrich.NAME` after the key's."""

COST = """((input_tokens - coalesce(cached_tokens, 0)) * input_price
    + coalesce(cached_tokens, 0) * cached_price + output_tokens * output_price) / 1e6"""
"""What a response cost in USD, by its tokens and its batch's prices for a million."""


def view(name: str, query: str) -> str:
    """A plain model for this connection alone."""
    return f"CREATE OR REPLACE TEMP VIEW {quote.name(name)} AS\n{query}"


def inputs(model: str) -> str:
    """The ledger's table of a model's rows, now and before."""
    return quote.name("ledger", "inputs", model)


def inputs_created(model: str, key: Mapping[str, str]) -> str:
    """One row for each time a key came to stand for a request; `until_run` NULL: it still does.

    `prompt` names the earlier version that the request is of, where a row keeps its answer.
    """
    columns = ", ".join(f"{quote.name(column)} {kind}" for column, kind in key.items())
    return f"""CREATE OR REPLACE TABLE {inputs(model)} (
    key STRUCT({columns}), custom_id VARCHAR, fingerprint VARCHAR, error VARCHAR,
    from_run BIGINT, until_run BIGINT, prompt VARCHAR
)"""


def inputs_completed(model: str) -> str:
    """Add what a ledger of an earlier enrich lacks."""
    return f"ALTER TABLE {inputs(model)} ADD COLUMN IF NOT EXISTS prompt VARCHAR"


def known(model: str, *, answered: bool) -> str:
    """Make `temp._enrich_known`: the model's rows as the ledger has them: key, fingerprint, and the
    version that asked them. `answered`: as they were when they were answered last."""
    rows = f"""SELECT key, fingerprint, coalesce(was.prompt, run.prompt) AS version, from_run
FROM {inputs(model)} AS was JOIN ledger.runs AS run ON run.run = from_run"""
    if not answered:
        return known_as(f"{rows} WHERE until_run IS NULL")
    return known_as(
        f"""SELECT key, arg_max_null(fingerprint, rank) AS fingerprint,
    arg_max(version, rank) AS version
FROM (
    SELECT *, (fingerprint IN (
        SELECT fingerprint FROM ledger.responses WHERE outcome = 'ok'
    ), from_run) AS rank
    FROM ({rows})
) SEMI JOIN (SELECT key FROM {inputs(model)} WHERE until_run IS NULL) USING (key)
GROUP BY key""",
        once=True,
    )


def nothing_known() -> str:
    """Make it of a model that has no rows with such a key in the ledger."""
    rows = "SELECT key, fingerprint, '' AS version FROM temp._enrich_snapshot WHERE false"
    return known_as(rows)


def known_as(rows: str, *, once: bool = False) -> str:
    """Declare `temp._enrich_known`: what the ledger knows of a model's rows; `once`: it is dear to
    find out, so it is kept."""
    kind = "TABLE" if once else "VIEW"
    return f"""CREATE OR REPLACE TEMP {kind} _enrich_known AS
SELECT key, fingerprint, version FROM (
{rows}
)"""


def asked(source: str) -> str:
    """Declare `temp._enrich_asked`: the requests of `source`, a snapshot or the requests that
    failed, that this version of the model asks; `line` is a row's place there. What keeps an
    earlier version's answer asks nothing."""
    return f"""CREATE OR REPLACE TEMP VIEW _enrich_asked AS
SELECT rowid AS line, custom_id, fingerprint, tail FROM temp.{source}
WHERE fingerprint IS NOT NULL AND prompt IS NULL"""


def keeping(output: Output, form: ResponseFormat) -> str:
    """Mark in `temp._enrich_snapshot` the rows that keep the answer which one of the $versions gave
    them, and of which anything can still be shown; of all rows $sample do not."""
    texts = _texts(output)
    answer = render_answer("content", output, form, strict=False)
    return f"""UPDATE temp._enrich_snapshot AS snapshot
SET fingerprint = moved.fingerprint, prompt = moved.version
FROM temp._enrich_moved AS moved
WHERE snapshot.rowid = line AND list_contains($versions, moved.version)
    AND moved.fingerprint IN (
        SELECT fingerprint FROM (
            SELECT fingerprint, {answer} AS answer FROM ledger.responses
            WHERE outcome = 'ok'
                AND fingerprint IN (SELECT fingerprint FROM temp._enrich_moved)
        ) WHERE coalesce({texts}) IS NOT NULL
    )
    AND snapshot.fingerprint NOT IN (
        SELECT fingerprint FROM ledger.responses WHERE outcome = 'ok'
    )
    AND line NOT IN (
        SELECT rowid FROM temp._enrich_snapshot ORDER BY hash(key), key LIMIT $sample
    )"""


def inputs_closed(model: str) -> str:
    """Rows that are gone, or stand for another request now, end with run $run."""
    return f"""UPDATE {inputs(model)} AS old SET until_run = $run
WHERE until_run IS NULL AND NOT EXISTS (
    SELECT 1 FROM temp._enrich_snapshot AS new WHERE new.key = old.key
        AND new.fingerprint IS NOT DISTINCT FROM old.fingerprint
        AND new.error IS NOT DISTINCT FROM old.error
        AND new.prompt IS NOT DISTINCT FROM old.prompt
)"""


def inputs_opened(model: str) -> str:
    """Rows that are new, or stand for another request now, begin with run $run."""
    return f"""INSERT INTO {inputs(model)}
SELECT key, custom_id, fingerprint, error, $run, NULL, prompt FROM temp._enrich_snapshot AS new
WHERE NOT EXISTS (
    SELECT 1 FROM {inputs(model)} AS old WHERE old.key = new.key AND until_run IS NULL
)"""


def answered(model: str) -> str:
    """One row if any request of the model, now or before, has a response; none if not."""
    return (
        f"""SELECT 1 FROM {inputs(model)} SEMI JOIN ledger.responses USING (fingerprint) LIMIT 1"""
    )


def failed(model: str) -> str:
    """The model's present requests without an `ok` answer that was read after the $since-th batch,
    as `temp._enrich_failed`, to ask again."""
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_failed AS
WITH failed AS (
    SELECT fingerprint, min(custom_id) AS custom_id FROM {inputs(model)} ANTI JOIN (
        SELECT fingerprint FROM ledger.responses
        WHERE outcome = 'ok' AND batch IN (
            SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since
        )
    ) USING (fingerprint)
    WHERE until_run IS NULL AND fingerprint IS NOT NULL AND prompt IS NULL
    GROUP BY fingerprint
)
SELECT any_value(failed.custom_id) AS custom_id, fingerprint, arg_max(tail, attempt) AS tail,
    NULL AS prompt
FROM ledger.requests JOIN failed USING (fingerprint) GROUP BY fingerprint"""


def present(model: str) -> str:
    """The fingerprints of the model's present rows; what is kept from an earlier version is not
    among them, for it is judged by that."""
    return f"""SELECT fingerprint FROM {inputs(model)}
WHERE until_run IS NULL AND prompt IS NULL"""


def misjudged(requests: str) -> str:
    """Declare `temp._enrich_misjudged`: the answers to `requests`, a query of fingerprints, that
    another output than $judged_by judged last: batch, custom_id, content."""
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_misjudged AS
SELECT batch, custom_id, content FROM ledger.responses
WHERE outcome IN ('ok', 'invalid') AND judged_by <> $judged_by AND status_code = 200
    AND fingerprint IN ({requests})"""


def settled(model: str) -> str:
    """Declare `temp._enrich_settled`: the model's current rows, each with its best response.

    `line` is the response's rowid in the ledger.
    """
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_settled AS
WITH present AS (
    SELECT key, fingerprint, error, prompt FROM {inputs(model)} WHERE until_run IS NULL
), best AS (
    SELECT arg_max(rowid, (outcome = 'ok', attempt, rowid)) AS line
    FROM ledger.responses SEMI JOIN present USING (fingerprint) GROUP BY fingerprint
), response AS (
    SELECT rowid AS line, * EXCLUDE (content) FROM ledger.responses WHERE rowid IN (FROM best)
)
SELECT key, CASE WHEN error IS NULL THEN outcome ELSE 'error' END AS outcome,
    coalesce(error, reason) AS error, llm, present.fingerprint AS fingerprint, batch, attempt,
    input_tokens, cached_tokens, output_tokens, {COST} AS cost, received_at AS answered_at,
    false AS stale, line, asked.prompt AS prompt, present.prompt IS NOT NULL AS kept
FROM present LEFT JOIN response USING (fingerprint) LEFT JOIN (
    SELECT batch, prompt, input_price, cached_price, output_price FROM ledger.batches
) AS asked USING (batch)"""


def kept(model: str, output: Output, form: ResponseFormat) -> str:
    """Rows of `settled` without an `ok` answer to their present request keep, marked stale, the
    latest `ok` answer to an earlier one, if any of its columns still has a place in the output."""
    texts = _texts(output)
    answer = render_answer("content", output, form, strict=False)
    return f"""UPDATE temp._enrich_settled AS settled
SET stale = true, line = kept.line, prompt = kept.prompt FROM (
    SELECT key, line, asked.prompt AS prompt, {answer} AS answer FROM (
        SELECT key, arg_max(response.rowid, (from_run, received_at)) AS line
        FROM {inputs(model)} AS was
            SEMI JOIN (
                SELECT key FROM temp._enrich_settled WHERE outcome IS DISTINCT FROM 'ok'
            ) USING (key)
            JOIN ledger.responses AS response USING (fingerprint)
            JOIN ledger.batches AS batch ON batch.batch = response.batch
            JOIN ledger.prompts AS prompt ON prompt.prompt = batch.prompt
        WHERE until_run IS NOT NULL AND outcome = 'ok'
            AND (prompt.response_format = 'text') = {"true" if form == "text" else "false"}
        GROUP BY key
    ) JOIN ledger.responses AS response ON response.rowid = line
        JOIN ledger.batches AS asked ON asked.batch = response.batch
) AS kept
WHERE kept.key = settled.key AND coalesce({texts}) IS NOT NULL"""


def _texts(output: Output) -> str:
    """An `answer`'s columns as texts."""
    return ", ".join(
        f"CAST(answer.{quote.name(column.name)} AS VARCHAR)" for column in output.columns
    )


def published(model: str, output: Output, form: ResponseFormat) -> str:
    """The published table: the key's columns and the output's, one row for each answered row."""
    fresh = render_answer("content", output, form, strict=True)
    stale = render_answer("content", output, form, strict=False)
    return f"""CREATE OR REPLACE TABLE {quote.name("warehouse", "main", model)} AS
SELECT key.*, answer.* FROM (
    SELECT key, CASE WHEN stale OR kept THEN {stale} ELSE {fresh} END AS answer
    FROM temp._enrich_settled AS settled JOIN ledger.responses AS response ON response.rowid = line
    WHERE settled.outcome = 'ok' OR stale
)"""


def render_published_copy(model: str) -> str:
    """Keep the published table aside, for tests that compare with it: see PUBLISHED_COPY."""
    table = quote.name("warehouse", "main", model)
    return f"CREATE OR REPLACE TEMP TABLE _enrich_before AS FROM {table}"


def previewed(output: Output, form: ResponseFormat) -> str:
    """What became of the requests $fingerprints: fingerprint, outcome, error, the answer (a STRUCT
    where it is ok, else NULL), its raw text, tokens and cost in USD."""
    answer = render_answer("content", output, form, strict=True)
    return f"""WITH best AS (
    SELECT arg_max(rowid, (outcome = 'ok', attempt, rowid)) AS line FROM ledger.responses
    WHERE list_contains($fingerprints, fingerprint) GROUP BY fingerprint
)
SELECT fingerprint, outcome, reason AS error, CASE WHEN outcome = 'ok' THEN {answer} END AS answer,
    content AS raw, input_tokens, cached_tokens, output_tokens, {COST} AS cost
FROM (
    SELECT * FROM ledger.responses WHERE rowid IN (FROM best)
) AS response JOIN (
    SELECT batch, input_price, cached_price, output_price FROM ledger.batches
) AS asked USING (batch)"""


def provenance(model: str) -> str:
    """`enrich.NAME`: one row for each row of the model, and what became of it."""
    return f"""CREATE OR REPLACE TABLE {quote.name("warehouse", "enrich", model)} AS
SELECT key.*, {", ".join(PROVENANCE)} FROM temp._enrich_settled"""


IMAGES = "'data:image/[^\"]{40,}', 'data:image/...', 'g'"
"""What is left of a picture where a request is shown."""


def failures() -> str:
    """The rows of `temp._enrich_settled` that are not ok, the first $limit of them: key, outcome,
    error, the last message they were asked with, and what came back, as it came."""
    body = "(prefix || tail)"
    said = ", ".join(
        f"json_extract_string({body}, '$.{place}[#-1].content')" for place in ("messages", "input")
    )
    return f"""SELECT key.*, settled.outcome, settled.error,
    regexp_replace(coalesce({said}), {IMAGES}) AS input, content AS answer,
    settled.llm, settled.attempt, settled.batch, settled.stale
FROM temp._enrich_settled AS settled
    LEFT JOIN (
        SELECT rowid AS line, batch, custom_id, content FROM ledger.responses
    ) AS response USING (line)
    LEFT JOIN ledger.requests AS request
        ON request.batch = response.batch AND request.custom_id = response.custom_id
    LEFT JOIN (
        SELECT batch, prefix FROM ledger.batches JOIN ledger.prompts USING (prompt)
    ) AS asked ON asked.batch = response.batch
WHERE settled.outcome <> 'ok'
ORDER BY settled.outcome, settled.error, key LIMIT $limit"""


def state(model: str) -> str:
    """What the published table is made from: the run in which the model's rows changed last, and
    the number of the batch, of any model, that was read last."""
    return f"""SELECT (SELECT max(greatest(from_run, until_run)) FROM {inputs(model)}),
    (SELECT coalesce(max(read_number), 0) FROM ledger.batches)"""


def outcomes(model: str) -> str:
    """How often each outcome is in the provenance, as JSON, and how many rows are stale."""
    table = quote.name("warehouse", "enrich", model)
    return f"""SELECT (
    SELECT CAST(json_group_object(coalesce(outcome, 'pending'), many) AS VARCHAR)
    FROM (SELECT outcome, count(*) AS many FROM {table} GROUP BY outcome)
), (SELECT count(*) FROM {table} WHERE stale)"""
