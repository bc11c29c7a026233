"""The folder of a batch: the only thing that its provider and its worker share."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from enrich.providers import ENDED_STATUSES
from enrich.providers.executor.lock import hold_lock
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CallResult = TypeVar("CallResult")

SHARING_TRIES = 20 if sys.platform == "win32" else 0
SHARING_PAUSE = 0.05
"""Seconds between two tries to replace a file that another process has open, on Windows only."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a batch was asked for; never changes. `settings` are its worker's own, as JSON."""

    id: str
    llm: str
    endpoint: str
    metadata: Mapping[str, str]
    created_at: float
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BatchState:
    """How a batch stands. `starts` counts those since the output was `size` bytes long."""

    status: str = "validating"
    total: int = 0
    completed: int = 0
    failed: int = 0
    code: str = ""
    error: str = ""
    starts: int = 0
    size: int = 0

    @property
    def ended(self) -> bool:
        """Whether it never changes again."""
        return self.status in ENDED_STATUSES


@dataclass(frozen=True)
class Folder:
    """The folder of one batch."""

    path: Path

    @property
    def input(self) -> Path:
        """The requests."""
        return self.path / "input.jsonl"

    @property
    def output(self) -> Path:
        """The answers."""
        return self.path / "output.jsonl"

    @property
    def log(self) -> Path:
        """What the worker says when something is wrong."""
        return self.path / "log"

    @property
    def lock(self) -> Path:
        """The worker's lock."""
        return self.path / "lock"

    @property
    def exists(self) -> bool:
        """Whether it is a batch's."""
        return (self.path / "batch.json").is_file()

    @property
    def is_cancelling(self) -> bool:
        """Whether somebody asked for it to be cancelled."""
        return (self.path / "cancel").exists()

    @classmethod
    def create(cls, root: Path, job: Job, requests: Path) -> Folder:
        """The folder of this job under `root`: made at one stroke, or the one already there."""
        folder = cls(root / job.id)
        if folder.exists:
            return folder
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = cls(root / f".{job.id}-{uuid.uuid4().hex}")
        draft.path.mkdir(mode=0o700)
        try:
            _link_file(requests, draft.input)
            draft._write_json("batch.json", asdict(job))
            draft.path.rename(folder.path)
        except OSError:
            shutil.rmtree(draft.path, ignore_errors=True)
            if not folder.exists:  # else another process was faster
                raise
        return folder

    @property
    def job(self) -> Job:
        """What was asked for."""
        return Job(**json.loads((self.path / "batch.json").read_bytes()))

    @property
    def state(self) -> BatchState:
        """How it stands; as new where no worker has written it yet."""
        try:
            text = _retry_sharing((self.path / "state.json").read_bytes)
        except FileNotFoundError:
            return BatchState()
        return BatchState(**json.loads(text))

    def save(self, state: BatchState) -> None:
        """Replace the state; only the lock's holder may."""
        self._write_json("state.json", asdict(state))

    def _write_json(self, name: str, values: dict[str, Any]) -> None:
        """Write a JSON file, whole or not at all, that outlives a power cut."""
        draft = self.path / f"{name}.new"
        with open_private(draft, "wb") as file:
            file.write(json.dumps(values).encode())
            file.flush()
            os.fsync(file.fileno())
        _retry_sharing(lambda: draft.replace(self.path / name))

    def ask_cancel(self) -> None:
        """Leave word that it is to be cancelled."""
        open_private(self.path / "cancel", "wb").close()

    def say_pid(self) -> None:
        """Write down which process works, for people who look."""
        with open_private(self.path / "pid", "wb") as file:
            file.write(b"%d\n" % os.getpid())

    @property
    def is_busy(self) -> bool:
        """Whether its worker lives."""
        try:
            with hold_lock(self.lock) as free:
                return not free
        except FileNotFoundError:
            return False

    @property
    def age(self) -> tuple[int, str]:
        """What batches are sorted by, the oldest first; one that is gone is the youngest."""
        try:
            return (self.path / "batch.json").stat().st_mtime_ns, self.path.name
        except FileNotFoundError:
            return sys.maxsize, self.path.name

    def list_older(self) -> list[Folder]:
        """The batches beside this one that were submitted before it."""
        beside = [Folder(path.parent) for path in self.path.parent.glob("*/batch.json")]
        return [folder for folder in beside if folder.age < self.age]

    def read_answered(self) -> tuple[set[str], int, int]:
        """The custom_ids answered so far, and how many of them well and badly.

        Whatever follows the last whole line, after a crash while writing, is cut off.
        """
        seen: set[str] = set()
        failed = end = 0
        open_private(self.output, "ab").close()
        with self.output.open("r+b") as file:
            for line in file:
                answer = _parse_line(line)
                if answer is None:
                    break
                end += len(line)
                seen.add(answer["custom_id"])
                failed += answer["response"]["status_code"] != 200
            file.truncate(end)
        return seen, len(seen) - failed, failed

    def finish(self, status: str, *, code: str = "", error: str = "") -> BatchState:
        """Write the last state; only the lock's holder may."""
        _, completed, failed = self.read_answered()
        state = replace(
            self.state, status=status, completed=completed, failed=failed, code=code, error=error
        )
        self.save(state)
        return state


def _parse_line(line: bytes) -> dict[str, Any] | None:
    """A line of answers; None where it is torn."""
    if not line.endswith(b"\n"):
        return None
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return answer


def _link_file(source: Path, target: Path) -> None:
    """The same file under a second name, or a copy where the file system cannot."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o600)


def _retry_sharing(call: Callable[[], CallResult]) -> CallResult:
    """What `call` gives. Windows refuses to replace a file while another process reads it, and to
    read one while it is replaced; both pass."""
    for _ in range(SHARING_TRIES):
        with suppress(PermissionError):
            return call()
        time.sleep(SHARING_PAUSE)
    return call()
