"""Providers execute batches. All keep one protocol, and nothing else knows which provider it is."""

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
"""A batch with one of these statuses never changes again; all but `failed` may have result files:
what was answered before a batch expired or was cancelled is there, and paid for."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one batch may contain, and what may be under way at the same time; None for no limit."""

    # OpenAI's limits (Batch API guide). It does not say whether 200 MB are MB or MiB, so this is
    # the smaller one.
    requests: int = 50_000
    bytes: int = 200_000_000
    enqueued_tokens: int | None = None
    batches: int | None = None


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long to wait, in seconds: between two polls at first and at most, and until a batch that
    `Provider.find` does not find counts as never created."""

    first_poll: float = 2.0
    longest_poll: float = 60.0
    lost_after: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A batch as its provider reports it.

    `status` is the provider's own word; a word outside BATCH_STATUSES is kept and means that the
    batch has not ended. `files` are ids for `Provider.fetch`: none while the batch runs, up to two
    after it has ended. The tokens are what its answers have taken so far, 0 if that is not known;
    those cached are part of the input. A batch is `late` if it has ended, but its counts imply
    result files that `files` does not list yet. `code` and `error` say why a whole batch failed, in
    the provider's words.
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
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    @property
    def ended(self) -> bool:
        """Whether the batch never changes again."""
        # Some compatible servers write statuses in capitals.
        return self.status.lower() in ENDED_STATUSES


class Provider(Protocol):
    """Something that executes batches: the ten members that every provider has.

    What only some can do, such as answering a preview or listing files, is in `capabilities`.

    A batch is a JSONL file of requests in the form of the OpenAI Batch API, and so are its results,
    whatever the provider itself speaks. Every method may raise ProviderError, or Unavailable if
    trying again later is safe; only `submit` may raise Unclear.
    """

    @property
    def name(self) -> str:
        """The name under `providers:` in project.yml."""

    @property
    def identity(self) -> str:
        """What decides an answer besides the request. It is part of every fingerprint, and never
        contains a secret."""

    @property
    def llm(self) -> str:
        """The llm that a request names if its model names none."""

    @property
    def limits(self) -> Limits:
        """What a batch may contain; `Opening.limits` reads it from project.yml."""

    def upload(self, path: Path) -> str:
        """Sends a request file, once, and returns the file's id."""

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Creates the batch of an uploaded file. Called once for each intent and never retried."""

    def find(self, intent: str, *, file: str) -> Remote | None:
        """Returns the batch whose metadata says `enrich_batch: INTENT`, or that was created from
        the uploaded `file`; None if there is none. Raises ProviderError if there is no way to
        look. Must not depend on the provider's clock."""

    def poll(self, remote: str) -> Remote:
        """Returns the present state of the batch with this remote id."""

    def fetch(self, file: str, path: Path) -> None:
        """Streams a result file of an ended batch to `path`."""

    def cancel(self, remote: str) -> Remote:
        """Asks for a batch to be cancelled, which may take a while; answers so far may be kept."""
