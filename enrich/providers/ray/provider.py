"""The provider: batches as jobs of a Ray cluster, with their files on a storage."""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from enrich.errors import DiskError, ProviderError, Unavailable
from enrich.pricing.price import FREE_PRICE, Price
from enrich.providers import Limits, Remote, Timing
from enrich.providers.executor.batches import make_batch_id
from enrich.providers.executor.folder import Job
from enrich.providers.executor.tally import Allowance
from enrich.providers.local.settings import CHAT_ENDPOINT
from enrich.providers.openai.settings import read_prices
from enrich.providers.private import open_private
from enrich.providers.ray.attempts import JobAttempts
from enrich.providers.ray.jobs import JobsApi
from enrich.providers.ray.settings import RaySettings, read_ray_settings
from enrich.providers.ray.shared import SharedBatch
from enrich.providers.ray.storage import is_folder, open_storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enrich.providers.executor.folder import BatchState
    from enrich.providers.opening import Opening
    from enrich.providers.ray.jobs import ClusterJob
    from enrich.providers.ray.storage import Storage

RAY_KIND = "ray"
"""How the ids of its batches begin."""
LONGEST_RAY_POLL = 5.0
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
"""What fsspec needs for a URL."""


@dataclass(frozen=True, kw_only=True)
class RayProvider:
    """Answers batches on a cluster. The storage decides what has been answered; the cluster is
    asked whether somebody works on the rest."""

    name: str
    cluster: RaySettings
    limits: Limits
    timing: Timing
    prices: Mapping[str, Price | str] = field(default_factory=dict)
    at_once: bool = True

    @classmethod
    def from_settings(cls, opening: Opening) -> RayProvider:
        """Returns the provider that project.yml describes. Raises ProjectError."""
        longest = opening.settings.read_number("poll_seconds", LONGEST_RAY_POLL)
        return cls(
            name=opening.name,
            cluster=read_ray_settings(opening),
            limits=opening.limits,
            # What is on the storage was submitted, or never will be.
            timing=Timing(first_poll=min(1.0, longest), longest_poll=longest, lost_after=0.0),
            prices=read_prices(opening.settings),
        )

    @property
    def identity(self) -> str:
        """What answers, whichever cluster it runs on."""
        return self.cluster.identity

    @property
    def llm(self) -> str:
        """What the server, or the file of the weights, is called."""
        return self.cluster.llm

    @cached_property
    def jobs(self) -> JobsApi:
        """The cluster's Jobs API."""
        return JobsApi(
            name=self.name,
            address=self.cluster.address,
            headers=self.cluster.headers,
            secrets=self.cluster.secrets,
        )

    @cached_property
    def attempts(self) -> JobAttempts:
        """The jobs of batches on the cluster."""
        return JobAttempts(jobs=self.jobs, cluster=self.cluster)

    @cached_property
    def storage(self) -> Storage:
        """The storage. Raises ProviderError if it needs a package."""
        url = self.cluster.storage
        try:
            return open_storage(url)
        except (ImportError, ValueError) as problem:
            package = PACKAGES.get(url.partition("://")[0], "fsspec and what it needs for this URL")
            hint = f"pip install {package}, here and on the nodes"
            raise ProviderError(f"{self.name}: storage {url}: {problem}", hint=hint) from problem

    def check(self, *, images: bool, endpoint: str) -> None:
        """Raises ProviderError unless the storage can be written and the weights fit the task."""
        if self.cluster.actors.weights and (images or endpoint not in ("", CHAT_ENDPOINT)):
            what = f"{self.name}: `weights` answer texts at {CHAT_ENDPOINT} only"
            raise ProviderError(what, hint="serve them with `serve: llama-server ...`")
        with self._translate_errors():
            self.storage.check()

    def offers(self, llm: str) -> bool | None:  # noqa: ARG002  # it is asked on the nodes
        """Returns None for any llm, if the cluster can be reached."""
        self.jobs.read_version()
        return None

    def describe_api(self) -> str:
        """Its type, its address, its storage and what answers."""
        version, known = self.jobs.read_version(), self.cluster
        where = f"type ray at {known.address}, which runs Ray {version}"
        return f"{where}; storage {known.storage}; {known.engine} answers"

    def price(self, llm: str, *, now: bool = False) -> Price | None:  # noqa: ARG002
        """The project's own price; otherwise nothing, on nodes of one's own, and unknown for a
        server with a key."""
        known = self.prices.get(llm)
        if isinstance(known, str):
            known = self.prices.get(known)
        if isinstance(known, Price):
            return known
        return FREE_PRICE if self.cluster.is_own else None

    def answering_now(self, name: str) -> RayProvider:
        """Returns the same provider: a small job for a few rows."""
        return replace(self, name=name)

    def allow(self, intent: str, usd: float, price: Price) -> None:
        """Limits what a batch may cost."""
        with self._translate_errors():
            self._name_batch(intent).allow(Allowance(usd=usd, price=price))

    def upload(self, path: Path) -> str:
        """Returns the path of the file as its id: it is sent with the batch."""
        with self._translate_errors(here=path):
            return str(path.resolve(strict=True))

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Puts the batch on the storage and submits its job; the same intent does so once."""
        batch = self._name_batch(metadata.get("enrich_batch"))
        with self._translate_errors(here=Path(file)):
            if batch.exists:
                return self._look(batch)
            job = Job(
                id=batch.id,
                llm=self.llm,
                endpoint=endpoint,
                metadata=dict(metadata),
                created_at=time.time(),
                settings=asdict(self.cluster.actors),
            )
            self.attempts.begin(batch, job, Path(file))
            return self._report(batch)

    def find(self, intent: str, *, file: str) -> Remote | None:  # noqa: ARG002  # its id tells
        """Returns the batch of this intent, if it is on the storage."""
        batch = self._name_batch(intent)
        with self._translate_errors():
            return self._look(batch) if batch.exists else None

    def poll(self, remote: str) -> Remote:
        """Returns the state of a batch; one that nobody works on is submitted again."""
        with self._translate_errors():
            return self._look(self._find_batch(remote))

    def cancel(self, remote: str) -> Remote:
        """Asks the driver to stop; answers so far are kept."""
        with self._translate_errors():
            batch = self._find_batch(remote)
            if batch.end is None:
                batch.ask_cancel()
            return self._look(batch)

    def fetch(self, file: str, path: Path) -> None:
        """Joins the parts of an ended batch: each row once, everything or nothing."""
        with self._translate_errors(here=path):
            batch = self._find_batch(file.removesuffix("/parts"))
            draft = path.with_name(f"{path.name}.new")
            with open_private(draft, "wb") as target:
                target.writelines(line for _, line, _ in batch.read_parts())
            draft.replace(path)

    def _name_batch(self, intent: str | None) -> SharedBatch:
        return SharedBatch(self.storage, make_batch_id(RAY_KIND, intent))

    def _find_batch(self, remote: str) -> SharedBatch:
        """Returns an existing batch. Raises ProviderError."""
        batch = SharedBatch(self.storage, remote)
        if "/" in remote or "\\" in remote or remote.startswith(".") or not batch.exists:
            where = self.cluster.storage
            hint = f"is {where} mounted here? If its folder was removed: enrich cancel --forget"
            raise ProviderError(f"{self.name} has no batch {remote!r}", hint=hint)
        return batch

    def _look(self, batch: SharedBatch) -> Remote:
        """How a batch stands, once somebody works on it if that is needed."""
        return self._report(batch, self.attempts.see_to(batch))

    def _report(self, batch: SharedBatch, job: ClusterJob | None = None) -> Remote:
        """Returns a batch as a provider reports it."""
        state = batch.end or batch.progress.state
        return Remote(
            id=batch.id,
            status=_name_status(state, batch, job),
            completed=state.completed,
            failed=state.failed,
            total=state.total,
            files=(f"{batch.id}/parts",) if state.ended and state.completed + state.failed else (),
            code=state.code,
            error=self.cluster.secrets.redact(state.error),
            input_tokens=state.input_tokens,
            cached_tokens=state.cached_tokens,
            output_tokens=state.output_tokens,
        )

    @contextmanager
    def _translate_errors(self, *, here: Path | None = None) -> Iterator[None]:
        """Translates errors of the storage, which may be back later, and those of the file or the
        disk of this machine that `here` names."""
        try:
            yield
        except (ProviderError, DiskError):
            raise
        except OSError as problem:
            where, words = problem.filename, problem.strerror or str(problem)
            if here is not None and _is_here(problem, here):
                hint = "check that it is there, that you may write it, and that the disk has room"
                raise DiskError(f"{where or here}: {words}", hint=hint) from problem
            hint = "check that it is there, that this machine may write it, and that it has room"
            if is_folder(self.cluster.storage):
                hint = "check that it is mounted here, that you may write it, and that it has room"
            what = f"{self.name}: storage {where or self.cluster.storage}: {words}"
            raise Unavailable(what, hint=hint) from problem
        except Exception as problem:  # fsspec's file systems raise what their packages do
            if is_folder(self.cluster.storage):
                raise
            what = f"{self.name}: storage {self.cluster.storage}: {problem}"
            raise Unavailable(what, hint="check its credentials on this machine") from problem


def _is_here(problem: OSError, path: Path) -> bool:
    """Whether an error is about a file of this machine, or the disk on which it is written."""
    if problem.filename is None:
        return problem.errno in (errno.ENOSPC, errno.EDQUOT) and not path.exists()
    return Path(os.fsdecode(problem.filename)).parent == path.parent


def _name_status(state: BatchState, batch: SharedBatch, job: ClusterJob | None) -> str:
    if state.ended:
        return state.status
    if batch.is_cancelling:
        return "cancelling"
    if job is not None and job.status == "PENDING":
        return f"waiting for the cluster: {job.message}"[:200]
    return state.status
