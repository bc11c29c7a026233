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

    def document(self) -> dict[str, Any]:
        """The file object of the Files API."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "expires_at": self.created_at + KEPT,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class Files:
    """All files by id, in the order they came. Deleted ones keep their bytes until the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
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
            created_at=int(time.time()),
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

    def all(self) -> list[StoredFile]:
        """Every file, oldest first."""
        with self._lock:
            return list(self._files.values())
