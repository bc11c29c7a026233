"""The server of the page: HTTP on loopback, for one person.

Whoever opens the page holds a token, which comes in the fragment of its address: that is not sent
to any server, and the page takes it out of the address bar. Requests carry it in a header, which no
other page can set without being asked first (and is refused then). Facts: the Fetch standard on
`Sec-Fetch-Site` and CORS; Content Security Policy 3; Trusted Types.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from enrich.errors import EnrichError
from enrich.page import Page, dump_json, find_media_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.view.viewer import Viewer

LOOPBACK = "127.0.0.1"
TOKEN_HEADER = "X-Enrich-Token"  # noqa: S105  # the name of a header
MOST_POSTED_BYTES = 1_000_000
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class ViewServer(ThreadingHTTPServer):
    """Serves the page and its questions on 127.0.0.1, on `port` or, for 0, on a free one."""

    daemon_threads = True

    def __init__(self, viewer: Viewer, port: int = 0) -> None:
        self.viewer = viewer
        self.token = secrets.token_urlsafe(24)
        self.secret = secrets.token_bytes(32)
        self.page = Page()
        super().__init__((LOOPBACK, port), ViewHandler)

    def server_bind(self) -> None:
        """Bind without resolving this host's name, which can be slow."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, int(self.server_address[1])

    @property
    def address(self) -> str:
        """The address of the page, with the token."""
        return f"http://{LOOPBACK}:{self.server_port}/#token={self.token}"

    def sign_picture(self, model: str, number: int, place: int) -> str:
        """Returns the address of a picture, which holds no token: an `img` can send no header."""
        words = f"{model}/{number}/{place}"
        seal = hmac.new(self.secret, words.encode(), sha256).hexdigest()[:32]
        return f"/picture?model={model}&n={number}&at={place}&seal={seal}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore browsers that go away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class ViewHandler(BaseHTTPRequestHandler):
    """One connection of a browser."""

    server: ViewServer
    protocol_version = "HTTP/1.1"
    server_version = "enrich"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""

    def do_GET(self) -> None:
        self._serve(self._find_get())

    def do_POST(self) -> None:
        self._serve(self._find_post())

    def _serve(self, answer: Callable[[], Any] | int) -> None:
        if isinstance(answer, int):
            self._refuse(answer)
            return
        try:
            found = answer()
        except EnrichError as problem:
            self._send_json(400, {"message": problem.message, "hint": problem.hint})
        except KeyboardInterrupt:  # this tab has asked for something else
            self._send_json(200, {"superseded": True})
        except Exception as problem:  # noqa: BLE001  # the page says it, and goes on
            message = f"enrich view has a defect: {type(problem).__name__}: {problem}"
            self._send_json(500, {"message": message, "hint": "reload the page"})
        else:
            if isinstance(found, bytes):
                kind = find_media_type(found)
                self._send(200 if kind else 404, kind or "text/plain", found if kind else b"")
            else:
                self._send_json(200, found)

    def _find_get(self) -> Callable[[], Any] | int:
        """Returns what answers a GET, or the status that refuses it."""
        where = urlsplit(self.path)
        words = dict(parse_qsl(where.query, keep_blank_values=True))
        viewer = self.server.viewer
        if where.path == "/" and self._is_opened():
            return self._send_page
        if not self._comes_from_here():
            return 403
        if where.path == "/picture":
            return self._find_picture(words)
        if not self._has_token():
            return 403
        if where.path == "/api/site":
            return self._find_site
        if where.path == "/api/page":
            return lambda: self._sign(words.get("model", ""), viewer.page(words))
        if where.path == "/api/row" and _is_number(words.get("n", "")):
            model, number = words.get("model", ""), int(words["n"])
            return lambda: self._sign(model, viewer.row(model, number))
        if where.path == "/api/review":
            return lambda: self._sign(words.get("model", ""), viewer.review(words))
        return 404

    def _find_post(self) -> Callable[[], Any] | int:
        """Returns what answers a POST, or the status that refuses it."""
        length = self.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else -1
        if not 0 <= size <= MOST_POSTED_BYTES:
            self.close_connection = True
            return 413
        body = self.rfile.read(size)
        if not (self._comes_from_here() and self._has_token()):
            return 403
        if self.headers.get_content_type() != "application/json":
            return 415
        if urlsplit(self.path).path != "/api/review":
            return 404
        try:
            words = json.loads(body)
        except (ValueError, RecursionError):
            return 400
        return (lambda: self.server.viewer.review(words)) if isinstance(words, dict) else 400

    def _comes_from_here(self) -> bool:
        """Whether a request is the page's own: DNS rebinding shows in Host, and another site's page
        in Sec-Fetch-Site."""
        site = self.headers.get("Sec-Fetch-Site", "none")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in self._list_hosts()}:
            return False
        return self.headers.get("Host") in self._list_hosts() and site in ("same-origin", "none")

    def _list_hosts(self) -> tuple[str, ...]:
        return tuple(f"{name}:{self.server.server_port}" for name in (LOOPBACK, "localhost"))

    def _is_opened(self) -> bool:
        """Whether somebody opens the page, from wherever: it holds nothing, and in no frame."""
        opened = self.headers.get("Sec-Fetch-Dest", "document") == "document"
        return self.headers.get("Host") in self._list_hosts() and opened

    def _has_token(self) -> bool:
        given = self.headers.get(TOKEN_HEADER, "")
        return hmac.compare_digest(given.encode(), self.server.token.encode())

    def _find_site(self) -> dict[str, Any]:
        self.server.viewer.refresh()
        return self.server.viewer.site()

    def _find_picture(self, words: dict[str, str]) -> Callable[[], Any] | int:
        model, number, place = (words.get(name, "") for name in ("model", "n", "at"))
        if not (_is_number(number) and _is_number(place)):
            return 404
        address = self.server.sign_picture(model, int(number), int(place))
        seal = address.rpartition("=")[2]
        if not hmac.compare_digest(seal.encode(), words.get("seal", "").encode()):
            return 403
        return lambda: self.server.viewer.picture(model, int(number), int(place)) or b""

    def _sign(self, model: str, found: dict[str, Any]) -> dict[str, Any]:
        """Fill in the addresses of pictures that this server has to read."""

        def fill(number: int, pictures: list[str | None]) -> list[str | None]:
            return [
                self.server.sign_picture(model, number, at) if word == "file" else word
                for at, word in enumerate(pictures)
            ]

        pictures = found.get("pictures", [])
        if "rows" in found and pictures:
            found["pictures"] = [
                fill(row[0], each) for row, each in zip(found["rows"], pictures, strict=True)
            ]
        elif "n" in found:
            found["pictures"] = fill(found["n"], pictures)
        return found

    def _send_page(self) -> None:
        page = self.server.page
        self._send(
            200,
            "text/html; charset=utf-8",
            page.render_live().encode(),
            {"Content-Security-Policy": page.live_policy},
        )

    def _send_json(self, status: int, document: object) -> None:
        if document is not None:
            self._send(status, "application/json", dump_json(document).encode())

    def _refuse(self, status: int) -> None:
        self._send(status, "text/plain", b"")

    def _send(
        self, status: int, kind: str, content: bytes, more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in {**HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _is_number(text: str) -> bool:
    """Whether a word of an address is the number of a row."""
    return text.isascii() and text.isdecimal() and len(text) < 16
