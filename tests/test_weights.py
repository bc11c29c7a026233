"""Weights: files of the user's, of a package, and of the Hugging Face hub."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.errors import ProviderError
from enrich.providers.local import hub as hugging_face
from enrich.providers.local import weights

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = "somebody/tiny-GGUF"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def gguf(*, tensors: int = 1, data: int = 64, alignment: int = 32) -> bytes:
    """A GGUF of some metadata of each shape, and tensors of 32 bytes each."""

    def text(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    pairs = [
        text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama"),
        text(b"general.alignment") + struct.pack("<II", 4, alignment),
        text(b"words") + struct.pack("<IIQ", 9, 8, 2) + text(b"a") + text(b"b"),
        text(b"scores") + struct.pack("<IIQ2f", 9, 6, 2, 0.5, 0.5),
        text(b"flag") + struct.pack("<IB", 7, 1),
    ]
    names = [text(b"tensor-%d" % n) + struct.pack("<IQIQ", 1, 8, 0, n * 32) for n in range(tensors)]
    head = b"GGUF" + struct.pack("<IQQ", 3, tensors, len(pairs)) + b"".join(pairs + names)
    return head + bytes(-len(head) % alignment) + bytes(data)


def test_check(tmp_path: Path) -> None:
    """A whole GGUF passes; one whose last tensor is not there does not."""
    path = tmp_path / "a.gguf"
    for alignment in (32, 64):
        path.write_bytes(gguf(tensors=2, data=64, alignment=alignment))
        weights.check_gguf(path)
        path.write_bytes(gguf(tensors=2, data=32, alignment=alignment))
        with pytest.raises(ProviderError, match="cut short"):
            weights.check_gguf(path)


@given(st.data())
def test_check_never_breaks(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever the bytes, a file is taken or refused with a hint."""
    path = tmp_path_factory.getbasetemp() / "drawn.gguf"
    whole = bytearray(gguf())
    where = data.draw(st.integers(0, len(whole) - 8))
    whole[where : where + 8] = data.draw(st.binary(min_size=8, max_size=8))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        weights.check_gguf(path)
    except ProviderError as error:
        assert error.hint


def test_digest(tmp_path: Path) -> None:
    """A digest depends on a file's size, beginning and end, and on the order of files."""
    first, second = tmp_path / "a.gguf", tmp_path / "b.gguf"
    first.write_bytes(gguf(data=64))
    second.write_bytes(gguf(data=65))
    digests = {
        weights.digest_files(files)
        for files in ([first], [second], [first, second], [second, first], [first, first])
    }
    assert len(digests) == 5


def test_home() -> None:
    """`~` is somebody's home."""
    assert weights.make_absolute(Path("~/a.gguf")) == Path.home() / "a.gguf"
    with pytest.raises(ProviderError, match="home folder does not exist"):
        weights.make_absolute(Path("~nobody-of-that-name/a.gguf"))


def test_bundled(tmp_path: Path) -> None:
    """The bundled llm is the published one, byte for byte."""
    try:
        path = weights.find_bundled()
    except ProviderError as error:
        pytest.skip(f"{error}: {error.hint}")
    weights.verify_bundled(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == weights.BUNDLED_SHA256
    (tmp_path / "other.gguf").write_bytes(gguf())
    with pytest.raises(ProviderError, match="damaged"):
        weights.verify_bundled(tmp_path / "other.gguf")


class Hub(ThreadingHTTPServer):
    """A hub with one repository, in the words of its HTTP API."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Route)
        self.files = {
            "README.md": b"# tiny",
            "tiny-Q4_K_M.gguf": gguf(data=64),
            "tiny-Q4_K_S.gguf": gguf(data=65),
            "tiny-f16.gguf": gguf(data=66),
            "mmproj-f16.gguf": gguf(data=67),
        }
        self.broken = ""
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def listing(self) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for name, data in self.files.items():
            sha = hashlib.sha256(data if name != self.broken else b"something else").hexdigest()
            file: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": sha[:40]}
            if name.endswith(".gguf"):
                file["lfs"] = {"sha256": sha, "size": len(data), "pointerSize": 130}
            siblings.append(file)
        return {"_id": "1", "id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": siblings}


class Route(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if path == f"/api/models/{REPO}":
            self._send(200, json.dumps(self.server.listing()).encode())
        elif path.startswith(f"/{REPO}/resolve/main/"):
            data = self.server.files[path.rpartition("/")[2]]
            self._send(200, data, ETag=f'"{hashlib.sha256(data).hexdigest()}"')
        elif path.startswith("/api/models/closed/"):
            self._send(503, b"{}")
        else:
            self._send(404, b"{}", **{"X-Error-Code": "RepoNotFound"})

    def _send(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Repo-Commit", COMMIT)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nobody listens."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(home: Path, spec: str, url: str, **environment: str) -> str:
    """What the hub has, asked in a process of its own: huggingface_hub reads its settings once."""
    code = (
        "import sys\n"
        "from enrich.errors import EnrichError\n"
        "from enrich.providers.local import hub\n"
        "try:\n"
        "    print(hub.find_weights(sys.argv[1]))\n"
        "except EnrichError as error:\n"
        "    print(type(error).__name__, error, '|', error.hint)\n"
    )
    own = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", code, spec]
    result = subprocess.run(
        command,
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_hub(tmp_path: Path, hub: Hub) -> None:
    """The one file of the quantisation is downloaded once, and found again without the hub."""
    path = Path(ask(tmp_path, f"{REPO}:q4_k_m", hub.url))
    assert path.name == "tiny-Q4_K_M.gguf"
    assert path.read_bytes() == hub.files["tiny-Q4_K_M.gguf"]
    asked = len(hub.asked)
    assert ask(tmp_path, f"{REPO}:Q4_K_M", hub.url) == str(path)
    assert ask(tmp_path, f"{REPO}:Q4_K_M", "http://127.0.0.1:9") == str(path)
    assert len(hub.asked) == asked
    assert Path(ask(tmp_path, f"{REPO}:F16", hub.url)).name == "tiny-f16.gguf"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (f"{REPO}:Q8_0", "no GGUF of quantisation 'Q8_0' | it has: tiny-Q4_K_M.gguf, "),
        (f"{REPO}:Q4_K", "several files of quantisation 'Q4_K' | it has: tiny-Q4_K_M.gguf, "),
        ("nobody/nothing:Q4_0", "the hub has no repository nobody/nothing"),
        ("closed/today:Q4_0", "Unavailable the hub cannot be reached"),
        ("nothing", "not of the form org/repo:QUANTISATION"),
        ("a/b/c:Q4_0", "not of the form org/repo:QUANTISATION"),
        ("a/--b:Q4_0", "is not a valid name of a repository"),
    ],
)
def test_hub_refuses(tmp_path: Path, hub: Hub, spec: str, words: str) -> None:
    """Whatever the hub has not is told with what to do."""
    assert words in ask(tmp_path, spec, hub.url)


def test_hub_out_of_reach(tmp_path: Path) -> None:
    """Without a connection, or told to go without, the same call may go through later."""
    assert ask(tmp_path, f"{REPO}:F16", "http://127.0.0.1:9").startswith("Unavailable ")
    offline = ask(tmp_path, f"{REPO}:F16", "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert offline.startswith("Unavailable ")


def test_hub_damaged(tmp_path: Path, hub: Hub) -> None:
    """A file that is not what the hub lists is removed; the next call gets it anew."""
    hub.broken = "tiny-f16.gguf"
    assert "arrived damaged" in ask(tmp_path, f"{REPO}:F16", hub.url)
    hub.broken = ""
    assert Path(ask(tmp_path, f"{REPO}:F16", hub.url)).read_bytes() == hub.files["tiny-f16.gguf"]


def test_hub_without_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without huggingface_hub the hint says how to install it."""
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    with pytest.raises(ProviderError, match="needs huggingface_hub") as caught:
        hugging_face.find_weights(f"{REPO}:F16")
    assert caught.value.hint == "pip install 'enrich[hf]'"
