"""A batch: its life from `validating` to its end, one step at a time.

validating -> in_progress -> finalizing -> completed
           -> failed      -> expired, cancelled (half done)
cancel: -> cancelling -> cancelled
"""

from __future__ import annotations

import time
from threading import RLock
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.envelopes import render_usage
from enrich.rehearsal.execution import Execution
from enrich.rehearsal.replies import ApiError
from enrich.rehearsal.results import ResultFiles
from enrich.rehearsal.validation import BatchError, accept_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from enrich.rehearsal.files import FileStore, StoredFile
    from enrich.rehearsal.llm import Llm
    from enrich.rehearsal.settings import RehearsalSettings
    from enrich.rehearsal.validation import AcceptedFile

WINDOW_SECONDS = 86_400
"""The only completion window of the Batch API, 24h, from the creation to `expires_at`."""
TERMINAL_STATUSES = frozenset({"completed", "failed", "expired", "cancelled"})
STAMPED_STATUSES = (
    "in_progress",
    "finalizing",
    "completed",
    "failed",
    "expired",
    "cancelling",
    "cancelled",
)
QUEUED_STATUS = "queued"
"""A status that is not one of the Batch API's eight, for the quirk `unknown_status`."""


class PlayedBatch:
    """One batch. Only `step` and `cancel` change it, under its lock; reading needs no lock."""

    def __init__(
        self,
        index: int,
        batch_id: str,
        *,
        request: Mapping[str, Any],
        settings: RehearsalSettings,
        files: FileStore,
        llm: Llm,
        enqueue: Callable[[PlayedBatch, int], bool],
        accept: Callable[..., AcceptedFile] = accept_file,
        results: type[ResultFiles] = ResultFiles,
    ) -> None:
        """`enqueue` returns whether the queue has taken the tokens of this batch. `accept`
        and `results` read the lines of its input file and write those of its results."""
        self.lock = RLock()
        self.index = index
        self.id = batch_id
        self.endpoint: str = request["endpoint"]
        self.input_file_id: str = request["input_file_id"]
        self.metadata: dict[str, str] | None = request.get("metadata")
        self.status = "validating"
        self.llm = ""
        self.tokens = 0
        self.steps = 0
        self.started = time.monotonic()
        self._clock = settings.clock
        self._created_at = int(time.time() + self._clock)
        self._stamps: dict[str, int] = {}
        self._errors: list[dict[str, Any]] = []
        self._input: StoredFile | None = None
        self._execution: Execution | None = None
        self._output: StoredFile | None = None
        self._error_file: StoredFile | None = None
        self._revealed = False
        self._settings = settings
        self._files = files
        self._llm = llm
        self._enqueue = enqueue
        self._accept_file = accept
        self._result_files = results
        self._fault = settings.faults.pick_batch_fault(settings.seed, index)
        self._late = settings.faults.has_late_files(settings.seed, index)

    def step(self) -> bool:
        """Move on by one state. Returns False if there is no next one."""
        with self.lock:
            self.steps += 1
            if self.status == "validating" and self._settings.quirks.unknown_status:
                self._set_status(QUEUED_STATUS)
            elif self.status in {"validating", QUEUED_STATUS}:
                self._validate()
            elif self.status == "in_progress":
                return self._advance()
            elif self.status == "finalizing":
                self._end("completed")
            elif self.status == "cancelling":
                self._end("cancelled", "batch_cancelled")
            elif self.status in TERMINAL_STATUSES and not self._revealed:
                self._revealed = True
            else:
                return False
            return True

    def cancel(self) -> None:
        """Request the end. Raises ApiError 409 if the batch has ended already."""
        with self.lock:
            if self.status in TERMINAL_STATUSES:
                raise ApiError(409, f"Cannot cancel a batch with status '{self.status}'.")
            if self.status != "cancelling":
                self._set_status("cancelling")

    def _set_status(self, status: str) -> None:
        if status in STAMPED_STATUSES:
            self._stamps[f"{status}_at"] = int(time.time() + self._clock)
        self.status = status

    def _validate(self) -> None:
        try:
            self._accept()
        except BatchError as error:
            self._errors = [error.entry]
            self._revealed = True
            self._set_status("failed")

    def _accept(self) -> None:
        file = self._input = self._files.find(self.input_file_id)
        if file is None or file.purpose != "batch":
            message = f"The input file '{self.input_file_id}' was not found or is not for batches."
            raise BatchError("invalid_request", message, param="file_id")
        if self._fault == "batch_failed":
            raise BatchError("server_error", "The batch could not be validated. Please try again.")
        settings = self._settings
        accepted = self._accept_file(file.path, endpoint=self.endpoint, settings=settings)
        self.llm = accepted.llm
        if not self._enqueue(self, accepted.tokens):
            message = (
                f"Enqueued token limit reached for {accepted.llm} in organization org-rehearsal. "
                f"Limit: {settings.enqueued_tokens} enqueued tokens. Please try again once some "
                "in_progress batches have been completed."
            )
            raise BatchError("token_limit_exceeded", message)
        self._start(accepted, file)

    def _start(self, accepted: AcceptedFile, file: StoredFile) -> None:
        results = self._result_files(
            self._files.new_path(),
            self._files.new_path(),
            name=self.id[-8:],
            settings=self._settings,
        )
        order = f"{self._settings.seed}:{self.index}"
        self._results = results
        self._execution = Execution(accepted, file.path, results, self._llm, order=order)
        self._set_status("in_progress")
        # Half of the work is done at once, so that a batch can expire or be cancelled half done.
        self._execution.run(self._execution.total // 2)

    def _advance(self) -> bool:
        """Do the second half of the work, unless a fault ends the batch after the first half."""
        execution = self._execution
        if execution is None or self._fault == "batch_stuck":
            return False
        if self._fault == "batch_expired":
            self._end("expired", "batch_expired")
        elif self._fault == "batch_cancelled":
            self._end("cancelled", "batch_cancelled")
        else:
            execution.run(execution.total)
            self._set_status("finalizing")
        return True

    def _end(self, status: str, code: str = "") -> None:
        """Finish the result files and add them to the store. A batch that never ran has none."""
        execution = self._execution
        if execution is not None:
            if code:
                execution.give_up(code)
            with self._results as results:
                results.finish()
            if self._fault != "batch_without_files":
                self._add_result_files()
        self._revealed = execution is None or not self._late
        self._set_status(status)

    def _add_result_files(self) -> None:
        results, quirks = self._results, self._settings.quirks
        if results.output.stat().st_size:
            self._output = self._add_file(results.output, "output")
        if results.errors == results.output:
            return
        if results.errors.stat().st_size or quirks.empty_error_file:
            self._error_file = self._add_file(results.errors, "error")

    def _add_file(self, path: Path, kind: str) -> StoredFile:
        return self._files.add(path, filename=f"{self.id}_{kind}.jsonl", purpose="batch_output")

    def render_document(self) -> dict[str, Any]:
        """Returns the batch object of the Batch API."""
        # No lock is held here. So `_end` sets the status last, and it is read before the ids of the
        # files: a batch that is shown as ended is complete.
        execution = self._execution
        made: dict[str, Any] = {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.llm or None,
            "errors": {"object": "list", "data": self._errors} if self._errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self._reveal_id(self._output),
            "error_file_id": self._reveal_id(self._error_file),
            "created_at": self._created_at,
            "expires_at": self._created_at + WINDOW_SECONDS,
            **{f"{status}_at": self._stamps.get(f"{status}_at") for status in STAMPED_STATUSES},
            "request_counts": self._count_requests(),
            "usage": render_usage(execution.usage) if execution else None,
            "metadata": None if self._settings.quirks.no_metadata else self.metadata,
        }
        if self._settings.quirks.no_counts:
            del made["request_counts"]
        return made

    def _count_requests(self) -> dict[str, int]:
        done = self._execution
        if done is None:
            return {"total": 0, "completed": 0, "failed": 0}
        return {"total": done.total, "completed": done.completed, "failed": done.failed}

    def _reveal_id(self, file: StoredFile | None) -> str | None:
        if file is not None and self._revealed:
            return file.id
        # Seen at servers that speak the Batch API: an empty string instead of null.
        return "" if self._settings.quirks.empty_ids else None
