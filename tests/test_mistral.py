"""Mistral's jobs: what is their own; the contract is kept in test_contract.py."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import opened, plants, settings, write

from enrich import cli
from enrich.errors import ProjectError, ProviderError
from enrich.rehearsal import Faults, Quirks, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

CREATE, POLL = "POST /v1/batch/jobs", "GET /v1/batch/jobs/{id}"
LLM = "mistral-small-latest"
MISTRAL = {"type": "mistral", "llm": LLM}


def orchard(root: Path, server: Rehearsal, rows: int = 4, **more: Any) -> Path:
    """A project of so many plants that asks Mistral."""
    plants(root, server, **MISTRAL, **more)
    listed = "".join(f"{number},plant {number},\n" for number in range(rows))
    write(root, {"seeds/plants.csv": f"id,name,note\n{listed}"})
    return root


def request_file(folder: Path, *ids: str, llms: tuple[str, ...] = (LLM,)) -> Path:
    path = folder / "batch-1.jsonl"
    lines = [
        {
            "custom_id": custom_id,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": llms[number % len(llms)],
                "messages": [{"role": "user", "content": f"Grüße {number}"}],
            },
        }
        for number, custom_id in enumerate(ids)
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("step", "quirks"),
    [("lost", Quirks()), ("stall", Quirks(no_metadata=True)), (500, Quirks())],
    ids=["lost", "stall, no metadata", "500"],
)
def test_a_create_is_sent_once(tmp_path: Path, quirks: Quirks, step: Any) -> None:
    """Whatever becomes of its answer, a job that was created is adopted; after a 500 it is looked
    for, and created once more only because it is not there."""
    with Rehearsal(api="mistral", quirks=quirks, hang=0.2) as server:
        server.script(CREATE, [step])
        (state,) = opened(orchard(tmp_path, server)).run()
        assert (state.ok, len(server.batches), server.bill.repeated) == (4, 1, {})
        assert server.sends(CREATE) == (2 if step == 500 else 1)
        assert server.sends("GET /v1/batch/jobs") >= 1


def test_a_job_on_a_later_page_is_found(tmp_path: Path) -> None:
    """The list is read to its end, also if a page holds fewer jobs than were asked for."""
    with Rehearsal(api="mistral") as server:
        project = opened(orchard(tmp_path, server))
        server.script(CREATE, ["lost"])
        project.run(detach=True)
        provider = project.provider("api")
        file = server.batches[0]["input_file_id"]
        for _ in range(101):
            provider.submit(file, endpoint="/v1/chat/completions", metadata={"somebody": "else"})
        (state,) = project.run()
        assert (state.ok, len(server.batches), server.bill.repeated) == (4, 102, {})


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
    with Rehearsal(api="mistral", faults=faults, seed=3) as server:
        root = orchard(tmp_path, server, 45, max_requests=15)
        for _ in range(6):  # a job that somebody cancels stops its run
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
    """Rows without a line were not answered: they are asked again, and the others are not."""
    hit: Any = {fault: (0,)}
    with Rehearsal(api="mistral", faults=Faults(**hit)) as server:
        for _ in range(2):  # a job that somebody cancels stops its run
            (state,) = opened(orchard(tmp_path, server)).run()
        assert (state.ok, len(server.batches), server.bill.total) == (4, 2, 4)
        statuses = "SELECT status FROM ledger.batches WHERE run > 0 ORDER BY intended_at"
        said = [row[0] for row in opened(tmp_path).sql(statuses).rows]
        assert said == [fault.removeprefix("batch_"), "completed"]


def test_a_job_that_fails_says_why(tmp_path: Path) -> None:
    with Rehearsal(api="mistral", unknown_llms=[LLM]) as server:
        (state,) = opened(orchard(tmp_path, server)).run()
        assert state.failure.startswith(f"Invalid model: {LLM}")
        assert server.bill.total == 0


def test_a_job_that_is_being_cancelled_is_waited_for(tmp_path: Path) -> None:
    """CANCELLATION_REQUESTED has not ended, and cancelling again changes nothing."""
    with Rehearsal(api="mistral") as server:
        provider = opened(orchard(tmp_path, server)).provider("api")
        file = provider.upload(request_file(tmp_path, "a", "b"))
        remote = provider.submit(file, endpoint="/v1/chat/completions", metadata={})
        assert remote.status == "validating"
        for _ in range(2):
            remote = provider.cancel(remote.id)
            assert (remote.status, remote.ended) == ("cancelling", False)
        assert provider.poll(remote.id).status == "cancelled"
        assert provider.cancel(remote.id).status == "cancelled"


def test_lines_and_their_llm(tmp_path: Path) -> None:
    """A line has a custom_id and a body; whoever submits the file finds its llm in it."""
    with Rehearsal(api="mistral") as server:
        provider = opened(orchard(tmp_path, server)).provider("api")
        file = provider.upload(request_file(tmp_path, "a", "b", llms=("mistral-tiny",)))
        provider.fetch(file, tmp_path / "sent.jsonl")
        lines = read_lines(tmp_path / "sent.jsonl")
        assert [sorted(line) for line in lines] == [["body", "custom_id"]] * 2
        assert lines[0]["body"]["messages"][0]["content"] == "Grüße 0"
        assert list(tmp_path.glob("mistral-*")) == []
        another = opened(tmp_path).provider("api")
        remote = another.submit(file, endpoint="/v1/chat/completions", metadata={})
        while not remote.ended:
            remote = another.poll(remote.id)
        another.fetch(remote.files[0], tmp_path / "got.jsonl")
        got = read_lines(tmp_path / "got.jsonl")
        assert {line["response"]["body"]["model"] for line in got} == {"mistral-tiny"}


@pytest.mark.parametrize(
    ("ids", "llms", "words"),
    [(("a", "b", "a"), (LLM,), "line 3 .* custom_id"), (("a", "b"), (LLM, "x"), "another llm")],
)
def test_a_file_that_mistral_would_take_is_refused(
    tmp_path: Path, ids: tuple[str, ...], llms: tuple[str, ...], words: str
) -> None:
    """It does not mind if a custom_id occurs twice, and a job has one llm: nothing is sent."""
    with Rehearsal(api="mistral") as server:
        provider = opened(orchard(tmp_path, server)).provider("api")
        with pytest.raises(ProviderError, match=words):
            provider.upload(request_file(tmp_path, *ids, llms=llms))
        assert server.log == ()


def test_what_was_answered_through_chat_is_not_asked_again(tmp_path: Path) -> None:
    """The two ways answer the same requests, and only one of them needs the SDK."""
    with Rehearsal(api="mistral") as server:
        root = orchard(tmp_path, server, api="chat")
        (state,) = opened(root).run()
        assert (state.ok, server.sends(CREATE), server.bill.total) == (4, 0, 4)
        write(root, {"project.yml": settings(server, **MISTRAL)})
        assert opened(root).plan()[0].requests == 0
        (now,) = opened(root).plan(provider=":now", full_refresh=True)
        (later,) = opened(root).plan(full_refresh=True)
        assert now.estimate and later.estimate
        assert now.estimate.usd == pytest.approx(2 * (later.estimate.usd or 0))


def test_without_the_sdk_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For batches; chat needs nothing."""
    for name in [name for name in sys.modules if name.split(".")[0] == "mistralai"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mistralai", None)
    with Rehearsal(api="mistral") as server:
        root = orchard(tmp_path, server)
        found = CliRunner().invoke(cli.main, ["--project", str(root), "run"])
        assert found.exit_code == 1
        assert "batches at Mistral need the package mistralai" in found.stderr
        assert "pip install 'enrich[mistral]'" in found.stderr
        assert server.uploads == []
        write(root, {"project.yml": settings(server, **MISTRAL, api="chat")})
        assert opened(root).run()[0].ok == 4


def test_the_key_stays_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In what the server repeats, and in the log of the SDK."""
    monkeypatch.setenv("MISTRAL_DEBUG", "true")
    caplog.set_level(logging.DEBUG)
    with Rehearsal(api="mistral") as server:
        root = orchard(tmp_path, server)
        server.script(CREATE, [(400, {"message": "no sk-rehearsal-secret here"})])
        with pytest.raises(ProviderError, match=r"answered 400: no \*\*\* here"):
            opened(root).run()
        (state,) = opened(root).run()
        assert (state.ok, len(server.uploads)) == (4, 1)
    assert "sk-rehearsal-secret" not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [b"<html>", {"id": "x"}, {"id": "../x", "status": "QUEUED"}, []],
    ids=["HTML", "a stub", "no id", "a list"],
)
def test_an_answer_of_another_shape_is_no_job(tmp_path: Path, answer: Any) -> None:
    """A create that is answered so may have worked: it is looked up. A poll is made again."""
    with Rehearsal(api="mistral") as server:
        server.script(CREATE, [(200, answer)])
        server.script(POLL, [(200, answer), (503, answer)])
        (state,) = opened(orchard(tmp_path, server)).run()
        assert (state.ok, len(server.batches)) == (4, 1)


def test_settings(tmp_path: Path) -> None:
    """A job may take a week; what only OpenAI has is unknown."""
    with Rehearsal(api="mistral") as server:
        root = orchard(tmp_path, server, timeout_hours=169)
        with pytest.raises(ProjectError, match="timeout_hours"):
            opened(root).provider("api")
        write(root, {"project.yml": settings(server, **MISTRAL, organization="x")})
        with pytest.raises(ProjectError, match="organization"):
            opened(root).provider("api")
        write(root, {"project.yml": settings(server, **MISTRAL, api="auto", timeout_hours=168)})
        assert opened(root).run()[0].ok == 4
        provider: Any = opened(root).provider("api")
        assert (provider.offers(LLM), provider.identity) == (True, f"openai:{server.base_url}")
