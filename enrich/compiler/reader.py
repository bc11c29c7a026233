"""Result lines become rows: which request each answers, and what of it is the answer.

Lines are in the form of the OpenAI Batch API, and in the forms of compatible servers: a body given
as a JSON string, lines without `error`, without `response` or without `status_code`, contents in
parts, nested errors, errors among the output. Answers pair with requests by custom_id and nothing
else; order, counts and doubles do not matter.

Each line is read once, the usual ones as typed JSON (`lines`), and all others, whatever they look
like, by their paths (`odd_lines`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.db.quote import quote_text, quote_texts, render_struct

if TYPE_CHECKING:
    from enrich.manifest.prompt import Endpoint

USAGE = """STRUCT(
        {input} BIGINT, {input}_details STRUCT(cached_tokens BIGINT),
        {output} BIGINT, {output}_details STRUCT(reasoning_tokens BIGINT), total_tokens BIGINT
    )"""
MESSAGES = (
    "list_filter(body.output, lambda item: item.type = 'message' "
    "AND coalesce(item.phase, '') <> 'commentary')"
)
PARTS = f"{MESSAGES}[-1].content"
TEXTS = ("text", "output_text")
"""The types of a part that is said to the user; others hold thoughts, pictures or refusals."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A body as OpenAI's API reference describes it.

    `type` names the parts that are read, as a DuckDB type; `content`, `refusal`, `finish` and
    `usage` are where they stand in a `body` of that type. In a `document` of any other shape,
    `message` is the final message and `odd_finish` how it ended.
    """

    type: str
    content: str
    refusal: str
    finish: str
    usage: tuple[str, str]
    message: str
    odd_finish: str


CHAT = Shape(
    type=f"""STRUCT(
    model VARCHAR, error JSON,
    choices STRUCT(
        "index" BIGINT, message STRUCT(content VARCHAR, refusal VARCHAR), finish_reason VARCHAR
    )[],
    usage {USAGE.format(input="prompt_tokens", output="completion_tokens")}
)""",
    content="CASE WHEN len(body.choices) = 1 AND NOT starts_with(body.choices[1].message.content, "
    "'[') THEN body.choices[1].message.content END",
    refusal="body.choices[1].message.refusal",
    finish="body.choices[1].finish_reason",
    usage=("prompt_tokens", "completion_tokens"),
    message="coalesce(list_filter(CAST(document->'$.choices' AS JSON[]), "
    "lambda choice: choice->>'$.index' = '0')[1], document->'$.choices[0]')->'$.message'",
    odd_finish="coalesce(list_filter(CAST(document->'$.choices' AS JSON[]), "
    "lambda choice: choice->>'$.index' = '0')[1], document->'$.choices[0]')->>'$.finish_reason'",
)
RESPONSES = Shape(
    type=f"""STRUCT(
    model VARCHAR, error JSON, status VARCHAR, incomplete_details STRUCT(reason VARCHAR),
    output STRUCT(
        "type" VARCHAR, phase VARCHAR,
        content STRUCT("type" VARCHAR, "text" VARCHAR, refusal VARCHAR)[]
    )[],
    usage {USAGE.format(input="input_tokens", output="output_tokens")}
)""",
    content=f"nullif(array_to_string(list_transform(list_filter({PARTS}, "
    f"lambda part: part.type IN ({quote_texts(TEXTS)})), lambda part: part.text), ''), '')",
    refusal=f"nullif(array_to_string(list_transform({PARTS}, lambda part: part.refusal), ''), '')",
    finish="coalesce(body.incomplete_details.reason, body.status)",
    usage=("input_tokens", "output_tokens"),
    message="list_filter(CAST(document->'$.output' AS JSON[]), lambda item: "
    "coalesce(item->>'$.type', 'message') = 'message' "
    "AND coalesce(item->>'$.phase', '') <> 'commentary')[-1]",
    odd_finish="coalesce(document->>'$.incomplete_details.reason', document->>'$.status')",
)
SHAPES: dict[Endpoint, Shape] = {"/v1/chat/completions": CHAT, "/v1/responses": RESPONSES}

ENDINGS = (
    "stop",
    "stopsequence",
    "stoptoken",
    "stopstring",
    "eos",
    "eostoken",
    "endturn",
    "endofturn",
    "endoftext",
    "end",
    "complete",
    "completed",
    "finish",
    "finished",
    "done",
)
"""How servers call the end of an answer that is whole, without case and punctuation."""
LIMITS = "length|tokenlimit|max.*token|token.*max|contextwindow|contextlimit|numpredict"
"""How they call the limit of output tokens (`length`, `MAX_TOKENS`, `model_length`)."""
FILTERS = (
    "filter|safety|recitation|blocklist|blocked|prohibited|spii|refus|moderation|guardrail|"
    "sensitive|policyviolation"
)
"""How they call what does not let an answer through (`content_filter`, `SAFETY`, `refusal`)."""

LONGEST = 2 << 20
"""The bytes that a result line usually has at most: each thread takes twice as many."""

UNREADABLE = "unreadable_line"
"""The code of a line that is not JSON, and was written as one by `mend`."""
MESSAGES_OF_ERRORS = (
    "$.error.message",
    "$.message",
    "$.error.error.message",
    "$.choices[0].error.message",
    "$[0].error.message",
    "$[0].message",
    "$[0].msg",
    "$.detail[0].msg",
    "$.detail[0].message",
    "$.detail.message",
    "$.detail.msg",
    "$.detail.error.message",
    "$.detail.error",
    "$.errors[0].message",
    "$.errors[0].detail",
    "$.errors[0]",
    "$.errors.message",
    "$.error.detail",
    "$.error.msg",
    "$.error",
    "$.detail",
    "$.msg",
    "$.error_description",
    "$.description",
    "$.reason",
    "$.title",
    "$[0]",
    "$",
)
"""Where servers put their own words: OpenAI, FastAPI (`detail`), Google (a list), problem details
(RFC 9457) and plain texts."""
CODES = ("$.error.code", "$.code", "$.error.error.code", "$.error.innererror.code")
STATUSES = ("$.status_code", "$.status", "$.error.status_code", "$.error.status", *CODES)


def lines(endpoint: Endpoint, *, longest: int) -> str:
    """A SELECT of those lines of the result files $files that hold an answer in its usual place.

    `temp._enrich_result_files` says which file is whose: filename, batch. `longest`: bytes of a
    line.
    """
    shape = SHAPES[endpoint]
    response = f"STRUCT(status_code INTEGER, body {shape.type})"
    columns = render_struct({"custom_id": "'VARCHAR'", "response": quote_text(response)})
    return f"""SELECT * FROM (
    SELECT batch, custom_id, status_code, {shape.content} AS content, {shape.refusal} AS refusal,
        {shape.finish} AS finish, {_ending(shape.finish)} AS ending, {_usage(shape)},
        CAST(NULL AS VARCHAR) AS code, CAST(NULL AS VARCHAR) AS message
    FROM (
        SELECT batch, custom_id, response.status_code, response.body AS body
        FROM read_ndjson($files, columns = {columns}, filename = true, ignore_errors = true,
            maximum_object_size = {longest}) JOIN temp._enrich_result_files USING (filename)
    )
    WHERE custom_id IS NOT NULL AND status_code = 200
        AND coalesce(json_type(body.error), 'NULL') = 'NULL'
) WHERE content IS NOT NULL"""


def odd_lines(endpoint: Endpoint, *, longest: int) -> str:
    """Read all the other lines of $files, whatever they look like, as a table `lines`; a line that
    is not JSON is one without a custom_id."""
    shape = SHAPES[endpoint]
    body = "$.response.body"
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_lines AS
WITH odd AS (
    SELECT batch, filename, json->>'$.custom_id' AS custom_id, json->>'$.unreadable' AS unreadable,
        json->'$.response' AS response, json->'$.error' AS error,
        coalesce(CASE json_type(json, '{body}')
            WHEN 'VARCHAR' THEN coalesce(try_cast(json->>'{body}' AS JSON), json->'{body}')
            WHEN 'NULL' THEN NULL ELSE json->'{body}'
        END, json->'$.body', json->'$.response') AS document
    FROM read_ndjson_objects($files, filename = true, ignore_errors = true,
        maximum_object_size = {longest}) JOIN temp._enrich_result_files USING (filename)
), told AS (
    SELECT *, try_cast(document AS {shape.type}) AS body, {shape.message} AS message,
        coalesce(
            try_cast(response->>'$.status_code' AS INTEGER), {_status("error")},
            {_status("document")}
        ) AS status,
        coalesce({_first("error", CODES)}, {_first("document", CODES)},
            document->>'$.error.type', error->>'$.type') AS code
    FROM odd ANTI JOIN (
        SELECT batch, custom_id FROM temp._enrich_judged WHERE fault IS NULL AND ending = 'whole'
    ) AS known USING (batch, custom_id)
), said AS (
    SELECT *, coalesce(unreadable, {_content("message")}) AS content,
        coalesce(nullif(message->>'$.refusal', ''), {_refusal("message")}) AS refusal,
        {shape.odd_finish} AS finish,
        coalesce({_words("error")}, {_words("document")}) AS words,
        coalesce(json_type(document, '$.error'), 'NULL') = 'NULL' AS faultless
    FROM told
)
SELECT batch, filename, custom_id,
    -- An answer without a status is one; an error beside a good status is an error.
    CASE WHEN unreadable IS NOT NULL THEN NULL WHEN status BETWEEN 200 AND 299 THEN 200
        ELSE coalesce(status, CASE WHEN content IS NOT NULL AND faultless THEN 200 END)
    END AS status_code,
    CASE WHEN faultless OR unreadable IS NOT NULL THEN content END AS content,
    refusal, finish, {_ending("finish")} AS ending, {_usage(shape)},
    CASE WHEN unreadable IS NULL THEN code ELSE {quote_text(UNREADABLE)} END AS code,
    CASE WHEN unreadable IS NULL THEN words END AS message
FROM said"""


def drop_doubles() -> str:
    """Leave one line for each request: the best answer, and among equals always the same."""
    return """DELETE FROM temp._enrich_judged WHERE rowid NOT IN (
    SELECT rowid FROM temp._enrich_judged
    QUALIFY row_number() OVER (
        PARTITION BY batch, custom_id
        ORDER BY
            (status_code = 200 AND content IS NOT NULL AND fault IS NULL AND ending = 'whole') DESC
                NULLS LAST,
            (status_code = 200) DESC NULLS LAST, (content IS NOT NULL) DESC, content, message
    ) = 1
)"""


def no_lines(endpoint: Endpoint) -> str:
    """A SELECT of no line, for batches without result files."""
    shape = SHAPES[endpoint]
    return f"""SELECT '' AS batch, '' AS custom_id, CAST(NULL AS INTEGER) AS status_code,
    '' AS content, '' AS refusal, '' AS finish, '' AS ending, {_usage(shape)},
    '' AS code, '' AS message
FROM (SELECT CAST(NULL AS {shape.type}) AS body) WHERE false"""


def _ending(finish: str) -> str:
    """SQL for how an answer ended, by its provider's word for that: `whole`, `limit`, `filter` or
    `other`. A provider that has no word for it is believed."""
    word = f"regexp_replace(lower({finish}), '[^a-z]', '', 'g')"
    bare = f"regexp_replace({word}, '^(finishreason|stopreason)', '')"
    return (
        f"CASE WHEN {finish} = 'stop' OR coalesce({finish}, '') = '' THEN 'whole' "
        f"WHEN {bare} IN ({quote_texts(ENDINGS)}) THEN 'whole' "
        f"WHEN regexp_matches({word}, '{LIMITS}') THEN 'limit' "
        f"WHEN regexp_matches({word}, '{FILTERS}') THEN 'filter' ELSE 'other' END"
    )


def _usage(shape: Shape) -> str:
    """What is read of a `body`'s llm and tokens, as columns.

    Tokens that are in the total and in neither part are reasoning that the provider counts apart;
    they are billed as output. Negative counts tell nothing.
    """
    given, taken = shape.usage
    read, written = f"body.usage.{given}", f"body.usage.{taken}"
    total = "body.usage.total_tokens"
    return f"""body.model AS llm,
    CASE WHEN {read} >= 0 THEN {read} END AS input_tokens,
    CASE WHEN {read}_details.cached_tokens >= 0
        THEN least({read}_details.cached_tokens, {read}) END AS cached_tokens,
    CASE WHEN {written} >= 0 OR {total} >= {read}
        THEN greatest({written}, CASE WHEN {read} >= 0 THEN {total} - {read} END) END
        AS output_tokens,
    CASE WHEN {written}_details.reasoning_tokens >= 0
        THEN {written}_details.reasoning_tokens END AS reasoning_tokens"""


def _content(message: str) -> str:
    """SQL for what a message says to the user: a text, an object, or parts."""
    raw = f"({message}->'$.content')"
    parts = _joined(f"CAST({raw} AS JSON[])", _said("part"))
    return f"""CASE json_type({raw})
        WHEN 'VARCHAR' THEN {raw}->>'$' WHEN 'ARRAY' THEN {parts}
        WHEN 'OBJECT' THEN CASE WHEN {raw}->>'$.type' IN ({quote_texts(TEXTS)})
            THEN {raw}->>'$.text' ELSE CAST({raw} AS VARCHAR) END END"""


def _said(part: str) -> str:
    """SQL for the text of one part of a content; NULL if it is not said to the user."""
    text = f"coalesce({part}->>'$.text.value', {part}->>'$.text')"
    return f"""CASE WHEN json_type({part}) = 'VARCHAR' THEN {part}->>'$'
            WHEN coalesce({part}->>'$.type', 'text') IN ({quote_texts(TEXTS)}) THEN {text} END"""


def _refusal(message: str) -> str:
    """SQL for what a message's parts refuse with."""
    parts = f"CASE json_type({message}->'$.content') WHEN 'ARRAY' THEN "
    parts += f"CAST({message}->'$.content' AS JSON[]) END"
    return _joined(parts, "part->>'$.refusal'")


def _joined(parts: str, text: str) -> str:
    """SQL for the texts of a list of parts as one; NULL if there is none."""
    texts = f"list_filter(list_transform({parts}, lambda part: {text}), lambda t: t IS NOT NULL)"
    return f"CASE WHEN len({texts}) > 0 THEN array_to_string({texts}, '') END"


def _first(value: str, paths: tuple[str, ...]) -> str:
    """SQL for the first text at any of these paths."""
    texts = f"json_extract_string({value}, [{quote_texts(paths)}])"
    return f"list_filter({texts}, lambda text: text IS NOT NULL)[1]"


def _status(value: str) -> str:
    """SQL for an HTTP status that stands somewhere in an error or a body."""
    texts = f"json_extract_string({value}, [{quote_texts(STATUSES)}])"
    numbers = f"list_transform({texts}, lambda text: try_cast(text AS INTEGER))"
    return f"list_filter({numbers}, lambda number: number BETWEEN 100 AND 599)[1]"


def _words(value: str) -> str:
    """SQL for a server's own words in an error or a body of any shape, without markup."""
    texts = f"json_extract_string({value}, [{quote_texts(MESSAGES_OF_ERRORS)}])"
    spoken = f"list_filter({texts}, lambda text: NOT regexp_matches(text, '^\\s*([{{\\[]|$)'))[1]"
    plain = f"regexp_replace({spoken}, '(?is)<(style|script)\\b.*?</(style|script)>', ' ', 'g')"
    plain = f"regexp_replace({plain}, '</?[A-Za-z!][^>]*>', ' ', 'g')"
    return f"nullif(left(trim(regexp_replace({plain}, '\\s+', ' ', 'g')), 500), '')"
