"""The provider: batches in folders, answered by llama.cpp in a worker."""

from __future__ import annotations

import time
from copy import copy
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING

from enrich.errors import ProviderError
from enrich.pricing.price import FREE_PRICE
from enrich.providers import Limits, Remote, Timing
from enrich.providers.executor.batches import FolderBatches, make_batch_id
from enrich.providers.executor.folder import Job
from enrich.providers.local import hub, weights
from enrich.providers.local.machine import check_engine, list_cores
from enrich.providers.local.settings import (
    CHAT_ENDPOINT,
    LOCAL_KEYS,
    USUAL_CONTEXT,
    USUAL_SLOTS,
    EngineSettings,
    check_least,
    read_path,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.pricing.price import Price
    from enrich.providers.opening import Opening

INTENT_KEY = "enrich_batch"
"""The key of the metadata that says which intent a batch belongs to."""
WORKER = "enrich.providers.local.worker"
BUNDLED_NOTICE = (
    "smollm2-135m-instruct is for trying things out, and its answers are poor: for ones to rely "
    "on, name an instruct GGUF of 1.5B parameters or more by `path:` or `hf:`, or gpt-4o-mini "
    "through `type: openai`."
)


class LocalProvider:
    """Answers batches with an llm in a worker process on this machine; nothing leaves it.

    `root` is the folder of its batches. The weights are a GGUF (`path`), a file on the Hugging Face
    hub (`hf`, "org/repo:quantisation", downloaded when it is first needed) or, with neither,
    SmolLM2. `slots` rows are answered at the same time, each with at most `context` tokens of
    prompt and answer together.
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
        self._path, self._mmproj, self._hf = path, mmproj, hf
        self._slots, self._context, self._threads = slots, context, threads

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

    @cached_property
    def _weights(self) -> Path:
        """The file of the llm, which is downloaded if necessary."""
        if self._path:
            return weights.make_absolute(self._path)
        return hub.find_weights(self._hf) if self._hf else weights.find_bundled()

    @cached_property
    def _projector(self) -> Path | None:
        """The file with which an llm sees."""
        return weights.make_absolute(self._mmproj) if self._mmproj else None

    @property
    def _is_bundled(self) -> bool:
        """Whether the llm is the one that comes as a package."""
        return not (self._path or self._hf)

    @cached_property
    def identity(self) -> str:
        """`local:` and a digest of the weights, and of the projector if there is one."""
        files = [self._weights, *([self._projector] if self._projector else [])]
        return f"local:{weights.digest_files(files)}"

    @property
    def llm(self) -> str:
        """What the weights are called."""
        return weights.BUNDLED_LLM if self._is_bundled else self._weights.stem

    @property
    def notice(self) -> str:
        """What the bundled llm is good for."""
        return BUNDLED_NOTICE if self._is_bundled else ""

    def check(self, *, images: bool, endpoint: str = CHAT_ENDPOINT) -> None:
        """Raises ProviderError unless the engine runs here and has weights that fit the task."""
        check_engine()
        if endpoint != CHAT_ENDPOINT:
            raise ProviderError(
                f"{self.name} only answers {CHAT_ENDPOINT}, not {endpoint}",
                hint="remove `endpoint`, or use a provider of `type: openai`",
            )
        if self._is_bundled:
            weights.verify_bundled(self._weights)
        weights.check_gguf(self._weights)
        if self._projector:
            weights.check_gguf(self._projector)
        elif images:
            raise ProviderError(
                f"{self.name}'s llm cannot see images",
                hint="set `path:` to an llm that can, and `mmproj:` to its projector",
            )

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
        batch = make_batch_id("local", metadata.get(INTENT_KEY))
        return self.batches.submit(file, self._make_job(batch, endpoint, metadata))

    def _make_job(self, batch: str, endpoint: str, metadata: Mapping[str, str]) -> Job:
        """Returns what a worker has to do."""
        settings = EngineSettings(
            path=str(self._weights),
            mmproj=str(self._projector) if self._projector else None,
            slots=self._slots,
            context=self._context,
            threads=self._threads or len(list_cores()),
        )
        return Job(
            id=batch,
            llm=self.llm,
            endpoint=endpoint,
            metadata=dict(metadata),
            created_at=time.time(),
            settings=asdict(settings),
        )

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

    def answering_now(self, name: str) -> LocalProvider:
        """Returns the same provider: it always answers at once."""
        same = copy(self)
        same.name = name
        return same
