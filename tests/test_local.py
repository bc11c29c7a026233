"""The local provider: the real engine with a tiny llm of random weights."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from tiny_gguf import write_llm, write_projector

from enrich.errors import DiskError, ProviderError
from enrich.providers import Limits, Provider, Remote
from enrich.providers.capabilities import answer_now
from enrich.providers.executor.folder import Folder
from enrich.providers.executor.launch import MOST_STARTS
from enrich.providers.local import LocalProvider, weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHAT = "/v1/chat/completions"
WORKER = "enrich.providers.local.worker"
if sys.platform == "win32":
    KILL = signal.SIGTERM  # Python ends the process at once there
else:
    KILL = signal.SIGKILL
renames_open_files = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows keeps a folder in its place while a file in it is open"
)
GENRES = ["crime", "comedy", "horror", "war"]
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["genre"],
    "properties": {"genre": {"type": "string", "enum": GENRES}},
}


@pytest.fixture(scope="session")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llm(tmp_path_factory.mktemp("llm") / "tiny.gguf")


@pytest.fixture(scope="session")
def projector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_projector(tmp_path_factory.mktemp("projector") / "tiny-mmproj.gguf")


@pytest.fixture
def local(tmp_path: Path, llm: Path) -> Iterator[LocalProvider]:
    """The provider; whatever worker is left afterwards is told to leave."""
    yield LocalProvider(name="local", root=tmp_path / "local", path=llm, slots=2, context=2048)
    _leave(tmp_path)


@pytest.fixture
def seeing(tmp_path: Path, llm: Path, projector: Path) -> Iterator[LocalProvider]:
    """The provider with an llm that sees."""
    yield LocalProvider(
        name="local", root=tmp_path / "local", path=llm, mmproj=projector, slots=2, context=2048
    )
    _leave(tmp_path)


def _leave(tmp_path: Path) -> None:
    folders = [Folder(job.parent) for job in (tmp_path / "local").glob("*/batch.json")]
    for folder in folders:
        folder.ask_cancel()
    until(lambda: not any(folder.is_busy for folder in folders))


def until(done: Callable[[], Any], *, seconds: float = 120) -> None:
    """Wait until something is so; the deadline is there only so that a fault ends."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def request(custom_id: str, text: str = "A film.", **body: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 8, **body}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


def genre(custom_id: str, text: str) -> dict[str, Any]:
    schema = {"name": "genre", "strict": True, "schema": SCHEMA}
    form = {"type": "json_schema", "json_schema": schema}
    return request(custom_id, text, max_tokens=100, response_format=form)


def png(red: int, green: int, blue: int) -> bytes:
    """An image of one colour."""
    rows = zlib.compress((b"\0" + bytes((red, green, blue)) * 28) * 28)
    header = struct.pack(">IIBBBBB", 28, 28, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


RED = png(255, 0, 0)


def data_url(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def caption(custom_id: str, url: str) -> dict[str, Any]:
    text = {"type": "text", "text": "What is this?"}
    image = {"type": "image_url", "image_url": {"url": url}}
    messages = [{"role": "user", "content": [text, image]}]
    return request(custom_id, messages=messages, max_tokens=12)


class Web(ThreadingHTTPServer):
    """Images at /red and /big, one that is sent when `gate` opens, at /gate, and nothing else."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.gate = Event()
        self.waiting: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Page(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        found = {"/gate": RED, "/red": RED, "/big": bytes(20_000_001)}.get(self.path)
        with suppress(ConnectionError):  # a killed worker waits no longer
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            sent = 0
            if self.path == "/gate":
                self.server.waiting.append(self.path)
                while not self.server.gate.wait(5):  # slow, but not silent
                    self.wfile.write(RED[sent : sent + 1])
                    sent += 1
            self.wfile.write((found or b"")[sent:])

    def log_message(self, *_: object) -> None:
        """Nobody listens."""


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.gate.set()
        server.shutdown()
        thread.join()


def gated(web: Web, number: int) -> list[dict[str, Any]]:
    """Four rows that are answered at once, and then those that wait for the gate."""
    slow = [caption(f"slow-{n}", f"{web.url}/gate") for n in range(number)]
    return [*(request(f"fast-{n}") for n in range(4)), *slow]


def stuck(local: LocalProvider, batch: Remote, web: Web) -> None:
    """Wait until both slots stand before the gate, and all else is known as answered."""
    until(lambda: local.poll(batch.id).completed == 4 and len(web.waiting) >= 2)


def submit(
    provider: Provider, path: Path, lines: list[dict[str, Any]], intent: str = "one"
) -> Remote:
    file = path / f"{intent}.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    file.chmod(0o600)
    return provider.submit(provider.upload(file), endpoint=CHAT, metadata={"enrich_batch": intent})


def ended(provider: Provider, batch: Remote) -> Remote:
    until(lambda: provider.poll(batch.id).ended)
    return provider.poll(batch.id)


def answers(provider: Provider, batch: Remote, path: Path) -> dict[str, Any]:
    """The ended batch's answers by custom_id; each is there once."""
    out = path / f"{batch.id}.jsonl"
    (file,) = batch.files
    provider.fetch(file, out)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    found = {line["custom_id"]: line["response"] for line in lines}
    assert len(found) == len(lines)
    return found


def answer(
    provider: Provider, path: Path, line: dict[str, Any], intent: str = "one"
) -> dict[str, Any]:
    batch = ended(provider, submit(provider, path, [line], intent))
    assert batch.status == "completed", batch
    response: dict[str, Any] = answers(provider, batch, path)[line["custom_id"]]
    return response


def folder_of(provider: LocalProvider, batch: Remote) -> Folder:
    return Folder(provider.batches.root / batch.id)


def kill(folder: Folder) -> None:
    """Kill the batch's worker as the kernel would, and wait until it is gone."""
    os.kill(int((folder.path / "pid").read_text()), KILL)
    until(lambda: not folder.is_busy)


def test_batch(local: LocalProvider, tmp_path: Path) -> None:
    """Every row is answered once, within its schema; afterwards no worker is left."""
    batch = submit(local, tmp_path, [genre(f"row-{n}", f"Film {n}") for n in range(20)])
    assert not batch.ended
    batch = ended(local, batch)
    assert (batch.status, batch.completed, batch.failed, batch.total) == ("completed", 20, 0, 20)
    found = answers(local, batch, tmp_path)
    assert set(found) == {f"row-{n}" for n in range(20)}
    for response in found.values():
        assert response["status_code"] == 200
        assert response["body"]["model"] == "tiny"
        text = response["body"]["choices"][0]["message"]["content"]
        assert json.loads(text)["genre"] in GENRES
    until(lambda: not folder_of(local, batch).is_busy)
    assert folder_of(local, batch).log.read_text() == ""


def test_files_are_private(local: LocalProvider, tmp_path: Path) -> None:
    """Whatever holds rows is its owner's alone."""
    batch = ended(local, submit(local, tmp_path, [request("a")]))
    answers(local, batch, tmp_path)
    for path in [*folder_of(local, batch).path.iterdir(), tmp_path / f"{batch.id}.jsonl"]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_submit_is_idempotent(local: LocalProvider, tmp_path: Path) -> None:
    """The same intent is one batch; it is found by its intent and by no other."""
    assert local.find("one") is None
    first = submit(local, tmp_path, [request("a")])
    assert submit(local, tmp_path, [request("a")]).id == first.id
    found = local.find("one")
    assert found
    assert found.id == first.id
    assert local.find("two") is None
    assert ended(local, first).completed == 1


def test_killed_worker(seeing: LocalProvider, tmp_path: Path, web: Web) -> None:
    """A worker killed again and again is started by the next poll, and no row is there twice."""
    batch = submit(seeing, tmp_path, gated(web, 20))
    folder = folder_of(seeing, batch)
    for _ in range(MOST_STARTS):
        stuck(seeing, batch, web)
        kill(folder)
        web.waiting.clear()
        with folder.output.open("ab") as output:
            output.write(b'{"custom_id": "slow-1", "resp')  # a line cut off by the kill
    web.gate.set()
    batch = ended(seeing, batch)
    assert (batch.status, batch.completed, batch.failed) == ("completed", 24, 0)
    found = answers(seeing, batch, tmp_path)
    assert set(found) == {line["custom_id"] for line in gated(web, 20)}


def test_one_worker_at_a_time(seeing: LocalProvider, tmp_path: Path, web: Web) -> None:
    """Polling a batch at work starts no second worker, and one started by hand leaves."""
    batch = submit(seeing, tmp_path, gated(web, 4))
    folder = folder_of(seeing, batch)
    stuck(seeing, batch, web)
    first = (folder.path / "pid").read_text()
    command = [sys.executable, "-m", WORKER, str(folder.path)]
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another worker" in again.stderr
    assert (folder.path / "pid").read_text() == first
    assert folder.state.starts == 1
    web.gate.set()
    assert ended(seeing, batch).completed == 8
    until(lambda: not folder.is_busy)
    subprocess.run(command, check=True)  # of an ended batch: there is nothing to do
    assert ended(seeing, batch).completed == 8


def test_cancel(seeing: LocalProvider, tmp_path: Path, web: Web) -> None:
    """A cancelled batch keeps what was answered; rows that hang are not waited for."""
    batch = submit(seeing, tmp_path, gated(web, 20))
    stuck(seeing, batch, web)
    assert seeing.cancel(batch.id).status == "cancelling"
    batch = ended(seeing, batch)
    assert (batch.status, batch.completed, batch.failed, batch.total) == ("cancelled", 4, 0, 24)
    assert set(answers(seeing, batch, tmp_path)) == {f"fast-{n}" for n in range(4)}
    assert seeing.cancel(batch.id) == batch
    until(lambda: not folder_of(seeing, batch).is_busy)


def test_cancel_without_worker(seeing: LocalProvider, tmp_path: Path, web: Web) -> None:
    """A batch whose worker is dead is cancelled at once."""
    batch = submit(seeing, tmp_path, gated(web, 20))
    stuck(seeing, batch, web)
    kill(folder_of(seeing, batch))
    batch = seeing.cancel(batch.id)
    assert (batch.status, batch.completed) == ("cancelled", 4)
    assert len(answers(seeing, batch, tmp_path)) == 4


@renames_open_files
def test_removed_folder(seeing: LocalProvider, tmp_path: Path, web: Web) -> None:
    """A worker does not outlive its batch's folder."""
    batch = submit(seeing, tmp_path, gated(web, 20))
    folder = folder_of(seeing, batch)
    stuck(seeing, batch, web)
    folder.path.rename(tmp_path / "gone")
    until(lambda: not Folder(tmp_path / "gone").is_busy)
    with pytest.raises(ProviderError, match="has no batch"):
        seeing.poll(batch.id)


def test_batches_take_turns(seeing: LocalProvider, tmp_path: Path, web: Web) -> None:
    """Of several batches the oldest is answered first; a waiting one can be cancelled."""
    first = submit(seeing, tmp_path, gated(web, 4), "first")
    stuck(seeing, first, web)
    second = submit(seeing, tmp_path, [request(f"row-{n}") for n in range(4)], "second")
    third = submit(seeing, tmp_path, [request("row")], "third")
    seeing.cancel(third.id)
    third = ended(seeing, third)
    assert (third.status, third.files) == ("cancelled", ())
    until(lambda: seeing.poll(second.id).total == 4)
    assert seeing.poll(second.id).status == "validating"
    web.gate.set()
    assert ended(seeing, second).completed == 4
    assert seeing.poll(first.id).status == "completed"


@renames_open_files
def test_removed_folder_of_a_batch_that_waits(
    seeing: LocalProvider, tmp_path: Path, web: Web
) -> None:
    """Its worker leaves too, and the batch before it goes on."""
    first = submit(seeing, tmp_path, gated(web, 4), "first")
    stuck(seeing, first, web)
    second = folder_of(seeing, submit(seeing, tmp_path, [request("row")], "second"))
    second.path.rename(tmp_path / "gone")
    until(lambda: not Folder(tmp_path / "gone").is_busy)
    web.gate.set()
    assert ended(seeing, first).completed == 8


def test_worker_that_cannot_start(
    local: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch whose worker dies each time fails, with a reason, instead of starting for ever."""
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    batch = submit(local, tmp_path, [request("a")])
    for _ in range(MOST_STARTS):
        assert not batch.ended
        batch = local.poll(batch.id)
    assert (batch.status, batch.code) == ("failed", "engine_failed")
    assert "died 3 times" in batch.error
    with pytest.raises(ProviderError, match="the engine died"):
        now(local, tmp_path, request("a"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (request("a", messages=[]), "`messages` is empty"),
        (request("a", "long " * 2000), "exceeds the available context"),
        (request("a", temperature="hot"), "temperature"),
        (request("a", messages=["nonsense"]), "content"),
        (
            request(
                "a",
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "nonsense"}},
                },
            ),
            "nonsense",
        ),
    ],
)
def test_row_that_fails(
    local: LocalProvider, tmp_path: Path, line: dict[str, Any], words: str
) -> None:
    """Whether the engine returns an error or raises one, it is a row with an answer."""
    response = answer(local, tmp_path, line)
    assert response["status_code"] == 400
    assert words in response["body"]["error"]["message"]


def test_other_endpoint(local: LocalProvider, tmp_path: Path) -> None:
    """Rows for another endpoint are answered by what is spoken here."""
    line = {**request("a"), "url": "/v1/responses"}
    file = tmp_path / "responses.jsonl"
    file.write_text(json.dumps(line) + "\n")
    batch = ended(local, local.submit(str(file), endpoint="/v1/responses", metadata={}))
    assert batch.failed == 1
    error = answers(local, batch, tmp_path)["a"]["body"]["error"]
    assert "only answers /v1/chat/completions" in error["message"]
    with pytest.raises(ProviderError, match="only answers /v1/chat/completions"):
        local.check(images=False, endpoint="/v1/responses")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty_file"),
        ("nonsense\n", "invalid_json_line"),
        ("[]\n", "invalid_json_line"),
        (json.dumps({**request("a"), "custom_id": 1}), "missing_required_parameter"),
        (json.dumps({**request("a"), "method": "GET"}), "invalid_method"),
        (json.dumps({**request("a"), "url": "/v1/other"}), "invalid_url"),
        (json.dumps({**request("a"), "body": None}), "missing_required_parameter"),
        (json.dumps(request("a", stream=True)), "streaming_unsupported"),
        (f"{json.dumps(request('a'))}\n" * 2, "duplicate_custom_id"),
    ],
)
def test_file_that_is_refused(local: LocalProvider, tmp_path: Path, text: str, code: str) -> None:
    """A file the Batch API would refuse fails as a whole, with its code; nothing is answered."""
    file = tmp_path / "bad.jsonl"
    file.write_text(text)
    batch = ended(local, local.submit(str(file), endpoint=CHAT, metadata={}))
    assert (batch.status, batch.code, batch.files) == ("failed", code, ())


def test_repeat_may_differ(local: LocalProvider, tmp_path: Path) -> None:
    """The first attempt is greedy and repeatable; a later one has a seed and a temperature."""
    texts = []
    for intent, attempt in (("one", "1"), ("two", "1"), ("three", "2")):
        file = tmp_path / f"{intent}.jsonl"
        file.write_text(json.dumps(request("a", max_tokens=40)) + "\n")
        metadata = {"enrich_batch": intent, "attempt": attempt}
        batch = ended(local, local.submit(str(file), endpoint=CHAT, metadata=metadata))
        body = answers(local, batch, tmp_path)["a"]["body"]
        texts.append(body["choices"][0]["message"]["content"])
    assert texts[0] == texts[1] != texts[2]


EMPTY: dict[str, Any] = {"body": {"messages": []}}


def now(local: LocalProvider, folder: Path, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """The responses to some requests that are answered now, in the requests' order."""
    asked, results = folder / "asked.jsonl", folder / "results.jsonl"
    asked.write_text("".join(f"{json.dumps(line)}\n" for line in requests))
    answer_now(local, asked, results)
    found = [json.loads(line) for line in results.read_text().splitlines()]
    said = {line["custom_id"]: line["response"] for line in found}
    return [said[line["custom_id"]] for line in requests]


def test_complete(seeing: LocalProvider, tmp_path: Path, web: Web) -> None:
    """Requests are answered now, though a batch is under way; nothing is left of it."""
    batch = submit(seeing, tmp_path, gated(web, 4))
    stuck(seeing, batch, web)
    response, bad = now(seeing, tmp_path, genre("a", "A film."), request("b") | EMPTY)
    assert response["status_code"] == 200
    assert json.loads(response["body"]["choices"][0]["message"]["content"])["genre"] in GENRES
    assert bad["status_code"] == 400
    assert seeing.poll(batch.id).completed == 4


# the weights


def provider(tmp_path: Path, **settings: Any) -> LocalProvider:
    return LocalProvider(name="local", root=tmp_path / "local", slots=1, context=512, **settings)


@pytest.mark.parametrize(
    ("size", "words"), [(None, "no such file"), (0, "cut short"), (200, "cut short")]
)
def test_missing_or_truncated_weights(
    tmp_path: Path, llm: Path, size: int | None, words: str
) -> None:
    """Weights that are not there, or not whole, are refused before anything is started."""
    path = tmp_path / "some.gguf"
    if size is not None:
        path.write_bytes(llm.read_bytes()[: size or -40_000])
    with pytest.raises(ProviderError, match=words):
        provider(tmp_path, path=path).check(images=False)


def test_foreign_weights(tmp_path: Path) -> None:
    """A file of another kind is no GGUF."""
    path = tmp_path / "some.gguf"
    path.write_bytes(b"PK\x03\x04" + bytes(5000))
    with pytest.raises(ProviderError, match="not a GGUF"):
        provider(tmp_path, path=path).check(images=False)


def test_corrupt_weights(tmp_path: Path, llm: Path) -> None:
    """What only the engine can see fails the batch, and says why."""
    path = tmp_path / "some.gguf"
    path.write_bytes(llm.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight"))
    local = provider(tmp_path, path=path)
    local.check(images=False)
    batch = ended(local, submit(local, tmp_path, [request("a")]))
    assert (batch.status, batch.code) == ("failed", "engine_failed")
    until(lambda: not folder_of(local, batch).is_busy)
    assert "attn_q.weight" in folder_of(local, batch).log.read_text()
    with pytest.raises(ProviderError, match=r"cannot load .*some\.gguf"):
        now(local, tmp_path, request("a"))


def test_identity(tmp_path: Path, llm: Path, projector: Path) -> None:
    """Other weights are another identity; the same elsewhere are not; nor are slots."""
    copy = tmp_path / "copy.gguf"
    shutil.copy(llm, copy)
    other = tmp_path / "other.gguf"
    other.write_bytes(llm.read_bytes()[:-1] + b"\x01")
    same = {provider(tmp_path, path=path).identity for path in (llm, copy)}
    assert len(same) == 1
    assert provider(tmp_path, path=other).identity not in same
    assert provider(tmp_path, path=llm, mmproj=projector).identity not in same
    assert provider(tmp_path, path=copy).llm == "copy"


@pytest.mark.parametrize(
    "settings",
    [
        {"path": Path("a.gguf"), "hf": "a/b:Q4_0"},
        {"mmproj": Path("a.gguf")},
        {"slots": 0},
        {"context": 10},
        {"threads": 0},
    ],
)
def test_misuse(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Settings that do not go together are refused with a hint, before a file is looked at."""
    with pytest.raises(ProviderError) as caught:
        LocalProvider(name="local", root=tmp_path, **settings)
    assert caught.value.hint


def test_missing_files(local: LocalProvider, tmp_path: Path) -> None:
    """What the file system says is told as enrich's own error."""
    with pytest.raises(DiskError, match=r"no\.jsonl"):
        local.upload(tmp_path / "no.jsonl")
    with pytest.raises(DiskError, match=r"no\.jsonl"):
        local.submit(str(tmp_path / "no.jsonl"), endpoint=CHAT, metadata={})
    for name in ("nobody", "../local", ""):
        with pytest.raises(ProviderError, match="has no batch"):
            local.poll(name)


def test_imports() -> None:
    """The provider comes without the engine: only a worker loads it."""
    code = "import sys, enrich.providers.local as _; print('xllamacpp' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"False\n"


# images


def test_images(seeing: LocalProvider, tmp_path: Path, web: Web) -> None:
    """The answer depends on the image, wherever it comes from; a bad image is a bad row."""
    seeing.check(images=True)
    urls = {
        "red": data_url(RED),
        "green": data_url(png(0, 255, 0)),
        "web": f"{web.url}/red",
        "gone": f"{web.url}/blue",
        "big": f"{web.url}/big",
        "nobody": "http://127.0.0.1:9/",
        "nonsense": data_url(b"nonsense"),
        "file": "file:///etc/hostname",
    }
    batch = submit(seeing, tmp_path, [caption(name, url) for name, url in urls.items()])
    found = answers(seeing, ended(seeing, batch), tmp_path)
    texts = {
        name: response["body"]["choices"][0]["message"]["content"]
        for name, response in found.items()
        if response["status_code"] == 200
    }
    assert texts.keys() == {"red", "green", "web"}
    assert texts["red"] == texts["web"] != texts["green"]
    errors = {name: found[name]["body"]["error"]["message"] for name in found.keys() - texts.keys()}
    assert "larger than 20 MB" in errors["big"]
    assert "404" in errors["gone"]
    assert {found[name]["status_code"] for name in errors} == {400}


def test_images_without_projector(local: LocalProvider, tmp_path: Path) -> None:
    """An llm that cannot see says so before it is asked, and in the row if it is asked."""
    with pytest.raises(ProviderError, match="local's llm cannot see images"):
        local.check(images=True)
    response = answer(local, tmp_path, caption("a", data_url(png(1, 2, 3))))
    assert response["status_code"] == 400
    assert "mmproj" in response["body"]["error"]["message"]


# the bundled llm


def test_bundled(tmp_path: Path) -> None:
    """SmolLM2 answers within its schema, and says what it is good for."""
    try:
        weights.find_bundled()
    except ProviderError as error:
        pytest.skip(f"{error}: {error.hint}")
    local = LocalProvider(name="local", root=tmp_path / "local", limits=Limits())
    local.check(images=False)
    assert local.llm == "smollm2-135m-instruct"
    assert "its answers are poor" in local.notice
    response = answer(local, tmp_path, genre("a", "Classify: a mafia family saga."))
    assert json.loads(response["body"]["choices"][0]["message"]["content"])["genre"] in GENRES


def test_a_text_ends_where_its_column_does(local: LocalProvider, tmp_path: Path) -> None:
    """The grammar keeps to what the schema says in words; a random llm would never end."""
    text = {"type": ["string", "null"], "description": "a word; at most 20 characters"}
    schema = {
        "type": "object",
        "properties": {"word": text},
        "required": ["word"],
        "additionalProperties": False,
    }
    shape = {"name": "word", "strict": True, "schema": schema}
    form = {"type": "json_schema", "json_schema": shape}
    line = request("1", max_tokens=400, response_format=form)
    choice = answer(local, tmp_path, line)["body"]["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert "word" in json.loads(choice["message"]["content"])
