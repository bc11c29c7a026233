"""A page that is being served, for tests."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from folders import opened

from enrich.view.server import TOKEN_HEADER, ViewServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def serving(root: Path, reviewer: str = "ann") -> Iterator[ViewServer]:
    """The page of the project in a folder."""
    server = ViewServer(opened(root).open_viewer(reviewer))
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fetch(
    server: ViewServer,
    path: str,
    *,
    headers: dict[str, str | None] | None = None,
    body: bytes | None = None,
) -> tuple[int, bytes, dict[str, str]]:
    """What the server answers: status, body, headers. A header of None is left out."""
    given: dict[str, str | None] = {TOKEN_HEADER: server.token, **(headers or {})}
    request = urllib.request.Request(  # the test's own server
        f"http://127.0.0.1:{server.server_port}{path}",
        data=body,
        headers={name: value for name, value in given.items() if value is not None},
    )
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read(), dict(response.headers)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read(), dict(refusal.headers)


def ask(server: ViewServer, question: str, **words: Any) -> dict[str, Any]:
    """The answer to one of the page's questions."""
    status, body, _ = fetch(server, f"/api/{question}?{urlencode(words)}")
    found: dict[str, Any] = json.loads(body)
    assert status == 200, found
    return found


def judge(server: ViewServer, **words: Any) -> dict[str, Any]:
    """Send a verdict."""
    body = json.dumps(words).encode()
    status, said, _ = fetch(
        server, "/api/review", body=body, headers={"Content-Type": "application/json"}
    )
    found: dict[str, Any] = json.loads(said or b"null")
    assert status == 200, found
    return found
