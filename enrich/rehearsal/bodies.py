"""Bodies: what a client sends after the headers, read in pieces of constant size."""

from __future__ import annotations

from email.parser import HeaderParser
from typing import TYPE_CHECKING

from enrich.rehearsal.replies import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from io import BufferedIOBase

CHUNK = 1 << 18
LONGEST_LINE = 1 << 16


class Body:
    """The body of one HTTP request, of known length or in chunks (RFC 9112)."""

    def __init__(self, stream: BufferedIOBase, headers: Message) -> None:
        self._stream = stream
        self._chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        length = headers.get("Content-Length", "0")
        self._left = 0 if self._chunked or not length.isdigit() else int(length)
        self._ended = not self._chunked
        self.content_type = headers.get("Content-Type", "")

    def read(self) -> bytes:
        """The next piece; empty at the end, and when the client is gone."""
        if not self._left and not self._ended:
            self._next_chunk()
        piece = self._stream.read(min(self._left, CHUNK)) if self._left else b""
        self._left -= len(piece)
        if not piece:
            self._left, self._ended = 0, True
        return piece

    def _next_chunk(self) -> None:
        line = self._stream.readline(LONGEST_LINE).strip()
        if not line:  # the end of the chunk before
            line = self._stream.readline(LONGEST_LINE).strip()
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError:
            self._left = 0
        if not self._left:
            self._ended = True
            while self._stream.readline(LONGEST_LINE).strip():
                pass

    def all(self, *, limit: int) -> bytes:
        """The whole body, which must not be longer than `limit` bytes."""
        pieces, size = [], 0
        while piece := self.read():
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            pieces.append(piece)
        return b"".join(pieces)

    def drain(self) -> None:
        """Read and forget the rest, so that the connection can be used again."""
        while self.read():
            pass


def too_large(limit: int) -> ApiError:
    message = f"Maximum content size limit ({limit}) exceeded."
    return ApiError(413, message, code="request_too_large")


class Part:
    """One field of a form: its name, its file name if it is a file, and its content."""

    def __init__(self, headers: Message, content: Iterator[bytes]) -> None:
        name = headers.get_param("name", "", "content-disposition")
        self.name = name if isinstance(name, str) else ""
        self.filename = headers.get_filename() or ""
        self.content = content


class Form:
    """A multipart/form-data body (RFC 7578), read once, front to back."""

    def __init__(self, body: Body) -> None:
        header = _parse(b"Content-Type: " + body.content_type.encode())
        boundary = header.get_boundary()
        if header.get_content_type() != "multipart/form-data" or not boundary:
            message = "Expected a multipart/form-data body."
            raise ApiError(400, message, code="invalid_content_type")
        self._body = body
        self._delimiter = b"\r\n--" + boundary.encode()
        self._buffer = b"\r\n"

    def __iter__(self) -> Iterator[Part]:
        """The parts. The content of each must be read to its end before the next."""
        self._skip(self._delimiter)
        while self._take(2) != b"--":
            headers = b"".join(self._until(b"\r\n\r\n"))
            yield Part(_parse(headers), self._until(self._delimiter))

    def _skip(self, mark: bytes) -> None:
        for _ in self._until(mark):
            pass

    def _until(self, mark: bytes) -> Iterator[bytes]:
        """What stands before the next mark; goes on behind it."""
        while (place := self._buffer.find(mark)) < 0:
            ready = max(0, len(self._buffer) - len(mark) + 1)
            yield self._buffer[:ready]
            self._buffer = self._buffer[ready:]
            self._fill()
        yield self._buffer[:place]
        self._buffer = self._buffer[place + len(mark) :]

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _fill(self) -> None:
        piece = self._body.read()
        if not piece:
            raise ApiError(400, "Unexpected end of form data.")
        self._buffer += piece


def _parse(headers: bytes) -> Message:
    """Headers in UTF-8, as browsers and SDKs write file names."""
    return HeaderParser().parsestr(headers.decode("utf-8", "replace"))
