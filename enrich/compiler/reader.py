"""Result lines become rows: which request each answers, and what of it is the answer.

Lines are in the form of the OpenAI Batch API, and in the forms of compatible servers: a body given
as a JSON string, lines without `error` or without `response`, nested errors, errors among the
output. Answers pair with requests by custom_id and nothing else; order, counts and doubles do not
matter, and a line that is no JSON is as good as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import quote

if TYPE_CHECKING:
    from enrich.prompt import Endpoint

# The parts of a body that are read, and where the answer stands in them, by endpoint: OpenAI's API
# reference.
CHAT = """STRUCT(
    model VARCHAR,
    choices STRUCT(message STRUCT(content VARCHAR, refusal VARCHAR), finish_reason VARCHAR)[],
    usage STRUCT(
        prompt_tokens BIGINT, prompt_tokens_details STRUCT(cached_tokens BIGINT),
        completion_tokens BIGINT, completion_tokens_details STRUCT(reasoning_tokens BIGINT)
    )
)"""
CHAT_FIELDS = {
    "content": "body.choices[1].message.content",
    "refusal": "body.choices[1].message.refusal",
    "finish": "body.choices[1].finish_reason",
    "llm": "body.model",
    "input_tokens": "body.usage.prompt_tokens",
    "cached_tokens": "body.usage.prompt_tokens_details.cached_tokens",
    "output_tokens": "body.usage.completion_tokens",
    "reasoning_tokens": "body.usage.completion_tokens_details.reasoning_tokens",
}
RESPONSES = """STRUCT(
    model VARCHAR, status VARCHAR, incomplete_details STRUCT(reason VARCHAR),
    output STRUCT("type" VARCHAR, content STRUCT("text" VARCHAR, refusal VARCHAR)[])[],
    usage STRUCT(
        input_tokens BIGINT, input_tokens_details STRUCT(cached_tokens BIGINT),
        output_tokens BIGINT, output_tokens_details STRUCT(reasoning_tokens BIGINT)
    )
)"""
MESSAGES = "list_filter(body.output, lambda item: item.type = 'message')"
PARTS = f"flatten(list_transform({MESSAGES}, lambda item: item.content))"
RESPONSES_FIELDS = {
    "content": f"nullif(array_to_string(list_transform({PARTS}, lambda part: part.text), ''), '')",
    "refusal": (
        f"nullif(array_to_string(list_transform({PARTS}, lambda part: part.refusal), ''), '')"
    ),
    "finish": "CASE body.incomplete_details.reason WHEN 'max_output_tokens' THEN 'length' "
    "WHEN 'content_filter' THEN 'content_filter' ELSE body.status END",
    "llm": "body.model",
    "input_tokens": "body.usage.input_tokens",
    "cached_tokens": "body.usage.input_tokens_details.cached_tokens",
    "output_tokens": "body.usage.output_tokens",
    "reasoning_tokens": "body.usage.output_tokens_details.reasoning_tokens",
}
BODIES: dict[Endpoint, tuple[str, dict[str, str]]] = {
    "/v1/chat/completions": (CHAT, CHAT_FIELDS),
    "/v1/responses": (RESPONSES, RESPONSES_FIELDS),
}
LONGEST = (2 << 20, 256 << 20)
"""The bytes a result line may have, usually and at most: each thread takes twice as many."""


def lines(endpoint: Endpoint, *, longest: int) -> str:
    """A SELECT of those lines of the result files $files that hold an answer in its usual place.

    `temp.result_files` says which file is whose: filename, batch. `longest`: bytes of a line.
    """
    body, _ = BODIES[endpoint]
    response = f"STRUCT(status_code INTEGER, body {body})"
    columns = quote.struct({"custom_id": "'VARCHAR'", "response": quote.text(response)})
    return f"""SELECT batch, custom_id, status_code, {_fields(endpoint)},
    CAST(NULL AS VARCHAR) AS code, CAST(NULL AS VARCHAR) AS message
FROM (
    SELECT batch, custom_id, response.status_code, response.body AS body
    FROM read_ndjson($files, columns = {columns}, filename = true, ignore_errors = true,
        maximum_object_size = {longest}) JOIN temp.result_files USING (filename)
)
WHERE custom_id IS NOT NULL AND status_code = 200 AND content IS NOT NULL"""


def odd_lines(endpoint: Endpoint, *, longest: int) -> str:
    """Read all the other lines of $files, whatever they look like, as a table `lines`."""
    body, _ = BODIES[endpoint]
    return f"""CREATE OR REPLACE TEMP TABLE lines AS
WITH odd AS (
    SELECT batch, json->>'$.custom_id' AS custom_id,
        try_cast(json->>'$.response.status_code' AS INTEGER) AS status_code,
        CASE json_type(json, '$.response.body')
            WHEN 'VARCHAR' THEN try_cast(json->>'$.response.body' AS JSON)
            ELSE json->'$.response.body'
        END AS document,
        coalesce(json->'$.error.error', json->'$.error') AS error
    FROM read_ndjson_objects($files, filename = true, ignore_errors = true,
        maximum_object_size = {longest}) JOIN temp.result_files USING (filename)
    WHERE json_type(json) = 'OBJECT'
)
SELECT batch, custom_id, status_code, {_fields(endpoint)},
    coalesce(error->>'$.code', document->>'$.error.code', document->>'$.error.type') AS code,
    coalesce(document->>'$.error.message', error->>'$.message', document->>'$.error',
        CASE WHEN json_type(error) = 'VARCHAR' THEN error->>'$' END) AS message
FROM (
    SELECT *, try_cast(document AS {body}) AS body FROM odd
    ANTI JOIN temp.judged AS known USING (batch, custom_id)
    WHERE custom_id IS NOT NULL
)"""


def single(table: str) -> str:
    """One line for each request, of doubles the one with an answer, and among equals always the
    same."""
    return f"""CREATE OR REPLACE TEMP TABLE {table} AS
SELECT * FROM temp.{table}
QUALIFY row_number() OVER (
    PARTITION BY batch, custom_id
    ORDER BY (status_code = 200) DESC NULLS LAST, (content IS NOT NULL) DESC, content, message
) = 1"""


def no_lines(endpoint: Endpoint) -> str:
    """A SELECT of no line, for batches without result files."""
    body, _ = BODIES[endpoint]
    return f"""SELECT '' AS batch, '' AS custom_id, CAST(NULL AS INTEGER) AS status_code,
    {_fields(endpoint)}, '' AS code, '' AS message
FROM (SELECT CAST(NULL AS {body}) AS body) WHERE false"""


def _fields(endpoint: Endpoint) -> str:
    """What is read from a `body`, as columns."""
    _, fields = BODIES[endpoint]
    return ", ".join(f"{sql} AS {field}" for field, sql in fields.items())
