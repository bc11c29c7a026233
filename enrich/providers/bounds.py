"""Bounds: what a misbehaving server can cost at most, in seconds and in bytes.

httpx's timeouts apply to each read, so a server that sends a byte now and then can block a call
forever. httpx also unpacks a compressed body to whatever size it has. Imported with the SDK, never
before it, because importing httpx2 takes time.
"""

from __future__ import annotations

import time
import zlib
from concurrent.futures import Future
from threading import Event, local
from typing import TYPE_CHECKING, Any, cast

import httpx2

from enrich.db.background import Returned, fill_future

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ANSWER_BYTES = 32 << 20
"""The most bytes of an answer's body, unpacked; a page that lists 10,000 files has 3 MB."""
FILE_PATHS = ("/content", "/results", ":download")
"""How the paths of result files end, at OpenAI, at Anthropic and at Google."""
RESULT_FILE_BYTES = 16 << 30
"""The most bytes of a result file: 50,000 lines of 300 kB."""
# Small pieces, so that a bomb of a few kB is noticed before it has filled the memory.
UNPACKED_PIECE = 1 << 20
SLOWEST_RATE = 50_000
"""The least bytes per second at which a large file must be transferred."""
# RFC 9110 has recipients treat x-gzip as gzip.
PACKINGS = frozenset({"gzip", "x-gzip"})
LONGEST_ID = 256
LONGEST_WORD = 64
# Counts go into INTEGER columns of the ledger.
MOST_REQUESTS = 2**31 - 1


class Unreadable(Exception):
    """An answer that cannot be used; the message is a clause that says why."""


class Late(Exception):
    """A call that took too long and was abandoned."""


_here = local()


def make_hooks(timeout: float) -> dict[str, list[Callable[..., Any]]]:
    """Returns httpx's event hooks for a client whose calls are bounded."""

    def asked(request: httpx2.Request) -> None:
        """Makes an abandoned call stop before it sends anything else."""
        left: Event | None = getattr(_here, "left", None)

        def traced(event: str, _: Mapping[str, Any]) -> None:
            """Raises Late if the call was abandoned: what it sends late might create a batch."""
            if left is not None and left.is_set() and event.endswith("headers.started"):
                raise Late

        # The hook runs before a connection is made, which may take long; the trace runs again when
        # the connection is there and the headers are about to be sent.
        traced("headers.started", {})
        request.extensions = {**request.extensions, "trace": traced}

    def answered(response: httpx2.Response) -> None:
        """Bounds the body, which has not been read yet."""
        is_file = response.request.url.path.endswith(FILE_PATHS) and response.status_code < 300
        # Without this header httpx does not unpack the body itself; `_Body` does, piece by piece.
        packed = response.headers.pop("content-encoding", "identity").strip().lower()
        if packed not in {"identity", "", *PACKINGS}:
            what = f"its body is packed as {packed[:LONGEST_WORD]}, which was not requested"
            raise Unreadable(what)
        response.stream = _Body(
            cast("httpx2.SyncByteStream", response.stream),
            most=RESULT_FILE_BYTES if is_file else ANSWER_BYTES,
            packed=packed in PACKINGS,
            timeout=timeout,
        )

    return {"request": [asked], "response": [answered]}


class _Body(httpx2.SyncByteStream):
    """A body that is unpacked piece by piece: at most `most` bytes, and not forever."""

    def __init__(
        self, body: httpx2.SyncByteStream, *, most: int, packed: bool, timeout: float
    ) -> None:
        """`packed`: it is a gzip; `timeout` in seconds."""
        self._body = body
        self._most = most
        self._packed = packed
        self._timeout = timeout

    def __iter__(self) -> Iterator[bytes]:
        """Yields the pieces. Raises Unreadable or Late when a bound is exceeded."""
        started = time.monotonic()
        count = 0
        for piece in self._unpack() if self._packed else self._body:
            count += len(piece)
            if count > self._most:
                raise Unreadable(f"its body has more than {self._most >> 20:,} MiB")
            if time.monotonic() - started > self._timeout + count / SLOWEST_RATE:
                raise Late
            yield piece

    def _unpack(self) -> Iterator[bytes]:
        """Yields the unpacked pieces. Raises Unreadable."""
        unpack = zlib.decompressobj(wbits=31)  # 16 + 15: a gzip header, the largest window
        try:
            for packed in self._body:
                left = packed
                while left:
                    yield unpack.decompress(left, UNPACKED_PIECE)
                    left = unpack.unconsumed_tail
            while piece := unpack.decompress(b"", UNPACKED_PIECE):
                yield piece
        except zlib.error:
            raise Unreadable("its body is not gzip, although its header says so") from None
        if not unpack.eof:
            raise Unreadable("its gzip body is cut off")

    def close(self) -> None:
        """Closes the connection."""
        self._body.close()


def call_within(seconds: float, call: Callable[[], Returned]) -> Returned:
    """Returns the result of `call`. Raises Late after this many seconds, whatever the server does.

    A call that takes longer goes on in a thread that nobody waits for, but sends nothing more.
    """
    future: Future[Returned] = Future()
    left = Event()

    def bounded() -> Returned:
        """Makes the call in a thread that knows whether the call was abandoned."""
        _here.left = left
        return call()

    fill_future(future, bounded)
    try:
        return future.result(seconds)
    except TimeoutError:
        # The call itself may have raised a TimeoutError, or ended just now.
        if future.done():
            return future.result()
        raise Late from None
    finally:
        left.set()


def check_wanted() -> None:
    """Raises Late in a call that was abandoned: what it goes on sending might create a batch."""
    left: Event | None = getattr(_here, "left", None)
    if left is not None and left.is_set():
        raise Late


def read_id(value: object, of: str) -> str:
    """Returns an id that later calls can use; `of` says what has it. Raises Unreadable.

    >>> read_id("batch_1", "the batch")
    'batch_1'
    """
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    # Ids become part of URLs, where dots would lead to another route.
    dots = any(part in (".", "..") for part in text.split("/"))
    if not text.strip() or len(text) > LONGEST_ID or not text.isprintable() or dots:
        raise Unreadable(f"{of} has no usable id")
    return text


def read_word(value: object, of: str) -> str:
    """Returns a short word, such as a status. Raises Unreadable."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_WORD or not value.isprintable():
        raise Unreadable(f"{of} has no status")
    return value


def read_count(value: object) -> int:
    """Returns a count of requests; 0 for anything that is not a count.

    >>> [read_count(value) for value in (3, float("inf"), -1, "7", None)]
    [3, 0, 0, 7, 0]
    """
    try:
        number = int(value)  # type: ignore[call-overload]  # a server may send anything
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if 0 < number <= MOST_REQUESTS else 0
