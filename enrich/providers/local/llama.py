"""llama.cpp, which is loaded in a worker's own process."""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from enrich.providers.executor.engine import EngineFailed, ThreadedEngine
from enrich.providers.local.embedding import Embedded, answer_embedding
from enrich.providers.local.machine import list_cores, pin_to
from enrich.providers.local.rejection import RejectedRequest
from enrich.providers.local.request import answer_body
from enrich.providers.local.settings import EngineSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.providers.executor.folder import Folder, Job
    from enrich.providers.executor.reply import EngineReply

SMALL_WEIGHTS = 512_000_000
"""Weights of up to this many bytes are opened once for each core: see `plan_engines`."""
SLOT_TIMEOUT = 60
"""Seconds that saving or restoring a slot may take."""
TOO_LONG = re.compile(r"(?:input|request) \((\d+) tokens\) (?:is too large|is larger|exceeds)")
"""How llama.cpp says that a text does not fit into its context."""


class LlamaServer(Protocol):
    """The part of xllamacpp.Server that enrich uses."""

    listening_address: str

    def handle_chat_completions(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the answer to a request of the chat API."""

    def handle_embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the answer to a request of the embeddings API."""


def open_llama(folder: Folder, log: str = "") -> list[ThreadedEngine]:
    """The engines of a batch, each on cores of its own where several fill the machine. Raises
    EngineFailed, which names the `log`, or else that of the folder."""
    job = folder.job
    settings = EngineSettings(**job.settings)
    # More slots than rows would only take memory: each has a context of its own.
    settings = replace(settings, slots=min(settings.slots, max(1, folder.state.total)))
    try:
        plan = plan_engines(settings, Path(settings.path).stat().st_size)
        cores = list_cores()
        whole = len(plan) > 1 and sum(threads for _, threads in plan) == len(cores)
        free, found = iter(cores), []
        for slots, threads in plan:
            with pin_to(list(islice(free, threads)) if whole else cores):
                llama = Llama(settings, slots=slots, threads=threads, scratch=folder.path)
            if settings.pooling:
                answer = partial(answer_embedding, llama, job.llm)
                found.append(ThreadedEngine(answer=answer, slots=slots))
            else:
                answer = partial(_answer_job, llama, job)
                found.append(ThreadedEngine(answer=answer, slots=slots, warm=llama.warm))
    except ImportError as error:
        hint = "apt-get install libgomp1 libstdc++6" if sys.platform == "linux" else "install it"
        raise EngineFailed(f"{error} ({hint})") from error
    except RuntimeError as error:  # llama.cpp writes the reason to the log
        what = f"llama.cpp cannot load {settings.path}; see {log or folder.log}"
        raise EngineFailed(what) from error
    return found


def _answer_job(llama: Llama, job: Job, body: Mapping[str, Any]) -> EngineReply:
    """Returns the reply of an engine to one body."""
    return answer_body(llama, body, job)


def plan_engines(settings: EngineSettings, size: int) -> list[tuple[int, int]]:
    """Returns the engines to open for weights of `size` bytes, as (slots, threads) of each."""
    # With small weights, computing takes longer than reading them from memory. One engine for each
    # core, with one thread, is then faster than one engine whose threads wait for each other after
    # each operation, and all the more if a core is busy. Large weights are better read once for all
    # slots, and should not be in memory twice; nor should the projector of an llm that sees.
    if settings.mmproj or size > SMALL_WEIGHTS:
        return [(settings.slots, settings.threads)]
    number = min(settings.slots, settings.threads)
    return [
        (_take_share(settings.slots, number, i), _take_share(settings.threads, number, i))
        for i in range(number)
    ]


def _take_share(whole: int, number: int, index: int) -> int:
    """Returns one of `number` shares of a whole, which are as equal as possible."""
    return whole // number + (index < whole % number)


class Llama:
    """llama.cpp with its weights; answers as many requests at the same time as it has slots."""

    dimensions: tuple[int, ...] = ()
    """To how many numbers its vectors may be cut: the weights do not say."""

    def __init__(
        self, settings: EngineSettings, *, slots: int, threads: int, scratch: Path
    ) -> None:
        """Raises RuntimeError without a reason if the weights do not load."""
        # Idle OpenMP threads spin by default, which slows everything down if a core is busy
        # (libgomp manual, GOMP_SPINCOUNT). The variable is read when the library loads.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = settings.path
        if settings.mmproj:
            params.mmproj.path = settings.mmproj
        params.n_parallel = slots
        params.n_ctx = slots * settings.context
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.verbosity = 1  # errors only
        params.warmup = False
        params.cache_ram_mib = 0  # otherwise it keeps the prompts of old rows, up to 8 GB
        params.slot_save_path = f"{scratch}{os.sep}"
        # The server also listens on a port, which every user of the machine can reach.
        self._key = secrets.token_hex(16)
        params.api_keys = [self._key]
        if settings.pooling:
            params.embedding = True
        if settings.pooling in ("own", "mean"):
            # Such a text is embedded in one piece, so it has to fit into one batch of the engine.
            # Where the last token counts it is not, which saves gigabytes: those llms are large.
            params.n_batch = params.n_ubatch = settings.context
        if settings.pooling == "mean":
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        if all(device["type"].value == 0 for device in xllamacpp.get_device_info()):  # no GPU
            # Finding out what fits into a GPU's memory takes half of the time to load.
            params.fit_params = False
            if not settings.pooling:
                # On a processor, the plain kernels answer a row in 7 % less time. For texts in one
                # piece, they would take memory that grows with the square of the context.
                off = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
                params.flash_attn_type = off
        self.slots = slots
        self._saved = scratch / f"slot-{id(self)}"
        self._sees = settings.mmproj is not None
        self._context = settings.context
        self._server: LlamaServer = xllamacpp.Server(params)

    def warm(self, body: Mapping[str, Any]) -> None:
        """Reads the prefix that all requests share once, and copies it to all slots."""
        # Otherwise each slot would read it for itself, which takes seconds. Answers do not depend
        # on it, so errors are ignored.
        if self.slots == 1 or self._sees:  # llama.cpp does not save the slots of llms that see
            return
        with suppress(ValueError, RuntimeError, OSError):
            self.ask({**body, "max_tokens": 1, "max_completion_tokens": 1, "id_slot": 0})
            self._move_slot(0, "save")
            for slot in range(1, self.slots):
                self._move_slot(slot, "restore")
        self._saved.unlink(missing_ok=True)

    def _move_slot(self, slot: int, action: str) -> None:
        """Saves or restores a slot (llama.cpp's server README, `POST /slots/{id}?action=`)."""
        from urllib.request import Request, urlopen

        url = f"{self._server.listening_address}/slots/{slot}?action={action}"
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        data = json.dumps({"filename": self._saved.name}).encode()
        with urlopen(Request(url, data, headers), timeout=SLOT_TIMEOUT) as answer:  # noqa: S310
            answer.read()

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the engine's own answer, a completion or `{"error": ...}`. It may raise
        ValueError or RuntimeError instead."""
        return self._server.handle_chat_completions(body)

    def embed(self, text: str) -> Embedded:
        """Returns the vector of a text. Raises RejectedRequest, or ValueError or RuntimeError."""
        found = self._server.handle_embeddings({"input": text})
        if "data" in found:
            return Embedded(found["data"][0]["embedding"], found["usage"]["prompt_tokens"])
        error = found.get("error", {})
        message = str(error.get("message", found))
        if long := TOO_LONG.search(message):
            raise RejectedRequest(
                f"the text has {int(long[1]):,} tokens, and the llm takes {self._context:,} at "
                "once: shorten it, or raise `context` if the llm was trained on more"
            )
        raise RejectedRequest(message, status=error.get("code", 400))
