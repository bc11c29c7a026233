"""The storage: files that this machine and the nodes of a cluster both reach, by their names."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER_SYNC_SECONDS = 0.25
"""Between two fsyncs of a part, as on this machine (`executor.worker`)."""
NEW_FOLDER_MODE = 0o700


class PartWriter(Protocol):
    """Appends lines to a part, which no other writes."""

    def put(self, line: bytes) -> None:
        """Appends a line."""

    def sync(self, *, now: bool = False) -> int:
        """Makes lines durable, all of them if `now`; returns how many of them are."""

    def close(self) -> None:
        """Makes all lines durable; none follows."""


class Storage(Protocol):
    """Files by names such as `a/b.json`. Every method raises OSError, and FileNotFoundError for a
    file that is not there."""

    @property
    def url(self) -> str:
        """How another process opens it."""

    def send(self, path: Path, name: str) -> None:
        """Copies a file of this machine there, either whole or not at all."""

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, either whole or not at all."""

    def read(self, name: str) -> bytes:
        """Returns a file."""

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """Returns so many bytes of a file."""

    def open_lines(self, name: str) -> IO[bytes]:
        """Opens a file for reading."""

    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def list_files(self, folder: str) -> list[str]:
        """Returns the names of the files in a folder, sorted; none if there is no such folder."""

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""

    def append(self, name: str) -> PartWriter:
        """Begins a part, whose files are called `name` and something."""

    def check(self) -> None:
        """Raises OSError unless files can be written."""


def open_storage(url: str) -> Storage:
    """Opens a folder, or a URL that fsspec knows. Raises ImportError where that needs a package."""
    if is_folder(url):
        return SharedFolder(Path(url))
    from enrich.providers.ray.objects import ObjectStore

    return ObjectStore.from_url(url)


def is_folder(url: str) -> bool:
    """Whether a storage is a folder, and not a URL.

    >>> is_folder("/mnt/shared"), is_folder("s3://bucket/path")
    (True, False)
    """
    return "://" not in url


def read_lines(storage: Storage, name: str) -> Iterator[bytes]:
    """Yields the lines of a file."""
    with storage.open_lines(name) as file:
        yield from file


@dataclass(frozen=True)
class SharedFolder:
    """A folder on a file system that all of them mount. Who may read its files is who may read the
    folder itself: the users of a cluster and of this machine need not be the same."""

    root: Path

    @property
    def url(self) -> str:
        """Its path."""
        return str(self.root)

    def send(self, path: Path, name: str) -> None:
        """Copies a file there."""
        with path.open("rb") as source, self._replacing(name) as target:
            shutil.copyfileobj(source, target)

    def write(self, name: str, content: bytes) -> None:
        """Replaces a file."""
        with self._replacing(name) as file:
            file.write(content)

    def read(self, name: str) -> bytes:
        """Returns a file."""
        return (self.root / name).read_bytes()

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """Returns a part of a file."""
        with (self.root / name).open("rb") as file:
            file.seek(start)
            return file.read(size)

    def open_lines(self, name: str) -> IO[bytes]:
        """Opens a file."""
        return (self.root / name).open("rb")

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.root / name).is_file()

    def list_files(self, folder: str) -> list[str]:
        """Lists a folder, without what is being written."""
        try:
            found = [path.name for path in (self.root / folder).iterdir()]
        except FileNotFoundError:
            return []
        return sorted(f"{folder}/{name}" for name in found if not name.startswith("."))

    def remove(self, name: str) -> None:
        """Removes a file."""
        (self.root / name).unlink(missing_ok=True)

    def append(self, name: str) -> _FolderPart:
        """Begins a part, which is one file."""
        path = self.root / f"{name}.jsonl"
        self._make_folder(path.parent)
        return _FolderPart(self._open(path, "ab"))

    def check(self) -> None:
        """Writes a file and removes it."""
        name = f".probe-{uuid.uuid4().hex}"
        self.write(name, b"")
        self.remove(name)

    def _replacing(self, name: str) -> _Replacing:
        path = self.root / name
        self._make_folder(path.parent)
        draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
        return _Replacing(draft, path, self._open(draft, "xb"))

    def _open(self, path: Path, mode: str) -> IO[bytes]:
        file: IO[bytes] = path.open(mode)
        # Whatever the umask of this process is.
        if hasattr(os, "fchmod"):
            os.fchmod(file.fileno(), self.root.stat().st_mode & 0o666)
        return file

    def _make_folder(self, folder: Path) -> None:
        if not self.root.exists():
            self.root.mkdir(parents=True, exist_ok=True, mode=NEW_FOLDER_MODE)
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            each.chmod(self.root.stat().st_mode & 0o7777)


@dataclass(frozen=True)
class _Replacing:
    """A file that takes its place once it is whole."""

    draft: Path
    path: Path
    file: IO[bytes]

    def __enter__(self) -> IO[bytes]:
        return self.file

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            with self.file:  # what it holds is written as it closes, and a disk may be full
                if kind is None:
                    self.file.flush()
                    os.fsync(self.file.fileno())
            if kind is None:
                self.draft.replace(self.path)
        finally:
            with suppress(OSError):
                self.draft.unlink()


class _FolderPart:
    """A part as one file that grows."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._written = self._durable = 0

    def put(self, line: bytes) -> None:
        """Appends a line, which outlives this process at once."""
        self._file.write(line)
        self._file.flush()
        self._written += 1

    def sync(self, *, now: bool = False) -> int:  # noqa: ARG002  # it always is
        """Forces the lines to disk, or to the server of the file system."""
        written = self._written
        if written > self._durable:
            os.fsync(self._file.fileno())
            self._durable = written
        return self._durable

    def close(self) -> None:
        """Closes the file."""
        self.sync()
        self._file.close()
