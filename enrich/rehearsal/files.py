"""Files: uploads and the results of batches, in a folder of the server's own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from secrets import token_hex
from threading import Lock
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.replies import ApiError

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.rehearsal.settings import RehearsalSettings

EXPIRY_SECONDS = 30 * 86_400
"""Seconds after which files of batches expire (OpenAI's guide to the Batch API)."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file as the Files API knows it, and where its bytes are."""

    id: str
    path: Path
    filename: str
    purpose: str
    bytes: int
    created_at: int

    def render_document(self, *, status: str = "processed") -> dict[str, Any]:
        """Returns the file object of the Files API."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "expires_at": self.created_at + EXPIRY_SECONDS,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": status,
            "status_details": None,
        }


class FileStore:
    """All files by id, in the order of creation. The bytes of deleted ones are kept until the end,
    because a batch may still be reading them."""

    def __init__(self, folder: Path, settings: RehearsalSettings) -> None:
        self._folder = folder
        self._clock = settings.clock
        self._quirks = settings.quirks
        self._times_asked: dict[str, int] = {}
        self._times_listed: dict[str, int] = {}
        self._lock = Lock()
        self._names = count()
        self._files: dict[str, StoredFile] = {}

    def new_path(self) -> Path:
        """Returns a path for a file that is about to be written."""
        return self._folder / f"{next(self._names)}.jsonl"

    def add(self, path: Path, *, filename: str, purpose: str) -> StoredFile:
        """Add the finished file at `path` under a new id."""
        file = StoredFile(
            id=f"file-{token_hex(12)}",
            path=path,
            filename=filename,
            purpose=purpose,
            bytes=path.stat().st_size,
            created_at=int(time.time() + self._clock),
        )
        with self._lock:
            self._files[file.id] = file
        return file

    def find(self, file_id: str) -> StoredFile | None:
        with self._lock:
            return self._files.get(file_id)

    def get(self, file_id: str) -> StoredFile:
        file = self.find(file_id)
        if file is None:
            raise ApiError(404, f"No such File object: {file_id}", param="id")
        return file

    def delete(self, file_id: str) -> dict[str, Any]:
        self.get(file_id)
        with self._lock:
            self._files.pop(file_id, None)
        return {"id": file_id, "object": "file", "deleted": True}

    def check_ready(self, file: StoredFile) -> bool:
        """Returns whether a batch can be created from a file; with `pending_files` not at first."""
        with self._lock:
            self._times_asked[file.id] = asked = self._times_asked.get(file.id, 0) + 1
        return file.purpose != "batch" or asked > self._quirks.pending_files

    def retrieve(self, file_id: str) -> dict[str, Any]:
        """Returns the file object, without its status if the server does not report it."""
        file = self.get(file_id)
        if self._quirks.no_file_status:
            known = file.render_document()
            del known["status"]
            return known
        return file.render_document(status="processed" if self.check_ready(file) else "pending")

    def list_visible(self) -> list[StoredFile]:
        """Returns the files that a list shows by now, oldest first."""
        files = self.list_all()
        for file in files:
            self._times_listed[file.id] = self._times_listed.get(file.id, 0) + 1
        return [file for file in files if self._times_listed[file.id] > self._quirks.late_list]

    def list_all(self) -> list[StoredFile]:
        """Returns every file, oldest first."""
        with self._lock:
            return list(self._files.values())
