"""Opening: what a provider is made from, and the settings that all providers share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enrich.providers import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.manifest.settings import Settings

LIMIT_KEYS = ("max_requests", "max_bytes", "enqueued_tokens", "max_batches")
"""Settings that every provider may have: see `Limits`."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A provider as project.yml has it: its `name`, its type (`kind`) and its `settings`, in which
    each `${NAME}` has been replaced; `written` are those that the file holds. Relative paths begin
    at `root`; what the provider keeps goes below `work`. Keys are looked up in `environment`."""

    name: str
    kind: str
    settings: Settings
    written: Settings
    root: Path
    work: Path
    environment: Mapping[str, str]

    def known(self, *keys: str) -> None:
        """Refuse settings other than these, and those that all providers share."""
        self.settings.known(("type", *LIMIT_KEYS, *keys))

    @property
    def limits(self) -> Limits:
        """What `max_requests` and the others say, or what is usual."""
        usual, settings = Limits(), self.settings
        return replace(
            usual,
            requests=settings.integer("max_requests", usual.requests) or usual.requests,
            bytes=settings.integer("max_bytes", usual.bytes) or usual.bytes,
            enqueued_tokens=settings.integer("enqueued_tokens"),
            batches=settings.integer("max_batches"),
        )
