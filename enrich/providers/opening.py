"""Opening: what a provider is created from, and the settings that all providers share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enrich.providers import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.manifest.settings import YamlSettings


LIMIT_KEYS = ("max_requests", "max_bytes", "enqueued_tokens", "max_batches")
"""Settings that every provider may have: see `Limits`."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A provider as project.yml has it: its `name`, its type (`kind`) and its `settings`, in which
    each `${NAME}` has been replaced; `written` are those that the file holds. Relative paths begin
    at `root`; what the provider keeps goes below `work`. Keys are looked up in `environment`."""

    name: str
    kind: str
    settings: YamlSettings
    written: YamlSettings
    root: Path
    work: Path
    environment: Mapping[str, str]

    def check_keys(self, *keys: str) -> None:
        """Raises ProjectError for settings other than these and those of all providers."""
        self.settings.check_keys(("type", *LIMIT_KEYS, *keys))

    @property
    def limits(self) -> Limits:
        """The limits that `max_requests` and the others set, with defaults filled in."""
        return self.read_limits(Limits())

    def read_limits(self, usual: Limits) -> Limits:
        """The same, for a provider whose `usual` limits are others."""
        settings = self.settings
        return replace(
            usual,
            requests=settings.read_integer("max_requests", usual.requests) or usual.requests,
            bytes=settings.read_integer("max_bytes", usual.bytes) or usual.bytes,
            enqueued_tokens=settings.read_integer("enqueued_tokens"),
            batches=settings.read_integer("max_batches"),
        )
