"""Result lines become rows: which request each line answers, and what in it is the answer.

Lines have the form of the OpenAI Batch API or those of compatible servers: a body given as a JSON
string, lines without `error`, without `response` or without `status_code`, contents in parts,
nested errors, errors in the output file. Answers are paired with requests by custom_id and nothing
else; order, counts and duplicates do not matter.

Each line is read once: the usual ones as typed JSON (`render_lines`), and all others, whatever they
look like, by their paths (`render_odd_lines`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.db.quote import quote_text, quote_texts, render_struct

if TYPE_CHECKING:
    from enrich.manifest.prompt import Endpoint

USAGE_TYPE = """STRUCT(
        {input} BIGINT, {input}_details STRUCT(cached_tokens BIGINT),
        {output} BIGINT, {output}_details STRUCT(reasoning_tokens BIGINT), total_tokens BIGINT
    )"""
# A reasoning llm may write several messages; those of the phase `commentary` are not the answer.
FINAL_MESSAGES = (
    "list_filter(body.output, lambda item: item.type = 'message' "
    "AND coalesce(item.phase, '') <> 'commentary')"
)
MESSAGE_PARTS = f"{FINAL_MESSAGES}[-1].content"
SPOKEN_TYPES = ("text", "output_text")
"""The types of parts that address the user; others hold thoughts, pictures or refusals."""


def render_vector_summary(vector: str) -> str:
    """SQL for what people see of a vector; NULL if there is none."""
    first = f"array_to_string(list_transform({vector}[:3], lambda n: round(n, 4)), ', ')"
    return f"'[' || {first} || ', ...] of length ' || len({vector})"


@dataclass(frozen=True, kw_only=True)
class BodyShape:
    """A response body as OpenAI's API reference describes it.

    `type` is a DuckDB type with the fields that are read; `content`, `refusal`, `finish` and
    `usage` are SQL for where they are in a `body` of that type. In a `document` of any other shape,
    `message` is SQL for the final message and `odd_finish` for how it ended. The answer of an
    endpoint for embeddings is a `vector`, in a `document` of another shape an `odd_vector`; its
    `content` is what people see of it. `odd_words` say why nothing can be read there, if they can.
    """

    type: str
    content: str
    refusal: str
    finish: str
    usage: tuple[str, str]
    message: str
    odd_finish: str
    vector: str = "CAST(NULL AS FLOAT[])"
    odd_vector: str = "CAST(NULL AS FLOAT[])"
    odd_words: str = "CAST(NULL AS VARCHAR)"


CHAT_SHAPE = BodyShape(
    type=f"""STRUCT(
    model VARCHAR, error JSON,
    choices STRUCT(
        "index" BIGINT, message STRUCT(content VARCHAR, refusal VARCHAR), finish_reason VARCHAR
    )[],
    usage {USAGE_TYPE.format(input="prompt_tokens", output="completion_tokens")}
)""",
    # A content in parts becomes the text of a list where it is read as VARCHAR, and the order of
    # several choices is not certain: both are left to `message`, which looks closer.
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
RESPONSES_SHAPE = BodyShape(
    type=f"""STRUCT(
    model VARCHAR, error JSON, status VARCHAR, incomplete_details STRUCT(reason VARCHAR),
    output STRUCT(
        "type" VARCHAR, phase VARCHAR,
        content STRUCT("type" VARCHAR, "text" VARCHAR, refusal VARCHAR)[]
    )[],
    usage {USAGE_TYPE.format(input="input_tokens", output="output_tokens")}
)""",
    content=f"nullif(array_to_string(list_transform(list_filter({MESSAGE_PARTS}, "
    f"lambda part: part.type IN ({quote_texts(SPOKEN_TYPES)})), lambda part: part.text), ''), '')",
    refusal=f"nullif(array_to_string(list_transform({MESSAGE_PARTS}, "
    "lambda part: part.refusal), ''), '')",
    finish="coalesce(body.incomplete_details.reason, body.status)",
    usage=("input_tokens", "output_tokens"),
    message="list_filter(CAST(document->'$.output' AS JSON[]), lambda item: "
    "coalesce(item->>'$.type', 'message') = 'message' "
    "AND coalesce(item->>'$.phase', '') <> 'commentary')[-1]",
    odd_finish="coalesce(document->>'$.incomplete_details.reason', document->>'$.status')",
)
VECTOR_PLACE = "$.data[0].embedding"
TEXT_ITEMS = (
    f"list_filter(json_type(document, '{VECTOR_PLACE}[*]'), "
    "lambda kind: kind IN ('VARCHAR', 'BOOLEAN', 'ARRAY', 'OBJECT'))"
)
"""SQL: the kinds of the items of a vector that are no numbers, although DuckDB would cast some."""
EMBEDDINGS_SHAPE = BodyShape(
    type=f"""STRUCT(
    model VARCHAR, error JSON, data STRUCT(embedding FLOAT[])[],
    usage {USAGE_TYPE.format(input="prompt_tokens", output="completion_tokens")}
)""",
    content=render_vector_summary("vector"),
    refusal="CAST(NULL AS VARCHAR)",
    finish="CAST(NULL AS VARCHAR)",
    usage=("prompt_tokens", "completion_tokens"),
    message="CAST(NULL AS JSON)",
    odd_finish="CAST(NULL AS VARCHAR)",
    # Each request has one text, so an answer has one vector.
    vector="CASE WHEN len(body.data) = 1 THEN body.data[1].embedding END",
    odd_vector=f"""CASE WHEN json_type(document, '{VECTOR_PLACE}') = 'ARRAY'
        AND len({TEXT_ITEMS}) = 0 THEN try_cast(document->'{VECTOR_PLACE}' AS FLOAT[]) END""",
    odd_words=f"""CASE WHEN json_type(document, '{VECTOR_PLACE}') = 'VARCHAR'
            THEN 'the vector is a text, such as base64, and not a list of numbers'
        WHEN len({TEXT_ITEMS}) > 0 THEN 'the vector holds what is no number' END""",
)
BODY_SHAPES: dict[Endpoint, BodyShape] = {
    "/v1/chat/completions": CHAT_SHAPE,
    "/v1/responses": RESPONSES_SHAPE,
    "/v1/embeddings": EMBEDDINGS_SHAPE,
}

WHOLE_ENDINGS = (
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
"""What servers call the end of a complete answer, without case and punctuation."""
LIMIT_ENDINGS = "length|tokenlimit|max.*token|token.*max|contextwindow|contextlimit|numpredict"
"""What they call the limit of output tokens (`length`, `MAX_TOKENS`, `model_length`)."""
FILTER_ENDINGS = (
    "filter|safety|recitation|blocklist|blocked|prohibited|spii|refus|moderation|guardrail|"
    "sensitive|policyviolation"
)
"""What they call a filter that stops an answer (`content_filter`, `SAFETY`, `refusal`)."""

USUAL_LINE_BYTES = 2 << 20
"""The usual maximum size of a result line in bytes: each thread of DuckDB takes twice as much."""

UNREADABLE_CODE = "unreadable_line"
"""The code of a line that is not JSON and that `mend` has rewritten as JSON."""
ERROR_MESSAGE_PATHS = (
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
"""Where servers put the message of an error: OpenAI, FastAPI (`detail`), Google (a list), problem
details (RFC 9457) and plain texts."""
ERROR_CODE_PATHS = ("$.error.code", "$.code", "$.error.error.code", "$.error.innererror.code")
STATUS_PATHS = (
    "$.status_code",
    "$.status",
    "$.error.status_code",
    "$.error.status",
    *ERROR_CODE_PATHS,
)


def render_lines(endpoint: Endpoint, *, longest: int) -> str:
    """A SELECT of those lines of the result files $files that hold an answer in its usual place.

    `temp._enrich_result_files` says which batch each file belongs to. `longest` is the maximum size
    of a line in bytes.
    """
    shape = BODY_SHAPES[endpoint]
    response = f"STRUCT(status_code INTEGER, body {shape.type})"
    columns = render_struct({"custom_id": "'VARCHAR'", "response": quote_text(response)})
    # `ignore_errors` skips a line that is not JSON: otherwise one such line would fail the file.
    # `render_odd_lines` does not see it either; `mend` rewrites it first.
    return f"""SELECT * FROM (
    SELECT batch, custom_id, status_code, {shape.vector} AS vector, {shape.content} AS content,
        {shape.refusal} AS refusal, {shape.finish} AS finish,
        {_render_ending(shape.finish)} AS ending, {_render_usage(shape)},
        CAST(NULL AS VARCHAR) AS code, CAST(NULL AS VARCHAR) AS message
    FROM (
        SELECT batch, custom_id, response.status_code, response.body AS body
        FROM read_ndjson($files, columns = {columns}, filename = true, ignore_errors = true,
            maximum_object_size = {longest}) JOIN temp._enrich_result_files USING (filename)
    )
    WHERE custom_id IS NOT NULL AND status_code = 200
        AND coalesce(json_type(body.error), 'NULL') = 'NULL'
) WHERE content IS NOT NULL"""


def render_odd_lines(endpoint: Endpoint, *, longest: int) -> str:
    """Create `temp._enrich_lines` from all the other lines of $files, whatever they look like; a
    line that is not JSON has no custom_id.

    `longest` is the maximum size of a line in bytes.
    """
    shape = BODY_SHAPES[endpoint]
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_lines AS
WITH {_render_documents(shape, longest=longest)}, said AS (
    SELECT *, {shape.odd_vector} AS vector,
        coalesce(unreadable, {_render_content("message")}, {render_vector_summary("vector")})
            AS content,
        coalesce(nullif(message->>'$.refusal', ''), {_render_refusal("message")}) AS refusal,
        {shape.odd_finish} AS finish,
        coalesce({_render_words("error")}, {_render_words("document")},
            {shape.odd_words}) AS words,
        coalesce(json_type(document, '$.error'), 'NULL') = 'NULL' AS faultless
    FROM told
)
SELECT batch, filename, custom_id,
    -- An answer without a status is one; an error beside a good status is an error.
    CASE WHEN unreadable IS NOT NULL THEN NULL WHEN status BETWEEN 200 AND 299 THEN 200
        ELSE coalesce(status, CASE WHEN content IS NOT NULL AND faultless THEN 200 END)
    END AS status_code,
    vector, CASE WHEN faultless OR unreadable IS NOT NULL THEN content END AS content,
    refusal, finish, {_render_ending("finish")} AS ending, {_render_usage(shape)},
    CASE WHEN unreadable IS NULL THEN code ELSE {quote_text(UNREADABLE_CODE)} END AS code,
    CASE WHEN unreadable IS NULL THEN words END AS message
FROM said"""


def _render_documents(shape: BodyShape, *, longest: int) -> str:
    """WITH queries, the last of which is `told`: the lines that no good answer has been read from,
    each with its `document`, final `message`, `status` and error `code`, wherever they are."""
    body = "$.response.body"
    codes = (_render_first_text(place, ERROR_CODE_PATHS) for place in ("error", "document"))
    # The body may be an object or a JSON string of one, and where there is none, the response
    # itself or the line is the body.
    return f"""odd AS (
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
            try_cast(response->>'$.status_code' AS INTEGER), {_render_status("error")},
            {_render_status("document")}
        ) AS status,
        coalesce({", ".join(codes)},
            document->>'$.error.type', error->>'$.type') AS code
    FROM odd ANTI JOIN (
        SELECT batch, custom_id FROM temp._enrich_judged WHERE fault IS NULL AND ending = 'whole'
    ) AS known USING (batch, custom_id)
)"""


def render_drop_duplicates() -> str:
    """Leave one line for each request: the best answer, and among equals always the same one."""
    # Compatible servers may answer one custom_id several times, even with an error and an answer.
    return """DELETE FROM temp._enrich_judged WHERE rowid NOT IN (
    SELECT rowid FROM temp._enrich_judged
    QUALIFY row_number() OVER (
        PARTITION BY batch, custom_id
        ORDER BY
            (status_code = 200 AND content IS NOT NULL AND fault IS NULL AND ending = 'whole') DESC
                NULLS LAST,
            (status_code = 200) DESC NULLS LAST, (content IS NOT NULL) DESC, content, vector,
            message
    ) = 1
)"""


def render_no_lines(endpoint: Endpoint) -> str:
    """A SELECT of no lines, with the columns of `render_lines`, for batches without result files:
    read_ndjson refuses an empty list."""
    shape = BODY_SHAPES[endpoint]
    return f"""SELECT '' AS batch, '' AS custom_id, CAST(NULL AS INTEGER) AS status_code,
    {shape.vector} AS vector, '' AS content, '' AS refusal, '' AS finish, '' AS ending,
    {_render_usage(shape)},
    '' AS code, '' AS message
FROM (SELECT CAST(NULL AS {shape.type}) AS body) WHERE false"""


def _render_ending(finish: str) -> str:
    """SQL for how an answer ended, by its provider's word for it: `whole`, `limit`, `filter` or
    `other`. Without such a word, an answer counts as whole."""
    word = f"regexp_replace(lower({finish}), '[^a-z]', '', 'g')"
    bare = f"regexp_replace({word}, '^(finishreason|stopreason)', '')"
    return (
        f"CASE WHEN {finish} = 'stop' OR coalesce({finish}, '') = '' THEN 'whole' "
        f"WHEN {bare} IN ({quote_texts(WHOLE_ENDINGS)}) THEN 'whole' "
        f"WHEN regexp_matches({word}, '{LIMIT_ENDINGS}') THEN 'limit' "
        f"WHEN regexp_matches({word}, '{FILTER_ENDINGS}') THEN 'filter' ELSE 'other' END"
    )


def _render_usage(shape: BodyShape) -> str:
    """The columns that are read from a `body`: its llm and its tokens.

    Tokens that are in the total but in neither part are reasoning that the provider counts
    separately; they are billed as output. Negative counts are ignored.
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


def _render_content(message: str) -> str:
    """SQL for what a message says to the user; its content may be a text, an object or parts."""
    raw = f"({message}->'$.content')"
    parts = _join_texts(f"CAST({raw} AS JSON[])", _render_part_text("part"))
    return f"""CASE json_type({raw})
        WHEN 'VARCHAR' THEN {raw}->>'$' WHEN 'ARRAY' THEN {parts}
        WHEN 'OBJECT' THEN CASE WHEN {raw}->>'$.type' IN ({quote_texts(SPOKEN_TYPES)})
            THEN {raw}->>'$.text' ELSE CAST({raw} AS VARCHAR) END END"""


def _render_part_text(part: str) -> str:
    """SQL for the text of one part of a content; NULL if it does not address the user."""
    text = f"coalesce({part}->>'$.text.value', {part}->>'$.text')"
    spoken = f"coalesce({part}->>'$.type', 'text') IN ({quote_texts(SPOKEN_TYPES)})"
    return f"""CASE WHEN json_type({part}) = 'VARCHAR' THEN {part}->>'$'
            WHEN {spoken} THEN {text} END"""


def _render_refusal(message: str) -> str:
    """SQL for the refusals among the parts of a message."""
    parts = f"CASE json_type({message}->'$.content') WHEN 'ARRAY' THEN "
    parts += f"CAST({message}->'$.content' AS JSON[]) END"
    return _join_texts(parts, "part->>'$.refusal'")


def _join_texts(parts: str, text: str) -> str:
    """SQL for the texts of a list of parts as one text; NULL if there are none."""
    texts = f"list_filter(list_transform({parts}, lambda part: {text}), lambda t: t IS NOT NULL)"
    return f"CASE WHEN len({texts}) > 0 THEN array_to_string({texts}, '') END"


def _render_first_text(value: str, paths: tuple[str, ...]) -> str:
    """SQL for the first text at any of these paths."""
    texts = f"json_extract_string({value}, [{quote_texts(paths)}])"
    return f"list_filter({texts}, lambda text: text IS NOT NULL)[1]"


def _render_status(value: str) -> str:
    """SQL for the HTTP status that an error or a body names anywhere; NULL if there is none."""
    texts = f"json_extract_string({value}, [{quote_texts(STATUS_PATHS)}])"
    numbers = f"list_transform({texts}, lambda text: try_cast(text AS INTEGER))"
    return f"list_filter({numbers}, lambda number: number BETWEEN 100 AND 599)[1]"


def _render_words(value: str) -> str:
    """SQL for the message in an error or a body of any shape, without markup, at most 500
    characters of it."""
    # Some paths also lead to objects and lists, whose JSON is no message. A gateway's error page
    # is HTML, in which styles and scripts are text as well.
    texts = f"json_extract_string({value}, [{quote_texts(ERROR_MESSAGE_PATHS)}])"
    spoken = f"list_filter({texts}, lambda text: NOT regexp_matches(text, '^\\s*([{{\\[]|$)'))[1]"
    plain = f"regexp_replace({spoken}, '(?is)<(style|script)\\b.*?</(style|script)>', ' ', 'g')"
    plain = f"regexp_replace({plain}, '</?[A-Za-z!][^>]*>', ' ', 'g')"
    return f"nullif(left(trim(regexp_replace({plain}, '\\s+', ' ', 'g')), 500), '')"
