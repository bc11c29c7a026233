"""The folder of a batch, which is all that its provider and its worker share."""

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
from enrich.providers.capabilities import PREVIEW_RUN
from enrich.providers.executor.lock import hold_lock
from enrich.providers.executor.tally import Allowance, Tally
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CallResult = TypeVar("CallResult")

SHARING_TRIES = 20 if sys.platform == "win32" else 0
SHARING_PAUSE = 0.05
"""Seconds between two tries to use a file that another process has open, only on Windows."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a batch is to do; never changes. `settings` are those of its worker, as JSON."""

    id: str
    llm: str
    endpoint: str
    metadata: Mapping[str, str]
    created_at: float
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_preview(self) -> bool:
        """Whether somebody is waiting for a few answers: run 0 is that of previews."""
        return self.metadata.get("enrich_run") == PREVIEW_RUN


@dataclass(frozen=True, kw_only=True)
class BatchState:
    """The state of a batch. `starts` counts the starts of its worker since the output has had
    `size` bytes."""

    status: str = "validating"
    total: int = 0
    completed: int = 0
    failed: int = 0
    code: str = ""
    error: str = ""
    starts: int = 0
    size: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def with_tally(self, tally: Tally) -> BatchState:
        """Returns the state with the figures of a tally."""
        return replace(self, **asdict(tally))

    @property
    def ended(self) -> bool:
        """Whether the state never changes again."""
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
        """What the worker writes if something is wrong."""
        return self.path / "log"

    @property
    def lock(self) -> Path:
        """The worker's lock."""
        return self.path / "lock"

    @property
    def exists(self) -> bool:
        """Whether it is the folder of a batch."""
        return (self.path / "batch.json").is_file()

    @property
    def is_cancelling(self) -> bool:
        """Whether somebody has asked for the batch to be cancelled."""
        return (self.path / "cancel").exists()

    @property
    def is_empty(self) -> bool:
        """Whether it has no answers."""
        return not self.output.exists() or not self.output.stat().st_size

    @classmethod
    def create(cls, root: Path, job: Job, requests: Path) -> Folder:
        """Creates the folder of a job below `root`, or returns the one that exists already."""
        folder = cls(root / job.id)
        if folder.exists:
            return folder
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Filled under another name and renamed, so that nobody ever sees half of a batch.
        draft = cls(root / f".{job.id}-{uuid.uuid4().hex}")
        draft.path.mkdir(mode=0o700)
        try:
            _link_file(requests, draft.input)
            _write_json(draft.path / "batch.json", asdict(job))
            draft.path.rename(folder.path)
        except OSError:
            shutil.rmtree(draft.path, ignore_errors=True)
            if not folder.exists:  # else another process was faster
                raise
        return folder

    @property
    def job(self) -> Job:
        """What the batch is to do."""
        return Job(**json.loads((self.path / "batch.json").read_bytes()))

    @property
    def state(self) -> BatchState:
        """The state of the batch; that of a new one if no worker has written it yet."""
        try:
            text = _retry_sharing((self.path / "state.json").read_bytes)
        except FileNotFoundError:
            return BatchState()
        return BatchState(**json.loads(text))

    def save(self, state: BatchState) -> None:
        """Replaces the state; only whoever holds the lock may do that."""
        _write_json(self.path / "state.json", asdict(state))

    def ask_cancel(self) -> None:
        """Asks the worker to cancel the batch."""
        open_private(self.path / "cancel", "wb").close()

    def say_pid(self) -> None:
        """Writes down the process id of the worker, for people who are looking for it."""
        with open_private(self.path / "pid", "wb") as file:
            file.write(b"%d\n" % os.getpid())

    @property
    def is_busy(self) -> bool:
        """Whether a worker is alive."""
        try:
            with hold_lock(self.lock) as free:
                return not free
        except FileNotFoundError:
            return False

    @property
    def age(self) -> tuple[int, str]:
        """The key that sorts batches by age; a batch that is gone counts as the youngest."""
        try:
            return (self.path / "batch.json").stat().st_mtime_ns, self.path.name
        except FileNotFoundError:
            return sys.maxsize, self.path.name

    def list_older(self) -> list[Folder]:
        """Returns the batches beside this one that were submitted before it."""
        beside = [Folder(path.parent) for path in self.path.parent.glob("*/batch.json")]
        return [folder for folder in beside if folder.age < self.age]

    def read_answered(self) -> tuple[set[str], Tally]:
        """Returns the custom_ids with an answer, and what these come to.

        Cuts off whatever follows the last whole line, after a crash while it was written.
        """
        seen: set[str] = set()
        tally, end = Tally(), 0
        open_private(self.output, "ab").close()  # "r+b" does not create a file
        with self.output.open("r+b") as file:
            for line in file:
                answer = parse_line(line)
                if answer is None:
                    break
                end += len(line)
                seen.add(answer["custom_id"])
                response = answer["response"]
                tally = tally.plus(response["status_code"], response["body"])
            file.truncate(end)
        return seen, tally

    def finish(self, status: str, *, code: str = "", error: str = "") -> BatchState:
        """Writes the final state and returns it; only whoever holds the lock may do that."""
        _, tally = self.read_answered()
        state = replace(self.state, status=status, code=code, error=error).with_tally(tally)
        self.save(state)
        return state

    def allow(self, allowance: Allowance) -> None:
        """Says what the batch may cost, also before it exists; the worker looks now and then."""
        if allowance != self.allowance:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_json(self.allowance_file, asdict(allowance))

    @property
    def allowance_file(self) -> Path:
        """What the batch may cost."""
        # Beside the folder, because a worker starts with the folder, and must know by then.
        return self.path.with_suffix(".allowance.json")

    @property
    def allowance(self) -> Allowance | None:
        """What the batch may cost; None for any amount."""
        try:
            text = _retry_sharing(self.allowance_file.read_bytes)
        except FileNotFoundError:
            return None
        return Allowance.from_json(text)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file, either whole or not at all, so that it survives a power cut."""
    draft = path.with_name(f"{path.name}.new")
    with open_private(draft, "wb") as file:
        file.write(json.dumps(values).encode())
        # Before the rename: file systems may store that first, and leave an empty file.
        file.flush()
        os.fsync(file.fileno())
    _retry_sharing(lambda: draft.replace(path))


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Returns a line of answers; None if it is incomplete."""
    if not line.endswith(b"\n"):
        return None
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return answer


def _link_file(source: Path, target: Path) -> None:
    """Gives a file a second name, or copies it if the file system has no hard links."""
    # With a second name the batch keeps its requests even if the file is removed elsewhere, and
    # needs no copy of up to 200 MB.
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o600)


def _retry_sharing(call: Callable[[], CallResult]) -> CallResult:
    """Returns the result of `call`, repeated while another process has the file open."""
    # Windows refuses to replace a file while another process reads it, and to read a file while it
    # is being replaced. Both last only a moment.
    for _ in range(SHARING_TRIES):
        with suppress(PermissionError):
            return call()
        time.sleep(SHARING_PAUSE)
    return call()
