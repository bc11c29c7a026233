"""The executor: a provider that answers one body at a time has batches that survive everything."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enrich.providers.executor.batches import FolderBatches, make_batch_id
from enrich.providers.executor.folder import Folder, Job
from enrich.providers.executor.launch import MOST_STARTS
from enrich.providers.executor.lock import hold_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.providers import Remote

ENDPOINT = "/v1/parrot"
WORKER = "parrot_worker"
if sys.platform == "win32":
    KILL = signal.SIGTERM  # Python ends the process at once there
else:
    KILL = signal.SIGKILL


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderBatches:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return FolderBatches(name="parrot", root=tmp_path / "parrot", worker=WORKER)


def until(done: Callable[[], Any]) -> None:
    """Wait until something is so; the deadline is there only so that a fault ends."""
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def request_file(folder: Path, said: dict[str, str]) -> Path:
    """A file of requests: custom_id, and what is to be said."""
    path = folder / "requests.jsonl"
    lines = (
        {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": {"say": words}}
        for name, words in said.items()
    )
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def job(tmp_path: Path, intent: str = "one", **settings: Any) -> Job:
    return Job(
        id=make_batch_id("parrot", intent),
        llm="parrot",
        endpoint=ENDPOINT,
        metadata={},
        created_at=0.0,
        settings={"gate": str(tmp_path / "gate"), **settings},
    )


def submit(batches: FolderBatches, tmp_path: Path, said: dict[str, str], **more: Any) -> Remote:
    file = batches.upload(request_file(tmp_path, said))
    return batches.submit(file, job(tmp_path, **more))


def ended(batches: FolderBatches, batch: Remote) -> Remote:
    until(lambda: batches.poll(batch.id).ended)
    return batches.poll(batch.id)


def answers(batches: FolderBatches, batch: Remote, path: Path) -> dict[str, Any]:
    """The bodies by custom_id, each of which is there once."""
    (file,) = batch.files
    batches.fetch(file, path / "results.jsonl")
    lines = [json.loads(line) for line in (path / "results.jsonl").read_text().splitlines()]
    found = {line["custom_id"]: line["response"]["body"] for line in lines}
    assert len(found) == len(lines)
    return found


def folder_of(batches: FolderBatches, batch: Remote) -> Folder:
    return Folder(batches.root / batch.id)


def kill(folder: Folder) -> None:
    os.kill(int((folder.path / "pid").read_text()), KILL)
    until(lambda: not folder.is_busy)


def test_a_function_that_answers_a_body_is_enough(batches: FolderBatches, tmp_path: Path) -> None:
    """A refusal is an answer; when the batch has ended, no worker is left."""
    batch = ended(batches, submit(batches, tmp_path, {"a": "hello", "b": "nothing"}))
    assert (batch.status, batch.completed, batch.failed, batch.total) == ("completed", 1, 1, 2)
    found = answers(batches, batch, tmp_path)
    assert found["a"]["choices"][0]["message"]["content"] == "hello"
    assert found["b"]["error"]["message"] == "there is nothing to say"
    until(lambda: not folder_of(batches, batch).is_busy)
    assert folder_of(batches, batch).log.read_text() == ""


def test_a_killed_worker_goes_on_where_it_was(batches: FolderBatches, tmp_path: Path) -> None:
    """Again and again, with a torn line each time: no row is there twice, and none is missing."""
    said = {"a": "hello", **{f"slow-{number}": "wait" for number in range(4)}}
    batch = submit(batches, tmp_path, said)
    folder = folder_of(batches, batch)
    for _ in range(MOST_STARTS):
        until(lambda: batches.poll(batch.id).completed == 1)
        kill(folder)
        with folder.output.open("ab") as output:
            output.write(b'{"custom_id": "slow-1", "resp')
    (tmp_path / "gate").touch()
    batch = ended(batches, batch)
    assert (batch.status, batch.completed) == ("completed", 5)
    assert answers(batches, batch, tmp_path).keys() == said.keys()


def test_a_cancelled_batch_keeps_what_was_answered(batches: FolderBatches, tmp_path: Path) -> None:
    """Rows that hang are not waited for, and no worker is left."""
    batch = submit(batches, tmp_path, {"a": "hello", "b": "wait", "c": "wait", "d": "hello"})
    until(lambda: batches.poll(batch.id).completed == 1)
    assert batches.cancel(batch.id).status == "cancelling"
    batch = ended(batches, batch)
    assert (batch.status, batch.completed, batch.total) == ("cancelled", 1, 4)
    assert answers(batches, batch, tmp_path).keys() == {"a"}
    until(lambda: not folder_of(batches, batch).is_busy)


def test_engines_that_do_not_open_fail_the_batch(batches: FolderBatches, tmp_path: Path) -> None:
    """In the words of whoever opens them."""
    batch = ended(batches, submit(batches, tmp_path, {"a": "hello"}, broken=True))
    assert (batch.status, batch.code, batch.files) == ("failed", "engine_failed", ())
    assert batch.error == "the parrot is asleep"


def test_a_batch_that_is_being_started_is_left_alone(
    batches: FolderBatches, tmp_path: Path
) -> None:
    """Two that poll at once start one worker: whoever holds `start.lock` does."""
    folder = Folder.create(batches.root, job(tmp_path), request_file(tmp_path, {"a": "hello"}))
    with hold_lock(folder.path / "start.lock") as mine:
        assert mine
        assert batches.poll(folder.path.name).status == "validating"
        assert not folder.is_busy
        assert folder.state.starts == 0
    assert ended(batches, batches.poll(folder.path.name)).completed == 1
