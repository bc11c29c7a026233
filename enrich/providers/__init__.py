"""Providers: who executes batches. One protocol, and nothing else knows which one it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
"""A batch's status in the provider's own words (the eight of the OpenAI Batch API)."""

BATCH_STATUSES: tuple[str, ...] = get_args(Status)
ENDED_STATUSES: frozenset[str] = frozenset({"completed", "failed", "expired", "cancelled"})
"""A batch with one of these never changes again. All but `failed` may have result files."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one batch may hold, and what may be under way at once. None: no such limit."""

    requests: int = 50_000
    bytes: int = 200_000_000
    enqueued_tokens: int | None = None
    batches: int | None = None


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long to wait, in seconds: between two polls at first and at most, and until a create that
    `Provider.find` does not know counts as never received."""

    first_poll: float = 2.0
    longest_poll: float = 60.0
    lost_after: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A batch as its provider reports it.

    `status` is the provider's own word; a word outside BATCH_STATUSES is kept and means "not
    ended". `files` are ids for `Provider.fetch`: none while the batch runs, up to two once it has
    ended. `late`: it has ended, and its counts speak of result files that `files` does not name
    yet. `code` and `error` say why a whole batch failed, in the provider's words.
    """

    id: str
    status: str
    completed: int = 0
    failed: int = 0
    total: int = 0
    files: tuple[str, ...] = ()
    late: bool = False
    code: str = ""
    error: str = ""

    @property
    def ended(self) -> bool:
        """Whether the batch never changes again."""
        return self.status.lower() in ENDED_STATUSES


class Provider(Protocol):
    """Who executes batches: the ten members that every provider has.

    What only some can do, such as answering a preview or listing files, is in `capabilities`.

    A batch is a JSONL file of requests in the form of the OpenAI Batch API, and so are its results,
    whatever the provider speaks itself. Every method may raise ProviderError, or Unavailable where
    asking again later is safe; only `submit` may raise Unclear.
    """

    @property
    def name(self) -> str:
        """The name under `providers:` in project.yml."""

    @property
    def identity(self) -> str:
        """What decides an answer besides the request: part of each fingerprint; never a secret."""

    @property
    def llm(self) -> str:
        """The llm a request names when its model names none."""

    @property
    def limits(self) -> Limits:
        """What a batch may hold; `Opening.limits` reads it from project.yml."""

    def upload(self, path: Path) -> str:
        """Send a request file once; gives the file id."""

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Create the batch of an uploaded file. Called once for each intent, never retried."""

    def find(self, intent: str, *, file: str) -> Remote | None:
        """The batch whose metadata says `enrich_batch: INTENT`, or which was made from the uploaded
        `file`; ProviderError if there is no way to look. The provider's clock plays no part."""

    def poll(self, remote: str) -> Remote:
        """How the batch with this remote id stands."""

    def fetch(self, file: str, path: Path) -> None:
        """Stream a result file of an ended batch to `path`."""

    def cancel(self, remote: str) -> Remote:
        """Ask for a batch to be cancelled; it may take a while and keep what was answered."""
