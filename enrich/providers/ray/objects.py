"""Objects: a storage behind a URL, such as s3://bucket/path, by fsspec."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PART_LINES, PART_SECONDS = 1_000, 3.0
"""An object cannot grow, so a part is written anew after so many lines, or so many seconds: what
was not written yet when an actor dies is asked again."""

RENAMING = frozenset({"file", "local", "sftp", "ssh", "hdfs", "smb"})
"""File systems with folders, where a file that is being written can be seen. Objects appear whole,
and have nothing to be renamed."""


@dataclass(frozen=True)
class ObjectStore:
    """Files below `root` of a file system of fsspec."""

    url: str
    files: Any = field(repr=False)
    root: str

    @classmethod
    def from_url(cls, url: str) -> ObjectStore:
        """Opens a URL. Raises ImportError if its package is missing, and ValueError for one that
        fsspec does not know."""
        import fsspec

        # Without its cache of lists: other machines write there.
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        return cls(url.rstrip("/"), files, root.rstrip("/"))

    def _locate(self, name: str) -> str:
        return f"{self.root}/{name}"

    def send(self, path: Path, name: str) -> None:
        """Copies a file there."""
        with self._replacing(name) as target:
            self.files.put_file(str(path), target)

    def write(self, name: str, content: bytes) -> None:
        """Replaces an object."""
        with self._replacing(name) as target:
            self.files.pipe_file(target, content)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[str]:
        """Where to write, so that the file takes its place once it is whole."""
        target = self._locate(name)
        protocol = self.files.protocol
        if RENAMING.isdisjoint((protocol,) if isinstance(protocol, str) else protocol):
            yield target
            return
        folder, _, last = target.rpartition("/")
        self.files.makedirs(folder, exist_ok=True)
        draft = f"{folder}/.{last}-{uuid.uuid4().hex}"
        yield draft
        self.files.mv(draft, target)

    def read(self, name: str) -> bytes:
        """Returns an object."""
        return bytes(self.files.cat_file(self._locate(name)))

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """Returns a part of an object."""
        return bytes(self.files.cat_file(self._locate(name), start=start, end=start + size))

    def open_lines(self, name: str) -> IO[bytes]:
        """Opens an object."""
        opened: IO[bytes] = self.files.open(self._locate(name), "rb")
        return opened

    def has(self, name: str) -> bool:
        """Whether there is such an object."""
        return bool(self.files.isfile(self._locate(name)))

    def list_files(self, folder: str) -> list[str]:
        """Lists a folder."""
        try:
            found = self.files.ls(self._locate(folder), detail=False)
        except FileNotFoundError:
            return []
        names = (str(path).rpartition("/")[2] for path in found)
        return sorted(f"{folder}/{name}" for name in names if not name.startswith("."))

    def remove(self, name: str) -> None:
        """Removes an object."""
        if self.has(name):
            self.files.rm_file(self._locate(name))

    def append(self, name: str) -> _ObjectPart:
        """Begins a part, which is a series of objects."""
        return _ObjectPart(self, name)

    def check(self) -> None:
        """Writes an object and removes it."""
        name = f"probe-{uuid.uuid4().hex}"
        self.write(name, b"-")
        self.remove(name)


class _ObjectPart:
    """A part as a series of objects."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._store, self._name = store, name
        self._waiting: list[bytes] = []
        self._number = self._durable = 0
        self._since = time.monotonic()
        self._lock, self._writing = Lock(), Lock()

    def put(self, line: bytes) -> None:
        """Keeps a line until the next object is written."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(line)

    def sync(self, *, now: bool = False) -> int:
        """Writes an object, if it is time."""
        # Two threads do this, and an object of one must not take the place of the other's.
        with self._writing:
            late = time.monotonic() - self._since >= PART_SECONDS
            with self._lock:
                lines = list(self._waiting)
            if lines and (now or late or len(lines) >= PART_LINES):
                self._store.write(f"{self._name}-{self._number:06}.jsonl", b"".join(lines))
                self._number += 1
                self._durable += len(lines)
                with self._lock:
                    del self._waiting[: len(lines)]
                    self._since = time.monotonic()
            return self._durable

    def close(self) -> None:
        """Writes the last object."""
        self.sync(now=True)
