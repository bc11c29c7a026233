"""Weights from the hub: `hf: org/repo:QUANTISATION`, against a server on loopback that plays it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    find_spec("huggingface_hub") is None, reason="the extra `hf` is not installed"
)
COMMIT = "a" * 40
FILES = {"tiny-Q8_0.gguf": b"GGUF" + b"8" * 5000, "tiny-Q4_K_M.gguf": b"GGUF" + b"4" * 3000}


class Hub(BaseHTTPRequestHandler):
    """The three calls that fetching a file takes, as the hub's API documents them."""

    protocol_version = "HTTP/1.1"
    damaged = False

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def _serve(self, *, body: bool) -> None:
        path = urlsplit(self.path).path
        name = path.rpartition("/")[2]
        if path.startswith("/api/models/org/tiny"):
            self._send(json.dumps(self._info()).encode(), "application/json", body=body)
        elif path.startswith("/org/tiny/resolve/") and name in FILES:
            content = FILES[name]
            if self.damaged:
                content = content[:-1] + b"?"
            self._send(content, "application/octet-stream", body=body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, content: bytes, kind: str, *, body: bool) -> None:
        tag = hashlib.sha256(content).hexdigest()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{tag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _info(self) -> dict[str, object]:
        files = [
            {
                "rfilename": name,
                "size": len(content),
                "blobId": "b" * 40,
                "lfs": {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 130,
                },
            }
            for name, content in FILES.items()
        ]
        return {"id": "org/tiny", "modelId": "org/tiny", "sha": COMMIT, "siblings": files}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def hub(*, damaged: bool = False) -> Iterator[str]:
    """The address of a hub that is there for the block."""
    Hub.damaged = damaged
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def fetch(address: str, home: Path, spec: str) -> str:
    """The path that a spec gives, or the error and its hint; in a process of its own, because
    huggingface_hub reads its settings when it is imported."""
    code = (
        "import sys\nfrom enrich.errors import EnrichError\n"
        "from enrich.providers.weights import hub\n"
        "try: print(hub(sys.argv[1]))\n"
        "except EnrichError as e: print(type(e).__name__, e.message, '|', e.hint)"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": address,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    command = [sys.executable, "-W", "ignore", "-c", code, spec]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_quantisation_is_fetched_once(tmp_path: Path) -> None:
    """The file whose name holds the quantisation, byte for byte; later without the hub."""
    with hub() as address:
        path = fetch(address, tmp_path, "org/tiny:q4_k_m")
        with open(path, "rb") as file:  # noqa: PTH123
            assert file.read() == FILES["tiny-Q4_K_M.gguf"]
    assert fetch("http://127.0.0.1:9", tmp_path, "org/tiny:q4_k_m") == path


def test_a_quantisation_that_is_not_there(tmp_path: Path) -> None:
    """Those that are there are named."""
    with hub() as address:
        said = fetch(address, tmp_path, "org/tiny:Q2_K")
    assert "org/tiny has no GGUF of quantisation 'Q2_K'" in said
    assert "tiny-Q4_K_M.gguf, tiny-Q8_0.gguf" in said or "tiny-Q8_0.gguf, tiny-Q4_K_M.gguf" in said


def test_a_damaged_file_is_not_kept(tmp_path: Path) -> None:
    """A file whose hash is not the hub's is removed, and nothing runs on it."""
    with hub(damaged=True) as address:
        said = fetch(address, tmp_path, "org/tiny:Q8_0")
    assert said.startswith("Unavailable org/tiny: tiny-Q8_0.gguf arrived damaged")
    assert not list(tmp_path.rglob("*.gguf"))


def test_a_repository_that_is_not_there(tmp_path: Path) -> None:
    """A wrong name, and one that asks for a licence, look the same to a stranger."""
    with hub() as address:
        assert "the hub has no repository org/none" in fetch(address, tmp_path, "org/none:Q8_0")


def test_no_hub(tmp_path: Path) -> None:
    """Nobody answers: the same may go through later."""
    assert fetch("http://127.0.0.1:9", tmp_path, "org/tiny:Q8_0").startswith("Unavailable the hub")


def test_a_spec_without_a_quantisation(tmp_path: Path) -> None:
    """The form is shown by an example."""
    assert "is not of the form org/repo:QUANTISATION" in fetch("http://x", tmp_path, "org/tiny")
