"""The rehearsal's embeddings, asked for by OpenAI's own SDK."""

from __future__ import annotations

import json
import math
from array import array
from base64 import b64decode
from contextlib import contextmanager
from struct import unpack
from typing import TYPE_CHECKING, Any, Literal

import openai
import pytest
from mistralai.client import Mistral
from mistralai.client.errors import MistralError
from mistralai.client.models import EmbeddingResponse, File

from enrich.rehearsal import Faults, Rehearsal, hash_request
from enrich.rehearsal.vectors import embed_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from openai.types import Batch, CreateEmbeddingResponse

SMALL, LARGE, ADA = "text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"
PATH: Literal["/v1/embeddings"] = "/v1/embeddings"
FILM = "A shy waitress in Montmartre finds a child's tin box hidden behind her bathroom wall"


def body(given: object = FILM, **more: object) -> dict[str, Any]:
    return {"model": "m", "input": given, **more}


def line(number: int, asked: Mapping[str, Any] | None = None, **more: object) -> dict[str, Any]:
    """A line of an input file."""
    made = {"custom_id": f"r{number}", "method": "POST", "url": PATH}
    return made | {"body": asked or body(f"text number {number}")} | more


@contextmanager
def rehearse(**options: Any) -> Iterator[tuple[Rehearsal, openai.OpenAI]]:  # as Rehearsal has them
    """A server and a client that asks once."""
    with (
        Rehearsal(**options) as server,
        openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client,
    ):
        yield server, client


@contextmanager
def rehearse_mistral() -> Iterator[tuple[Rehearsal, Mistral]]:
    with (
        Rehearsal(api="mistral") as server,
        Mistral(api_key="any", server_url=server.base_url.removesuffix("/v1")) as client,
    ):
        yield server, client


def run(client: openai.OpenAI, lines: Sequence[Mapping[str, Any]]) -> Batch:
    """A batch that has ended."""
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = client.files.create(file=("input.jsonl", content), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=PATH, completion_window="24h")
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        batch = client.batches.retrieve(batch.id)
    return batch


def read(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    text = client.files.content(file_id).read().decode() if file_id else ""
    return [json.loads(line) for line in text.splitlines()]


def vectors(reply: CreateEmbeddingResponse) -> list[list[float]]:
    assert [item.index for item in reply.data] == list(range(len(reply.data)))
    return [item.embedding for item in reply.data]


def multiply(one: Iterable[float], other: Iterable[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def cosine(one: str, other: str) -> float:
    return multiply(embed_text(one, 384), embed_text(other, 384))


# What a vector means


@pytest.mark.parametrize(
    "other",
    [
        FILM.upper() + "!",
        FILM.replace("finds", "found"),
        FILM.replace("child's", "boy's"),
        " ".join(reversed(FILM.split())),
    ],
)
def test_near_copies_are_near(other: str) -> None:
    assert cosine(FILM, other) > 0.9


def test_texts_are_as_near_as_they_share_words() -> None:
    """A shared topic is nearer than none, an inflection nearer than another word, and words that
    stand in any text say nothing."""
    film, bank = FILM, "Interest rates were raised by the central bank to fight inflation"
    assert abs(cosine(film, bank)) < 0.2
    assert cosine(film, bank) < cosine(film, "A waitress hides a box behind a wall") < 0.9
    assert abs(cosine("movie", "inflation")) < 0.2 < cosine("movie", "movies") < 0.9
    assert cosine("The rain in the north of it", "The bank in the south of it") < 0.5
    assert abs(cosine("日本語のテキスト", "今日は天気がいい")) < 0.2
    assert cosine("日本語のテキストを埋め込む", "日本語のテキストを埋め込んだ") > 0.5


@pytest.mark.parametrize("text", ["?", " ", "\ud800", "a", "x" * 100_000, "word " * 50_000])
@pytest.mark.parametrize("dimensions", [2, 384, 3072])
def test_every_text_has_a_vector_of_length_1(text: str, dimensions: int) -> None:
    made = embed_text(text, dimensions)
    assert len(made) == dimensions
    assert math.hypot(*made) == pytest.approx(1, abs=1e-6)


def test_a_long_text_does_not_overflow() -> None:
    """However often a text is repeated, it points where it pointed."""
    assert cosine("x y z ", "x y z " * 600_000) > 0.99


def test_vectors_are_those_of_yesterday() -> None:
    """They do not depend on the process, the machine or the version of Python."""
    expected = [-0.5058001, 0.5402317, -0.4679254, 0.4830753]
    assert list(embed_text("A film", 4)) == pytest.approx(expected, abs=1e-6)


def test_a_shorter_vector_is_the_beginning_of_a_longer_one() -> None:
    long, short = embed_text(FILM, 1536)[:256], embed_text(FILM, 256)
    assert multiply(long, short) / math.hypot(*long) == pytest.approx(1, abs=1e-3)


# The plain way


@pytest.mark.parametrize(
    ("llm", "more", "dimensions"),
    [
        (SMALL, {}, 1536),
        (LARGE, {}, 3072),
        (ADA, {}, 1536),
        ("nomic-embed-text", {}, 384),
        (SMALL, {"dimensions": 1}, 1),
        (SMALL, {"dimensions": 1536}, 1536),
        (LARGE, {"dimensions": 256}, 256),
        ("nomic-embed-text", {"dimensions": 4096}, 4096),
    ],
)
def test_each_llm_has_its_dimensions(llm: str, more: dict[str, Any], dimensions: int) -> None:
    with rehearse() as (_, client):
        reply = client.embeddings.create(model=llm, input=FILM, **more)
    assert (reply.object, reply.model, reply.data[0].object) == ("list", llm, "embedding")
    (vector,) = vectors(reply)
    assert vector == list(embed_text(FILM, dimensions))


def test_both_encodings_hold_the_same_numbers() -> None:
    """Of floats, nine digits are sent, which are as exact as the four bytes in base64."""
    with rehearse() as (_, client):
        plain = client.embeddings.with_raw_response.create(**body(), encoding_format="float")
        coded = client.embeddings.with_raw_response.create(**body(), encoding_format="base64")
    floats = json.loads(plain.text)["data"][0]["embedding"]
    assert array("f", floats) == embed_text(FILM, 384)
    assert all(float(f"{number:.9g}") == number for number in floats)
    packed = b64decode(json.loads(coded.text)["data"][0]["embedding"], validate=True)
    assert unpack("<384f", packed) == tuple(embed_text(FILM, 384))


def test_a_list_has_a_vector_for_each_text() -> None:
    """In the order of the texts, and the same as alone; only the texts are billed."""
    texts = ["one", "two", "one", FILM]
    with rehearse() as (server, client):
        reply = client.embeddings.create(**body(texts))
        alone = [client.embeddings.create(**body(text)) for text in texts]
        assert vectors(reply) == [vectors(each)[0] for each in alone]
        tokens = [math.ceil(len(text) / 4) for text in texts]
        assert reply.usage.model_dump() == {
            "prompt_tokens": sum(tokens),
            "total_tokens": sum(tokens),
        }
        assert [each.usage.prompt_tokens for each in alone] == tokens
        usage = server.bill.usage
        assert (usage.input, usage.output, usage.total) == (2 * sum(tokens), 0, 2 * sum(tokens))
        assert server.bill.total == 5
        assert server.bill.repeated == {hash_request(body("one", encoding_format="base64")): 2}


@pytest.mark.parametrize("api", ["batch", "chat", "mistral"])
def test_other_apis_embed_at_once_too(api: str) -> None:
    with rehearse(api=api) as (server, client):
        (vector,) = vectors(client.embeddings.create(**body()))
        assert vector == list(embed_text(FILM, 384))
        assert server.sends(f"POST {PATH}") == server.bill.total == 1


def test_a_chat_server_has_no_other_routes_of_the_batch_api() -> None:
    with rehearse(api="chat") as (_, client):
        assert client.models.retrieve("m").id == "m"
        for call in (client.batches.list, client.files.list):
            with pytest.raises(openai.NotFoundError):
                call()


@pytest.mark.parametrize("api", ["anthropic", "gemini"])
def test_some_apis_have_no_embeddings(api: str) -> None:
    with rehearse(api=api) as (_, client), pytest.raises(openai.APIStatusError):
        client.embeddings.create(**body())


# What is refused


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        (body(temperature=0), 400, "Unrecognized request argument supplied: temperature"),
        (body(messages=[]), 400, "Unrecognized request argument supplied: messages"),
        (body(response_format={}), 400, "Unrecognized request argument supplied: response_format"),
        ({"model": "m"}, 400, "'$.input' is invalid"),
        (body(""), 400, "'$.input' is invalid"),
        (body([]), 400, "'$.input' is invalid"),
        (body(["a", ""]), 400, "'$.input' is invalid"),
        (body(["a", None]), 400, "'$.input' is invalid"),
        (body(7), 400, "'$.input' is invalid"),
        (body(["a"] * 2049), 400, "maximum length 2048, but got an array with length 2049"),
        ({"input": "a"}, 400, "you must provide a model parameter"),
        (body(model=""), 400, "you must provide a model parameter"),
        (body(model="gpt-4o-mini"), 403, "not allowed to generate embeddings from this model"),
        (body(model="gone"), 404, "The model `gone` does not exist"),
        (body(dimensions=0), 400, "0 is less than the minimum of 1"),
        (body(dimensions=1.5), 400, "'$.dimensions' is invalid"),
        (body(dimensions=True), 400, "'$.dimensions' is invalid"),
        (body(dimensions=4097), 400, "Must be less than or equal to 4096"),
        (body(model=SMALL, dimensions=1537), 400, "Must be less than or equal to 1536"),
        (body(model=LARGE, dimensions=3073), 400, "Must be less than or equal to 3072"),
        (body(model=ADA, dimensions=1536), 400, "does not support specifying dimensions"),
        (body(encoding_format="int8"), 400, "Supported values are: 'float' and 'base64'"),
        (body(user=7), 400, "'$.user' is invalid"),
        (body("x" * 32_769, model=SMALL), 400, "maximum context length is 8192 tokens"),
        (body(["x" * 32_000] * 38, model=SMALL), 400, "max 300000 tokens per request"),
    ],
)
def test_openai_refuses(asked: dict[str, Any], status: int, words: str) -> None:
    """With an error like OpenAI's, and unbilled; in a batch, the line alone fails."""
    with rehearse(unknown_llms=["gone"]) as (server, client):
        with pytest.raises(openai.APIStatusError) as refusal:
            client.post("/embeddings", body=asked, cast_to=object)
        assert refusal.value.status_code == status
        assert isinstance(refusal.value.body, dict)
        assert words in refusal.value.body["message"]
        assert server.bill.total == 0
        if asked.get("model") in ("m", SMALL):
            batch = run(client, [line(1, asked)])
            (failed,) = read(client, batch.error_file_id)
            assert failed["response"]["status_code"] == status
            assert words in failed["response"]["body"]["error"]["message"]


def test_what_is_just_allowed() -> None:
    """2,048 texts, 8,192 tokens in a text, and any length for llms of other servers."""
    with rehearse() as (_, client):
        for asked in (
            body(["a"] * 2048, dimensions=2),
            body("x" * 32_768, model=SMALL, dimensions=2, user="u"),
            body(["x" * 32_000] * 37, model=SMALL, dimensions=2),
            body("x" * 100_000, dimensions=2),
        ):
            reply = client.embeddings.create(**asked)
            assert len(reply.data) == (len(asked["input"]) if type(asked["input"]) is list else 1)


def test_settings_refuse_parts() -> None:
    """A parameter that a server's llm does not know is refused, as with chat."""
    with (
        rehearse(refuses={"m": ["dimensions"]}) as (_, client),
        pytest.raises(openai.BadRequestError, match="'dimensions' is not supported"),
    ):
        client.embeddings.create(**body(dimensions=2))


# Batches


def test_round_trip() -> None:
    """Each line is answered under its custom_id with the vectors of its texts."""
    lines = [line(n) for n in range(20)] + [line(20, body(["one", FILM], dimensions=8))]
    tokens = 20 * 4 + 1 + math.ceil(len(FILM) / 4)
    with rehearse() as (server, client):
        batch = run(client, lines)
        output = read(client, batch.output_file_id)
        assert (batch.status, batch.endpoint, batch.error_file_id) == ("completed", PATH, None)
        assert batch.request_counts is not None
        assert batch.request_counts.model_dump() == {"completed": 21, "failed": 0, "total": 21}
        assert batch.usage is not None
        assert (batch.usage.input_tokens, batch.usage.output_tokens) == (tokens, 0)
        assert server.bill.usage.total == batch.usage.total_tokens
        replies = {found["custom_id"]: found["response"]["body"] for found in output}
        assert replies.keys() == {sent["custom_id"] for sent in lines}
        for number in range(20):
            (item,) = replies[f"r{number}"]["data"]
            assert array("f", item["embedding"]) == embed_text(f"text number {number}", 384)
        items = replies["r20"]["data"]
        assert [item["index"] for item in items] == [0, 1]
        assert array("f", items[1]["embedding"]) == embed_text(FILM, 8)


def test_a_batch_has_at_most_so_many_inputs() -> None:
    """Each item of a list counts; one input more than the limit, and the batch is not valid."""
    with rehearse(max_inputs=5) as (server, client):
        assert run(client, [line(1, body(["a"] * 4)), line(2)]).status == "completed"
        billed = server.bill.total
        batch = run(client, [line(1, body(["a"] * 4)), line(2), line(3)])
        assert batch.errors is not None
        assert batch.errors.data is not None
        (error,) = batch.errors.data
        assert (batch.status, error.code) == ("failed", "too_many_inputs")
        assert error.message == "The batch has more than 5 embedding inputs."
        assert (error.line, error.param, batch.output_file_id) == (None, None, None)
        assert server.bill.total == billed == 2


def test_openai_takes_50_000_inputs() -> None:
    """The limit that OpenAI documents is the one that holds."""
    most = [line(n, body(["a"] * 2000, dimensions=1)) for n in range(25)]
    with rehearse() as (_, client):
        assert run(client, [*most, line(25)]).status == "failed"
        assert run(client, most).status == "completed"


def test_lines_belong_to_the_endpoint_of_their_batch() -> None:
    with rehearse() as (_, client):
        batch = run(client, [line(1, url="/v1/chat/completions")])
        assert batch.errors is not None
        assert batch.errors.data is not None
        assert (batch.status, batch.errors.data[0].code) == ("failed", "invalid_url")


# Faults


def embeddings_with(fault: str, **more: object) -> tuple[list[Any], list[Any], int]:
    """What the vectors of a batch are if all its requests are hit, its errors, and its bill."""
    lines = [line(n, body([f"text {n}", FILM], **more)) for n in range(4)]
    with rehearse(faults=Faults(**{fault: 1.0})) as (server, client):
        batch = run(client, lines)
        found = read(client, batch.output_file_id)
        made = [item["embedding"] for each in found for item in each["response"]["body"]["data"]]
        return made, read(client, batch.error_file_id), server.bill.total


@pytest.mark.parametrize("fault", ["refused", "truncated", "unfinished"])
def test_faults_that_embeddings_cannot_have(fault: str) -> None:
    """They leave an ordinary answer."""
    made, errors, billed = embeddings_with(fault)
    assert (len(made), errors, billed) == (8, [], 4)
    assert [array("f", vector) for vector in made].count(embed_text(FILM, 384)) == 4


@pytest.mark.parametrize(("dimensions", "sent"), [(1, 2), (2, 1), (384, 192)])
def test_off_schema(dimensions: int, sent: int) -> None:
    """The vectors have another length than was asked for."""
    made, _, billed = embeddings_with("off_schema", dimensions=dimensions)
    assert ([len(vector) for vector in made], billed) == ([sent] * 8, 4)


def test_off_check() -> None:
    """The vectors are of the right length, and zero."""
    made, _, billed = embeddings_with("off_check")
    assert (made, billed) == ([[0.0] * 384] * 8, 4)


def test_malformed() -> None:
    """In place of a vector there is a text, which is cut off."""
    made, _, billed = embeddings_with("malformed")
    assert (len(made), billed) == (8, 4)
    for text in made:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    made, _, _ = embeddings_with("malformed", encoding_format="base64")
    for text in made:
        with pytest.raises(ValueError, match=r"Incorrect padding|more than a multiple"):
            b64decode(text, validate=True)


def test_no_content() -> None:
    made, errors, billed = embeddings_with("no_content")
    assert (made, errors, billed) == ([], [], 4)


def test_dropped_and_doubled() -> None:
    """Both are billed once; a line is missing, or there twice."""
    assert embeddings_with("dropped") == ([], [], 4)
    made, _, billed = embeddings_with("doubled")
    assert (len(made), billed) == (16, 4)


@pytest.mark.parametrize("status", [400, 429, 500])
def test_http_errors(status: int) -> None:
    """They stand in the error file, unbilled."""
    made, errors, billed = embeddings_with(f"http_{status}")
    assert (made, billed) == ([], 0)
    assert [each["response"]["status_code"] for each in errors] == [status] * 4


def test_bad_byte() -> None:
    with rehearse(faults=Faults(bad_byte=1.0)) as (_, client):
        batch = run(client, [line(1)])
        content = client.files.content(str(batch.output_file_id)).read()
    with pytest.raises(UnicodeDecodeError):
        content.decode()
    assert json.loads(content.decode(errors="ignore"))["response"]["body"]["data"]


def test_a_batch_that_expires_half_done() -> None:
    with rehearse(faults=Faults(batch_expired=(0,))) as (server, client):
        batch = run(client, [line(n) for n in range(6)])
        assert batch.status == "expired"
        assert len(read(client, batch.output_file_id)) == server.bill.total == 3
        codes = [each["error"]["code"] for each in read(client, batch.error_file_id)]
        assert codes == ["batch_expired"] * 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("http_429", openai.RateLimitError),
        ("http_500", openai.InternalServerError),
        ("dropped", openai.APIConnectionError),
        ("call_500", openai.InternalServerError),
    ],
)
def test_faults_of_synchronous_requests(fault: str, error: type[openai.OpenAIError]) -> None:
    with rehearse(faults=Faults(**{fault: 1.0})) as (server, client):
        with pytest.raises(error):
            client.embeddings.create(**body())
        assert server.bill.total == (fault == "dropped")


# Mistral


@pytest.mark.parametrize(("dimensions", "length"), [(None, 1536), (256, 256)])
def test_a_job_of_mistral(dimensions: int | None, length: int) -> None:
    """It names the llm for its lines, and an answer is what Mistral's SDK expects."""
    llm = "codestral-embed"
    bodies = [{"input": f"text {n}", "output_dimension": dimensions} for n in range(3)]
    lines = [{"custom_id": f"r{n}", "body": each} for n, each in enumerate(bodies)]
    content = "".join(f"{json.dumps(each)}\n" for each in lines).encode()
    with rehearse_mistral() as (server, client):
        upload = File(file_name="input.jsonl", content=content)
        file = client.files.upload(file=upload, purpose="batch")
        job = client.batch.jobs.create(input_files=[file.id], model=llm, endpoint=PATH)
        while job.status in ("QUEUED", "RUNNING"):
            job = client.batch.jobs.get(job_id=job.id)
        assert (job.status, job.endpoint, job.model, job.succeeded_requests) == (
            *("SUCCESS", PATH, llm),
            3,
        )
        found = client.files.download(file_id=str(job.output_file)).read().splitlines()
        replies = {each["custom_id"]: each["response"]["body"] for each in map(json.loads, found)}
        assert replies.keys() == {"r0", "r1", "r2"}
        for number in range(3):
            reply = EmbeddingResponse.model_validate(replies[f"r{number}"])
            (item,) = reply.data
            assert array("f", item.embedding or ()) == embed_text(f"text {number}", length)
            assert (reply.model, reply.usage.prompt_tokens) == (llm, 2)
        assert (server.bill.total, server.bill.usage.total) == (3, 6)


def test_mistral_embeds_at_once() -> None:
    """A text or a list; `mistral-embed` has vectors of one length only."""
    with rehearse_mistral() as (server, client):
        reply = client.embeddings.create(model="mistral-embed", inputs=[FILM, "one"])
        first = array("f", reply.data[0].embedding or ())
        assert (len(reply.data), first) == (2, embed_text(FILM, 1024))
        with pytest.raises(MistralError, match="does not support specifying dimensions"):
            client.embeddings.create(model="mistral-embed", inputs="a", output_dimension=8)
        assert server.bill.total == 1


def test_mistral_has_no_other_endpoints() -> None:
    with rehearse_mistral() as (_, client):
        upload = File(file_name="input.jsonl", content=b'{"body": {}}\n')
        file = client.files.upload(file=upload, purpose="batch")
        with pytest.raises(MistralError, match="should be one of /v1/chat/completions"):
            client.batch.jobs.create(input_files=[file.id], model="m", endpoint="/v1/ocr")
