"""A server that stands before the rehearsal and changes what it answers, as broken ones do."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.rehearsal import Rehearsal

HOP = {"connection", "transfer-encoding", "content-length", "server", "date", "host"}


@dataclass
class Answer:
    """What the client will get. `drip`: seconds between two bytes, of the head as well if
    `slow_head`."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    drip: float = 0.0
    slow_head: bool = False

    def json(self, **changes: Any) -> None:
        """Change members of a body that is a JSON object."""
        self.body = json.dumps(json.loads(self.body) | changes).encode()

    def bomb(self, size: int = 64 << 20) -> None:
        """Make it a small body that unpacks to `size` bytes."""
        pack = zlib.compressobj(9, wbits=31)
        blank = b" " * (1 << 20)
        self.body = b"".join(pack.compress(blank) for _ in range(size >> 20)) + pack.flush()
        self.headers["Content-Encoding"] = "gzip"


class Hostile:
    """Passes every call to a rehearsal, and its answer through `twist(method, path, answer)`."""

    def __init__(
        self, server: Rehearsal, twist: Callable[[str, str, Answer], Answer | None]
    ) -> None:
        ended = self._ended = Event()
        target = server.base_url.removesuffix("/v1")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                asked = urllib.request.Request(  # it is the rehearsal's address
                    target + self.path,
                    method=self.command,
                    data=self.rfile.read(length) if length else None,
                    headers={k: v for k, v in self.headers.items() if k.lower() not in HOP},
                )
                try:
                    with urllib.request.urlopen(asked) as got:
                        answer = Answer(got.status, got.read(), dict(got.headers))
                except urllib.error.HTTPError as refused:
                    answer = Answer(refused.code, refused.read(), dict(refused.headers))
                answer = twist(self.command, self.path, answer) or answer
                with suppress(OSError):
                    self._send(answer)

            do_POST = do_DELETE = do_GET  # noqa: N815

            def _send(self, answer: Answer) -> None:
                lines = [f"HTTP/1.1 {answer.status} OK"]
                lines += [f"{k}: {v}" for k, v in answer.headers.items() if k.lower() not in HOP]
                lines += [f"Content-Length: {len(answer.body)}", "Connection: close", "", ""]
                head = "\r\n".join(lines).encode()
                self.close_connection = True
                slow = (head if answer.slow_head else b"") + answer.body if answer.drip else b""
                self.wfile.write((head + answer.body)[: len(head + answer.body) - len(slow)])
                for byte in slow:
                    if ended.wait(answer.drip):
                        return
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Hostile:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
