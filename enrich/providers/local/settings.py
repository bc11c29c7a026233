"""Settings: which weights to use, and how to open the engine with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from enrich.errors import ProviderError

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.providers.opening import Opening

LOCAL_KEYS = ("path", "mmproj", "hf", "slots", "context", "threads")
"""The settings of this provider, besides those that all providers share."""
CHAT_ENDPOINT = "/v1/chat/completions"
EMBEDDING_ENDPOINT = "/v1/embeddings"
USUAL_SLOTS = 4
USUAL_CONTEXT = 4096


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How a worker opens the engine: the part of a provider's settings that it needs."""

    path: str
    mmproj: str | None
    slots: int
    context: int
    threads: int
    pooling: Literal["", "own", "last", "mean"] = ""
    """How the vectors of tokens become one, if texts are embedded: the weights' own way, which may
    be that the last one counts, or their mean; empty if the llm chats."""


@dataclass(frozen=True, kw_only=True)
class VectorFiles:
    """The files of word vectors: all that a worker needs to embed texts with them."""

    vectors: str
    tokenizer: str


def read_path(opening: Opening, key: str) -> Path | None:
    """Returns a path from the settings, relative to the project's folder; None if not set."""
    text = opening.settings.read_text(key)
    return opening.root / opening.settings.expand_home(key, text) if text else None


def check_least(name: str, **numbers: tuple[int | None, int]) -> None:
    """Raises ProviderError for a number that is too small; each is given as (number, least)."""
    for word, (number, least) in numbers.items():
        if number is not None and number < least:
            raise ProviderError(f"{name}: `{word}` is {number}", hint=f"at least {least}")
