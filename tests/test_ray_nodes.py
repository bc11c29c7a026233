"""Ray's nodes without Ray: an actor, the server that it starts, and when its driver stops."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from enrich.providers.executor.engine import EngineFailed
from enrich.providers.executor.folder import Job
from enrich.providers.executor.requests import index_requests
from enrich.providers.executor.tally import Tally
from enrich.providers.ray.actor import ActorOutcome, RowActor
from enrich.providers.ray.engines import NodeEngines
from enrich.providers.ray.handed import ActorReport
from enrich.providers.ray.pool import RowPool
from enrich.providers.ray.server import TAIL_BYTES, ServedLlm, ServerLog
from enrich.providers.ray.shared import SharedBatch
from enrich.providers.ray.storage import open_storage
from enrich.providers.ray.work import HiddenSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enrich.providers.executor.requests import RequestLine

ENDPOINT = "/v1/chat/completions"
ANSWER = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Ray's nodes run Linux or macOS")


class Counting:
    """A chat server that answers what `decide` says of the number of a request."""

    def __init__(self) -> None:
        self.asked = 0
        self.decide: Any = lambda number: 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked += 1
                status = outer.decide(outer.asked)
                text = json.dumps(ANSWER if status == 200 else {"error": {"message": "no"}})
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def counting() -> Iterator[Counting]:
    found = Counting()
    yield found
    found.server.shutdown()
    found.server.server_close()


def make_batch(root: Path, rows: int, url: str = "") -> tuple[SharedBatch, list[RequestLine]]:
    """A batch on a storage of objects, and where its requests lie."""
    batch = SharedBatch(open_storage(url or str(root / "s")), "ray-1")
    asked: dict[str, Any] = {"method": "POST", "url": ENDPOINT, "body": {"messages": []}}
    lines = [json.dumps({"custom_id": f"{n}", **asked}).encode() + b"\n" for n in range(rows)]
    (root / "rows.jsonl").write_bytes(b"".join(lines))
    settings = {"concurrency": 2, "timeout": 5.0}
    job = Job(id="ray-1", llm="x", endpoint=ENDPOINT, metadata={}, created_at=0, settings=settings)
    batch.create(job, root / "rows.jsonl")
    return batch, list(index_requests(lines, ENDPOINT))


def test_what_was_answered_before_the_end_is_kept(tmp_path: Path, counting: Counting) -> None:
    """A storage of objects has it as well, although it is not time for an object yet."""
    pytest.importorskip("fsspec")
    counting.decide = lambda number: 200 if number <= 30 else 401
    batch, lines = make_batch(tmp_path, 60, f"file://{tmp_path}/objects")
    actor = RowActor(batch.storage.url, batch.id, batch.name_part(1, 1, 1), 60)
    actor.look(lines, last=False, stop=False)
    outcome = actor.work(HiddenSettings(url=counting.url).to_json())
    assert outcome.kind == "hopeless"
    assert "401" in outcome.words
    assert len(batch.read_answered()[0]) == 30


def test_what_an_actor_knows_of_its_server_it_keeps(tmp_path: Path, counting: Counting) -> None:
    """Twenty refusals alike end a batch at its beginning only, however often rows are handed out;
    and no row is asked alone once one was answered."""
    counting.decide = lambda number: 200 if number <= 10 else 400
    batch, lines = make_batch(tmp_path, 40)
    actor = RowActor(batch.storage.url, batch.id, batch.name_part(1, 1, 1), 40)
    actor.look(lines[:10], last=False, stop=False)
    outcomes: list[ActorOutcome] = []
    hidden = HiddenSettings(url=counting.url).to_json()
    work = Thread(target=lambda: outcomes.append(actor.work(hidden)))
    work.start()
    answered: list[str] = []
    deadline = time.monotonic() + 60
    while len(answered) < 10 and time.monotonic() < deadline:
        answered += actor.look((), last=False, stop=False).answered
    actor.look(lines[10:], last=True, stop=False)
    work.join(60)
    assert [each.kind for each in outcomes] == ["done"]
    assert len(batch.read_answered()[0]) == 40


@pytest.mark.parametrize("ends", [True, False], ids=["a while", "for ever"])
def test_a_server_that_is_away_behind_a_gateway(
    tmp_path: Path, counting: Counting, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """It is waited for, at no row's expense; but not for ever, for a row may be what ends it."""
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(f"enrich.providers.chat.engine.{name}", 0.001)
    if not ends:
        monkeypatch.setattr("enrich.providers.chat.engine.OUTAGE_SECONDS", 0.01)
    counting.decide = lambda number: 502 if number > 10 and (number < 70 or not ends) else 200
    batch, lines = make_batch(tmp_path, 20)
    actor = RowActor(batch.storage.url, batch.id, batch.name_part(1, 1, 1), 20)
    actor.look(lines, last=True, stop=False)
    outcome = actor.work(HiddenSettings(url=counting.url).to_json())
    assert outcome.kind == "done"
    tally = batch.read_answered()[1]
    assert (tally.completed, tally.failed) == ((20, 0) if ends else (10, 10))


def test_others_may_end_what_they_are_at(tmp_path: Path) -> None:
    """Where one actor says that the rest is hopeless, the answers that others wait for have been
    paid for."""
    pytest.importorskip("ray")
    from enrich.providers.ray.crew import Crew, Seat
    from enrich.providers.ray.driver import Drive
    from enrich.providers.ray.work import ActorSettings

    batch, lines = make_batch(tmp_path, 4)
    waiting = ActorReport([], Tally(), 1, ready=True, note="", grace=60.0)
    hopeless = Seat(number=1, actor=object(), outcome=ActorOutcome("hopeless", "no key"))
    busy = Seat(number=2, actor=object(), handed={"1": lines[1]}, report=waiting)
    crew = Crew(
        batch=batch,
        attempt=1,
        settings=ActorSettings(),
        hidden=HiddenSettings().to_json(),
        total=4,
        kept=Tally(),
        seats=[hopeless, busy],
    )
    drive = Drive(shared=batch, number=1, pool=RowPool.of(lines[2:], set()), crew=crew, total=4)
    assert not drive._is_over()
    assert drive.stopped_at is not None
    busy.outcome = ActorOutcome("done")
    assert drive._is_over()
    assert drive.hopeless == "no key"


@contextmanager
def start(command: str, **environment: str) -> Iterator[ServedLlm]:
    """A server, which ends as it does with its actor."""
    served = ServedLlm(command, llm="x", environment=environment)
    yield served
    process = served._process
    assert process.stdin is not None
    process.stdin.close()
    process.wait(60)
    served._log.file.close()


def fail_to_start(command: str, **environment: str) -> str:
    """What is said of a server that ends before it is ready."""
    with start(command, **environment) as served, pytest.raises(EngineFailed) as problem:
        served.await_ready(lambda: True)
    return str(problem.value)


def test_a_server_that_ends_says_why() -> None:
    """Its own last words, whatever its status, and none of Python's."""
    said = fail_to_start("sh -c 'echo cannot load $WHAT >&2; exit 3' {port}", WHAT="weights")
    assert said == "the command of `serve:` ended with status 3: cannot load weights"
    assert fail_to_start("true {port}").endswith("ended with status 0: it said nothing")
    assert "no-such-program: No such file" in fail_to_start("no-such-program {port}")


def test_a_server_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters have one for the outside, which knows nothing of this node."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    command = f"{sys.executable} -m http.server {{port}} --bind 127.0.0.1"
    patience = time.monotonic() + 60
    with start(command) as served:
        served.await_ready(lambda: time.monotonic() < patience)
        assert time.monotonic() < patience


def test_a_log_does_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is kept, which is all that is ever shown."""
    monkeypatch.setattr("enrich.providers.ray.server.LOG_BYTES", 10_000)
    log = ServerLog()
    for number in range(3_000):
        log.file.write(b"request %d\n" % number)
    log.file.flush()
    log.shorten()
    log.file.write(b"the end\n")
    log.file.flush()
    tail = log.read_tail()
    assert len(tail) <= TAIL_BYTES
    assert tail.endswith(b"request 2999\nthe end\n")
    log.file.seek(0)
    assert len(log.file.read()) < 10_000
    log.file.close()


def test_weights_that_do_not_load_are_one_sentence(tmp_path: Path) -> None:
    """As on this machine, without a file that is nowhere."""
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF")
    for path, words in ((bad, "is cut short"), (tmp_path / "none.gguf", "no such file")):
        job = Job(
            id="ray-1",
            llm="x",
            endpoint=ENDPOINT,
            metadata={},
            created_at=0,
            settings={"weights": str(path)},
        )
        node = NodeEngines(job=job, hidden=HiddenSettings(), is_wanted=Event().is_set, total=1)
        with pytest.raises(EngineFailed, match=words):
            node.open()
