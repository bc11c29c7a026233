"""The server: HTTP on loopback, and the faults of a network."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING

from enrich.rehearsal.bodies import PIECE_BYTES, RequestBody
from enrich.rehearsal.replies import ApiError, HttpReply
from enrich.rehearsal.routes import Request

if TYPE_CHECKING:
    from enrich.rehearsal.apis import PlayedApi
    from enrich.rehearsal.calls import Calls
    from enrich.rehearsal.settings import RehearsalSettings

HOST = "127.0.0.1"
LINGER_ABORT = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""SO_LINGER on, with 0 seconds: closing sends a reset at once. Windows takes shorts here."""


class Server(ThreadingHTTPServer):
    """Listens on 127.0.0.1 only, with a thread for each connection."""

    request_queue_size = 128

    def __init__(
        self, port: int, *, api: PlayedApi, calls: Calls, settings: RehearsalSettings
    ) -> None:
        self.api = api
        self.calls = calls
        self.settings = settings
        self._open: dict[socket.socket, Thread] = {}
        self._lock = Lock()
        super().__init__((HOST, port), Handler)

    def server_bind(self) -> None:
        """Bind without resolving this host's name, as HTTPServer does, which can be slow."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def process_request(self, request: object, client_address: object) -> None:
        """Start a thread for the connection, recorded before it starts so that `close` finds it."""
        args = (request, client_address)
        thread = Thread(target=self.process_request_thread, args=args, daemon=True)
        if isinstance(request, socket.socket):
            with self._lock:
                self._open[request] = thread
        thread.start()

    def forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Ignore clients that go away, and print what is wrong with the server itself."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()

    def close(self) -> None:
        """Stop listening, break the open connections and wait for their threads."""
        self.server_close()
        with self._lock:
            left = list(self._open.items())
        for connection, _ in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the client has closed it
                continue
        for _, thread in left:
            thread.join()


class Handler(BaseHTTPRequestHandler):
    """One connection: takes calls, lets `Api` answer, and injects the faults of the network."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "enrich-rehearsal"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # buffered, so that the headers and a small body leave in one packet
    error_content_type = "application/json"
    error_message_format = '{"error": {"message": "%(message)s", "code": null}}'

    def finish(self) -> None:
        self.server.forget(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing, because `Calls` keeps the log."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        route, ident = self.server.api.find_route(self.command, self.path)
        step = self.server.calls.next_step(route)
        body = RequestBody(self.rfile, self.headers)
        if step == "reset":
            self._log(0)
            self._reset()
            return
        if step == "hang":
            self._log(0)
            body.drain()
            self._hang()
            return
        if isinstance(step, int | tuple):
            status, said = step if isinstance(step, tuple) else (step, None)
            if said is None or isinstance(said, str):
                said = self.server.api.render_failure(status, said)
            reply = HttpReply(status=status, document=said)
        else:
            reply = self._answer(route, ident, body)
        # Unread bytes would make closing reset the connection, and be taken for the next call.
        body.drain()
        lost = reply.lost or step in ("lost", "stall")
        self._log(0 if lost else reply.status)
        if step == "stall":
            self._hang()
        elif lost:
            self.close_connection = True
        else:
            self._send(reply, cut=step == "cut")

    def _answer(self, route: str, ident: str, body: RequestBody) -> HttpReply:
        request = Request(route=route, id=ident, path=self.path, headers=self.headers, body=body)
        try:
            return self.server.api.answer(request)
        except ApiError as error:
            return HttpReply(status=error.status, document=error.document)

    def _send(self, reply: HttpReply, *, cut: bool) -> None:
        """Send the response; a cut one announces its whole length and stops halfway."""
        page = isinstance(reply.document, bytes)
        said = reply.document
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        content = b"" if reply.file else content
        length = reply.file.stat().st_size if reply.file else len(content)
        self.send_response(reply.status)
        kind = "text/html" if page else "application/json"
        kind = "application/octet-stream" if reply.file else kind
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status == 429 or reply.status >= 500:
            self._send_patience()
        self.end_headers()
        left = length // 2 if cut else length
        if reply.file is None:
            self.wfile.write(content[:left])
        else:
            with reply.file.open("rb") as file:
                while left and (piece := file.read(min(left, PIECE_BYTES))):
                    self.wfile.write(piece)
                    left -= len(piece)
        self.close_connection = self.close_connection or cut

    def _send_patience(self) -> None:
        """Send when to retry, in seconds, and in milliseconds, which OpenAI's SDK prefers."""
        seconds = self.server.settings.retry_after
        self.send_header("Retry-After", str(max(1, round(seconds))))
        self.send_header("retry-after-ms", str(round(seconds * 1000)))

    def _log(self, status: int) -> None:
        self.server.calls.log(self.command, self.path, status)

    def _reset(self) -> None:
        """Close at once. http.server would shut the connection down in an orderly way."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ABORT)
        socket.close(self.connection.detach())
        self.close_connection = True

    def _hang(self) -> None:
        """Send nothing until the client gives up, or for as long as the settings say."""
        select.select([self.connection], [], [], self.server.settings.hang)
        self.close_connection = True
