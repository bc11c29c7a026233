"""Attempts: the jobs on a cluster that work on a batch, one after the other."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.errors import ProviderError, Unclear, count_nouns
from enrich.providers.executor.launch import MOST_STARTS
from enrich.providers.ray.halves import HALF_VARIABLE, split_halves
from enrich.providers.ray.package import pack_enrich
from enrich.providers.ray.shared import Attempt

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.providers.executor.folder import Job
    from enrich.providers.ray.jobs import ClusterJob, JobsApi
    from enrich.providers.ray.settings import RaySettings
    from enrich.providers.ray.shared import SharedBatch

DRIVER = ("python", "-P", "-m", "enrich.providers.ray.driver")
"""By Ray's convention, `python` on the nodes is the one that has Ray. `-P`: what lies in the folder
where Ray was started has nothing to do with it."""


@dataclass(frozen=True, kw_only=True)
class JobAttempts:
    """Submits the jobs of batches, and sees to it that one works while rows are left."""

    jobs: JobsApi
    cluster: RaySettings

    def begin(self, batch: SharedBatch, job: Job, requests: Path) -> None:
        """Puts a batch on the storage and submits its first job. Raises Unclear, or ProviderError
        if nothing was submitted; then nothing stays on the storage, either."""
        batch.add_attempt(Attempt(number=1))
        batch.create(job, requests)
        try:
            self._submit(batch, 1, self._send_package())
        except Unclear:
            raise
        except ProviderError:
            batch.withdraw()
            raise

    def see_to(self, batch: SharedBatch) -> ClusterJob | None:
        """Returns the job that works on a batch; None if it has ended, or if its next job was
        submitted now."""
        if batch.end is not None:
            return None
        last = batch.attempts[-1]
        job = self.jobs.find_job(name_job(batch.id, last.number))
        if job is not None and job.is_alive:
            if job.status == "PENDING" and batch.is_cancelling:
                self.jobs.stop_job(name_job(batch.id, last.number))
            return job
        # Only now: the driver may have ended between the two looks.
        if batch.end is None:
            self._take_up(batch, last, job)
        return None

    def _take_up(self, batch: SharedBatch, last: Attempt, job: ClusterJob | None) -> None:
        """Ends a batch that nobody works on if it was to be stopped, or if trying again does not
        help; submits it again otherwise."""
        if batch.is_cancelling or (job is not None and job.status == "STOPPED"):
            batch.finish("cancelled")
            return
        answered = len(batch.read_answered()[0])
        # Attempts only count while nothing is answered: a cluster that is restarted now and then
        # must not end its batches.
        attempts = batch.attempts
        lost = {each.number - 1 for each in attempts if each.lost}
        vain = [e for e in attempts if e.answered == answered and e.number not in lost]
        if job is not None and len(vain) >= MOST_STARTS:
            what = (
                f"its job ended {count_nouns(len(vain), 'time')} without an answer: {job.message}"
            )
            batch.finish("failed", code="engine_failed", error=what)
            return
        # Before the attempt is announced: that ends the work of a driver that is only out of reach.
        package = self._send_package()
        number = last.number + 1
        batch.add_attempt(Attempt(number=number, answered=answered, lost=job is None))
        try:
            self._submit(batch, number, package)
        except Unclear:
            return  # the next look finds it, or submits the next attempt
        except ProviderError:
            batch.take_back(number)
            raise

    def _send_package(self) -> str:
        """Returns the address of enrich's modules on the cluster."""
        return self.jobs.send_package(*pack_enrich())

    def _submit(self, batch: SharedBatch, number: int, package: str) -> None:
        """Submits the job of an attempt."""
        ours, theirs = split_halves(self.cluster.hidden.to_json())
        batch.keep_half(number, ours)
        own = self.cluster.runtime_env
        environment = {
            **own,
            "py_modules": [*own.get("py_modules", ()), package],
            "env_vars": {**own.get("env_vars", {}), HALF_VARIABLE: theirs.hex()},
        }
        self.jobs.submit_job(
            name_job(batch.id, number),
            command=shlex.join((*DRIVER, self.cluster.storage, batch.id, str(number))),
            environment=environment,
            batch=batch.id,
        )


def name_job(batch: str, number: int) -> str:
    """The id of the job of an attempt; that of the first is the batch's own.

    >>> name_job("ray-1", 1), name_job("ray-1", 2)
    ('ray-1', 'ray-1-2')
    """
    return batch if number == 1 else f"{batch}-{number}"
