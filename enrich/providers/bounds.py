"""Bounds: what a server that misbehaves may cost, in seconds and in bytes.

httpx's timeouts are for each read, so a server that sends a byte now and then can hold a call
forever; and it unpacks whatever a body unpacks to. Imported with the SDK, never before.
"""

from __future__ import annotations

import time
import zlib
from concurrent.futures import Future
from threading import Event, local
from typing import TYPE_CHECKING, Any, cast

import httpx2

from enrich.db.background import Returned, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ANSWER_BYTES = 32 << 20
"""Bytes of an answer's body, unpacked. A page of 10,000 files has 3 MB."""
RESULT_FILE_BYTES = 16 << 30
"""Bytes of a result file: 50,000 lines of 300 kB."""
UNPACKED_PIECE = 1 << 20
SLOWEST_RATE = 50_000
"""Bytes a second: what a large file must move at, at the least."""
PACKINGS = frozenset({"gzip", "x-gzip"})
LONGEST_ID = 256
LONGEST_WORD = 64
MOST_REQUESTS = 2**31 - 1


class Unreadable(Exception):
    """An answer that cannot be used; its text is a clause that says why."""


class Late(Exception):
    """A call that took too long, and was let go of."""


_here = local()


def make_hooks(timeout: float) -> dict[str, list[Callable[..., Any]]]:
    """httpx's event hooks, for a client whose calls are bounded."""

    def asked(request: httpx2.Request) -> None:
        """Have a call stop before it sends anything that nobody waits for."""
        left: Event | None = getattr(_here, "left", None)

        def traced(event: str, _: Mapping[str, Any]) -> None:
            """Raise Late where the call was let go of: what is sent late may be a create."""
            if left is not None and left.is_set() and event.endswith("headers.started"):
                raise Late

        traced("headers.started", {})
        request.extensions = {**request.extensions, "trace": traced}

    def answered(response: httpx2.Response) -> None:
        """Bound the body that is read from here on."""
        is_file = response.request.url.path.endswith("/content") and response.status_code < 300
        packed = response.headers.pop("content-encoding", "identity").strip().lower()
        if packed not in {"identity", "", *PACKINGS}:
            raise Unreadable(f"its body is packed as {packed[:LONGEST_WORD]}, which was not asked")
        response.stream = _Body(
            cast("httpx2.SyncByteStream", response.stream),
            most=RESULT_FILE_BYTES if is_file else ANSWER_BYTES,
            packed=packed in PACKINGS,
            timeout=timeout,
        )

    return {"request": [asked], "response": [answered]}


class _Body(httpx2.SyncByteStream):
    """A body, unpacked a piece at a time: not more than `most` bytes, and not forever."""

    def __init__(
        self, body: httpx2.SyncByteStream, *, most: int, packed: bool, timeout: float
    ) -> None:
        """`packed`: it is a gzip; `timeout` in seconds."""
        self._body = body
        self._most = most
        self._packed = packed
        self._timeout = timeout

    def __iter__(self) -> Iterator[bytes]:
        """The pieces; raises Unreadable or Late where a bound is passed."""
        begun = time.monotonic()
        count = 0
        for piece in self._unpack() if self._packed else self._body:
            count += len(piece)
            if count > self._most:
                raise Unreadable(f"its body has more than {self._most >> 20:,} MiB")
            if time.monotonic() - begun > self._timeout + count / SLOWEST_RATE:
                raise Late
            yield piece

    def _unpack(self) -> Iterator[bytes]:
        """The pieces of what was packed."""
        unpack = zlib.decompressobj(wbits=31)
        try:
            for packed in self._body:
                left = packed
                while left:
                    yield unpack.decompress(left, UNPACKED_PIECE)
                    left = unpack.unconsumed_tail
            while piece := unpack.decompress(b"", UNPACKED_PIECE):
                yield piece
        except zlib.error:
            raise Unreadable("its body is not the gzip that it is said to be") from None
        if not unpack.eof:
            raise Unreadable("its packed body is cut off")

    def close(self) -> None:
        """Let go of the connection."""
        self._body.close()


def call_within(seconds: float, call: Callable[[], Returned]) -> Returned:
    """What `call` gives, which may take so many seconds, whatever the server does.

    A call that takes longer raises Late, and goes on in a thread that nobody waits for; it sends
    nothing that it has not sent.
    """
    future: Future[Returned] = Future()
    left = Event()

    def bounded() -> Returned:
        """The call, which can find out that it was let go of."""
        _here.left = left
        return call()

    fill(future, bounded)
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():
            return future.result()
        raise Late from None
    finally:
        left.set()


def read_id(value: object, of: str) -> str:
    """An id that a later call can name; `of` says what has it.

    >>> read_id("batch_1", "the batch")
    'batch_1'
    """
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    dots = any(part in (".", "..") for part in text.split("/"))
    if not text.strip() or len(text) > LONGEST_ID or not text.isprintable() or dots:
        raise Unreadable(f"{of} has no id that can be asked for again")
    return text


def read_word(value: object, of: str) -> str:
    """A short word, such as a status."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_WORD or not value.isprintable():
        raise Unreadable(f"{of} has no status")
    return value


def read_count(value: object) -> int:
    """A count of requests; what is none counts nothing.

    >>> [read_count(value) for value in (3, float("inf"), -1, "7", None)]
    [3, 0, 0, 7, 0]
    """
    try:
        number = int(value)  # type: ignore[call-overload]  # anything may stand there
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if 0 < number <= MOST_REQUESTS else 0
