"""Faults: what goes wrong on purpose. Hashes decide it, so a seed always gives the same faults."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from typing import Any, Literal

Hits = float | tuple[int, ...]
"""Which batches: a share of them, or exactly these, numbered from 0 in the order of creation."""

ErrorContent = str | bytes | dict[str, Any] | list[Any]
Step = int | tuple[int, ErrorContent] | Literal["ok", "lost", "reset", "hang", "stall", "cut"]
"""What happens to one HTTP call.

An integer is the status of an error response, and the call has no effect. A tuple adds the error
code, or the whole body as JSON or as bytes of HTML. "lost": the call takes effect, and the
connection closes without a response. "reset": the connection is reset, and the call has no effect.
"hang": no effect, and no response until the client gives up. "stall": the call takes effect, then
hangs. "cut": it takes effect, and the connection closes in the middle of the response's body.
"""

LINE_FAULTS = (
    "dropped",
    "doubled",
    "http_400",
    "http_429",
    "http_500",
    "status_0",
    "refused",
    "truncated",
    "malformed",
    "off_schema",
    "off_check",
    "no_content",
    "unfinished",
    "bad_byte",
    "left_out",
)
CALL_FAULTS: dict[str, Step] = {
    "call_429": 429,
    "call_500": 500,
    "call_reset": "reset",
    "call_hang": "hang",
}
CREATE_ROUTES = (
    "POST /v1/batches",
    "POST /v1/messages/batches",
    "POST /v1/batch/jobs",
    "POST /v1beta/openai/batches",
)
"""The routes, of whatever API is played, that `create_lost` hits."""
DOWNLOAD_ROUTES = (
    "GET /v1/files/{id}/content",
    "GET /v1/messages/batches/{id}/results",
    "GET /download/v1beta/files/{id}:download",
)
"""Those that `download_cut` hits."""
BATCH_FAULTS = (
    "batch_failed",
    "batch_expired",
    "batch_cancelled",
    "batch_without_files",
    "batch_late_files",
    "batch_stuck",
)


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong, and how often. All off by default.

    Faults of requests are shares of the executed requests; at most one hits each. The seed, the
    custom_id and how often the body has been executed before decide it, so that a request that is
    sent again can succeed. Faults of calls are shares of the HTTP calls of each route. Faults of
    batches are shares, or the exact batches as a tuple of indexes. The first that hits a batch
    counts, except that its files may be late however it ends.
    """

    dropped: float = 0.0  # billed, but in no result file
    doubled: float = 0.0  # its line is in the output file twice
    http_400: float = 0.0  # a line of the error file, not billed
    http_429: float = 0.0
    http_500: float = 0.0
    status_0: float = 0.0  # lost inside the provider: status_code 0, body {}, error null
    refused: float = 0.0  # message.refusal instead of content; billed
    truncated: float = 0.0  # finish_reason "length" and cut JSON; billed
    malformed: float = (
        0.0  # a sentence, then half of a JSON document, with finish_reason "stop"; billed
    )
    off_schema: float = 0.0  # a missing key, a wrong type, length or label; billed
    off_check: float = 0.0  # the right types, but extreme: 50 items, none, a huge text; billed
    no_content: float = 0.0  # HTTP 200, and content null or no vector; billed
    unfinished: float = 0.0  # finish_reason "error" and cut JSON; billed
    bad_byte: float = 0.0  # a good answer in a line with a byte that is not UTF-8; billed
    left_out: float = 0.0  # of several numbered inputs, one is not answered; billed

    call_429: float = 0.0  # with Retry-After
    call_500: float = 0.0
    call_reset: float = 0.0  # the connection is reset, without any effect
    call_hang: float = 0.0  # no response until the client gives up, and no effect
    create_lost: float = 0.0  # the batch is created, but the response is lost
    download_cut: float = 0.0  # the connection closes in the middle of a file

    batch_failed: Hits = 0.0  # fails at validation, with code server_error
    batch_expired: Hits = 0.0  # half done; the error file lists the rest as batch_expired
    batch_cancelled: Hits = 0.0  # by the provider, half done
    batch_without_files: Hits = 0.0  # completed and billed, but without any file
    batch_late_files: Hits = 0.0  # the ids of the files appear one step after its end
    batch_stuck: Hits = 0.0  # in_progress forever

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            share = getattr(self, name)
            if not isinstance(share, tuple) and not 0 <= share <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, not {share}")
        for names in (LINE_FAULTS, tuple(CALL_FAULTS)):
            # The tolerance is for shares such as 0.7 + 0.2 + 0.1, which floats do not add up to 1.
            if sum(getattr(self, name) for name in names) > 1 + 1e-9:
                raise ValueError(f"the shares of {', '.join(names)} add up to more than 1")

    @cached_property
    def _request_edges(self) -> list[tuple[float, str]]:
        shares = [(getattr(self, name), name) for name in LINE_FAULTS]
        sums = accumulate(share for share, _ in shares)
        return [(edge, name) for edge, (share, name) in zip(sums, shares, strict=True) if share]

    def pick_request_fault(self, seed: int, custom_id: str, attempt: int) -> str:
        """Returns the fault that hits a request, or ""; `attempt` counts earlier executions."""
        if not self._request_edges:
            return ""
        thrown = draw_chance(seed, "request", custom_id, attempt)
        return next((name for edge, name in self._request_edges if thrown < edge), "")

    def pick_call_step(self, seed: int, route: str, number: int) -> Step:
        """Returns what happens to a call of a route, numbered from 0."""
        thrown = draw_chance(seed, "call", route, number)
        edge = 0.0
        for name, step in CALL_FAULTS.items():
            edge += getattr(self, name)
            if thrown < edge:
                return step
        if route in CREATE_ROUTES and draw_chance(seed, "lost", number) < self.create_lost:
            return "lost"
        if route in DOWNLOAD_ROUTES and draw_chance(seed, "cut", number) < self.download_cut:
            return "cut"
        return "ok"

    def has_late_files(self, seed: int, index: int) -> bool:
        """Whether the files of the batch with this index are late, however it ends."""
        return self._is_hit("batch_late_files", seed, index)

    def _is_hit(self, name: str, seed: int, index: int) -> bool:
        hits: Hits = getattr(self, name)
        return index in hits if isinstance(hits, tuple) else draw_chance(seed, name, index) < hits

    def pick_batch_fault(self, seed: int, index: int) -> str:
        """Returns the fault that hits the batch with this index, or ""."""
        for name in BATCH_FAULTS:
            if self._is_hit(name, seed, index):
                return name
        return ""


def draw_chance(*parts: object) -> float:
    """Returns a number from 0 to below 1, always the same for the same parts."""
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest()) / 2**64
