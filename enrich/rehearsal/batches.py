"""Batches: all that have been created, the provider's queue, and its clock."""

from __future__ import annotations

import math
import time
from secrets import token_hex
from threading import Lock
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.batch import TERMINAL_STATUSES, PlayedBatch
from enrich.rehearsal.embeddings import EMBEDDINGS_PATH
from enrich.rehearsal.objections import CHAT_PATH, RESPONSES_PATH
from enrich.rehearsal.replies import ApiError
from enrich.rehearsal.results import ResultFiles
from enrich.rehearsal.validation import accept_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enrich.rehearsal.execution import Executes
    from enrich.rehearsal.files import FileStore
    from enrich.rehearsal.llm import Llm
    from enrich.rehearsal.settings import RehearsalSettings
    from enrich.rehearsal.validation import AcceptedFile

PLAYED_ENDPOINTS = (CHAT_PATH, RESPONSES_PATH, EMBEDDINGS_PATH)
"""The endpoints that a rehearsal can execute; the Batch API has a few more."""


class Batches:
    """Creates batches, finds them and advances them."""

    def __init__(self, settings: RehearsalSettings, files: FileStore, llm: Llm) -> None:
        self._settings = settings
        self._files = files
        self._llm = llm
        self._lock = Lock()
        self._queue = Lock()
        self._batches: dict[str, PlayedBatch] = {}

    def create(
        self,
        request: Mapping[str, Any],
        *,
        accept: Callable[..., AcceptedFile] = accept_file,
        results: type[ResultFiles] = ResultFiles,
        llm: Executes | None = None,
    ) -> PlayedBatch:
        """Returns a new batch in `validating`, whose files and requests another API may read and
        write in its own way. Raises ApiError only for wrong arguments."""
        # Like OpenAI, which returns 200 and `validating` even for a broken file and reports what is
        # wrong with it when the batch is polled.
        _check_creation(request)
        file = self._files.find(request["input_file_id"])
        if file and self._settings.quirks.no_file_status and not self._files.check_ready(file):
            message = f"The file '{file.id}' is still being processed."
            raise ApiError(400, message, param="input_file_id")
        with self._lock:
            batch = PlayedBatch(
                len(self._batches),
                f"batch_{token_hex(12)}",
                request=request,
                settings=self._settings,
                files=self._files,
                llm=llm or self._llm,
                enqueue=self._enqueue,
                accept=accept,
                results=results,
            )
            self._batches[batch.id] = batch
        return batch

    def get(self, batch_id: str) -> PlayedBatch:
        with self._lock:
            batch = self._batches.get(batch_id)
        if batch is None:
            raise ApiError(404, f"No batch found with id '{batch_id}'.")
        return batch

    def list_all(self) -> list[PlayedBatch]:
        """Returns every batch, oldest first."""
        with self._lock:
            return list(self._batches.values())

    def advance(self, batch: PlayedBatch) -> None:
        """Advance a batch by one step, or with `latency` by the steps that are due."""
        latency = self._settings.latency
        if latency is None:
            batch.step()
            return
        with batch.lock:
            age = time.monotonic() - batch.started
            due = age / latency if latency else math.inf
            while batch.steps + 1 <= due and batch.step():
                pass

    def _enqueue(self, batch: PlayedBatch, tokens: int) -> bool:
        """Returns whether the queue of an llm has room for a batch's tokens, and takes them if so.

        They count until the batch has ended.
        """
        limit = self._settings.enqueued_tokens
        with self._queue:
            queue = [
                b
                for b in self.list_all()
                if b.llm == batch.llm and b.status not in TERMINAL_STATUSES
            ]
            if limit is not None and sum(b.tokens for b in queue) + tokens > limit:
                return False
            batch.tokens = tokens
            return True


def _check_creation(request: Mapping[str, Any]) -> None:
    """Raise ApiError for what makes a create fail at once; validation finds everything else."""
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(request.get(name), str):
            message = f"Missing required parameter: '{name}'."
            raise ApiError(400, message, code="missing_required_parameter", param=name)
    if request["endpoint"] not in PLAYED_ENDPOINTS:
        message = f"Invalid value: '{request['endpoint']}'. Supported values are: "
        raise ApiError(
            400,
            message + ", ".join(f"'{endpoint}'" for endpoint in PLAYED_ENDPOINTS) + ".",
            code="invalid_value",
            param="endpoint",
        )
    if request["completion_window"] != "24h":
        message = f"Invalid value: '{request['completion_window']}'. Supported values are: '24h'."
        raise ApiError(400, message, code="invalid_value", param="completion_window")
    _check_metadata(request.get("metadata"))


def _check_metadata(metadata: object) -> None:
    """Raise ApiError for more than 16 pairs, or keys over 64 or values over 512 characters."""
    if metadata is None:
        return
    if not isinstance(metadata, dict) or len(metadata) > 16:
        message = "Invalid 'metadata': expected an object of at most 16 pairs."
        raise ApiError(400, message, code="invalid_type", param="metadata")
    for name, value in metadata.items():
        if not isinstance(value, str) or len(name) > 64 or len(value) > 512:
            message = f"Invalid 'metadata.{name}': expected a string of at most 512 characters."
            raise ApiError(400, message, code="invalid_type", param=f"metadata.{name}")
