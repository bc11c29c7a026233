"""The worker of one local batch: `python -m enrich.providers.worker FOLDER`.

It reads requests as they are needed, answers them with as many slots as it was given, appends each
answer at once, and leaves when the batch has ended, was cancelled or its folder has gone. Killed at
any moment, it goes on where it was when started again.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import secrets
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from enrich.providers.local import Folder, Settings, State, hold, private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHAT = "/v1/chat/completions"
BEAT = 0.25
"""Seconds between two looks at the folder, and between two fsyncs."""


class Engine(Protocol):
    def handle_chat_completions(self, body: dict[str, Any]) -> dict[str, Any]: ...


def open_engine(settings: Settings) -> Engine:
    """llama.cpp with its weights loaded. Raises RuntimeError if they do not load."""
    # Two spinning OpenMP threads stop each other when a core is busy (libgomp manual, GOMP_SPINCOUNT).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings.path
    if settings.mmproj:
        params.mmproj.path = settings.mmproj
    params.n_parallel = settings.slots
    params.n_ctx = settings.slots * settings.context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads
    params.api_keys = [secrets.token_hex(16)]  # it listens on a loopback port too
    params.verbosity = -1
    engine: Engine = xllamacpp.Server(params)
    return engine


def answer(engine: Engine, request: Mapping[str, Any], attempt: int = 1) -> dict[str, Any]:
    """One line of requests to one line of answers; an error is an answer too."""
    try:
        body = engine.handle_chat_completions(defaults(request["body"], attempt))
    except (ValueError, RuntimeError) as error:
        body = {"error": {"message": str(error), "type": "invalid_request_error", "code": 400}}
    status = 200 if "choices" in body else _status(body)
    return line(request["custom_id"], status, body)


def _status(body: Mapping[str, Any]) -> int:
    code = body.get("error", {}).get("code", 400)
    return code if isinstance(code, int) and 400 <= code < 600 else 400


def line(custom_id: str, status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    number = uuid.uuid4().hex
    response = {"status_code": status, "request_id": number, "body": body}
    return {
        "id": f"batch_req_{number}",
        "custom_id": custom_id,
        "response": response,
        "error": None,
    }


def defaults(body: Mapping[str, Any], attempt: int) -> dict[str, Any]:
    """The request's body over what is asked for where it says nothing.

    Greedy and seeded, so that the same request gives the same answer; a repeat may differ. Without a
    maximum the engine would go on for ever.
    """
    own: dict[str, Any] = {
        "temperature": 0.3 if attempt > 1 else 0,
        "seed": attempt if attempt > 1 else 0,
    }
    if "max_tokens" not in body and "max_completion_tokens" not in body:
        own["max_tokens"] = 512
    return {**own, **body}


def requests(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for text in file:
            yield json.loads(text)


@dataclass
class Work:
    folder: Folder
    seen: set[str]
    state: State
    attempt: int
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.queue = requests(self.folder.input)
        self.file = private(self.folder.output, "ab")

    def take(self) -> dict[str, Any] | None:
        with self.lock:
            if self.stop.is_set():
                return None
            return next((r for r in self.queue if r["custom_id"] not in self.seen), None)

    def put(self, answer: dict[str, Any]) -> None:
        text = json.dumps(answer, ensure_ascii=False).encode() + b"\n"
        bad = answer["response"]["status_code"] != 200
        with self.lock:
            self.file.write(text)
            self.file.flush()
            self.state = replace(
                self.state,
                completed=self.state.completed + (not bad),
                failed=self.state.failed + bad,
            )

    def slot(self, engine: Engine) -> None:
        while request := self.take():
            self.put(answer(engine, request, self.attempt))

    def sync(self) -> None:
        os.fsync(self.file.fileno())
        self.folder.save(self.state)


def work(folder: Folder) -> None:
    job = folder.job
    seen, completed, failed = folder.answered()
    total = sum(1 for _ in requests(folder.input))
    state = replace(
        folder.state, status="in_progress", completed=completed, failed=failed, total=total
    )
    folder.save(state)
    try:
        engine = open_engine(job.settings)
    except RuntimeError as error:
        folder.finish("failed", code="engine_failed", error=str(error))
        return
    task = Work(folder, seen, state, int(job.metadata.get("attempt", "1")))
    threads = [
        threading.Thread(target=task.slot, args=(engine,), daemon=True)
        for _ in range(job.settings.slots)
    ]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        if not folder.exists:
            return
        if folder.cancelling:
            task.stop.set()
        task.sync()
        time.sleep(BEAT)
    task.sync()
    folder.finish("cancelled" if folder.cancelling else "completed")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lock", type=int)
    parser.add_argument("--detach", action="store_true")
    options = parser.parse_args()
    if options.detach and os.fork():
        os._exit(0)
    faulthandler.enable()
    folder = Folder(options.folder)
    if options.lock is None and folder.hold() is None:
        sys.exit(0)
    work(folder)
    os._exit(0)


if __name__ == "__main__":
    main()
