"""Settings: which weights, and how the engine is opened with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from enrich.errors import ProviderError

if TYPE_CHECKING:
    from enrich.providers.opening import Opening

LOCAL_KEYS = ("path", "mmproj", "hf", "slots", "context", "threads")
"""The settings of this provider, besides those that all share."""
CHAT_ENDPOINT = "/v1/chat/completions"
"""The one endpoint that llama.cpp is asked through here."""
USUAL_SLOTS = 4
USUAL_CONTEXT = 4096


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How the engine is opened: what a worker is told of its provider's settings."""

    path: str
    mmproj: str | None
    slots: int
    context: int
    threads: int


def read_path(opening: Opening, key: str) -> Path | None:
    """A path of the settings, which begins at the project's folder; None where there is none."""
    text = opening.settings.read_text(key)
    return opening.root / Path(text).expanduser() if text else None


def check_least(name: str, **numbers: tuple[int | None, int]) -> None:
    """Raise ProviderError for a number, given as (number, least), that is too small."""
    for word, (number, least) in numbers.items():
        if number is not None and number < least:
            raise ProviderError(f"{name}: `{word}` is {number}", hint=f"at least {least}")
