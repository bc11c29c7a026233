"""The rehearsal server, spoken to by OpenAI's own SDK."""

from __future__ import annotations

import http.client
import io
import json
import socket
import subprocess
import sys
from contextlib import contextmanager
from email.message import Message
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.cli.rehearsing import ANNOUNCED
from enrich.errors import ProviderError
from enrich.rehearsal import Faults, Quirks, Rehearsal, answer, hash_request
from enrich.rehearsal.apis import PLAYED_APIS
from enrich.rehearsal.bodies import Form, RequestBody
from enrich.rehearsal.faults import BATCH_FAULTS, LINE_FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openai.types import Batch

    from enrich.rehearsal import Step

Endpoint = Literal["/v1/chat/completions", "/v1/responses"]
CHAT: Endpoint = "/v1/chat/completions"
RESPONSES: Endpoint = "/v1/responses"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "categories": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 4},
        "mood": {"type": "string", "enum": ["light", "dark", "mixed"]},
        "year": {"type": ["integer", "null"], "minimum": 1900, "maximum": 2100},
    },
    "required": ["categories", "mood", "year"],
    "additionalProperties": False,
}
ENDED = {"completed", "failed", "expired", "cancelled"}


def body(text: object, schema: dict[str, Any] | None = SCHEMA, **more: object) -> dict[str, Any]:
    """A chat completion's body."""
    made: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": str(text)}]}
    if schema is not None:
        named = {"name": "answer", "strict": True, "schema": schema}
        made["response_format"] = {"type": "json_schema", "json_schema": named}
    return made | more


def request(number: int, **more: object) -> dict[str, Any]:
    """A line of an input file."""
    line = {"custom_id": f"r{number}", "method": "POST", "url": CHAT, "body": body(number)}
    return line | more


def jsonl(lines: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@contextmanager
def rehearse(**options: Any) -> Iterator[tuple[Rehearsal, openai.OpenAI]]:  # as Rehearsal has them
    """A server and a client that asks once."""
    key = options.get("api_key") or "any"
    with (
        Rehearsal(**options) as server,
        openai.OpenAI(base_url=server.base_url, api_key=key, max_retries=0) as client,
    ):
        yield server, client


def create(
    client: openai.OpenAI,
    content: bytes,
    *,
    endpoint: Endpoint = CHAT,
    metadata: dict[str, str] | None = None,
) -> Batch:
    file = client.files.create(file=("input.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata=metadata
    )


def finish(client: openai.OpenAI, batch: Batch) -> Batch:
    for _ in range(9):
        if batch.status in ENDED:
            return batch
        batch = client.batches.retrieve(batch.id)
    raise AssertionError(f"still {batch.status}")


def run(
    client: openai.OpenAI, lines: Sequence[Mapping[str, Any]], *, endpoint: Endpoint = CHAT
) -> Batch:
    return finish(client, create(client, jsonl(lines), endpoint=endpoint))


def text_of(client: openai.OpenAI, file_id: str | None) -> str:
    return client.files.content(file_id).read().decode() if file_id else ""


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text_of(client, file_id).splitlines()]


def good(client: openai.OpenAI, batch: Batch) -> list[dict[str, Any]]:
    return lines_of(client, batch.output_file_id)


def bad(client: openai.OpenAI, batch: Batch) -> list[dict[str, Any]]:
    return lines_of(client, batch.error_file_id)


def content(line: Mapping[str, Any]) -> str:
    said: str = line["response"]["body"]["choices"][0]["message"]["content"]
    return said


# Answers


def conforms(value: object, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    """Whether a value is what a JSON Schema describes, as far as structured outputs go."""
    if "$ref" in schema:
        return conforms(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return any(conforms(value, branch, root) for branch in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return any(is_a(kind, value, schema, root) for kind in kinds)


def is_a(kind: str, value: object, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    match kind, value:
        case "object", dict():
            return list(value) == list(schema["properties"]) and all(
                conforms(value[name], inner, root) for name, inner in schema["properties"].items()
            )
        case "array", list():
            return schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 99) and all(
                conforms(item, schema["items"], root) for item in value
            )
        case "boolean", bool():
            return True
        case "integer" | "number", bool():
            return False
        case ("integer", int()) | ("number", int() | float()):
            low, high = schema.get("minimum", value), schema.get("maximum", value)
            above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
            outside = not low <= value <= high
            outside |= above is not None and value <= above
            outside |= below is not None and value >= below
            return not outside
    return (kind == "string" and isinstance(value, str)) or (kind == "null" and value is None)


def bounded(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    edges = st.tuples(st.integers(-1000, 1000), st.integers(3, 1000))
    low, high = (
        st.sampled_from(["minimum", "exclusiveMinimum"]),
        st.sampled_from(["maximum", "exclusiveMaximum"]),
    )
    both = st.builds(
        lambda edge, a, b: {"type": kind, a: edge[0], b: edge[0] + edge[1]}, edges, low, high
    )
    one = st.builds(lambda edge, a: {"type": kind, a: edge[0]}, edges, low | high)
    return both | one | st.just({"type": kind})


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def build(properties: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    return st.builds(build, st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=4))


PLAIN: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "format": "date"},
        {"type": ["string", "null"]},
        {"type": "string", "enum": ["a", "b"]},
        {"type": ["string", "null"], "enum": ["a", None]},
        {"type": "boolean"},
        {"type": "null"},
        {"$ref": "#/$defs/tree"},
    ]
)
LEAVES = bounded("integer") | bounded("number") | PLAIN
ARRAYS = st.fixed_dictionaries(
    {"type": st.just("array")},
    optional={"minItems": st.integers(0, 5), "maxItems": st.integers(5, 9)},
)
SCHEMAS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    LEAVES,
    lambda inner: (
        objects(inner)
        | st.builds(lambda array, items: {**array, "items": items}, ARRAYS, inner)
        | st.builds(lambda one: {"anyOf": [one, {"type": "null"}]}, inner)
    ),
    max_leaves=8,
)
TREE = {
    "type": "object",
    "properties": {
        "label": {"type": "string"},
        "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
        "more": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
    },
    "required": ["label", "left", "more"],
    "additionalProperties": False,
}


@given(schema=objects(SCHEMAS), text=st.text())
@settings(deadline=None)
def test_answers_conform(schema: dict[str, Any], text: str) -> None:
    """Whatever the schema, the answer is JSON that conforms to it."""
    root = {**schema, "$defs": {"tree": TREE}}
    assert conforms(json.loads(answer(body(text, root))), root, root)


def test_answers_are_a_function_of_the_body() -> None:
    """The order of a body's keys does not matter, its content does."""
    one = body("a film")
    turned = dict(reversed(list(one.items())))
    assert answer(one) == answer(turned)
    assert hash_request(one) == hash_request(turned)
    assert answer(one) != answer(body("another film"))


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("date", r"\d{4}-\d\d-\d\d"),
        ("date-time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
        ("time", r"\d\d:\d\d:\d\dZ"),
        ("uuid", r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}"),
        ("email", r"[a-z]+@example\.com"),
        ("ipv4", r"(\d+\.){3}\d+"),
    ],
)
def test_formats(kind: str, check: str) -> None:
    """A string with a format is written in that format."""
    import re

    schema = {"type": "object", "properties": {"x": {"type": "string", "format": kind}}}
    assert re.fullmatch(check, json.loads(answer(body("x", schema)))["x"])


def test_what_only_descriptions_say_is_heeded() -> None:
    """JSON as text, the length of a text, and maps, whose keys differ."""
    pair = {"key": {"type": "string", "enum": ["a", "b"]}, "value": {"type": "integer"}}
    schema = {
        "type": "object",
        "properties": {
            "doc": {"type": "string", "description": "what it holds; JSON, as text"},
            "short": {"type": "string", "description": "at most 3 characters"},
            "pairs": {"type": "array", "items": {"type": "object", "properties": pair}},
        },
    }
    for number in range(50):
        said = json.loads(answer(body(str(number), schema)))
        assert isinstance(json.loads(said["doc"]), dict)
        assert len(said["short"]) <= 3
        keys = [each["key"] for each in said["pairs"]]
        assert len(keys) == len(set(keys))


def test_other_formats() -> None:
    """Without a schema the answer is a small JSON object, or a sentence."""
    loose = body("give me json", None, response_format={"type": "json_object"})
    assert isinstance(json.loads(answer(loose)), dict)
    assert answer(body("hello", None)).endswith(".")


def test_numbers_in_narrow_bounds() -> None:
    """Bounds that leave one integer, a fraction or a multiple are met."""
    narrow = {
        "one": {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
        "fraction": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
        "multiple": {"type": "integer", "minimum": 1, "maximum": 12, "multipleOf": 10},
    }
    said = json.loads(answer(body("x", {"type": "object", "properties": narrow})))
    assert said["one"] == 4
    assert 0 < said["fraction"] < 0.001
    assert said["multiple"] == 10


# The plain way


def test_round_trip() -> None:
    """Every request of a batch is answered under its custom_id with the answer to its body."""
    lines = [request(n) for n in range(30)]
    with rehearse() as (server, client):
        batch = run(client, lines)
        answers = {line["custom_id"]: content(line) for line in good(client, batch)}
        assert batch.error_file_id is None
        assert answers == {line["custom_id"]: answer(line["body"]) for line in lines}
        assert batch.request_counts is not None
        assert batch.usage is not None
        assert batch.request_counts.model_dump() == {"completed": 30, "failed": 0, "total": 30}
        assert batch.usage.total_tokens == server.bill.usage.total
        assert batch.expires_at == batch.created_at + 86_400


def test_lines_are_shuffled_by_the_seed() -> None:
    """Result lines come in another order than the requests; the same seed repeats it."""
    orders = []
    for seed in (1, 1, 2):
        with rehearse(seed=seed) as (_, client):
            batch = run(client, [request(n) for n in range(30)])
            orders.append([line["custom_id"] for line in good(client, batch)])
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != [f"r{n}" for n in range(30)]


def test_one_state_a_retrieve() -> None:
    """A batch goes on each time it is retrieved; looking at the list changes nothing."""
    with rehearse() as (server, client):
        batch = create(client, jsonl([request(1)]))
        seen = [batch.status]
        for _ in range(3):
            assert [listed.status for listed in client.batches.list()] == [seen[-1]]
            assert [snapshot["status"] for snapshot in server.batches] == [seen[-1]]
            seen.append(client.batches.retrieve(batch.id).status)
        assert seen == ["validating", "in_progress", "finalizing", "completed"]
        assert client.batches.retrieve(batch.id).status == "completed"


def test_latency() -> None:
    """With a latency the clock decides: none at all is at once, an hour is not today."""
    with rehearse(latency=0) as (_, client):
        batch = create(client, jsonl([request(1)]))
        assert client.batches.retrieve(batch.id).status == "completed"
    with rehearse(latency=3600) as (_, client):
        batch = create(client, jsonl([request(1)]))
        assert client.batches.retrieve(batch.id).status == "validating"


def test_responses_endpoint() -> None:
    """`/v1/responses` answers in its own envelope, after a reasoning item where asked for."""
    asked: dict[str, Any] = {
        "model": "m",
        "input": "a film",
        "reasoning": {"effort": "low"},
        "text": {
            "format": {"type": "json_schema", "name": "answer", "strict": True, "schema": SCHEMA}
        },
    }
    with rehearse() as (_, client):
        now = client.responses.create(**asked)
        assert now.output_text == answer(asked)
        assert [item.type for item in now.output] == ["reasoning", "message"]
        batch = run(client, [request(1, url=RESPONSES, body=asked)], endpoint=RESPONSES)
        reply = good(client, batch)[0]["response"]["body"]
        assert reply["output"][-1]["content"][0]["text"] == answer(asked)
        assert reply["usage"]["input_tokens"] > 0


def test_synchronous_chat() -> None:
    """A chat completion is answered at once, and billed like one of a batch."""
    asked = body("a film")
    with rehearse() as (server, client):
        now = client.chat.completions.create(**asked)
        assert now.choices[0].message.content == answer(asked)
        assert now.usage is not None
        assert now.usage.total_tokens == server.bill.usage.total
        assert server.bill.times(asked) == server.bill.total == 1


def test_long_prompts_are_cached() -> None:
    """A prompt of more than 1,024 tokens has cached tokens; a short one has none."""
    with rehearse() as (_, client):
        used = [
            client.chat.completions.create(**body("word " * words)).usage for words in (10, 3000)
        ]
        cached = [
            u.prompt_tokens_details.cached_tokens for u in used if u and u.prompt_tokens_details
        ]
    assert cached[0] == 0
    assert cached[1] is not None
    assert cached[1] > 0


def test_text_survives() -> None:
    """A custom_id and a body of any characters come back as they were sent."""
    odd = request(1, custom_id="ключ/ \u2028\t\ud800 日本", body=body("naïve \u0000 \ud83d text"))
    with rehearse() as (_, client):
        batch = run(client, [odd])
        line = json.loads(text_of(client, batch.output_file_id))
    assert line["custom_id"] == odd["custom_id"]
    assert content(line) == answer(odd["body"])


# What is refused

OTHER_LLM = request(2, body=body(2, model="n"))
UNKNOWN_LLM = request(1, body=body(1, model="gone"))


@pytest.mark.parametrize(
    ("lines", "code", "param", "line"),
    [
        (b"{nonsense\n", "invalid_json_line", None, 1),
        (jsonl([request(1)]) + b"\n" + jsonl([request(2)]), "invalid_json_line", None, 2),
        (b"\xef\xbb\xbf" + jsonl([request(1)]), "invalid_json_line", None, 1),
        (b"[1]\n", "invalid_json_line", None, 1),
        (b'{"custom_id": NaN}\n', "invalid_json_line", None, 1),
        (b"[" * 100_000, "invalid_json_line", None, 1),
        (jsonl([request(1), request(1)]), "duplicate_custom_id", "custom_id", 2),
        (jsonl([{"method": "POST"}]), "missing_required_parameter", "custom_id", 1),
        (jsonl([request(1, body=None)]), "missing_required_parameter", "body", 1),
        (jsonl([request(1), OTHER_LLM]), "mismatched_model", "body.model", 2),
        (jsonl([request(1, url=RESPONSES)]), "invalid_url", "url", 1),
        (jsonl([request(1, method="GET")]), "invalid_method", "method", 1),
        (jsonl([request(1, body=body(1, stream=True))]), "streaming_unsupported", "body.stream", 1),
        (jsonl([UNKNOWN_LLM]), "model_not_found", "body.model", 1),
        (jsonl([request(1, body={})]), "invalid_request", "body.model", 1),
        (b"", "empty_file", None, None),
        (jsonl([request(n) for n in range(5)]), "too_many_tasks", None, None),
    ],
)
def test_bad_input_fails_the_batch(
    lines: bytes, code: str, param: str | None, line: int | None
) -> None:
    """The first bad line fails the whole batch after it was created, and nothing is executed."""
    with rehearse(max_requests=4, unknown_llms=["gone"]) as (server, client):
        batch = create(client, lines)
        assert batch.status == "validating"
        batch = finish(client, batch)
        assert batch.status == "failed"
        assert batch.errors is not None
        assert batch.errors.data is not None
        (error,) = batch.errors.data
        assert (error.code, error.param, error.line) == (code, param, line)
        assert (batch.output_file_id, batch.error_file_id) == (None, None)
        assert server.bill.total == 0


def test_unknown_input_file() -> None:
    """A create with an unknown file id goes through; the batch fails."""
    with rehearse() as (_, client):
        batch = client.batches.create(
            input_file_id="file-none", endpoint=CHAT, completion_window="24h"
        )
        batch = finish(client, batch)
        assert batch.errors is not None
        assert batch.errors.data is not None
        assert (batch.status, batch.errors.data[0].code) == ("failed", "invalid_request")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/poems"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"metadata": {"k" * 65: "v"}}, "metadata." + "k" * 65),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
    ],
)
def test_create_refuses(change: dict[str, Any], param: str) -> None:
    """A wrong endpoint, window or metadata is a 400, and no batch comes to be."""
    wanted = {"input_file_id": "file-1", "endpoint": CHAT, "completion_window": "24h"} | change
    with rehearse() as (server, client):
        with pytest.raises(openai.BadRequestError) as refusal:
            client.batches.create(**wanted)
        assert refusal.value.param == param
        assert server.batches == []


def test_unknown_ids() -> None:
    """An unknown batch or file is a 404, and so is a route that does not exist."""
    with rehearse() as (_, client):
        with pytest.raises(openai.NotFoundError, match="No batch found with id 'batch_1'"):
            client.batches.retrieve("batch_1")
        with pytest.raises(openai.NotFoundError):
            client.files.content("file-1")
        with pytest.raises(openai.NotFoundError):
            client.models.list()


def test_api_key() -> None:
    """Only the right key is let in."""
    with rehearse(api_key="right") as (server, client):
        assert list(client.batches.list()) == []
        with (
            openai.OpenAI(base_url=server.base_url, api_key="wrong", max_retries=0) as other,
            pytest.raises(openai.AuthenticationError) as refusal,
        ):
            other.batches.list()
        assert refusal.value.code == "invalid_api_key"
        host = http.client.HTTPConnection(urlsplit(server.base_url).netloc)
        host.request("GET", "/v1/batches")
        assert host.getresponse().status == 401
        host.close()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {**SCHEMA, "additionalProperties": True},
        {**SCHEMA, "required": ["mood"]},
        {**SCHEMA, "properties": {**SCHEMA["properties"], "year": {"default": 1}}},
        {**SCHEMA, "properties": []},
    ],
)
def test_schemas_that_strict_mode_refuses(schema: dict[str, Any]) -> None:
    """Such a schema fails each of its lines with a 400 that is not billed, not the batch."""
    with rehearse() as (server, client):
        batch = run(client, [request(n, body=body(n, schema)) for n in range(3)])
        assert (batch.status, batch.output_file_id) == ("completed", None)
        for line in bad(client, batch):
            assert (line["response"]["status_code"], line["error"]) == (400, None)
            assert line["response"]["body"]["error"]["code"] == "invalid_json_schema"
        with pytest.raises(openai.BadRequestError, match="Invalid schema"):
            client.chat.completions.create(**body("x", schema))
        assert server.bill.total == 0


def test_json_object_must_be_asked_for() -> None:
    """The format json_object without the word JSON in the prompt is a 400."""
    loose = {"type": "json_object"}
    with rehearse() as (_, client):
        client.chat.completions.create(**body("in JSON please", None, response_format=loose))
        with pytest.raises(openai.BadRequestError, match="the word 'json'"):
            client.chat.completions.create(**body("please", None, response_format=loose))


def test_enqueued_tokens() -> None:
    """A batch that does not fit beside the open ones fails, and goes through after them."""
    lines = [request(n) for n in range(4)]
    with rehearse(enqueued_tokens=len(jsonl(lines)) // 4 + 10) as (_, client):
        first = client.batches.retrieve(create(client, jsonl(lines)).id)
        second = finish(client, create(client, jsonl(lines)))
        assert second.errors is not None
        assert second.errors.data is not None
        assert second.errors.data[0].code == "token_limit_exceeded"
        assert finish(client, first).status == "completed"
        again = client.batches.create(
            input_file_id=second.input_file_id, endpoint=CHAT, completion_window="24h"
        )
        assert finish(client, again).status == "completed"


# Files and lists


def test_files() -> None:
    """An upload can be looked up, read back and deleted."""
    with rehearse() as (_, client):
        sent = jsonl([request(1)])
        file = client.files.create(file=("фильм 1.jsonl", sent), purpose="batch")
        assert (file.bytes, file.filename, file.purpose) == (len(sent), "фильм 1.jsonl", "batch")
        assert client.files.retrieve(file.id) == file
        assert client.files.content(file.id).read() == sent
        assert client.files.delete(file.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file.id)


def test_uploads_that_are_refused() -> None:
    """A file must be named .jsonl and not be too large; the connection goes on working."""
    with rehearse(max_bytes=1000) as (server, client):
        with pytest.raises(openai.BadRequestError):
            client.files.create(file=("input.txt", b"{}"), purpose="batch")
        with pytest.raises(openai.APIStatusError) as refusal:
            client.files.create(file=("input.jsonl", b"x" * 2_000_000), purpose="batch")
        assert refusal.value.status_code == 413
        assert list(client.files.list()) == []
        assert [call.status for call in server.log] == [400, 413, 200]


def test_lists_are_paged() -> None:
    """Lists come newest first, page after page, by the cursor `after`."""
    with rehearse() as (server, client):
        made = [create(client, jsonl([request(n)])) for n in range(5)]
        ids = [batch.id for batch in made][::-1]
        assert [batch.id for batch in client.batches.list(limit=2)] == ids
        assert server.sends("GET /v1/batches") == 3
        page = client.batches.list(limit=2, after=ids[1])
        assert ([batch.id for batch in page.data], page.has_more) == (ids[2:4], True)
        with pytest.raises(openai.BadRequestError):
            client.batches.list(limit=101)
        finish(client, made[0])
        inputs = [batch.input_file_id for batch in made]
        assert [f.id for f in client.files.list(purpose="batch", order="asc", limit=2)] == inputs
        assert len(list(client.files.list())) == 6
        assert len(list(client.files.list(purpose="batch_output"))) == 1


def test_chunked_uploads() -> None:
    """An upload of unknown length is read as well."""
    with rehearse() as (server, client):
        head = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n'
        head += b'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        pieces = [head, b"one", b"two" * 100_000, b"\r\n--b--\r\n"]
        host = http.client.HTTPConnection(urlsplit(server.base_url).netloc)
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        for _ in range(2):
            host.request("POST", "/v1/files", iter(pieces), kind, encode_chunked=True)
            document = json.loads(host.getresponse().read())
            assert client.files.content(document["id"]).read() == pieces[1] + pieces[2]
        host.close()


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    few = 1

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, self.few))


@settings(deadline=None)
@given(
    content=st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--b", b"\r\n--", b"x"])).map(b"".join),
    few=st.integers(1, 9),
)
def test_forms_are_read_in_pieces(content: bytes, few: int) -> None:
    """A file comes out of a form byte for byte, wherever the pieces of the body end."""
    boundary = b"bound"
    form = b"--bound\r\nContent-Disposition: form-data; name=a\r\n\r\n" + content
    form += (
        b"\r\n--bound\r\nContent-Disposition: form-data; name=c; filename=d\r\n\r\n1\r\n--bound--"
    )
    headers = Message()
    headers["Content-Type"] = f"multipart/form-data; boundary={boundary.decode()}"
    headers["Content-Length"] = str(len(form))
    stream = Trickle(form)
    stream.few = few
    parts = [
        (part.name, part.filename, b"".join(part.content))
        for part in Form(RequestBody(stream, headers))
    ]
    assert parts == [("a", "", content), ("c", "d", b"1")]


# What goes wrong in a batch


def test_cancel() -> None:
    """A cancelled batch keeps what was answered; the rest is in the error file, and not billed."""
    with rehearse() as (server, client):
        batch = client.batches.retrieve(create(client, jsonl([request(n) for n in range(6)])).id)
        assert client.batches.cancel(batch.id).status == "cancelling"
        assert client.batches.cancel(batch.id).status == "cancelling"
        batch = client.batches.retrieve(batch.id)
        assert batch.status == "cancelled"
        assert len(good(client, batch)) == server.bill.total == 3
        assert {line["error"]["code"] for line in bad(client, batch)} == {"batch_cancelled"}
        assert {line["response"] for line in bad(client, batch)} == {None}
        with pytest.raises(openai.ConflictError, match="status 'cancelled'"):
            client.batches.cancel(batch.id)


def test_cancel_before_validation() -> None:
    """A batch that was cancelled before it was validated has no files."""
    with rehearse() as (server, client):
        batch = create(client, jsonl([request(1)]))
        client.batches.cancel(batch.id)
        batch = client.batches.retrieve(batch.id)
        assert (batch.status, batch.output_file_id) == ("cancelled", None)
        assert server.bill.total == 0


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_batches_that_end_half_done(end: str) -> None:
    """Half is answered, the rest stands in the error file with the reason: nothing is lost."""
    faults = Faults(**{f"batch_{end}": (0,)})  # type: ignore[arg-type]
    lines = [request(n) for n in range(6)]
    with rehearse(faults=faults) as (server, client):
        batch = run(client, lines)
        assert batch.status == end
        done = {line["custom_id"] for line in good(client, batch)}
        left = {line["custom_id"] for line in bad(client, batch)}
        assert {line["error"]["code"] for line in bad(client, batch)} == {f"batch_{end}"}
        assert (len(done), len(left), len(done | left)) == (3, 3, 6)
        assert server.bill.total == 3
        assert run(client, lines).status == "completed"


def test_batches_without_files() -> None:
    """A batch can be completed and billed, and have no files at all."""
    with rehearse(faults=Faults(batch_without_files=1.0)) as (server, client):
        batch = client.batches.retrieve(run(client, [request(1)]).id)
        assert (batch.status, batch.output_file_id) == ("completed", None)
        assert server.bill.total == 1


def test_late_files() -> None:
    """The file ids can come one retrieve after `completed`."""
    with rehearse(faults=Faults(batch_late_files=1.0)) as (_, client):
        batch = run(client, [request(1)])
        assert batch.output_file_id is None
        assert client.batches.retrieve(batch.id).output_file_id


def test_stuck_and_failed_batches() -> None:
    """A stuck batch stays in progress until it is cancelled; a failing one fails untried."""
    with rehearse(faults=Faults(batch_stuck=(0,), batch_failed=(1,))) as (server, client):
        batch = create(client, jsonl([request(1), request(2)]))
        for _ in range(5):
            assert client.batches.retrieve(batch.id).status == "in_progress"
        client.batches.cancel(batch.id)
        assert finish(client, client.batches.retrieve(batch.id)).status == "cancelled"
        before = server.bill.total
        assert run(client, [request(3)]).status == "failed"
        assert server.bill.total == before


def one_fault(
    fault: str, asked: dict[str, Any] | None = None
) -> tuple[Batch, list[Any], list[Any], int]:
    """A batch of twenty requests that are all hit by one fault."""
    lines = [request(n, body=asked or body(n)) for n in range(20)]
    with rehearse(faults=Faults(**{fault: 1.0})) as (server, client):
        batch = run(client, lines)
        return batch, good(client, batch), bad(client, batch), server.bill.total


def test_dropped() -> None:
    """Dropped requests are billed, counted as completed, and in no file."""
    batch, output, errors, billed = one_fault("dropped")
    assert (output, errors, billed) == ([], [], 20)
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 20


def test_doubled() -> None:
    """Doubled requests are billed once and stand in the output twice, alike."""
    _, output, _, billed = one_fault("doubled")
    assert billed == 20
    assert len(output) == 40
    assert len({json.dumps(line) for line in output}) == 20


@pytest.mark.parametrize("status", [400, 429, 500])
def test_http_errors_in_the_error_file(status: int) -> None:
    """Requests that got an error response are in the error file, with `error` null, unbilled."""
    batch, output, errors, billed = one_fault(f"http_{status}")
    assert (output, billed) == ([], 0)
    assert batch.output_file_id is None
    assert batch.request_counts is not None
    assert batch.request_counts.failed == 20
    assert {line["response"]["status_code"] for line in errors} == {status}
    assert all("message" in line["response"]["body"]["error"] for line in errors)
    assert {line["error"] for line in errors} == {None}


def test_status_0() -> None:
    """Requests lost inside the provider are counted as completed but stand in the error file."""
    batch, output, errors, billed = one_fault("status_0")
    assert (output, billed) == ([], 0)
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 20
    assert errors[0]["response"] == {"status_code": 0, "request_id": "", "body": {}}


def test_refused() -> None:
    """A refusal is a billed HTTP 200 without content."""
    _, output, _, billed = one_fault("refused")
    assert billed == 20
    for line in output:
        message = line["response"]["body"]["choices"][0]["message"]
        assert message["content"] is None
        assert message["refusal"]


def test_truncated() -> None:
    """A truncated answer says so, and is half a JSON document."""
    _, output, _, billed = one_fault("truncated")
    assert billed == 20
    for line in output:
        assert line["response"]["body"]["choices"][0]["finish_reason"] == "length"
        with pytest.raises(json.JSONDecodeError):
            json.loads(content(line))


def test_malformed() -> None:
    """A malformed answer is no JSON although it claims to be finished."""
    _, output, _, billed = one_fault("malformed")
    assert billed == 20
    for line in output:
        assert line["response"]["body"]["choices"][0]["finish_reason"] == "stop"
        with pytest.raises(json.JSONDecodeError):
            json.loads(content(line))


def test_off_schema() -> None:
    """An answer off the schema is JSON: a key is missing, a type is wrong, a label unlisted."""
    _, output, _, billed = one_fault("off_schema")
    answers = [json.loads(content(line)) for line in output]
    assert billed == 20
    assert not any(conforms(said, SCHEMA, SCHEMA) for said in answers)
    assert any(len(said) < 3 for said in answers)
    assert any(said.get("mood") == "unlisted" for said in answers)
    assert any({"unexpected": True} in said.values() for said in answers)


def test_off_check() -> None:
    """An answer off the checks has the right types and extreme sizes: none, or fifty."""
    _, output, _, billed = one_fault("off_check")
    answers = [json.loads(content(line)) for line in output]
    assert billed == 20
    assert {len(said["categories"]) for said in answers} == {0, 50}
    assert all(said["mood"] in {"light", "dark", "mixed"} for said in answers)


def test_faults_of_plain_text() -> None:
    """A text has no schema to break: it is left whole, or becomes huge."""
    plain = body("hello", None)
    _, output, _, _ = one_fault("off_schema", plain)
    assert content(output[0]) == answer(plain)
    _, output, _, _ = one_fault("off_check", plain)
    assert len(content(output[0])) > 1000


def test_faults_of_the_responses_endpoint() -> None:
    """Refused and truncated answers look different in the Responses API."""
    asked = {"model": "m", "input": "hello"}
    with rehearse(faults=Faults(refused=1.0)) as (_, client):
        part = client.responses.create(**asked).output[0].content[0]  # type: ignore[call-overload]
        assert part.type == "refusal"
    with rehearse(faults=Faults(truncated=1.0)) as (_, client):
        reply = client.responses.create(**asked)  # type: ignore[call-overload]
        assert reply.status == "incomplete"
        assert reply.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("http_400", openai.BadRequestError),
        ("http_429", openai.RateLimitError),
        ("http_500", openai.InternalServerError),
        ("status_0", openai.InternalServerError),
        ("dropped", openai.APIConnectionError),
    ],
)
def test_faults_of_synchronous_requests(fault: str, error: type[openai.OpenAIError]) -> None:
    """The faults of a batch's requests hit synchronous ones; a dropped one is paid and lost."""
    with rehearse(faults=Faults(**{fault: 1.0})) as (server, client):
        with pytest.raises(error):
            client.chat.completions.create(**body("x"))
        assert server.bill.total == (fault == "dropped")


def outcomes(seed: int) -> list[set[str]]:
    """Which requests fail in each of three attempts at the same forty."""
    failed = []
    with rehearse(seed=seed, faults=Faults(http_500=0.3)) as (_, client):
        for _ in range(3):
            batch = run(client, [request(n) for n in range(40)])
            failed.append({line["custom_id"] for line in bad(client, batch)})
    return failed


def test_seeds_repeat_themselves() -> None:
    """The same seed gives the same faults, another seed others."""
    assert outcomes(1) == outcomes(1) != outcomes(2)


def test_a_retried_request_can_succeed() -> None:
    """Each attempt throws its own dice, so that no request fails for ever."""
    first, second, third = outcomes(1)
    assert 0 < len(first) < 40
    assert first != second
    assert not first & second & third


def test_the_bill_counts_each_execution() -> None:
    """A request that is sent again in another batch is billed twice, and the bill shows it."""
    with rehearse() as (server, client):
        run(client, [request(n) for n in range(4)])
        assert server.bill.repeated == {}
        run(client, [request(n) for n in range(3, 5)])
        assert server.bill.total == 6
        assert server.bill.repeated == {hash_request(body(3)): 2}
        assert server.bill.times(body(4)) == 1


def test_impossible_faults() -> None:
    """Shares beyond 1, alone or together, are refused."""
    with pytest.raises(ValueError, match="dropped is a share"):
        Faults(dropped=1.5)
    with pytest.raises(ValueError, match="more than 1"):
        Faults(dropped=0.6, refused=0.6)


def test_every_fault_has_a_setting() -> None:
    """Each name that faults go by is a field of `Faults`."""
    assert set(LINE_FAULTS + BATCH_FAULTS) < set(Faults.__dataclass_fields__)


# What goes wrong with a call


def test_create_lost() -> None:
    """A create whose response is lost took effect: the batch is there, with its metadata."""
    with rehearse(faults=Faults(create_lost=1.0)) as (server, client):
        with pytest.raises(openai.APIConnectionError):
            create(client, jsonl([request(1)]), metadata={"intent": "i1"})
        (batch,) = client.batches.list()
        assert batch.metadata == {"intent": "i1"}
        assert finish(client, batch).status == "completed"
        assert ("POST", "/v1/batches", 0) in server.log


@pytest.mark.parametrize(
    ("step", "error", "effect"),
    [
        (500, openai.InternalServerError, False),
        (429, openai.RateLimitError, False),
        ((429, "insufficient_quota"), openai.RateLimitError, False),
        ("reset", openai.APIConnectionError, False),
        ("hang", openai.APIConnectionError, False),
        ("lost", openai.APIConnectionError, True),
        ("stall", openai.APIConnectionError, True),
        ("cut", openai.APIConnectionError, True),
    ],
)
def test_scripts(step: Step, error: type[openai.OpenAIError], effect: bool) -> None:
    """A script hits the next calls of one route, one each, with or without effect."""
    with rehearse(hang=0.0) as (server, client):
        server.script("POST /v1/batches", [step, "ok"])
        with pytest.raises(error) as raised:
            create(client, jsonl([request(1)]))
        if isinstance(step, tuple):
            assert isinstance(raised.value, openai.APIStatusError)
            assert raised.value.code == step[1]
        assert len(server.batches) == effect
        create(client, jsonl([request(1)]))
        create(client, jsonl([request(1)]))
        assert len(server.batches) == effect + 2
        assert server.sends("POST /v1/batches") == 3


def test_hanging_calls() -> None:
    """A hanging call lasts until the client gives up, and does not keep the server from closing."""
    with rehearse(hang=600) as (server, client):
        server.script("GET /v1/batches", ["hang"])
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.05).batches.list()


def test_scripts_name_routes() -> None:
    """A script for a route that does not exist is refused."""
    with rehearse() as (server, _), pytest.raises(ValueError, match="no such route"):
        server.script("GET /v1/batch", ["lost"])


@pytest.mark.parametrize("fault", ["call_429", "call_500", "call_reset", "call_hang"])
def test_calls_fail_by_chance(fault: str) -> None:
    """Faults of calls hit every route."""
    with rehearse(faults=Faults(**{fault: 1.0}), hang=0.0) as (server, client):
        for call in (
            client.batches.list,
            client.files.list,
            lambda: client.batches.retrieve("b"),
            lambda: client.batches.cancel("b"),
            lambda: client.files.content("f"),
            lambda: client.files.create(file=("a.jsonl", b"{}"), purpose="batch"),
            lambda: client.chat.completions.create(**body("x")),
        ):
            with pytest.raises(openai.APIError):
                call()
        assert len(server.log) == 7
        assert {call.status for call in server.log} == {
            {"call_429": 429, "call_500": 500}.get(fault, 0)
        }


def test_the_sdk_retries() -> None:
    """A 429 says when to ask again, so the SDK's own retries get through quickly."""
    with rehearse() as (server, client):
        server.script("GET /v1/batches", [429, 500, 503])
        assert list(client.with_options(max_retries=3).batches.list()) == []
        assert [call.status for call in server.log] == [429, 500, 503, 200]


def test_downloads_are_cut() -> None:
    """A cut download ends in an error, not in a short file."""
    with rehearse(faults=Faults(download_cut=1.0)) as (_, client):
        batch = run(client, [request(n) for n in range(9)])
        with pytest.raises(openai.APIError):
            client.files.content(str(batch.output_file_id)).read()


# Servers that only say they are compatible


def test_quirk_body_as_string() -> None:
    """The body of a response can be a string of JSON."""
    with rehearse(quirks=Quirks(body_as_string=True)) as (_, client):
        (line,) = good(client, run(client, [request(1)]))
        said = json.loads(line["response"]["body"])["choices"][0]["message"]["content"]
        assert said == answer(body(1))


def test_quirk_missing_keys() -> None:
    """Good lines can lack `error`, and lines that never ran `response`."""
    quirks = Quirks(no_error_key=True, no_response_key=True)
    with rehearse(quirks=quirks, faults=Faults(batch_expired=1.0)) as (_, client):
        batch = run(client, [request(n) for n in range(4)])
        assert {tuple(line) for line in good(client, batch)} == {("id", "custom_id", "response")}
        assert {tuple(line) for line in bad(client, batch)} == {("id", "custom_id", "error")}


def test_quirk_layout() -> None:
    """Result files can begin with a BOM, end lines in CRLF and have blank lines."""
    quirks = Quirks(bom=True, crlf=True, blank_lines=True)
    with rehearse(quirks=quirks) as (_, client):
        batch = run(client, [request(n) for n in range(4)])
        text = text_of(client, batch.output_file_id)
        assert text.startswith("\ufeff{")
        assert text.count("\ufeff") == 1
        assert text.count("\r\n") == text.count("\n") == 8


def test_quirk_one_file() -> None:
    """Good and bad lines can stand in one file."""
    with rehearse(quirks=Quirks(one_file=True), faults=Faults(batch_expired=1.0)) as (_, client):
        batch = run(client, [request(n) for n in range(4)])
        assert batch.error_file_id is None
        assert len(good(client, batch)) == 4


def test_quirk_file_ids() -> None:
    """A missing file's id can be an empty string, and an error file can have no bytes."""
    with rehearse(quirks=Quirks(empty_ids=True)) as (_, client):
        assert run(client, [request(1)]).error_file_id == ""
    with rehearse(quirks=Quirks(empty_error_file=True)) as (_, client):
        batch = run(client, [request(1)])
        assert batch.error_file_id
        assert text_of(client, batch.error_file_id) == ""


def test_quirk_batches() -> None:
    """Metadata and counts can be absent, the list too, and a status word can be unknown."""
    quirks = Quirks(no_metadata=True, no_counts=True, no_list=True, unknown_status=True)
    with rehearse(quirks=quirks) as (_, client):
        batch = create(client, jsonl([request(1)]), metadata={"intent": "i1"})
        assert (batch.metadata, batch.request_counts) == (None, None)
        assert str(client.batches.retrieve(batch.id).status) == "queued"
        assert finish(client, batch).status == "completed"
        with pytest.raises(openai.NotFoundError):
            client.batches.list()


# The server itself


def test_log() -> None:
    """Every call is logged with its method, path and status, and can be counted by its route."""
    with rehearse() as (server, client):
        batch = run(client, [request(1)])
        assert server.log[:2] == (("POST", "/v1/files", 200), ("POST", "/v1/batches", 200))
        assert server.log[2:] == (("GET", f"/v1/batches/{batch.id}", 200),) * 3
        assert server.sends("GET /v1/batches/{id}") == 3


def test_many_clients() -> None:
    """Batches of many clients at once do not mix, and each is billed once."""
    with rehearse() as (server, client):

        def work(number: int) -> None:
            mine = [request(n) for n in range(number * 10, number * 10 + 10)]
            batch = run(client, mine)
            assert {line["custom_id"] for line in good(client, batch)} == {
                line["custom_id"] for line in mine
            }

        threads = [Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.bill.total == 80
        assert server.bill.repeated == {}


def test_a_second_time() -> None:
    """Used again, a server has its old address and bill, and none of its batches."""
    server = Rehearsal()
    with server, openai.OpenAI(base_url=server.base_url, api_key="any") as client:
        url, batch = server.base_url, run(client, [request(1)])
    with server, openai.OpenAI(base_url=server.base_url, api_key="any") as client:
        assert server.base_url == url
        assert server.bill.total == 1
        with pytest.raises(openai.NotFoundError):
            client.batches.retrieve(batch.id)


def test_port_taken() -> None:
    """A port that is in use is a plain error."""
    with (
        rehearse() as (server, _),
        pytest.raises(ProviderError, match="cannot listen on port"),
        Rehearsal(port=urlsplit(server.base_url).port or 0),
    ):
        pass


def test_serve() -> None:
    """`serve` blocks until somebody closes the server."""
    with rehearse() as (server, client):
        thread = Thread(target=server.serve)
        thread.start()
        assert list(client.batches.list()) == []
        assert thread.is_alive()
        server.close()
        thread.join()


def test_broken_clients_are_not_worth_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    """A client that goes away in the middle of a call leaves no trace on the terminal."""
    with rehearse() as (server, client):
        sent = jsonl([request(1, body=body("x" * 5_000_000))])
        file = client.files.create(file=("a.jsonl", sent), purpose="batch")
        address = ("127.0.0.1", urlsplit(server.base_url).port)
        head = b"POST /v1/files HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        for said in (
            b"",
            b"GET /v1/fi",
            head + b"Content-Length: 100000\r\n\r\n--b\r\n",
            b"GET /v1/files/" + file.id.encode() + b"/content HTTP/1.1\r\n\r\n",
        ):
            with socket.create_connection(address) as connection:
                connection.sendall(said)
        assert list(client.batches.list()) == []
    assert capfd.readouterr() == ("", "")


def test_imports_are_light() -> None:
    """The server needs the standard library only."""
    program = "import sys, enrich.rehearsal; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert not {"duckdb", "openai", "sqlglot", "httpx2"} & set(done.stdout.decode().split())


def test_the_command_offers_each_api_that_can_be_played() -> None:
    assert list(ANNOUNCED) == list(PLAYED_APIS)
