"""Files: what was uploaded and what batches wrote, kept in a folder of the server's own."""

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

    from enrich.rehearsal.settings import Settings

KEPT = 30 * 86_400
"""Seconds after which the files of batches expire (OpenAI Batch API guide)."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file as the Files API knows it, and where its bytes are."""

    id: str
    path: Path
    filename: str
    purpose: str
    bytes: int
    created_at: int

    def document(self, *, status: str = "processed") -> dict[str, Any]:
        """The file object of the Files API."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "expires_at": self.created_at + KEPT,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": status,
            "status_details": None,
        }


class Files:
    """All files by id, in the order they came. Deleted ones keep their bytes until the end."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._clock = settings.clock
        self._quirks = settings.quirks
        self._asked: dict[str, int] = {}
        self._listed: dict[str, int] = {}
        self._lock = Lock()
        self._names = count()
        self._files: dict[str, StoredFile] = {}

    def new_path(self) -> Path:
        """Where to write a file that is not known yet."""
        return self._folder / f"{next(self._names)}.jsonl"

    def add(self, path: Path, *, filename: str, purpose: str) -> StoredFile:
        """Make the finished file at `path` known under a new id."""
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

    def ready(self, file: StoredFile) -> bool:
        """Whether a batch can be made of a file; asking brings that nearer."""
        with self._lock:
            self._asked[file.id] = asked = self._asked.get(file.id, 0) + 1
        return file.purpose != "batch" or asked > self._quirks.pending_files

    def retrieve(self, file_id: str) -> dict[str, Any]:
        """The file object, with its status where this server tells it."""
        file = self.get(file_id)
        if self._quirks.no_file_status:
            known = file.document()
            del known["status"]
            return known
        return file.document(status="processed" if self.ready(file) else "pending")

    def listed(self) -> list[StoredFile]:
        """The files that a list shows by now, oldest first."""
        files = self.all()
        for file in files:
            self._listed[file.id] = self._listed.get(file.id, 0) + 1
        return [file for file in files if self._listed[file.id] > self._quirks.late_list]

    def all(self) -> list[StoredFile]:
        """Every file, oldest first."""
        with self._lock:
            return list(self._files.values())
