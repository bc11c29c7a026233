"""Providers: who executes batches. One protocol, one file each; nothing else knows which it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.pricing.price import Price

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

STATUSES: tuple[str, ...] = get_args(Status)
TERMINAL: frozenset[str] = frozenset({"completed", "failed", "expired", "cancelled"})
"""A batch with one of these never changes again. All but `failed` may have result files."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one batch may hold, and what may be under way at once. None: no such limit."""

    requests: int = 50_000
    bytes: int = 200_000_000
    enqueued_tokens: int | None = None
    batches: int | None = None


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A batch as its provider reports it.

    `status` is the provider's own word; a word outside STATUSES is kept and means "not ended".
    `files` are ids for `Provider.fetch`: none while the batch runs, up to two once it ended.
    `late`: it has ended, and its counts speak of result files that `files` does not name yet.
    `code` and `error` say why a whole batch failed, in the provider's words.
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
        return self.status.lower() in TERMINAL


class Provider(Protocol):
    """Who executes batches.

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
    def limits(self) -> Limits: ...

    @property
    def pause(self) -> tuple[float, float]:
        """Seconds between two polls: at first, and at most."""

    @property
    def lost_after(self) -> float:
        """Seconds after which a create that `find` does not know counts as never received."""

    @property
    def notice(self) -> str:
        """What people must know about answers from here, one sentence; empty if nothing."""

    def price(self, llm: str, *, now: bool = False) -> Price | None:
        """What tokens of this llm cost, in a batch or asked `now`; None where nobody knows."""

    def check(self, *, images: bool, endpoint: str) -> None:
        """Raise ProviderError when this provider could not answer at all; spends nothing."""

    def offers(self, llm: str) -> bool | None:
        """Whether it is reached and has this llm; None where it does not tell. Spends nothing."""

    def upload(self, path: Path) -> str:
        """Send a request file once; gives the file id. The file's name is its intent: where the
        answer is lost, `uploaded` finds what came of it."""

    def uploaded(self, name: str) -> tuple[str, ...]:
        """The ids of the files of this name, newest first; none where files cannot be listed."""

    def ready(self, file: str) -> bool:
        """Whether a batch can be made of an uploaded file now. True where the provider does not
        tell."""

    def discard(self, file: str) -> None:
        """Delete an uploaded file that no batch was made of."""

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

    def complete(self, requests: Path, results: Path) -> None:
        """Answer the few requests of a file now, and write each result line as it comes."""
