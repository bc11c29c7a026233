"""Engines as a provider knows them: what answers an endpoint, before a worker loads it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

from enrich.errors import ProviderError
from enrich.providers.local import hub, weights
from enrich.providers.local.machine import check_engine, list_cores
from enrich.providers.local.settings import EngineSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BUNDLED_NOTICE = (
    "smollm2-135m-instruct is for trying things out, and its answers are poor: for ones to rely "
    "on, name an instruct GGUF of 1.5B parameters or more by `path:` or `hf:`, or gpt-4o-mini "
    "through `type: openai`."
)
NO_POOLING, LAST_TOKEN, RANKING = 0, 3, 4
"""Ways of pooling, as llama.cpp numbers them; ranking is one score for a pair of texts."""


class LocalEngine(Protocol):
    """What answers the requests of an endpoint."""

    @property
    def llm(self) -> str:
        """What it is called."""

    @property
    def identity(self) -> str:
        """A digest of its weights."""

    @property
    def notice(self) -> str:
        """What people must know about its answers, in one sentence; empty if nothing."""

    def check(self, name: str, *, images: bool) -> None:
        """Raises ProviderError, which names the provider, unless it runs here and has weights that
        fit the task."""

    def make_settings(self) -> Mapping[str, Any]:
        """Returns what a worker needs to open it, as JSON."""


@dataclass(frozen=True, kw_only=True)
class Gguf:
    """The GGUF of an llm, which a project names by its path or by its name on the hub; SmolLM2 if
    it does neither. It is opened for `slots` requests at a time, each with `context` tokens."""

    path: Path | None
    hf: str | None
    slots: int
    context: int
    threads: int | None

    @cached_property
    def file(self) -> Path:
        """The file, which is downloaded if necessary."""
        if self.path:
            return weights.make_absolute(self.path)
        return hub.find_weights(self.hf) if self.hf else weights.find_bundled()

    @property
    def is_bundled(self) -> bool:
        """Whether it is the one that comes as a package."""
        return not (self.path or self.hf)

    @property
    def llm(self) -> str:
        """What the weights are called."""
        return weights.BUNDLED_LLM if self.is_bundled else self.file.stem

    def make_settings(self) -> EngineSettings:
        """Returns how a worker opens it as an llm that chats and sees nothing."""
        return EngineSettings(
            path=str(self.file),
            mmproj=None,
            slots=self.slots,
            context=self.context,
            threads=self.threads or len(list_cores()),
        )


@dataclass(frozen=True, kw_only=True)
class ChatLlm:
    """An llm that chats; it sees with the projector in `mmproj`."""

    gguf: Gguf
    mmproj: Path | None

    @cached_property
    def _projector(self) -> Path | None:
        """The file with which an llm sees."""
        return weights.make_absolute(self.mmproj) if self.mmproj else None

    @property
    def llm(self) -> str:
        """What the weights are called."""
        return self.gguf.llm

    @cached_property
    def identity(self) -> str:
        """A digest of the weights, and of the projector if there is one."""
        return weights.digest_files(
            [self.gguf.file, *([self._projector] if self._projector else [])]
        )

    @property
    def notice(self) -> str:
        """What the bundled llm is good for."""
        return BUNDLED_NOTICE if self.gguf.is_bundled else ""

    def check(self, name: str, *, images: bool) -> None:
        """Raises ProviderError unless the engine runs here and has weights that fit the task."""
        check_engine()
        if self.gguf.is_bundled:
            weights.verify_bundled(self.gguf.file)
        weights.check_gguf(self.gguf.file)
        if self._projector:
            weights.check_gguf(self._projector)
        elif images:
            raise ProviderError(
                f"{name}'s llm cannot see images",
                hint="set `path:` to an llm that can, and `mmproj:` to its projector",
            )

    def make_settings(self) -> Mapping[str, Any]:
        """Returns what a worker needs to open it."""
        settings = asdict(self.gguf.make_settings())
        return settings | {"mmproj": str(self._projector) if self._projector else None}


@dataclass(frozen=True, kw_only=True)
class GgufEmbedder:
    """An llm that turns texts into vectors."""

    gguf: Gguf

    @property
    def llm(self) -> str:
        """What the weights are called."""
        return self.gguf.llm

    @cached_property
    def identity(self) -> str:
        """A digest of the weights."""
        return weights.digest_files([self.gguf.file])

    @property
    def notice(self) -> str:
        """What to expect of an llm that was not made for embeddings."""
        if self._pooling != "mean":
            return ""
        return (
            f"{self.llm} does not say how it makes one vector of a text, so it is probably no "
            "embedding model, and its vectors are of little use: nomic-embed-text and bge are such "
            "models."
        )

    def check(self, name: str, *, images: bool) -> None:
        """Raises ProviderError unless the engine runs here and has weights that embed texts."""
        check_engine()
        if images:
            raise ProviderError(
                f"{name} embeds texts, not images", hint="leave the image column out of the prompt"
            )
        if weights.check_gguf(self.gguf.file).pooling == RANKING:
            raise ProviderError(
                f"{self.llm} scores pairs of texts, and does not embed them",
                hint="set `path:` or `hf:` to an embedding model, such as nomic-embed-text",
            )

    @cached_property
    def _pooling(self) -> Literal["own", "last", "mean"]:
        """How the vectors of tokens become one; their mean if the weights do not say."""
        said = weights.check_gguf(self.gguf.file).pooling
        if said in (None, NO_POOLING):
            return "mean"
        return "last" if said == LAST_TOKEN else "own"

    def make_settings(self) -> Mapping[str, Any]:
        """Returns what a worker needs to open it."""
        settings = self.gguf.make_settings()
        # llama.cpp reserves memory for as many tokens as it may be given at once.
        trained = weights.check_gguf(self.gguf.file).context or settings.context
        return asdict(
            replace(settings, context=min(settings.context, trained), pooling=self._pooling)
        )
