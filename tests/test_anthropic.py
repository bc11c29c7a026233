"""Anthropic's batches: what is their own; the contract is kept in test_contract.py."""

from __future__ import annotations

import json
import shutil
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest
from folders import PROMPT, opened, plants, settings, write
from test_crash import killed

from enrich.errors import ModelError, ProviderError, Unavailable, Unclear
from enrich.providers.anthropic.document import stream_document, survey_requests
from enrich.providers.anthropic.message import translate_line
from enrich.providers.anthropic.request import translate_body
from enrich.rehearsal import Faults, Rehearsal
from enrich.rehearsal.messages import read_params

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.providers import Remote

CREATE, LIST = "POST /v1/messages/batches", "GET /v1/messages/batches"
RESULTS = "GET /v1/messages/batches/{id}/results"
CHAT_PATH = "/v1/chat/completions"
LLM = "claude-haiku-4-5"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"
NO_PARAMS = PROMPT.replace("    params: {temperature: 0}\n", "")


def orchard(root: Path, server: Rehearsal, rows: int = 4, **more: Any) -> Path:
    """A project of so many plants that asks Anthropic."""
    plants(root, server, type="anthropic", llm=LLM, **more)
    listed = "".join(f"{number},plant {number},\n" for number in range(rows))
    write(
        root, {"seeds/plants.csv": f"id,name,note\n{listed}", "models/kinds.prompt.md": NO_PARAMS}
    )
    return root


def request_file(folder: Path, *ids: str, name: str = "batch-1.jsonl", **body: Any) -> Path:
    path = folder / name
    asked = {"model": LLM, "messages": [{"role": "user", "content": "Grüße"}], **body}
    lines = ({"custom_id": i, "method": "POST", "url": CHAT_PATH, "body": asked} for i in ids)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def created(provider: Any, path: Path, intent: str) -> Remote:
    file = provider.upload(path)
    remote: Remote = provider.submit(file, endpoint=CHAT_PATH, metadata={"enrich_batch": intent})
    return remote


def found(provider: Any, intent: str, file: str) -> Remote | None:
    """The batch of an intent, as soon as that can be told."""
    deadline = time.monotonic() + 120
    while True:
        try:
            remote: Remote | None = provider.find(intent, file=file)
            return remote
        except Unavailable:
            assert time.monotonic() < deadline, "it is never told"
            time.sleep(0.01)


def got(provider: Any, remote: Remote, path: Path) -> dict[str, Any]:
    """The lines of a batch by their custom_id, once it has ended."""
    while not remote.files:
        remote = provider.poll(remote.id)
    provider.fetch(remote.files[0], path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({line["custom_id"] for line in lines}) == len(lines)
    return {line["custom_id"]: line for line in lines}


@pytest.mark.parametrize("step", ["lost", "stall", 500, 529])
def test_a_create_is_sent_once(tmp_path: Path, step: Any) -> None:
    """Whatever becomes of its answer, a batch that was created is adopted; after a 500 it is looked
    for, and created once more only because it is not there."""
    with Rehearsal(api="anthropic", hang=0.2) as server:
        server.script(CREATE, [step])
        (state,) = opened(orchard(tmp_path, server)).run()
        assert (state.ok, len(server.batches), server.bill.repeated) == (4, 1, {})
        assert server.sends(CREATE) == (1 if isinstance(step, str) else 2)


def test_a_lost_batch_is_told_from_others_of_its_size(tmp_path: Path) -> None:
    """As long as any may be the one, there is no second; its results tell, whoever asks, and also
    after the folder of its upload has gone."""
    with Rehearsal(api="anthropic", latency=0.5) as server:
        orchard(tmp_path / "mine", server)
        orchard(tmp_path / "other", server)
        mine, other = (opened(tmp_path / name).provider("api") for name in ("mine", "other"))
        path = request_file(tmp_path, "a", "b", "c")
        before, file = created(other, path, "before"), mine.upload(path)
        server.script(CREATE, ["lost"])
        with pytest.raises(Unclear):
            mine.submit(file, endpoint=CHAT_PATH, metadata={"enrich_batch": "one"})
        after = created(other, path, "after")
        with pytest.raises(Unavailable, match="no second one is sent"):
            mine.find("one", file=file)
        for batch in (before, after):
            got(other, batch, tmp_path / "theirs.jsonl")
        known: set[str] = {batch["id"] for batch in server.batches} - {before.id, after.id}
        remote = found(mine, "one", file)
        assert remote is not None
        assert {remote.id} == known
        assert sorted(got(mine, remote, tmp_path / "mine.jsonl")) == ["a", "b", "c"]
        assert mine.find("never sent", file=file) is None
        shutil.rmtree(tmp_path / "mine" / ".enrich")
        again = opened(tmp_path / "mine").provider("api").find("one", file=file)
        assert again is not None
        assert again.id == remote.id
        assert len(server.batches) == 3


def test_a_create_that_never_arrived_is_sent_again(tmp_path: Path) -> None:
    """But not while somebody's batch of the same size may be it, nor before `lost_after`."""
    with Rehearsal(api="anthropic", latency=0.3) as server:
        project = opened(orchard(tmp_path, server))
        provider: Any = project.provider("api")
        file = provider.upload(request_file(tmp_path, "a", "b"))
        theirs = created(provider, request_file(tmp_path, "x", "y", name="b.jsonl"), "theirs")
        server.script(CREATE, ["reset"])
        with pytest.raises(Unclear):
            provider.submit(file, endpoint=CHAT_PATH, metadata={"enrich_batch": "one"})
        assert provider.find("one", file=file) is None  # theirs is known by its intent
        (upload,) = (u for u in provider.uploads.list_all() if theirs.id in u.note.sent.values())
        shutil.rmtree(upload.path)
        with pytest.raises(Unavailable):
            provider.find("one", file=file)
        assert found(provider, "one", file) is None
        assert provider.find("one", file=file) is None
        write(tmp_path, {"project.yml": settings(server, type="anthropic", lost_after=60)})
        patient: Any = opened(tmp_path).provider("api")
        server.script(CREATE, ["reset"])
        with pytest.raises(Unclear):
            patient.submit(file, endpoint=CHAT_PATH, metadata={"enrich_batch": "one"})
        for _ in range(2):  # however often it is asked
            with pytest.raises(Unavailable, match="does not list"):
                patient.find("one", file=file)
        assert len(server.batches) == 1


@pytest.mark.parametrize("step", ["hang", "stall"])
@pytest.mark.few(0)
def test_killed_in_a_create(tmp_path: Path, step: Any) -> None:
    """Before or after it took effect, the next run ends well, with one batch."""
    with Rehearsal(api="anthropic", hang=60) as server:
        root = orchard(tmp_path, server)
        server.script(CREATE, [step])
        killed(root, server, CREATE, 1)
        (state,) = opened(root).run()
        assert (state.ok, len(server.batches), server.bill.repeated) == (4, 1, {})


@pytest.mark.few(0)
def test_every_row_has_one_outcome(tmp_path: Path) -> None:
    """With faults of every kind, and answers in any order: what was answered well is paid once."""
    faults = Faults(
        dropped=0.05,
        doubled=0.05,
        http_400=0.05,
        http_429=0.05,
        http_500=0.05,
        status_0=0.05,
        refused=0.05,
        truncated=0.05,
        malformed=0.05,
        bad_byte=0.05,
        call_429=0.02,
        call_500=0.02,
        create_lost=0.2,
        download_cut=0.2,
        batch_expired=(1,),
        batch_cancelled=(3,),
        batch_failed=(4,),
        batch_late_files=0.5,
    )
    with Rehearsal(api="anthropic", faults=faults, seed=3) as server:
        root = orchard(tmp_path, server, 45, max_requests=15)
        for _ in range(6):  # a batch that somebody cancels stops its run
            (state,) = opened(root).run(retry=True)
            if state.ok == 45:
                break
        assert (state.ok, sum(state.outcomes.values()), state.rows) == (45, 45, 45)
        ((made, batches, good),) = (
            opened(root)
            .sql(
                "SELECT (SELECT count(DISTINCT remote) FROM ledger.batches), "
                "(SELECT count(remote) FROM ledger.batches), "
                "(SELECT max(times) FROM (SELECT count(*) AS times FROM ledger.responses "
                "WHERE outcome = 'ok' GROUP BY fingerprint))"
            )
            .rows
        )
        assert (made, batches, good) == (len(server.batches), len(server.batches), 1)


@pytest.mark.parametrize("fault", ["batch_expired", "batch_cancelled"])
def test_what_was_answered_in_time_is_kept(tmp_path: Path, fault: str) -> None:
    """The others were not answered: they are asked again, and that was no attempt."""
    hit: Any = {fault: (0,)}
    with Rehearsal(api="anthropic", faults=Faults(**hit)) as server:
        for _ in range(2):  # a batch that somebody cancels stops its run
            (state,) = opened(orchard(tmp_path, server)).run()
        assert (state.ok, len(server.batches), server.bill.total) == (4, 2, 4)
        outcomes = "SELECT outcome, count(*) FROM ledger.responses GROUP BY ALL ORDER BY ALL"
        assert opened(tmp_path).sql(outcomes).rows == (("expired", 2), ("ok", 4))


def test_results_that_are_gone(tmp_path: Path) -> None:
    """They cannot be fetched, and the batch is not the one that is looked for."""
    with Rehearsal(api="anthropic") as server:
        provider: Any = opened(orchard(tmp_path, server)).provider("api")
        server.script(CREATE, ["lost"])
        file = provider.upload(request_file(tmp_path, "a"))
        with pytest.raises(Unclear):
            provider.submit(file, endpoint=CHAT_PATH, metadata={"enrich_batch": "one"})
        batch = server.batches[0]["id"]
        while not provider.poll(batch).files:
            continue
        server.script(RESULTS, [404, 404])
        assert provider.find("one", file=file) is None
        with pytest.raises(ProviderError, match="no longer has the results") as problem:
            provider.fetch(f"{batch}/results", tmp_path / "got.jsonl")
        assert "--forget" in problem.value.hint
        assert provider.find("one", file=file).id == batch


def test_custom_ids_come_back(tmp_path: Path) -> None:
    """Also those that have no room beside the mark, and those of another alphabet."""
    ids = ("row-1", "x" * 64, "y" * 50, "é", "i7692c3ad3540-row-1")
    with Rehearsal(api="anthropic") as server:
        provider: Any = opened(orchard(tmp_path, server)).provider("api")
        remote = created(provider, request_file(tmp_path, *ids), "one")
        another: Any = opened(tmp_path).provider("api")
        assert sorted(got(another, remote, tmp_path / "got.jsonl")) == sorted(ids)
        broken = b'{"custom_id": "i7692c3ad3540-row-1", "result": {"type": "succeeded", "mess\n'
        assert translate_line(broken, {}) == broken.replace(b"i7692c3ad3540-", b"")


def test_a_request_becomes_a_message() -> None:
    """The system prompt, pictures, the schema and the parameters are where Anthropic has them; a
    server that was written by the reference takes all of it."""
    schema = {
        "type": "object",
        "properties": {
            "stars": {"type": "integer", "minimum": 1, "maximum": 5, "description": "how good"},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 3},
            "mood": {"type": ["string", "null"], "enum": ["good", None]},
        },
        "required": ["stars", "tags", "mood"],
        "additionalProperties": False,
    }
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image_url", "image_url": {"url": "https://host/a.jpg", "detail": "low"}},
    ]
    body = {
        "model": LLM,
        "max_completion_tokens": 300,
        "temperature": 0.1,
        "reasoning_effort": "low",
        "stop": "END",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
        "messages": [
            {"role": "system", "content": "You see."},
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": parts},
        ],
    }
    made = translate_body(body)
    assert made["system"] == "You see.\n\nBe brief."
    assert (made["max_tokens"], made["stop_sequences"]) == (300, ["END"])
    assert made["output_config"]["effort"] == "low"
    columns = made["output_config"]["format"]["schema"]["properties"]
    assert columns["stars"]["description"] == "how good (minimum: 1, maximum: 5)"
    assert columns["mood"] == {"enum": ["good", None]}
    (message,) = made["messages"]
    assert [block.get("source") for block in message["content"]] == [
        None,
        {"type": "base64", "media_type": "image/png", "data": PIXEL},
        {"type": "url", "url": "https://host/a.jpg"},
    ]
    assert read_params(made, version="2023-06-01")["messages"][1]["content"][0] == parts[0]
    assert translate_body({**body, "max_completion_tokens": 9})["max_tokens"] == 9
    del body["max_completion_tokens"]
    assert translate_body(body)["max_tokens"] > 1000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"temperature": 0}, "no longer takes `temperature`"),
        ({"seed": 1}, "takes no `seed: 1`"),
        ({"n": 2}, "takes no `n: 2`"),
        ({"response_format": {"type": "json_object"}}, "no response format 'json_object'"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "no messages of the role 'tool'"),
        ({"messages": [{"role": "system", "content": "x"}]}, "no message from the user"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_sent(
    tmp_path: Path, body: dict[str, Any], words: str
) -> None:
    """In one sentence, both for batches and for what is answered now."""
    with Rehearsal(api="anthropic") as server:
        provider: Any = opened(orchard(tmp_path, server)).provider("api")
        path = request_file(tmp_path, "a", **body)
        for each in (provider, provider.answering_now("api:now")):
            with pytest.raises(ProviderError, match=words):
                each.upload(path)
        assert server.log == ()


def test_an_older_version_of_the_api_takes_a_temperature(tmp_path: Path) -> None:
    with Rehearsal(api="anthropic") as server:
        write(orchard(tmp_path, server), {"models/kinds.prompt.md": PROMPT})
        with pytest.raises(ModelError, match="no longer takes `temperature`") as problem:
            opened(tmp_path).plan()
        assert "api_version: '2023-06-01'" in problem.value.hint
        root = orchard(tmp_path, server, api_version="2023-06-01")
        write(root, {"models/kinds.prompt.md": PROMPT})
        (state,) = opened(root).run()
        (now,) = opened(root).run(provider="api:now", full_refresh=True)
        assert (state.ok, now.ok, len(server.batches)) == (4, 4, 1)


def test_answers_come_now_too(tmp_path: Path) -> None:
    """Through messages, at the full price; what was answered is not asked again in a batch. A
    refusal and a cut answer are what they are in a batch."""
    with Rehearsal(api="anthropic", faults=Faults(refused=0.2, truncated=0.2), seed=1) as server:
        root = orchard(tmp_path, server, 12)
        (later,), (now,) = opened(root).plan(), opened(root).plan(provider=":now")
        assert later.estimate and now.estimate
        assert now.estimate.usd == pytest.approx(2 * (later.estimate.usd or 0))
        (state,) = opened(root).run(provider="api:now")
        assert (len(server.batches), state.rows) == (0, 12)
        assert server.sends("POST /v1/messages") >= 12
        outcomes = opened(root).sql("SELECT DISTINCT outcome FROM ledger.responses").rows
        assert {("refused",), ("truncated",)} <= set(outcomes)
        assert opened(root).plan(retry=True)[0].requests == 12 - state.ok


def test_an_llm_that_is_not_there(tmp_path: Path) -> None:
    with Rehearsal(api="anthropic", unknown_llms=["claude-0"], api_key="sk-ant-secret") as server:
        root = orchard(tmp_path, server, api_key="sk-ant-secret")
        provider: Any = opened(root).provider("api")
        assert (provider.offers("claude-0"), provider.offers(LLM)) == (False, True)
        write(
            root,
            {"project.yml": settings(server, type="anthropic", llm=LLM, api_key="no-such-key")},
        )
        with pytest.raises(ProviderError, match="answered 401") as problem:
            opened(root).run()
        assert "ANTHROPIC_API_KEY" in problem.value.hint


def test_a_document_is_made_while_it_is_sent(tmp_path: Path) -> None:
    """Its size is known before, and no piece of it grows with the file."""
    path = request_file(tmp_path, *map(str, range(3_000)), user="somebody" * 20)
    known = survey_requests(path, sampling=False)
    pieces = list(stream_document(path, "0" * 12))
    assert (known.total, known.size) == (3_000, sum(map(len, pieces)))
    assert max(map(len, pieces)) < 300_000
    document = json.loads(b"".join(pieces))
    assert document["requests"][2_999]["custom_id"] == "i000000000000-2999"


def test_without_the_sdk_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For batches; chat needs nothing."""
    for name in [name for name in sys.modules if name.split(".")[0] == "anthropic"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "anthropic", None)
    with Rehearsal(api="anthropic") as server:
        with pytest.raises(ProviderError, match="need the package anthropic") as problem:
            opened(orchard(tmp_path, server)).run()
        assert "pip install 'enrich[anthropic]'" in problem.value.hint
        (state,) = opened(orchard(tmp_path, server, api="chat")).run()
        assert state.ok == 4


def post(server: Rehearsal, path: str, document: Any, **headers: str) -> tuple[int, Any]:
    """The status and document of a call without any SDK."""
    known = {"anthropic-version": "2026-10-21", "x-api-key": "any", **headers}
    request = urllib.request.Request(
        server.base_url + path, data=json.dumps(document).encode(), headers=known
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except HTTPError as problem:
        return problem.code, json.load(problem)


def test_the_rehearsal_refuses_what_the_api_refuses() -> None:
    """At once what is wrong with an entry, and in the results what is wrong with its message."""
    good = {"model": LLM, "max_tokens": 5, "messages": [{"role": "user", "content": "a"}]}
    with Rehearsal(api="anthropic") as server:
        for ids, words in (
            (["x" * 65], "at most 64 characters"),
            (["a b"], "match pattern"),
            (["a", "a"], "duplicate"),
            ([], "at least 1 item"),
        ):
            entries = [{"custom_id": i, "params": good} for i in ids]
            status, said = post(server, "/v1/messages/batches", {"requests": entries})
            assert (status, said["type"], said["error"]["type"]) == (
                400,
                "error",
                "invalid_request_error",
            )
            assert words in said["error"]["message"]
        for wrong, words in (
            ({"max_tokens": None}, "max_tokens: Field required"),
            ({"temperature": 1.0}, "temperature: Extra inputs"),
            ({"seed": 1}, "seed: Extra inputs"),
        ):
            status, said = post(server, "/v1/messages", good | wrong)
            assert (status, words in said["error"]["message"]) == (400, True)
        assert post(server, "/v1/messages", good, **{"anthropic-version": ""})[0] == 400
        entries = [{"custom_id": "a", "params": good | {"seed": 1}}]
        status, batch = post(server, "/v1/messages/batches", {"requests": entries})
        assert (status, batch["processing_status"], batch["request_counts"]["processing"]) == (
            200,
            "in_progress",
            1,
        )
        assert post(server, "/v1/messages", good)[1]["usage"]["output_tokens"] > 0
        assert server.bill.total == 1
