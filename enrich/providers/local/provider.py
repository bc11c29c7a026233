"""The provider: batches in folders, answered in a worker by llama.cpp or by word vectors."""

from __future__ import annotations

import time
from copy import copy
from typing import TYPE_CHECKING

from enrich.errors import ProviderError
from enrich.pricing.price import FREE_PRICE
from enrich.providers import Limits, Remote, Timing
from enrich.providers.executor.batches import FolderBatches, make_batch_id
from enrich.providers.executor.folder import Job
from enrich.providers.local.engines import ChatLlm, Gguf, GgufEmbedder
from enrich.providers.local.settings import (
    CHAT_ENDPOINT,
    EMBEDDING_ENDPOINT,
    LOCAL_KEYS,
    USUAL_CONTEXT,
    USUAL_SLOTS,
    check_least,
    read_path,
)
from enrich.providers.local.word_vectors import WordVectors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.pricing.price import Price
    from enrich.providers.local.engines import LocalEngine
    from enrich.providers.opening import Opening

INTENT_KEY = "enrich_batch"
"""The key of the metadata that says which intent a batch belongs to."""
WORKER = "enrich.providers.local.worker"


class LocalProvider:
    """Answers batches with an llm in a worker process on this machine; nothing leaves it.

    `root` is the folder of its batches. The weights are a GGUF (`path`), a file on the Hugging Face
    hub (`hf`, "org/repo:quantisation", downloaded when it is first needed) or, with neither,
    SmolLM2 for chats and word vectors for embeddings. `slots` rows are answered at the same time,
    each with at most `context` tokens of prompt and answer together.
    """

    # Nothing is lost on the way to this machine, so a batch that is not found was never created.

    at_once = True
    timing = Timing(first_poll=0.2, longest_poll=2.0, lost_after=0.0)

    def __init__(
        self,
        *,
        name: str,
        root: Path,
        path: Path | None = None,
        mmproj: Path | None = None,
        hf: str | None = None,
        slots: int = USUAL_SLOTS,
        context: int = USUAL_CONTEXT,
        threads: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Raises ProviderError for settings that contradict each other; opens no file."""
        if path and hf:
            raise ProviderError(f"{name}: `path` and `hf` are both set", hint="keep one of them")
        if mmproj and not (path or hf):
            raise ProviderError(
                f"{name}: `mmproj` without the llm it belongs to", hint="set `path` or `hf` too"
            )
        check_least(name, slots=(slots, 1), context=(context, 256), threads=(threads, 1))
        self.name = name
        self.limits = limits or Limits()
        self.batches = FolderBatches(name=name, root=root.absolute(), worker=WORKER)
        gguf = Gguf(path=path, hf=hf, slots=slots, context=context, threads=threads)
        embedder = WordVectors() if gguf.is_bundled else GgufEmbedder(gguf=gguf)
        self._engines: Mapping[str, LocalEngine] = {
            CHAT_ENDPOINT: ChatLlm(gguf=gguf, mmproj=mmproj),
            EMBEDDING_ENDPOINT: embedder,
        }
        self._endpoint = CHAT_ENDPOINT

    @classmethod
    def from_settings(cls, opening: Opening) -> LocalProvider:
        """Returns the provider that project.yml describes. Raises ProjectError or
        ProviderError."""
        settings = opening.settings
        opening.check_keys(*LOCAL_KEYS)
        return cls(
            name=opening.name,
            root=opening.work / "local",
            path=read_path(opening, "path"),
            mmproj=read_path(opening, "mmproj"),
            hf=settings.read_text("hf") or None,
            slots=settings.read_integer("slots") or USUAL_SLOTS,
            context=settings.read_integer("context") or USUAL_CONTEXT,
            threads=settings.read_integer("threads"),
            limits=opening.limits,
        )

    @property
    def _engine(self) -> LocalEngine:
        """What answers the endpoint of this provider."""
        return self._engines[self._endpoint]

    @property
    def identity(self) -> str:
        """`local:` and a digest of the weights, and of the projector if there is one."""
        return f"local:{self._engine.identity}"

    @property
    def llm(self) -> str:
        """What the weights are called."""
        return self._engine.llm

    @property
    def notice(self) -> str:
        """What people must know about its answers; empty if nothing."""
        return self._engine.notice

    def serving(self, endpoint: str) -> LocalProvider:
        """Returns the same provider with the llm that answers this endpoint; the provider itself
        if none does, which `check` will say."""
        if endpoint == self._endpoint or endpoint not in self._engines:
            return self
        same = copy(self)
        same._endpoint = endpoint
        return same

    def check(self, *, images: bool, endpoint: str = "") -> None:
        """Raises ProviderError unless the engine of an endpoint, or of this provider's own, runs
        here and has weights that fit the task."""
        engine = self._engines.get(endpoint or self._endpoint)
        if engine is None:
            raise ProviderError(
                f"{self.name} only answers {' and '.join(self._engines)}, not {endpoint}",
                hint="remove `endpoint`, or use a provider of `type: openai`",
            )
        engine.check(self.name, images=images)

    def offers(self, llm: str) -> bool:  # noqa: ARG002  # the weights answer by any name
        """Returns True: it always has its weights."""
        return True

    def price(self, llm: str, *, now: bool = False) -> Price:  # noqa: ARG002  # here or there
        """Returns a price of nothing."""
        return FREE_PRICE

    def upload(self, path: Path) -> str:
        """Returns the path of the file as its id; nothing is sent."""
        return self.batches.upload(path)

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Creates the folder of a batch and starts its worker; only once for the same intent."""
        engine = self._engines.get(endpoint, self._engines[CHAT_ENDPOINT])
        job = Job(
            id=make_batch_id("local", metadata.get(INTENT_KEY)),
            llm=engine.llm,
            endpoint=endpoint,
            metadata=dict(metadata),
            created_at=time.time(),
            settings=engine.make_settings(),
        )
        return self.batches.submit(file, job)

    def find(self, intent: str, *, file: str = "") -> Remote | None:  # noqa: ARG002
        """Returns the batch of this intent, which the name of its folder tells."""
        return self.batches.find(make_batch_id("local", intent))

    def poll(self, remote: str) -> Remote:
        """Returns the state of a batch; a worker that died is started again, and continues."""
        return self.batches.poll(remote)

    def fetch(self, file: str, path: Path) -> None:
        """Copies the answers of an ended batch to `path`, either all of them or nothing."""
        self.batches.fetch(file, path)

    def cancel(self, remote: str) -> Remote:
        """Asks the worker to stop; answers so far are kept."""
        return self.batches.cancel(remote)

    def leftovers(self, remote: str, file: str, *, fetched: bool) -> tuple[Path, ...]:  # noqa: ARG002
        """Returns the folder of a batch that has ended."""
        return self.batches.list_leftovers(remote, fetched=fetched)

    def answering_now(self, name: str) -> LocalProvider:
        """Returns the same provider: it always answers at once."""
        same = copy(self)
        same.name = name
        return same
