"""Uploads: what this machine knows of each request file, before and after its batch is created.

Anthropic takes no files: requests come with the create. So an upload is a folder of this machine,
which keeps the requests until their batch is there, and a note on what was sent when.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from enrich.errors import DiskError
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

UPLOAD_KIND = "upload"
"""How the ids of uploads begin."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """What is known of an upload. `name` is that of its file, `total` and `size` are the requests
    and bytes of its document, and `replaced` its custom_ids that do not fit. `newest` is the id of
    the batch that was the newest when it was made: its own batch is newer. `sent` has the id of the
    batch of each intent that it was sent for, or "" if no answer has said it; `missed_at` is when
    that batch was looked for in vain for the first time."""

    name: str
    made_at: float
    total: int
    size: int
    newest: str = ""
    missed_at: float | None = None
    replaced: Mapping[str, str] = field(default_factory=dict)
    sent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Upload:
    """One request file."""

    path: Path

    @property
    def id(self) -> str:
        """What stands for the file."""
        return self.path.name

    @property
    def requests(self) -> Path:
        """The requests, until a batch has been created from them."""
        return self.path / "requests.jsonl"

    @property
    def note(self) -> Note:
        """What is known of it."""
        return Note(**json.loads((self.path / "note.json").read_bytes()))

    def save(self, note: Note) -> None:
        """Replaces the note, so that it survives a power cut."""
        draft = self.path / "note.new"
        with open_private(draft, "wb") as file:
            file.write(json.dumps(asdict(note)).encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / "note.json")

    def announce(self, intent: str) -> Note:
        """Notes that the document is about to be sent for an intent."""
        note = self.note
        self.save(replace(note, missed_at=None, sent={**note.sent, intent: ""}))
        return note

    def count_missing(self) -> float:
        """Returns for how many seconds its batch has been looked for in vain; 0 the first time."""
        note, now = self.note, time.time()
        if note.missed_at is None or note.missed_at > now:  # the clock was set back: begin again
            self.save(replace(note, missed_at=now))
            return 0.0
        return now - note.missed_at

    def conclude(self, intent: str, batch: str) -> None:
        """Notes which batch it was sent as, which has its requests from now on; "": none."""
        note = self.note
        sent = {**note.sent, intent: batch}
        if not batch:
            del sent[intent]
        self.save(replace(note, sent=sent))
        if batch:
            self.requests.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Uploads:
    """The uploads below a folder. Every method raises DiskError for what the file system says."""

    root: Path

    def create(self, requests: Path, note: Note) -> Upload:
        """Returns a new upload of a request file."""
        with translate_disk_errors():
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = Upload(self.root / f"{UPLOAD_KIND}-{uuid.uuid4().hex[:24]}")
            made.path.mkdir(mode=0o700)
            _link_requests(requests, made.requests)
            made.save(replace(note, made_at=time.time()))
            return made

    def find(self, file: str) -> Upload | None:
        """Returns the upload with this id; None if there is none."""
        paths = self.list_leftovers(file)
        found = [Upload(path) for path in paths if (path / "note.json").is_file()]
        return found[0] if found else None

    def list_leftovers(self, file: str) -> tuple[Path, ...]:
        """Returns the folder of an upload, there or not; nothing if the id is not one."""
        is_one = file.startswith(f"{UPLOAD_KIND}-") and "/" not in file and "\\" not in file
        return (self.root / file,) if is_one else ()

    def list_all(self) -> list[Upload]:
        """Returns all uploads, the newest first."""
        with translate_disk_errors():
            found = [Upload(path.parent) for path in self.root.glob(f"{UPLOAD_KIND}-*/note.json")]
            return sorted(found, key=lambda upload: -upload.note.made_at)

    def remove(self, file: str) -> None:
        """Removes an upload that no batch was created from; does nothing if it is gone, or if one
        may have been."""
        found = self.find(file)
        if found and not found.note.sent:
            shutil.rmtree(found.path, ignore_errors=True)


@contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Translates errors of the file system to DiskError."""
    try:
        yield
    except OSError as problem:
        what = f"{problem.filename or 'a file of an upload'}: {problem.strerror or problem}"
        hint = "check that it exists, that you may write it, and that the disk has room"
        raise DiskError(what, hint=hint) from problem


def _link_requests(source: Path, target: Path) -> None:
    """Gives the request file a second name, or copies it if the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        with source.open("rb") as requests, open_private(target, "wb") as copy:
            shutil.copyfileobj(requests, copy)
