"""Jobs: Mistral's batches, which are created once, found by their metadata, and polled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enrich.errors import ProviderError, Unavailable
from enrich.providers import ENDED_STATUSES, Remote
from enrich.providers.mistral.connection import LIST_SIZE, JobConnection
from enrich.providers.openai.words import find_first_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mistralai.client.models import BatchJob

JOB_STATUSES = {
    "QUEUED": "validating",
    "RUNNING": "in_progress",
    "SUCCESS": "completed",
    "FAILED": "failed",
    "TIMEOUT_EXCEEDED": "expired",
    "CANCELLATION_REQUESTED": "cancelling",
    "CANCELLED": "cancelled",
}
"""What the statuses of jobs mean; another one is kept, and has not ended."""


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """The jobs of an account. `hours` is how long a new one may take."""

    connection: JobConnection
    hours: int

    def create(self, file: str, *, llm: str, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Creates a job, once. Raises Unclear if the answer was lost, and ProviderError."""
        # Without retries: the SDK would create a second job after a 500.
        job = self.connection.ask(
            lambda client: client.batch.jobs.create(
                endpoint=endpoint,  # type: ignore[arg-type]  # the server knows its endpoints
                input_files=[file],
                model=llm,
                metadata=dict(metadata),
                timeout_hours=self.hours,
                retries=None,
            ),
            creating=True,
        )
        with self.connection.plain.translate_errors(creating=True):
            return self._read(job)

    def find(self, intent: str, *, file: str) -> Remote | None:
        """Returns the job of an intent; where metadata are not kept, the one that was created from
        its file. None if there is none."""
        # The list could be filtered by metadata, but a filter that a server reads differently
        # would hide the job, and it would be paid for twice. It is sorted by the newest first.
        for job in self.connection.list_all(
            lambda client, number: client.batch.jobs.list(page=number, page_size=LIST_SIZE)
        ):
            known = job.metadata if isinstance(job.metadata, dict) else {}
            mine = file in job.input_files and job.status != "FAILED"
            if known.get("enrich_batch") == intent or (mine and not known):
                with self.connection.plain.translate_errors():
                    return self._read(job)
        return None

    def retrieve(self, job_id: str) -> Remote:
        """Returns the present state of a job."""
        job = self.connection.ask(lambda client: client.batch.jobs.get(job_id=job_id))
        with self.connection.plain.translate_errors():
            return self._read(job, asked=job_id)

    def cancel(self, job_id: str) -> Remote:
        """Asks for a job to be cancelled, and returns its state. One that has ended in the
        meantime is returned as it ended."""
        try:
            job = self.connection.ask(lambda client: client.batch.jobs.cancel(job_id=job_id))
        except ProviderError as problem:
            if isinstance(problem, Unavailable) and not problem.answered:
                raise
            found = self.retrieve(job_id)
            if not found.ended:
                raise
            return found
        with self.connection.plain.translate_errors():
            return self._read(job, asked=job_id)

    def list_named(self, name: str) -> tuple[str, ...]:
        """Returns the ids of the request files of this name, newest first."""
        listed = self.connection.list_all(
            lambda client, number: client.files.list(
                page=number, page_size=LIST_SIZE, purpose="batch"
            )
        )
        found: list[Any] = [file for file in listed if file.filename == name]
        found.sort(key=lambda file: file.created_at, reverse=True)
        return tuple(dict.fromkeys(str(file.id) for file in found))

    def _read(self, job: BatchJob, *, asked: str = "") -> Remote:
        """Returns a job without any secret that the server repeats in it. Raises Unreadable if it
        is not the one with the id `asked`."""
        from enrich.providers.bounds import Unreadable

        if asked and job.id != asked:
            raise Unreadable("it was asked about one batch, and speaks of another")
        return read_job(job, self.connection)


def read_job(job: BatchJob, connection: JobConnection) -> Remote:
    """Returns a job as a Remote. Raises Unreadable if it has no usable id or status."""
    from enrich.providers import bounds

    said = bounds.read_word(job.status, "the batch")
    status = JOB_STATUSES.get(said, said.lower())
    completed, failed = map(bounds.read_count, (job.succeeded_requests, job.failed_requests))
    files = [file for file in (job.output_file, job.error_file) if file]
    _, message = find_first_error([{"message": error.message} for error in job.errors])
    return Remote(
        id=bounds.read_id(job.id, "the batch"),
        status=status,
        completed=completed,
        failed=failed,
        total=bounds.read_count(job.total_requests),
        files=tuple(bounds.read_id(file, "a result file") for file in files),
        # Rows that were not answered in time may be counted as failed, and have no line at all.
        late=status in ENDED_STATUSES
        and bool(
            (completed and not job.output_file) or (failed and not files and status == "completed")
        ),
        error=connection.plain.account.redact(message),
    )
