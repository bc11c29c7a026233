"""Gemini's batches: what is their own; the contract is kept in test_contract.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from folders import opened, plants, settings, write

from enrich.errors import ProjectError, ProviderError, Unavailable
from enrich.rehearsal import Faults, Quirks, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

CREATE, POLL = "POST /v1beta/openai/batches", "GET /v1beta/openai/batches/{id}"
START, UPLOAD = "POST /upload/v1beta/files", "POST /upload/v1beta/files?upload_id={id}"
DOWNLOAD = "GET /download/v1beta/files/{id}:download"
LLM = "gemini-2.5-flash"
GEMINI = {"type": "gemini", "llm": LLM}
ENDPOINT = "/v1/chat/completions"


def orangery(root: Path, server: Rehearsal, rows: int = 4, **more: Any) -> Path:
    """A project of so many plants that asks Gemini."""
    plants(root, server, **GEMINI, **more)
    listed = "".join(f"{number},plant {number},\n" for number in range(rows))
    write(root, {"seeds/plants.csv": f"id,name,note\n{listed}"})
    return root


def request_file(folder: Path, *ids: str) -> Path:
    path = folder / "batch-1.jsonl"
    body = {"model": LLM, "messages": [{"role": "user", "content": "Grüße"}]}
    lines = [{"custom_id": i, "method": "POST", "url": ENDPOINT, "body": body} for i in ids]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("step", ["lost", "stall", 500])
def test_a_create_is_sent_once(tmp_path: Path, step: Any) -> None:
    """A batch that was created is found by its input file, for the API keeps no metadata."""
    with Rehearsal(api="gemini", hang=0.2) as server:
        server.script(CREATE, [step])
        (state,) = opened(orangery(tmp_path, server)).run()
        assert (state.ok, len(server.batches), server.bill.repeated) == (4, 1, {})
        assert server.sends(CREATE) == (2 if step == 500 else 1)


@pytest.mark.few(0)
def test_without_a_list_that_names_files_nothing_is_sent_twice(tmp_path: Path) -> None:
    """A server without a list, and one whose list does not say what batches were created from:
    enrich stops, says so, and leaves it to people."""
    listed = "GET /v1beta/openai/batches"
    with Rehearsal(api="gemini", quirks=Quirks(no_list=True)) as server:
        root = orangery(tmp_path, server)
        server.script(CREATE, ["lost"])
        words = "may have been created, but it cannot be looked up"
        with pytest.raises(ProviderError, match=words):
            opened(root).run()
        batch = {"id": "batches/x", "status": "completed"}
        nameless = {"object": "list", "data": [batch], "has_more": False}
        server.script(listed, [(200, nameless)] * 2)
        with pytest.raises(ProviderError, match="does not say which files"):
            opened(root).run()
        assert (server.sends(CREATE), len(server.batches)) == (1, 1)
        opened(root).cancel(forget=True)
        assert opened(root).run()[0].ok == 4


@pytest.mark.parametrize(("route", "step"), [(UPLOAD, "lost"), (UPLOAD, "reset"), (START, 500)])
def test_an_upload_is_there_once(tmp_path: Path, route: str, step: Any) -> None:
    """One whose answer was lost is found by its display name; another is made again."""
    with Rehearsal(api="gemini") as server:
        server.script(route, [step])
        (state,) = opened(orangery(tmp_path, server)).run()
        assert (state.ok, len(server.uploads), server.sends(CREATE)) == (4, 1, 1)
        assert server.sends(START) == (1 if step == "lost" else 2)


@pytest.mark.few(0)
def test_every_row_has_one_outcome(tmp_path: Path) -> None:
    """With faults of every kind, and answers in any order: what was answered well is paid once."""
    faults = Faults(
        dropped=0.05,
        doubled=0.05,
        http_400=0.05,
        http_429=0.05,
        http_500=0.05,
        truncated=0.05,
        malformed=0.05,
        off_schema=0.05,
        call_429=0.02,
        call_500=0.02,
        create_lost=0.2,
        download_cut=0.2,
        batch_expired=(1,),
        batch_cancelled=(2,),
        batch_late_files=0.5,
    )
    quirks = Quirks(pending_files=1)
    with Rehearsal(api="gemini", faults=faults, quirks=quirks, seed=5) as server:
        root = orangery(tmp_path, server, 45, max_requests=15)
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


def test_files_have_names_pages_and_an_end(tmp_path: Path) -> None:
    """Those of a name are listed over all pages, newest first; rows go to the server that was
    asked, whatever address it says; one that Google has deleted is gone."""
    with Rehearsal(api="gemini") as server:
        provider: Any = opened(orangery(tmp_path, server)).provider("api")
        path = request_file(tmp_path, "a", "b")
        sent = [provider.upload(path) for _ in range(103)]
        assert sent[0].startswith("files/")
        assert set(provider.uploaded("batch-1.jsonl")) == set(sent)
        assert server.sends("GET /v1beta/files") == 2
        provider.fetch(sent[0], tmp_path / "sent.jsonl")
        assert (tmp_path / "sent.jsonl").read_bytes() == path.read_bytes()
        provider.discard(sent[0])
        provider.discard(sent[0])
        with pytest.raises(ProviderError, match="no longer has the result file") as problem:
            provider.fetch(sent[0], tmp_path / "gone.jsonl")
        assert "48 hours" in problem.value.hint
        assert not (tmp_path / "gone.jsonl").exists()


def test_a_file_is_waited_for(tmp_path: Path) -> None:
    """While it says PROCESSING; a download that breaks off is made again."""
    with Rehearsal(api="gemini", quirks=Quirks(pending_files=3)) as server:
        server.script(DOWNLOAD, ["cut", 503])
        (state,) = opened(orangery(tmp_path, server)).run()
        assert (state.ok, server.sends(CREATE), server.sends(DOWNLOAD)) == (4, 1, 3)


def test_a_batch_is_asked_for_as_google_wants_it(tmp_path: Path) -> None:
    """Without metadata; a status that is nobody's is kept, and has not ended."""
    with Rehearsal(api="gemini", quirks=Quirks(unknown_status=True)) as server:
        provider = opened(orangery(tmp_path, server)).provider("api")
        file = provider.upload(request_file(tmp_path, "a", "b"))
        remote = provider.submit(file, endpoint=ENDPOINT, metadata={"enrich_batch": "one"})
        assert remote.id.startswith("batches/")
        remote = provider.poll(remote.id)
        assert (remote.status, remote.ended) == ("queued", False)
        remote = provider.cancel(remote.id)
        assert (remote.status, remote.ended) == ("cancelling", False)
        assert provider.poll(remote.id).status == "cancelled"


def test_answers_through_chat_stay_as_they_are(tmp_path: Path) -> None:
    """What was answered one way is not asked again the other way; batches cost half."""
    with Rehearsal(api="gemini") as server:
        root = orangery(tmp_path, server, api="chat")
        (state,) = opened(root).run()
        assert (state.ok, server.sends(CREATE), server.bill.total) == (4, 0, 4)
        write(root, {"project.yml": settings(server, **GEMINI)})
        assert opened(root).plan()[0].requests == 0
        (now,) = opened(root).plan(provider=":now", full_refresh=True)
        (later,) = opened(root).plan(full_refresh=True)
        assert now.estimate and later.estimate
        assert now.estimate.usd == pytest.approx(2 * (later.estimate.usd or 0))


def test_the_key_stays_secret(tmp_path: Path) -> None:
    """In what the server repeats; the key goes in Google's header, never in an address."""
    secret = "sk-rehearsal-secret"
    with Rehearsal(api="gemini", api_key=secret) as server:
        root = orangery(tmp_path, server)
        said = {"error": {"code": 400, "message": f"no {secret} here", "status": "INVALID"}}
        server.script(START, [(400, said)])
        with pytest.raises(ProviderError, match=r"answered 400: no \*\*\* here"):
            opened(root).run()
        (state,) = opened(root).run()
        assert (state.ok, len(server.uploads)) == (4, 1)
        assert secret not in str(server.log)
    with Rehearsal(api="gemini", api_key="another") as server:
        provider = opened(orangery(tmp_path / "b", server)).provider("api")
        with pytest.raises(ProviderError, match="answered 403"):
            provider.upload(request_file(tmp_path, "a"))


@pytest.mark.parametrize("answer", [b"<html>", {}, {"file": {"name": "../x"}}, []], ids=str)
def test_an_answer_of_another_shape_is_no_file(tmp_path: Path, answer: Any) -> None:
    with Rehearsal(api="gemini") as server:
        provider = opened(orangery(tmp_path, server)).provider("api")
        for route in (START, UPLOAD):
            server.script(route, [(200, answer)])
            with pytest.raises(Unavailable, match="cannot be read"):
                provider.upload(request_file(tmp_path, "a"))


def test_settings(tmp_path: Path) -> None:
    """What only OpenAI has is unknown; `auto` is batch."""
    with Rehearsal(api="gemini") as server:
        root = orangery(tmp_path, server, organization="x")
        with pytest.raises(ProjectError, match="organization"):
            opened(root).provider("api")
        write(root, {"project.yml": settings(server, **GEMINI, api="auto")})
        assert opened(root).run()[0].ok == 4
        provider: Any = opened(root).provider("api")
        assert (len(server.batches), provider.offers(LLM)) == (1, True)
        assert provider.identity == f"openai:{server.base_url}"
