"""The local provider: llama.cpp as a batch provider in a folder.

A batch is a folder. Its worker is a process of its own that outlives the command that started it,
holds the folder's lock as long as it lives, and appends each answer as it comes. So whoever polls
sees from the lock alone whether somebody works, and starts the worker again if not.

    ROOT/ID/batch.json      what was asked for: written once
    ROOT/ID/input.jsonl     the requests
    ROOT/ID/output.jsonl    the answers, one line each, appended
    ROOT/ID/state.json      how it stands: replaced whole, by the lock's holder only
    ROOT/ID/cancel          there when somebody asked for it
    ROOT/ID/lock, log       the worker's
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
import uuid
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from enrich.errors import DiskError, ProviderError
from enrich.pricing.price import FREE
from enrich.providers import ENDED_STATUSES, Limits, Remote, Timing, weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enrich.pricing.price import Price
    from enrich.providers.opening import Opening

INTENT = "enrich_batch"
"""The metadata that says which intent a batch belongs to."""

STARTS = 3
"""How often a worker is started without a new answer before its batch has failed."""

KEYS = ("path", "mmproj", "hf", "slots", "context", "threads")
CHAT = "/v1/chat/completions"
"""The one endpoint that llama.cpp is asked through here."""

_NOTICE = (
    "smollm2-135m-instruct is for trying things out, and its answers are poor: for ones to rely "
    "on, name an instruct GGUF of 1.5B parameters or more by `path:` or `hf:`, or gpt-4o-mini "
    "through `type: openai`."
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the engine is opened."""

    path: str
    mmproj: str | None
    slots: int
    context: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a batch was asked for; never changes."""

    id: str
    llm: str
    endpoint: str
    metadata: dict[str, str]
    created_at: float
    settings: Settings


@dataclass(frozen=True, kw_only=True)
class State:
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
        return self.status in ENDED_STATUSES


@dataclass(frozen=True)
class Folder:
    """A batch's folder: the only thing its provider and its worker share."""

    path: Path

    @property
    def input(self) -> Path:
        return self.path / "input.jsonl"

    @property
    def output(self) -> Path:
        return self.path / "output.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def exists(self) -> bool:
        return (self.path / "batch.json").is_file()

    @property
    def cancelling(self) -> bool:
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
            _link(requests, draft.input)
            draft._write("batch.json", asdict(job))
            draft.path.rename(folder.path)
        except OSError:
            shutil.rmtree(draft.path, ignore_errors=True)
            if not folder.exists:  # else another process was faster
                raise
        return folder

    @property
    def job(self) -> Job:
        values = json.loads((self.path / "batch.json").read_bytes())
        return Job(**{**values, "settings": Settings(**values["settings"])})

    @property
    def state(self) -> State:
        try:
            return State(**json.loads((self.path / "state.json").read_bytes()))
        except FileNotFoundError:
            return State()

    def save(self, state: State) -> None:
        """Replace the state; only the lock's holder may."""
        self._write("state.json", asdict(state))

    def _write(self, name: str, values: dict[str, Any]) -> None:
        draft = self.path / f"{name}.new"
        with private(draft, "wb") as file:
            file.write(json.dumps(values).encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / name)

    def ask_cancel(self) -> None:
        private(self.path / "cancel", "wb").close()

    def hold(self) -> int | None:
        """Take the lock: its descriptor, until every copy is closed; None if it is held."""
        return hold(self.path / "lock")

    @property
    def busy(self) -> bool:
        """Whether its worker lives."""
        try:
            descriptor = self.hold()
        except FileNotFoundError:
            return False
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is None

    @property
    def age(self) -> tuple[int, str]:
        """What batches are sorted by, the oldest first; one that is gone is the youngest."""
        try:
            return (self.path / "batch.json").stat().st_mtime_ns, self.path.name
        except FileNotFoundError:
            return sys.maxsize, self.path.name

    def older(self) -> list[Folder]:
        """The batches beside this one that were submitted before it."""
        beside = [Folder(path.parent) for path in self.path.parent.glob("*/batch.json")]
        return [folder for folder in beside if folder.age < self.age]

    def answered(self) -> tuple[set[str], int, int]:
        """The custom_ids answered so far, and how many of them well and badly.

        Whatever follows the last whole line, after a crash while writing, is cut off.
        """
        seen: set[str] = set()
        failed = end = 0
        private(self.output, "ab").close()
        with self.output.open("r+b") as file:
            for line in file:
                answer = _parsed(line)
                if answer is None:
                    break
                end += len(line)
                seen.add(answer["custom_id"])
                failed += answer["response"]["status_code"] != 200
            file.truncate(end)
        return seen, len(seen) - failed, failed

    def finish(self, status: str, *, code: str = "", error: str = "") -> State:
        """Write the last state; only the lock's holder may."""
        _, completed, failed = self.answered()
        state = replace(
            self.state, status=status, completed=completed, failed=failed, code=code, error=error
        )
        self.save(state)
        return state


def private(path: Path, mode: Literal["wb", "ab"]) -> IO[bytes]:
    """Open a file to write it, or to append to it, that only its owner may read: it holds rows."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if mode == "wb" else os.O_APPEND)
    return os.fdopen(os.open(path, flags, 0o600), mode)


def hold(path: Path) -> int | None:
    """Lock a file: the descriptor, or None if somebody holds it. A child may inherit it."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _parsed(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return answer


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """Translate what the file system says."""
    try:
        yield
    except OSError as error:
        where = error.filename or "a file of the local provider"
        raise DiskError(
            f"{where}: {error.strerror or error}", hint="see that it exists, is yours, and has room"
        ) from error


def _link(source: Path, target: Path) -> None:
    """The same file under a second name, or a copy where the file system cannot."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o600)


class LocalProvider:
    """Answers batches with an llm in a worker process on this machine; nothing leaves it.

    `root` is the folder of its batches. The weights are a GGUF (`path`), a file of the Hugging Face
    hub (`hf`, "org/repo:quantisation", downloaded when first needed) or, with neither, SmolLM2.
    `slots` rows are answered at once, each with at most `context` tokens of prompt and answer.
    """

    def __init__(
        self,
        *,
        name: str,
        root: Path,
        path: Path | None = None,
        mmproj: Path | None = None,
        hf: str | None = None,
        slots: int = 4,
        context: int = 4096,
        threads: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Raises ProviderError for settings that do not go together; looks at no file."""
        if path and hf:
            raise ProviderError(f"{name}: `path` and `hf` are both given", hint="keep one of them")
        if mmproj and not (path or hf):
            raise ProviderError(
                f"{name}: `mmproj` without the llm it belongs to", hint="name it by `path` or `hf`"
            )
        _at_least(name, slots=(slots, 1), context=(context, 256), threads=(threads, 1))
        self.name = name
        self.limits = limits or Limits()
        self.timing = Timing(first_poll=0.2, longest_poll=2.0, lost_after=0.0)
        self._root = root.absolute()
        self._path, self._mmproj, self._hf = path, mmproj, hf
        self._slots, self._context, self._threads = slots, context, threads

    @classmethod
    def from_settings(cls, opening: Opening) -> LocalProvider:
        """The provider that `providers:` describes. Raises ProjectError for what is not right."""
        settings = opening.settings
        opening.known(*KEYS)
        paths = {
            key: opening.root / Path(settings.text(key)).expanduser()
            if settings.text(key)
            else None
            for key in ("path", "mmproj")
        }
        return cls(
            name=opening.name,
            root=opening.work / "local",
            path=paths["path"],
            mmproj=paths["mmproj"],
            hf=settings.text("hf") or None,
            slots=settings.integer("slots", 4) or 4,
            context=settings.integer("context", 4096) or 4096,
            threads=settings.integer("threads"),
            limits=opening.limits,
        )

    @cached_property
    def _weights(self) -> Path:
        if self._path:
            return weights.at(self._path)
        return weights.hub(self._hf) if self._hf else weights.bundled()

    @cached_property
    def _projector(self) -> Path | None:
        return weights.at(self._mmproj) if self._mmproj else None

    @property
    def _bundled(self) -> bool:
        return not (self._path or self._hf)

    @cached_property
    def identity(self) -> str:
        """`local:` and a digest of the weights, and of the projector if there is one."""
        files = [self._weights, *([self._projector] if self._projector else [])]
        return f"local:{weights.digest(files)}"

    @property
    def llm(self) -> str:
        return weights.BUNDLED_LLM if self._bundled else self._weights.stem

    @property
    def notice(self) -> str:
        return _NOTICE if self._bundled else ""

    def check(self, *, images: bool, endpoint: str = CHAT) -> None:
        """Raise ProviderError unless the engine runs here and has weights that fit the task."""
        _check_engine()
        if endpoint != CHAT:
            raise ProviderError(
                f"{self.name} answers {CHAT} only, not {endpoint}",
                hint="leave `endpoint` out, or choose a provider of `type: openai`",
            )
        if self._bundled:
            weights.verify_bundled(self._weights)
        weights.check(self._weights)
        if self._projector:
            weights.check(self._projector)
        elif images:
            raise ProviderError(
                f"{self.name}'s llm cannot see images",
                hint="name an llm that can by `path:`, and its projector by `mmproj:`",
            )

    def offers(self, llm: str) -> bool:  # noqa: ARG002  # the weights answer by any name
        """It has its weights."""
        return True

    @_disk()
    def upload(self, path: Path) -> str:
        """Nothing is sent: the file's own path is its id."""
        return str(path.resolve(strict=True))

    @_disk()
    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Make the batch's folder and start its worker; the same intent makes it once."""
        job = self._job(_batch_id(metadata.get(INTENT)), endpoint, metadata, self._slots)
        folder = Folder.create(self._root, job, Path(file))
        return _remote(folder, _tend(folder))

    def _job(self, batch: str, endpoint: str, metadata: Mapping[str, str], slots: int) -> Job:
        settings = Settings(
            path=str(self._weights),
            mmproj=str(self._projector) if self._projector else None,
            slots=slots,
            context=self._context,
            threads=self._threads or _cores(),
        )
        return Job(
            id=batch,
            llm=self.llm,
            endpoint=endpoint,
            metadata=dict(metadata),
            created_at=time.time(),
            settings=settings,
        )

    def price(self, llm: str, *, now: bool = False) -> Price:  # noqa: ARG002  # here or there
        """It costs nothing."""
        return FREE

    @_disk()
    def find(self, intent: str, *, file: str = "") -> Remote | None:  # noqa: ARG002
        """The batch of this intent: its folder is named for it, whenever it was made."""
        folder = Folder(self._root / _batch_id(intent))
        return _remote(folder, _tend(folder)) if folder.exists else None

    @_disk()
    def poll(self, remote: str) -> Remote:
        """How the batch stands; a worker that died is started again where it was."""
        folder = self._folder(remote)
        return _remote(folder, _tend(folder))

    @_disk()
    def fetch(self, file: str, path: Path) -> None:
        """Copy an ended batch's answers to `path`, whole or not at all."""
        folder = self._folder(file.removesuffix("/output.jsonl"))
        draft = path.with_name(f"{path.name}.new")
        with folder.output.open("rb") as source, private(draft, "wb") as target:
            shutil.copyfileobj(source, target)
        draft.replace(path)

    @_disk()
    def cancel(self, remote: str) -> Remote:
        """Ask the worker to stop; what was answered is kept."""
        folder = self._folder(remote)
        if not folder.state.ended:
            folder.ask_cancel()
        return _remote(folder, _tend(folder))

    @_disk()
    def complete(self, requests: Path, results: Path) -> None:
        """Answer them in a child process that ends with them; batches are not waited for."""
        from tempfile import TemporaryDirectory

        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryDirectory(dir=self._root, prefix="now-") as place:
            slots = min(self._slots, requests.read_bytes().count(b"\n"))
            folder = Folder.create(Path(place), self._job("now", CHAT, {}, slots), requests)
            with _held(folder) as lock:
                _start(folder, lock, detach=False)
            state = folder.state
            if state.status != "completed":
                words = folder.log.read_text(errors="replace").strip().splitlines() or ["no word"]
                raise ProviderError(
                    state.error or f"the engine died: {words[-1]}",
                    hint="`enrich debug` looks at the set-up",
                )
            with folder.output.open("rb") as source, private(results, "wb") as target:
                shutil.copyfileobj(source, target)

    def _folder(self, remote: str) -> Folder:
        folder = Folder(self._root / remote)
        if Path(remote).name != remote or not folder.exists:
            raise ProviderError(
                f"{self.name} has no batch {remote!r}",
                hint=f"its folder under {self._root} was removed; ask for the rows again",
            )
        return folder


def _at_least(name: str, **numbers: tuple[int | None, int]) -> None:
    for word, (number, least) in numbers.items():
        if number is not None and number < least:
            raise ProviderError(f"{name}: `{word}` is {number}", hint=f"at least {least}")


def _check_engine() -> None:
    """Raise ProviderError unless xllamacpp is installed and this machine can run it."""
    import ctypes
    from importlib.util import find_spec

    if find_spec("fcntl") is None:
        raise ProviderError("the embedded engine needs Linux or macOS", hint="run enrich in WSL")
    if find_spec("xllamacpp") is None:
        raise ProviderError("the embedded engine is not installed", hint=weights.INSTALL)
    if sys.platform != "linux":
        return
    for library, package in (("libgomp.so.1", "libgomp1"), ("libstdc++.so.6", "libstdc++6")):
        try:
            ctypes.CDLL(library)
        except OSError as error:
            raise ProviderError(
                f"the embedded engine needs {library}", hint=f"apt-get install {package}"
            ) from error
    if os.uname().machine == "x86_64" and " avx2 " not in _processor():
        raise ProviderError(
            "the embedded engine needs a processor with AVX2",
            hint="choose a provider of `type: openai`",
        )


def _processor() -> str:
    """What the processor can do; AVX2 if nobody knows."""
    try:
        return Path("/proc/cpuinfo").read_text(errors="replace").replace("\n", " ")
    except OSError:
        return " avx2 "


def _batch_id(intent: str | None) -> str:
    """A batch's id: the same for the same intent, so that it is found and made once."""
    if intent is None:
        return f"local-{uuid.uuid4().hex[:24]}"
    return f"local-{hashlib.sha256(intent.encode()).hexdigest()[:24]}"


def _cores() -> int:
    """The cores this process may use: more threads than that are slower."""
    if sys.platform == "linux":
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _remote(folder: Folder, state: State) -> Remote:
    status = "cancelling" if not state.ended and folder.cancelling else state.status
    batch = folder.path.name
    answered = state.completed + state.failed
    return Remote(
        id=batch,
        status=status,
        completed=state.completed,
        failed=state.failed,
        total=state.total,
        files=(f"{batch}/output.jsonl",) if state.ended and answered else (),
        code=state.code,
        error=state.error,
    )


@contextlib.contextmanager
def _held(folder: Folder) -> Iterator[int | None]:
    descriptor = folder.hold()
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _tend(folder: Folder) -> State:
    """How a batch stands. One that has not ended and has no worker is ended, or gets one."""
    if (state := folder.state).ended:
        return state
    with _held(folder) as lock:
        state = folder.state
        if lock is None or state.ended:
            return state
        if folder.cancelling:
            return folder.finish("cancelled")
        size = folder.output.stat().st_size if folder.output.exists() else 0
        starts = state.starts + 1 if size <= state.size else 1
        if starts > STARTS:
            message = f"the engine died {STARTS} times without an answer; see {folder.log}"
            return folder.finish("failed", code="engine_failed", error=message)
        folder.save(replace(state, starts=starts, size=size))
        _start(folder, lock, detach=True)
        return folder.state


def _start(folder: Folder, lock: int | None, *, detach: bool) -> None:
    """Start the worker, which inherits the lock: at no moment is it free in between.

    Detached, it goes on in a process of its own as soon as it stands, and nobody waits for it.
    """
    import subprocess

    if lock is None:
        return
    command = [sys.executable, "-m", "enrich.providers.worker", str(folder.path)]
    command += ["--lock", str(lock), *(["--detach"] if detach else [])]
    with private(folder.log, "ab") as log:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            start_new_session=detach,
            check=False,
        )
