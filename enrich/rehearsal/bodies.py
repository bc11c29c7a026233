"""Bodies: what a client sends after the headers, read in pieces of bounded size."""

from __future__ import annotations

from email.parser import HeaderParser
from typing import TYPE_CHECKING

from enrich.rehearsal.replies import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from io import BufferedIOBase

PIECE_BYTES = 1 << 18
"""Read and written at a time, so that an upload of 200 MB is never in memory as a whole."""
MAX_CHUNK_HEADER = 1 << 16
"""The bytes up to which a line between chunks is read, as http.server bounds its own lines."""


class RequestBody:
    """The body of one HTTP request, with a known length or in chunks (RFC 9112)."""

    def __init__(self, stream: BufferedIOBase, headers: Message) -> None:
        self._stream = stream
        self._chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        length = headers.get("Content-Length", "0")
        self._left = 0 if self._chunked or not length.isdigit() else int(length)
        self._ended = not self._chunked
        self.content_type = headers.get("Content-Type", "")

    def read(self) -> bytes:
        """Returns the next piece; empty at the end, or if the client is gone."""
        if not self._left and not self._ended:
            self._next_chunk()
        piece = self._stream.read(min(self._left, PIECE_BYTES)) if self._left else b""
        self._left -= len(piece)
        if not piece:
            self._left, self._ended = 0, True
        return piece

    def _next_chunk(self) -> None:
        line = self._stream.readline(MAX_CHUNK_HEADER).strip()
        if not line:  # the line break that ends the previous chunk
            line = self._stream.readline(MAX_CHUNK_HEADER).strip()
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError:
            self._left = 0
        if not self._left:
            self._ended = True
            while self._stream.readline(MAX_CHUNK_HEADER).strip():
                pass

    def read_all(self, *, limit: int) -> bytes:
        """Returns the whole body. Raises ApiError if it is longer than `limit` bytes."""
        pieces, size = [], 0
        while piece := self.read():
            size += len(piece)
            if size > limit:
                raise make_size_error(limit)
            pieces.append(piece)
        return b"".join(pieces)

    def drain(self) -> None:
        """Read and discard the rest, so that the connection can be used again."""
        while self.read():
            pass


def make_size_error(limit: int) -> ApiError:
    message = f"Maximum content size limit ({limit}) exceeded."
    return ApiError(413, message, code="request_too_large")


class FormField:
    """One field of a form: its name, its file name if it is a file, and its content."""

    def __init__(self, headers: Message, content: Iterator[bytes]) -> None:
        name = headers.get_param("name", "", "content-disposition")
        self.name = name if isinstance(name, str) else ""
        self.filename = headers.get_filename() or ""
        self.content = content


class Form:
    """A multipart/form-data body (RFC 7578), read once, front to back."""

    def __init__(self, body: RequestBody) -> None:
        header = _parse_headers(b"Content-Type: " + body.content_type.encode())
        boundary = header.get_boundary()
        if header.get_content_type() != "multipart/form-data" or not boundary:
            message = "Expected a multipart/form-data body."
            raise ApiError(400, message, code="invalid_content_type")
        self._body = body
        self._delimiter = b"\r\n--" + boundary.encode()
        self._buffer = b"\r\n"  # the first delimiter of a form has no line break before it

    def __iter__(self) -> Iterator[FormField]:
        """Yields the fields. The content of each must be read to its end before the next."""
        self._skip_to(self._delimiter)
        while self._take(2) != b"--":
            headers = b"".join(self._read_until(b"\r\n\r\n"))
            yield FormField(_parse_headers(headers), self._read_until(self._delimiter))

    def _skip_to(self, mark: bytes) -> None:
        for _ in self._read_until(mark):
            pass

    def _read_until(self, mark: bytes) -> Iterator[bytes]:
        """Yields what comes before the next mark, and continues behind the mark."""
        while (place := self._buffer.find(mark)) < 0:
            # The end of the buffer is kept, because it may be the start of the mark.
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


def _parse_headers(headers: bytes) -> Message:
    """Returns headers read as UTF-8, which browsers and SDKs use for file names."""
    return HeaderParser().parsestr(headers.decode("utf-8", "replace"))
