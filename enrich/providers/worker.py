"""The worker of one local batch: `python -m enrich.providers.worker FOLDER`.

It reads requests as they are needed, answers them with as many slots as it was given, appends each
answer at once, and leaves when the batch has ended, was cancelled or its folder has gone. Killed at
any moment, it goes on where it was when it is started again. Batches under one root take turns, the
oldest first: two at once would only fight for the cores.
"""

from __future__ import annotations

import argparse
import base64
import faulthandler
import json
import os
import re
import secrets
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Protocol

from enrich.providers.local import CHAT, Folder, Job, Settings, State, hold, private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from http.client import HTTPResponse
    from types import TracebackType

BEAT = 0.25
"""Seconds between two looks at the folder, and between two fsyncs."""

GRACE = 3.0
"""Seconds that the rows under way are given when their batch is cancelled."""

SMALL = 512_000_000
"""Weights up to this size are opened once for each core, see `split`."""

MAX_TOKENS = 512
STEADY = {"repeat_penalty": 1.1, "repeat_last_n": 256}
"""What keeps small llms from going round in circles (llama.cpp's server README): of 60 summaries
of films 22 did not end without it, and 4 with it."""
STEADIER = {"repeat_penalty": 1.3, "repeat_last_n": 512, "temperature": 0.3}
"""The same for the second try of an answer that did not end."""
LIMITS = frozenset({"max_tokens", "max_completion_tokens"})
AT_MOST = re.compile(r"at most (\d+) characters")
PENALTIES = frozenset({"repeat_penalty", "frequency_penalty", "presence_penalty", "dry_multiplier"})
"""Whoever sets one of these has said how to go on."""
IMAGE_BYTES = 20_000_000
IMAGE_SECONDS = 60
SILENCE = 20
"""Seconds that an image's server may say nothing."""

_WEB = ("http://", "https://")


class Server(Protocol):
    """The part of xllamacpp.Server that is used."""

    listening_address: str

    def handle_chat_completions(self, body: dict[str, Any]) -> dict[str, Any]: ...


class RejectedError(Exception):
    """A request that the engine cannot answer: its row gets a 400."""


class InvalidError(Exception):
    """A line that makes the whole file invalid, with the Batch API's code for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# the engine


def split(settings: Settings, size: int) -> list[tuple[int, int]]:
    """The engines to open, as (slots, threads) of each.

    Small weights are computed, not waited for: one engine a core, each with one thread, beats one
    engine whose threads meet at a barrier after each operation, the more so when a core is busy.
    Large ones are worth reading from memory once for all slots, and are not to be held twice; nor
    is the projector of an llm that sees.
    """
    if settings.mmproj or size > SMALL:
        return [(settings.slots, settings.threads)]
    number = min(settings.slots, settings.threads)
    return [
        (_share(settings.slots, number, i), _share(settings.threads, number, i))
        for i in range(number)
    ]


def _share(whole: int, number: int, index: int) -> int:
    return whole // number + (index < whole % number)


class Engine:
    """llama.cpp with its weights loaded: answers as many requests at once as it has slots."""

    def __init__(self, settings: Settings, *, slots: int, threads: int, scratch: Path) -> None:
        """Raises RuntimeError when the weights do not load; it gives no reason."""
        # Idle OpenMP threads spin by default, and a machine with one busy core then nearly stands
        # still (libgomp manual, GOMP_SPINCOUNT). It is read when the library loads.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = settings.path
        if settings.mmproj:
            params.mmproj.path = settings.mmproj
        params.n_parallel = slots
        params.n_ctx = slots * settings.context
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.verbosity = 1  # errors only
        params.warmup = False
        params.cache_ram_mib = 0  # else prompts of old rows pile up, to 8 GB
        params.slot_save_path = f"{scratch}/"
        self._key = secrets.token_hex(16)  # it listens on a port of this machine too
        params.api_keys = [self._key]
        if all(device["type"].value == 0 for device in xllamacpp.get_device_info()):  # no GPU
            params.fit_params = False  # what fits into a GPU's memory: half of the time to load
            # the plain kernels save a row 7 % of its time on a processor
            params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.slots = slots
        self._saved = scratch / f"slot-{id(self)}"
        self._sees = settings.mmproj is not None
        self._server: Server = xllamacpp.Server(params)

    def warm(self, body: Mapping[str, Any]) -> None:
        """Read the beginning that all requests share once, and give it to every slot.

        Without it each slot reads it for itself, at a cost of seconds. Nothing depends on it.
        """
        if self.slots == 1 or self._sees:  # llama.cpp does not save the slots of llms that see
            return
        with suppress(ValueError, RuntimeError, OSError):
            self.ask({**body, "max_tokens": 1, "max_completion_tokens": 1, "id_slot": 0})
            self._slot(0, "save")
            for slot in range(1, self.slots):
                self._slot(slot, "restore")
        self._saved.unlink(missing_ok=True)

    def _slot(self, slot: int, action: str) -> None:
        """Save or restore a slot (llama.cpp's server README, `POST /slots/{id}?action=`)."""
        from urllib.request import Request, urlopen

        url = f"{self._server.listening_address}/slots/{slot}?action={action}"
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        data = json.dumps({"filename": self._saved.name}).encode()
        with urlopen(Request(url, data, headers), timeout=60) as answer:  # noqa: S310
            answer.read()

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """The engine's own answer: a completion or `{"error": ...}`; may raise instead of that."""
        return self._server.handle_chat_completions(body)


# one request


def answer(engine: Engine, request: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """One line of requests to one line of answers; an error is an answer too."""
    try:
        asked = prepared(request, job)
        body = engine.ask(asked)
        by_itself = not (PENALTIES | LIMITS) & request["body"].keys()
        if by_itself and _runs_on(body):
            again = engine.ask({**asked, **STEADIER})
            body = body if _runs_on(again) else again
    except (RejectedError, ValueError, RuntimeError) as error:
        body = {"error": {"code": 400, "type": "invalid_request_error", "message": str(error)}}
    if "choices" in body:
        body.pop("timings", None)
        return line(request["custom_id"], 200, {**body, "model": job.llm})
    return line(request["custom_id"], _status(body), body)


def _runs_on(body: Mapping[str, Any]) -> bool:
    """Whether an answer was cut off at the limit of its tokens."""
    choices = body.get("choices") or [{}]
    return bool(choices[0].get("finish_reason") == "length")


def _status(body: Mapping[str, Any]) -> int:
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 400


def line(custom_id: str, status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    """A line of an output file in the Batch API's form."""
    number = uuid.uuid4().hex
    return {
        "id": f"batch_req_{number}",
        "custom_id": custom_id,
        "response": {"status_code": status, "request_id": number, "body": body},
        "error": None,
    }


def prepared(request: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """A request's body as the engine takes it. Raises RejectedError where it would answer nonsense.

    Greedy and seeded where the body says nothing, so that the same request gives the same answer; a
    repeat may differ. Without a maximum the engine would go on for ever, and small llms repeat
    themselves until they meet it.
    """
    body = request["body"]
    if request["url"] != CHAT:
        raise RejectedError(f"a local llm answers {CHAT} only, not {request['url']}")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise RejectedError("`messages` is empty")
    attempt = _attempt(job)
    own: dict[str, Any] = {"temperature": 0.3 if attempt > 1 else 0}
    own["seed"] = attempt if attempt > 1 else 0
    if all(body.get(limit) is None for limit in LIMITS):
        own["max_tokens"] = MAX_TOKENS
    own |= _bounded(body.get("response_format"))
    own |= {} if PENALTIES & body.keys() else STEADY
    given = {k: v for k, v in body.items() if v is not None and k != "response_format"}
    return {**own, **given, "messages": [_inlined(message) for message in body["messages"]]}


def _bounded(form: object) -> dict[str, Any]:
    """The response format, whose grammar ends a text where its column does: OpenAI's schemas cannot
    say `maxLength`, so enrich says it in words (see `output`), and the engine can keep to it."""
    return {"response_format": _ending(form)} if form is not None else {}


def _ending(schema: Any) -> Any:  # noqa: ANN401  # any JSON
    if isinstance(schema, list):
        return [_ending(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _ending(value) for key, value in schema.items()}
    said = AT_MOST.search(str(found.get("description", "")))
    kind = found.get("type")
    is_text = kind == "string" or (isinstance(kind, list) and "string" in kind)
    return found | {"maxLength": int(said[1])} if said and is_text else found


def _attempt(job: Job) -> int:
    number = job.metadata.get("attempt", "")
    return int(number) if number.isdecimal() else 1


def _inlined(message: object) -> object:
    """A message whose images of the web are fetched: the engine takes data URLs."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    return {**message, "content": [_inlined_part(part) for part in message["content"]]}


def _inlined_part(part: object) -> object:
    if not isinstance(part, dict) or part.get("type") != "image_url":
        return part
    image = part.get("image_url")
    if not isinstance(image, dict) or not str(image.get("url")).lower().startswith(_WEB):
        return part
    return {**part, "image_url": {**image, "url": fetched(str(image["url"]))}}


def fetched(url: str) -> str:
    """The image at `url` as a data URL. Raises RejectedError when there is none."""
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    try:
        request = Request(url, headers={"User-Agent": "enrich"})  # noqa: S310
        with urlopen(request, timeout=SILENCE) as source:  # noqa: S310
            media = source.headers.get_content_type()
            data = _read(source, time.monotonic() + IMAGE_SECONDS)
    except (OSError, ValueError, HTTPException) as error:
        raise RejectedError(f"the image {url} cannot be fetched: {error}") from error
    if len(data) > IMAGE_BYTES:
        raise RejectedError(f"the image {url} is larger than {IMAGE_BYTES // 1_000_000} MB")
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def _read(source: HTTPResponse, deadline: float) -> bytes:
    """All there is, or a little more than an image may have."""
    data = bytearray()
    while len(data) <= IMAGE_BYTES and (some := source.read1(1 << 20)):
        data += some
        if time.monotonic() > deadline:
            raise TimeoutError(f"not here after {IMAGE_SECONDS} seconds")
    return bytes(data)


# the file of requests


def requests(path: Path) -> Iterator[dict[str, Any]]:
    """The requests of a checked file, one at a time."""
    with path.open("rb") as file:
        for text in file:
            yield json.loads(text)


def checked(path: Path, endpoint: str) -> int:
    """The number of requests. Raises InvalidError at the first line the Batch API would refuse."""
    seen: set[str] = set()
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            try:
                custom_id = _check(text, endpoint)
                if custom_id in seen:
                    raise InvalidError(
                        "duplicate_custom_id", f"custom_id {custom_id!r} is there twice"
                    )
            except InvalidError as error:
                raise InvalidError(error.code, f"line {number}: {error}") from error
            seen.add(custom_id)
    if not seen:
        raise InvalidError("empty_file", "there is no request in the file")
    return len(seen)


def _check(text: bytes, endpoint: str) -> str:
    try:
        request = json.loads(text)
    except ValueError as error:
        raise InvalidError("invalid_json_line", "this is not JSON") from error
    if not isinstance(request, dict):
        raise InvalidError("invalid_json_line", "this is not a JSON object")
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str):
        raise InvalidError("missing_required_parameter", "`custom_id` is missing or no text")
    if request.get("method") != "POST":
        raise InvalidError("invalid_method", "`method` is not POST")
    if request.get("url") != endpoint:
        raise InvalidError("invalid_url", f"`url` is not the batch's endpoint, {endpoint}")
    if not isinstance(request.get("body"), dict):
        raise InvalidError("missing_required_parameter", "`body` is missing or no object")
    if request["body"].get("stream"):
        raise InvalidError("streaming_unsupported", "`stream` is not for batches")
    return custom_id


# the batch


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What has been answered."""

    completed: int
    failed: int

    def plus(self, answer: Mapping[str, Any]) -> Tally:
        good = answer["response"]["status_code"] == 200
        return Tally(completed=self.completed + good, failed=self.failed + (not good))


class Work:
    """The rows still to answer, and the file the answers go to; shared by all slots."""

    def __init__(self, folder: Folder) -> None:
        self.job = folder.job
        self._seen, completed, failed = folder.answered()
        self.tally = Tally(completed=completed, failed=failed)
        self._input = folder.input
        self._queue = requests(folder.input)
        self._file = private(folder.output, "ab")
        self._lock = Lock()
        self._dirty = False
        self.stop = Event()

    def ahead(self, number: int) -> list[dict[str, Any]]:
        """Up to `number` of the rows that are not answered yet; they stay where they are."""
        rows = requests(self._input)
        return list(islice((r for r in rows if r["custom_id"] not in self._seen), number))

    def slot(self, engine: Engine, ready: Event) -> None:
        """Answer rows until there are no more, or until told to stop."""
        ready.wait()
        while request := self._take():
            self._put(answer(engine, request, self.job))

    def _take(self) -> dict[str, Any] | None:
        with self._lock:
            if self.stop.is_set():
                return None
            return next((r for r in self._queue if r["custom_id"] not in self._seen), None)

    def _put(self, answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode() + b"\n"
        with self._lock:
            self._file.write(text)
            self._file.flush()
            self._dirty = True
            self.tally = self.tally.plus(answer)

    def sync(self) -> bool:
        """Bring what was answered to the disk; whether there was something."""
        dirty, self._dirty = self._dirty, False
        if dirty:
            os.fsync(self._file.fileno())
        return dirty

    def close(self) -> Tally:
        """No answer is written from here on."""
        with self._lock:
            self.stop.set()
            self.sync()
            self._file.close()
            return self.tally


def work(folder: Folder) -> None:
    """Bring a batch to its end. The caller holds its lock. Raises OSError, also when it is gone."""
    if folder.state.ended:
        return
    job = folder.job
    try:
        total = folder.state.total or checked(folder.input, job.endpoint)
    except InvalidError as error:
        folder.finish("failed", code=error.code, error=str(error))
        return
    folder.save(replace(folder.state, total=total))
    if not _turn(folder):
        folder.finish("cancelled")
        return
    try:
        engines = _opened(job.settings, folder.path)
    except ImportError as error:
        hint = "apt-get install libgomp1 libstdc++6" if sys.platform == "linux" else "install it"
        folder.finish("failed", code="engine_failed", error=f"{error} ({hint})")
    except RuntimeError:  # its reason is in the log
        message = f"llama.cpp cannot load {job.settings.path}; see {folder.log}"
        folder.finish("failed", code="engine_failed", error=message)
    else:
        _answer(folder, engines)
        os._exit(0)  # rows of a cancelled batch may still be in native code


def _turn(folder: Folder) -> bool:
    """Wait for the engine: whether this batch got it, or was cancelled before."""
    while not folder.cancelling:
        if not folder.exists:
            raise FileNotFoundError(folder.path)
        mine = hold(folder.path.parent / "engine.lock")
        if mine is not None:
            if not any(other.busy for other in folder.older()):
                return True
            os.close(mine)
        time.sleep(BEAT)
    return False


def _opened(settings: Settings, scratch: Path) -> list[Engine]:
    """The engines, each on cores of its own where there are several and they fill the machine.

    Else the kernel may leave two of them on one core for as long as a third process is busy.
    """
    plan = split(settings, Path(settings.path).stat().st_size)
    cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    if len(plan) == 1 or sum(threads for _, threads in plan) != len(cores):
        return [_engine(settings, scratch, *share) for share in plan]
    free, engines = iter(cores), []
    for slots, threads in plan:
        os.sched_setaffinity(0, set(islice(free, threads)))  # the engine's threads inherit it
        engines.append(_engine(settings, scratch, slots, threads))
    os.sched_setaffinity(0, cores)
    return engines


def _engine(settings: Settings, scratch: Path, slots: int, threads: int) -> Engine:
    return Engine(settings, slots=slots, threads=threads, scratch=scratch)


def _answer(folder: Folder, engines: Sequence[Engine]) -> None:
    """Answer what is not answered yet, and say how it stands as it goes."""
    task = Work(folder)
    state = replace(folder.state, status="in_progress")
    folder.save(_counted(state, task.tally))
    pending = _begin(task, engines)
    leave: float | None = None
    while pending and (leave is None or time.monotonic() < leave):
        done, pending = wait(pending, timeout=BEAT)
        for slot in done:
            slot.result()
        if task.sync():
            folder.save(_counted(state, task.tally))
        if not folder.exists:
            os._exit(0)
        if folder.cancelling and leave is None:
            task.stop.set()
            leave = time.monotonic() + GRACE
    final = _counted(state, task.close())
    whole = final.completed + final.failed == state.total
    folder.save(replace(final, status="completed" if whole else "cancelled"))


def _begin(task: Work, engines: Sequence[Engine]) -> set[Future[None]]:
    """Start every slot; the first of an engine warms it while the others wait."""
    ahead = task.ahead(2)
    pool = ThreadPoolExecutor(sum(engine.slots for engine in engines))
    slots = set()
    for engine in engines:
        ready = Event()
        if len(ahead) < 2:
            ready.set()
        slots.add(pool.submit(_lead, task, engine, ready, ahead))
        slots.update(pool.submit(task.slot, engine, ready) for _ in range(engine.slots - 1))
    return slots


def _lead(task: Work, engine: Engine, ready: Event, ahead: Sequence[Mapping[str, Any]]) -> None:
    try:
        if not ready.is_set():
            engine.warm(ahead[0]["body"])
    finally:
        ready.set()
    task.slot(engine, ready)


def _counted(state: State, tally: Tally) -> State:
    return replace(state, completed=tally.completed, failed=tally.failed)


# the process


def _die(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Leave at once after an error nobody foresaw, without waiting for rows in native code."""
    sys.__excepthook__(kind, error, trace)
    sys.stderr.flush()
    os._exit(1)


def main() -> None:
    """Work on the folder named on the command line, unless another worker does."""
    parser = argparse.ArgumentParser(prog="enrich.providers.worker")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lock", type=int, help="the folder's lock, inherited")
    parser.add_argument("--detach", action="store_true", help="go on as a process of its own")
    options = parser.parse_args()
    if options.detach and os.fork():
        os._exit(0)
    sys.excepthook = _die
    faulthandler.enable()
    os.umask(0o077)
    folder = Folder(options.folder)
    lock = folder.hold() if options.lock is None else options.lock
    if lock is None:
        sys.exit("another worker is at it")
    os.truncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)  # for people who look who it is
    try:
        work(folder)
    except OSError as error:
        if folder.exists:
            folder.finish("failed", code="disk_failed", error=str(error))
        os._exit(0)


if __name__ == "__main__":
    main()
