"""Answers become the published table and its provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.input_rows import name_inputs_table
from enrich.compiler.judge import list_readable_forms, render_answer
from enrich.db.quote import quote_name, quote_text, quote_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from enrich.compiler.version import Version
    from enrich.manifest.output import Output
    from enrich.manifest.prompt import ResponseFormat

PROVENANCE_COLUMNS = (
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
    "copied_from",
)
"""The columns of `enrich.NAME` that follow the key's."""

RESPONSE_COST = """((input_tokens - coalesce(cached_tokens, 0)) * input_price
    + coalesce(cached_tokens, 0) * cached_price + output_tokens * output_price) / 1e6"""
"""SQL for what a response cost in USD, from its tokens and its batch's prices for a million."""


# One number instead of a tuple, which takes DuckDB twice as long to compare.
BEST_LINE = """max(
        ((outcome = 'ok')::BIGINT << 60) | (least(attempt, 1 << 19)::BIGINT << 40) | rowid
    ) & ((1::BIGINT << 40) - 1)"""
"""SQL for the place in the ledger of the best response of a group: an `ok` one, then the latest."""


def render_view(name: str, query: str) -> str:
    """Create the view of a plain model, for this connection alone."""
    return f"CREATE OR REPLACE TEMP VIEW {quote_name(name)} AS\n{query}"


def render_asked_requests(
    source: str, versions: Sequence[Version], *, place: int | None = None
) -> str:
    """Create `temp._enrich_asked`: the requests of `source`, a snapshot or the failed requests,
    that the present `versions` of the model ask, one for each of its llms; `place` counts these
    from 0, and picks one of them. `overhead` is the bytes of a line without its rows, and `pack` is
    how many of these it has at most, 0 for one alone. `line` is a row's place in `source`. A row
    that keeps the answer to an earlier version asks nothing."""
    listed = ", ".join(
        f"({quote_text(version.id if number else '')}, {number}, {version.overhead}, "
        f"{version.pack})"
        for number, version in enumerate(versions)
        if place in (None, number)
    )
    return f"""CREATE OR REPLACE TEMP VIEW _enrich_asked AS
SELECT source.rowid AS line, custom_id, fingerprint, tail, place, overhead, pack
FROM temp.{source} AS source JOIN (VALUES {listed}) AS version(asks, place, overhead, pack)
    ON coalesce(source.prompt, '') = asks
WHERE fingerprint IS NOT NULL"""


def render_keep_earlier_answers(
    model: str, output: Output, form: ResponseFormat, *, everywhere: bool
) -> str:
    """Mark in `temp._enrich_snapshot` the rows that keep an answer to one of the $versions, if any
    column of the output can still be filled from it and the present version has none; $sample of
    all rows do not. With `everywhere`, the snapshot has only some partitions of the model, and the
    sample is taken from all of its rows.

    If the version is $repeated, rows that have kept an answer so far go on with it: an equal row of
    the sample may have been asked since.
    """
    present = f"FROM {name_inputs_table(model)} WHERE until_run IS NULL"
    # Ordered by a hash, the sample is spread over the table and the same in every run.
    rows = "SELECT key FROM temp._enrich_snapshot"
    if everywhere:
        rows += f" UNION SELECT key {present}"
    texts = _render_texts(output)
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
    AND (
        snapshot.fingerprint NOT IN (
            SELECT fingerprint FROM ledger.responses WHERE outcome = 'ok'
        )
        OR ($repeated AND (key, moved.fingerprint, moved.version) IN (
            SELECT (key, fingerprint, prompt) {present} AND prompt IS NOT NULL
        ))
    )
    AND key NOT IN (SELECT key FROM ({rows}) ORDER BY hash(key), key LIMIT $sample)"""


def _render_kept(model: str) -> str:
    """SQL: whether a row of the ledger keeps the answer to an earlier version, which judges it."""
    latest = f"SELECT max(run) FROM ledger.runs WHERE model = {quote_text(model)}"
    fallbacks = f"SELECT unnest(fallbacks) FROM ledger.runs WHERE run = ({latest})"
    return f"(prompt IS NOT NULL AND prompt NOT IN ({fallbacks}))"


def render_failed_requests(model: str) -> str:
    """Create `temp._enrich_failed`, to ask again: the model's present requests without an `ok`
    answer that was read after the $since-th batch."""
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_failed AS
WITH failed AS (
    SELECT fingerprint, min(custom_id) AS custom_id, min(prompt) AS prompt
    FROM {name_inputs_table(model)} ANTI JOIN (
        SELECT fingerprint FROM ledger.responses
        WHERE outcome = 'ok' AND batch IN (
            SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since
        )
    ) USING (fingerprint)
    WHERE until_run IS NULL AND fingerprint IS NOT NULL AND NOT {_render_kept(model)}
    GROUP BY fingerprint
)
SELECT any_value(failed.custom_id) AS custom_id, fingerprint, arg_max(tail, attempt) AS tail,
    any_value(failed.prompt) AS prompt
FROM ledger.requests JOIN failed USING (fingerprint) GROUP BY fingerprint"""


def render_heard_batches(model: str, version: str) -> str:
    """SQL: whether a response of the ledger is one to a version of the model: in a batch of that
    version or, for a request of the model's rows, in one of another model that asks the same."""
    return f"""(batch IN (SELECT batch FROM ledger.batches WHERE prompt = {quote_text(version)})
    OR (batch IN (
        SELECT batch FROM ledger.batches JOIN ledger.prompts AS other USING (prompt)
            JOIN ledger.prompts AS own USING (identity, endpoint, prefix)
        WHERE own.prompt = {quote_text(version)} AND other.model <> own.model
    ) AND fingerprint IN (SELECT fingerprint FROM {name_inputs_table(model)})))"""


def render_heard_fingerprints(model: str, version: str) -> str:
    """The fingerprints of these responses."""
    return f"""SELECT fingerprint FROM ledger.responses
WHERE {render_heard_batches(model, version)}"""


def render_alike(model: str, version: str) -> str:
    """How the answers to a version of the model failed: the most frequent outcome among the last
    answers to each request, how many have it, how many answers there are in all, and the most
    frequent reason. Temporary failures (an outage, a full queue, a request that was not run) say
    nothing about the version."""
    return f"""WITH told AS (
    SELECT fingerprint, arg_max(outcome, (attempt, received_at)) AS outcome,
        arg_max(reason, (attempt, received_at)) AS reason
    FROM ledger.responses
    WHERE {render_heard_batches(model, version)}
        AND outcome NOT IN ('expired', 'missing')
        AND NOT (outcome = 'error' AND (coalesce(status_code, 0) NOT BETWEEN 200 AND 499
            OR status_code IN (408, 409, 425, 429)))
    GROUP BY fingerprint
), most AS (
    SELECT outcome, count(*) AS many, mode(reason) AS reason FROM told GROUP BY outcome
    ORDER BY many DESC, outcome LIMIT 1
)
SELECT outcome, many, (SELECT count(*) FROM told), reason FROM most"""


def render_present_fingerprints(model: str) -> str:
    """The fingerprints of the model's present rows, without those that keep the answer to an
    earlier version: that version judges them."""
    return f"""SELECT fingerprint FROM {name_inputs_table(model)}
WHERE until_run IS NULL AND NOT {_render_kept(model)}"""


def render_kept_versions(model: str) -> str:
    """The earlier versions whose answers present rows of the model keep."""
    return f"""SELECT DISTINCT prompt FROM {name_inputs_table(model)}
WHERE until_run IS NULL AND {_render_kept(model)} ORDER BY prompt"""


def render_own_fingerprints(versions: Sequence[Version]) -> str:
    """The fingerprints of the snapshot, which ask the first of the `versions`, and those of the
    others that its rows stood for."""
    later = quote_texts([version.id for version in versions[1:]]) or "NULL"
    return f"""SELECT fingerprint FROM temp._enrich_snapshot
UNION ALL SELECT was FROM temp._enrich_snapshot WHERE was_version IN ({later})"""


def render_past_fingerprints(model: str, version: str) -> str:
    """The fingerprints that rows of the model asked this version before, and no longer do."""
    return f"""SELECT fingerprint FROM {name_inputs_table(model)} AS was
JOIN ledger.runs AS run ON run.run = from_run
WHERE until_run IS NOT NULL AND coalesce(was.prompt, run.prompt) = {quote_text(version)}"""


def render_kept_fingerprints(model: str, version: str) -> str:
    """The fingerprints of the model's present rows that keep an answer to this earlier version."""
    return f"""SELECT fingerprint FROM {name_inputs_table(model)}
WHERE until_run IS NULL AND prompt = {quote_text(version)}"""


def render_misjudged_answers(requests: str) -> str:
    """Create `temp._enrich_misjudged`: the answers to `requests`, a SELECT of fingerprints, that an
    output other than $judged_by last judged: batch, custom_id, content, vector."""
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_misjudged AS
SELECT batch, custom_id, content, vector FROM ledger.responses
WHERE outcome IN ('ok', 'invalid') AND judged_by <> $judged_by AND status_code = 200
    AND fingerprint IN ({requests})"""


def render_settled_rows(model: str, *, changed: bool = False, pieces: int = 1) -> Iterator[str]:
    """Create `temp._enrich_settled`: the model's present rows, each with its best response; with
    `changed`, only those in `temp._enrich_changed`. The statements each do one of so many `pieces`.

    `line` is the response's rowid in the ledger.
    """
    into = "CREATE OR REPLACE TEMP TABLE _enrich_settled AS"
    for piece in _split_fingerprints(pieces):
        yield f"{into}\n{_render_settled_piece(model, changed=changed, piece=piece)}"
        into = "INSERT INTO temp._enrich_settled"


def _split_fingerprints(pieces: int) -> Iterator[str]:
    """Yields a condition for each of so many pieces of all fingerprints, at most 256, which are
    alike in size. The first one has the rows without a fingerprint as well."""
    bounds = [f"'{number * 256 // pieces:02x}'" for number in range(1, pieces)]
    for first, end in zip([None, *bounds], [*bounds, None], strict=True):
        least = f"fingerprint >= {first}" if first else ""
        most = f"fingerprint < {end}" if end else ""
        both = " AND ".join(filter(None, (least, most))) or "true"
        yield both if first else f"({both} OR fingerprint IS NULL)"


def _render_settled_piece(model: str, *, changed: bool, piece: str) -> str:
    among = " SEMI JOIN temp._enrich_changed USING (key)" if changed else ""
    # Contents are by far the widest column: they stay in the ledger, where `line` finds them again.
    return f"""WITH present AS (
    SELECT key, fingerprint, error, copied_from, {_render_kept(model)} AS kept
    FROM {name_inputs_table(model)}{among} WHERE until_run IS NULL AND {piece}
), best AS (
    SELECT {BEST_LINE} AS line
    FROM ledger.responses SEMI JOIN present USING (fingerprint) WHERE {piece}
    GROUP BY fingerprint
), response AS (
    SELECT rowid AS line, * EXCLUDE (content, vector) FROM ledger.responses
    WHERE rowid IN (FROM best)
)
SELECT key, CASE WHEN error IS NULL THEN outcome ELSE 'error' END AS outcome,
    coalesce(error, reason) AS error, llm, present.fingerprint AS fingerprint, batch, attempt,
    -- A copy has cost nothing.
    CASE WHEN copied_from IS NULL THEN input_tokens ELSE 0 END AS input_tokens,
    CASE WHEN copied_from IS NULL THEN cached_tokens ELSE 0 END AS cached_tokens,
    CASE WHEN copied_from IS NULL THEN output_tokens ELSE 0 END AS output_tokens,
    CASE WHEN copied_from IS NULL THEN {RESPONSE_COST} ELSE 0 END AS cost,
    received_at AS answered_at, false AS stale, line, asked.prompt AS prompt, kept, copied_from
FROM present LEFT JOIN response USING (fingerprint) LEFT JOIN (
    SELECT batch, prompt, input_price, cached_price, output_price FROM ledger.batches
) AS asked USING (batch)"""


def render_stale_answers(model: str, output: Output, form: ResponseFormat) -> str:
    """Give rows of `temp._enrich_settled` without an `ok` answer the latest `ok` answer to an
    earlier request of theirs, marked stale, if it fills any column of the output."""
    texts = _render_texts(output)
    answer = render_answer("content", output, form, strict=False)
    return f"""UPDATE temp._enrich_settled AS settled
SET stale = true, line = kept.line, prompt = kept.prompt FROM (
    SELECT key, line, asked.prompt AS prompt, {answer} AS answer FROM (
        SELECT key, arg_max(response.rowid, (from_run, received_at)) AS line
        FROM {name_inputs_table(model)} AS was
            SEMI JOIN (
                SELECT key FROM temp._enrich_settled WHERE outcome IS DISTINCT FROM 'ok'
            ) USING (key)
            JOIN ledger.responses AS response USING (fingerprint)
            JOIN ledger.batches AS batch ON batch.batch = response.batch
            JOIN ledger.prompts AS prompt ON prompt.prompt = batch.prompt
        WHERE until_run IS NOT NULL AND outcome = 'ok'
            AND prompt.response_format IN ({quote_texts(list_readable_forms(form))})
        GROUP BY key
    ) JOIN ledger.responses AS response ON response.rowid = line
        JOIN ledger.batches AS asked ON asked.batch = response.batch
) AS kept
WHERE kept.key = settled.key AND coalesce({texts}) IS NOT NULL"""


def _render_texts(output: Output) -> str:
    """SQL for the columns of an `answer` as texts, for coalesce(), which needs one type."""
    return ", ".join(
        f"CAST(answer.{quote_name(column.name)} AS VARCHAR)" for column in output.columns
    )


def render_published_rows(output: Output, form: ResponseFormat) -> str:
    """The rows of the published table: the columns of the key and the output, one row for each of
    `temp._enrich_settled` that has an answer."""
    # An answer to an earlier version was judged by another output: read strictly, it would raise an
    # error where a column is missing or has another type.
    fresh = render_answer("content", output, form, strict=True)
    stale = render_answer("content", output, form, strict=False)
    # Texts and vectors are read in one way only. DuckDB 1.5 knows no CASE of vectors, either.
    either = fresh if fresh == stale else f"CASE WHEN stale OR kept THEN {stale} ELSE {fresh} END"
    return f"""SELECT key.*, answer.* FROM (
    SELECT key, {either} AS answer
    FROM temp._enrich_settled AS settled JOIN ledger.responses AS response ON response.rowid = line
    WHERE settled.outcome = 'ok' OR stale
)"""


def render_published_copy(model: str) -> str:
    """Copy the published table, for tests that compare the next one with it: see PUBLISHED_COPY."""
    table = quote_name("warehouse", "main", model)
    return f"CREATE OR REPLACE TEMP TABLE _enrich_before AS FROM {table}"


def render_preview_answers(output: Output, form: ResponseFormat) -> str:
    """The results of the requests $fingerprints: fingerprint, outcome, error, the answer (a STRUCT
    if it is ok, otherwise NULL), its raw text, tokens and cost in USD."""
    answer = render_answer("content", output, form, strict=True)
    return f"""WITH best AS (
    SELECT {BEST_LINE} AS line FROM ledger.responses
    WHERE list_contains($fingerprints, fingerprint) GROUP BY fingerprint
)
SELECT fingerprint, outcome, reason AS error, CASE WHEN outcome = 'ok' THEN {answer} END AS answer,
    content AS raw, input_tokens, cached_tokens, output_tokens, {RESPONSE_COST} AS cost
FROM (
    SELECT * FROM ledger.responses WHERE rowid IN (FROM best)
) AS response JOIN (
    SELECT batch, input_price, cached_price, output_price FROM ledger.batches
) AS asked USING (batch)"""


def render_provenance_rows() -> str:
    """The rows of `enrich.NAME`: one for each of `temp._enrich_settled`, with its outcome."""
    return f"SELECT key.*, {', '.join(PROVENANCE_COLUMNS)} FROM temp._enrich_settled"


SHORTEN_IMAGES = "'data:image/[^\"]{40,}', 'data:image/...', 'g'"
"""Arguments of regexp_replace that shorten each picture in a request that people read."""


def render_failures() -> str:
    """The first $limit rows of `temp._enrich_settled` that are not ok: key, outcome, error, the
    last message of the request, and the answer as it came."""
    # Only one of the endpoints' places is in a body: `messages` of chat, `input` of responses, or
    # `input` of embeddings, which is a text.
    body = "(prefix || tail)"
    said = ", ".join(
        f"json_extract_string({body}, '$.{place}')"
        for place in ("messages[#-1].content", "input[#-1].content", "input")
    )
    return f"""SELECT key.*, settled.outcome, settled.error,
    regexp_replace(coalesce({said}), {SHORTEN_IMAGES}) AS input, content AS answer,
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


def render_table_state(model: str) -> str:
    """What the published table is made from: the run in which the model's rows last changed, and
    the number of the batch that was last read, of any model."""
    # Of any model, for models whose requests are equal share their answers.
    return f"""SELECT (SELECT max(greatest(from_run, until_run)) FROM {name_inputs_table(model)}),
    (SELECT coalesce(max(read_number), 0) FROM ledger.batches)"""


def render_outcome_counts(model: str) -> str:
    """The number of rows with each outcome in the provenance, as JSON, and of stale rows."""
    table = quote_name("warehouse", "enrich", model)
    return f"""SELECT (
    SELECT CAST(json_group_object(coalesce(outcome, 'pending'), many) AS VARCHAR)
    FROM (SELECT outcome, count(*) AS many FROM {table} GROUP BY outcome)
), (SELECT count(*) FROM {table} WHERE stale)"""
