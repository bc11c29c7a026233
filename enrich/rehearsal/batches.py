"""Batches: all that were created, the provider's queue, and its clock."""

from __future__ import annotations

import math
import time
from secrets import token_hex
from threading import Lock
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.batch import TERMINAL, Batch
from enrich.rehearsal.objections import CHAT, RESPONSES
from enrich.rehearsal.replies import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.rehearsal.files import Files
    from enrich.rehearsal.llm import Llm
    from enrich.rehearsal.settings import Settings

ENDPOINTS = (CHAT, RESPONSES)
"""What a rehearsal can execute; the Batch API takes some more."""


class Batches:
    """Creates batches, finds them and lets their time pass."""

    def __init__(self, settings: Settings, files: Files, llm: Llm) -> None:
        self._settings = settings
        self._files = files
        self._llm = llm
        self._lock = Lock()
        self._queue = Lock()
        self._batches: dict[str, Batch] = {}

    def create(self, request: Mapping[str, Any]) -> Batch:
        """A new batch in `validating`; its input file is looked at only later."""
        _check(request)
        file = self._files.find(request["input_file_id"])
        if file and self._settings.quirks.no_file_status and not self._files.ready(file):
            message = f"The file '{file.id}' is still being processed."
            raise ApiError(400, message, param="input_file_id")
        with self._lock:
            batch = Batch(
                len(self._batches),
                f"batch_{token_hex(12)}",
                request=request,
                settings=self._settings,
                files=self._files,
                llm=self._llm,
                room=self._room,
            )
            self._batches[batch.id] = batch
        return batch

    def get(self, batch_id: str) -> Batch:
        with self._lock:
            batch = self._batches.get(batch_id)
        if batch is None:
            raise ApiError(404, f"No batch found with id '{batch_id}'.")
        return batch

    def all(self) -> list[Batch]:
        """Every batch, oldest first."""
        with self._lock:
            return list(self._batches.values())

    def advance(self, batch: Batch) -> None:
        """Let a batch go on: by one step a call, or by one each `latency` seconds."""
        latency = self._settings.latency
        if latency is None:
            batch.step()
            return
        with batch.lock:
            age = time.monotonic() - batch.began
            due = age / latency if latency else math.inf
            while batch.steps + 1 <= due and batch.step():
                pass

    def _room(self, batch: Batch, tokens: int) -> bool:
        """Enqueue a batch's tokens; they count for its llm until it ends."""
        limit = self._settings.enqueued_tokens
        with self._queue:
            queue = [b for b in self.all() if b.llm == batch.llm and b.status not in TERMINAL]
            if limit is not None and sum(b.tokens for b in queue) + tokens > limit:
                return False
            batch.tokens = tokens
            return True


def _check(request: Mapping[str, Any]) -> None:
    """What a create is refused for at once; all else is found out at validation."""
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(request.get(name), str):
            message = f"Missing required parameter: '{name}'."
            raise ApiError(400, message, code="missing_required_parameter", param=name)
    if request["endpoint"] not in ENDPOINTS:
        message = f"Invalid value: '{request['endpoint']}'. Supported values are: "
        raise ApiError(
            400,
            message + ", ".join(f"'{endpoint}'" for endpoint in ENDPOINTS) + ".",
            code="invalid_value",
            param="endpoint",
        )
    if request["completion_window"] != "24h":
        message = f"Invalid value: '{request['completion_window']}'. Supported values are: '24h'."
        raise ApiError(400, message, code="invalid_value", param="completion_window")
    _check_metadata(request.get("metadata"))


def _check_metadata(metadata: object) -> None:
    """At most 16 pairs of strings, keys up to 64 and values up to 512 characters long."""
    if metadata is None:
        return
    if not isinstance(metadata, dict) or len(metadata) > 16:
        message = "Invalid 'metadata': expected an object of at most 16 pairs."
        raise ApiError(400, message, code="invalid_type", param="metadata")
    for name, value in metadata.items():
        if not isinstance(value, str) or len(name) > 64 or len(value) > 512:
            message = f"Invalid 'metadata.{name}': expected a string of at most 512 characters."
            raise ApiError(400, message, code="invalid_type", param=f"metadata.{name}")
