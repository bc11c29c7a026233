"""Engines on a node: those of `providers.chat` and `providers.local`, for the rows of one actor."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from enrich.errors import ProviderError
from enrich.providers.executor.engine import EngineFailed
from enrich.providers.executor.folder import BatchState, Folder, Job
from enrich.providers.ray.server import ServedLlm
from enrich.providers.ray.work import ActorSettings
from enrich.providers.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from enrich.providers.executor.engine import Engine
    from enrich.providers.ray.work import HiddenSettings

NODE_LOG = "the actor's log in Ray's dashboard"
"""Where llama.cpp says more."""


@dataclass(frozen=True, kw_only=True)
class NodeEngines:
    """Opens the engines of a job for some of its `total` rows. `is_wanted` says whether a server
    that is starting is still waited for."""

    job: Job
    hidden: HiddenSettings
    is_wanted: Callable[[], bool]
    total: int
    servers: list[ServedLlm] = field(default_factory=list)

    @property
    def settings(self) -> ActorSettings:
        """What the job says of its actors."""
        return ActorSettings(**self.job.settings)

    def open(self) -> Sequence[Engine]:
        """Returns the engines, once they are ready. Raises EngineFailed."""
        if self.settings.weights:
            return self._open_weights()
        url = self.hidden.url
        if self.hidden.serve:
            served = ServedLlm(
                self.hidden.serve,
                llm=self.job.llm,
                environment=self.hidden.environment,
            )
            self.servers.append(served)
            served.await_ready(self.is_wanted)
            url = served.url
        return [self._ask_server(url)]

    def check_alive(self) -> None:
        """Raises EngineFailed if a server of this actor has ended."""
        for each in self.servers:
            each.check_alive()

    def _ask_server(self, url: str) -> Engine:
        from enrich.providers.chat.engine import ServerEngine
        from enrich.providers.chat.settings import ChatSettings

        settings = ChatSettings(
            name="ray",
            url=url,
            timeout=self.settings.timeout,
            concurrency=self.settings.concurrency,
        )
        return ServerEngine(
            settings=settings,
            headers=self.hidden.headers,
            hide=Secrets.from_values(self.hidden.hidden).redact,
            clean=Secrets.from_values(self.hidden.sure).redact,
            watched=self.total if self.job.is_preview else 0,
        )

    def _open_weights(self) -> Sequence[Engine]:
        """llama.cpp takes a folder of the executor's, so it gets one on this node."""
        from enrich.providers.local.llama import open_llama
        from enrich.providers.local.machine import list_cores
        from enrich.providers.local.settings import EngineSettings
        from enrich.providers.local.weights import check_gguf

        try:
            check_gguf(Path(self.settings.weights))
        except ProviderError as problem:
            raise EngineFailed(problem.message) from problem
        settings = EngineSettings(
            path=self.settings.weights,
            mmproj=None,
            slots=self.settings.slots,
            context=self.settings.context,
            threads=self.settings.threads or len(list_cores()),
        )
        scratch = Path(mkdtemp(prefix="enrich-"))
        nothing = scratch / "nothing.jsonl"
        nothing.touch()
        job = Job(**{**asdict(self.job), "settings": asdict(settings)})
        folder = Folder.create(scratch, job, nothing)
        folder.save(BatchState(total=self.total))
        return open_llama(folder, NODE_LOG)
