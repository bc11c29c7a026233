"""Answers: the rows of a batch that have no answer yet, and the file that answers go to."""

from __future__ import annotations

import json
import os
import uuid
from itertools import islice
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from enrich.providers.executor.requests import read_requests
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.providers.executor.folder import Folder
    from enrich.providers.executor.reply import EngineReply
    from enrich.providers.executor.tally import Allowance, Tally


class Answers:
    """The rest of a batch; shared by all threads that answer it.

    Once the answers have used up the `allowance`, no more rows are given out.
    """

    def __init__(self, folder: Folder) -> None:
        """Cuts off an incomplete last line. Raises OSError."""
        self._seen, self.tally = folder.read_answered()
        self._input = folder.input
        self._queue = read_requests(folder.input)
        self._file = open_private(folder.output, "ab")
        self._lock = Lock()
        self._unsynced = False
        self.allowance: Allowance | None = None
        self.spent = False
        self.stop = Event()

    def peek(self, number: int) -> list[dict[str, Any]]:
        """Returns up to `number` of the rows without an answer, without taking them."""
        rows = read_requests(self._input)
        return list(islice((r for r in rows if r["custom_id"] not in self._seen), number))

    def take(self) -> dict[str, Any] | None:
        """The next row; None where there is none, or where there is to be none."""
        with self._lock:
            if self.stop.is_set() or self.check_spent():
                return None
            return next((r for r in self._queue if r["custom_id"] not in self._seen), None)

    def check_spent(self, under_way: int = 0) -> bool:
        """Whether the allowance is used up, if each row `under_way` costs as much as one answered
        so far. Once it is, it stays so."""
        answered = self.tally.completed + self.tally.failed
        if self.allowance is not None and answered:
            each = self.allowance.price_tally(self.tally) / answered
            so_far = each * (answered + under_way)
            self.spent = self.spent or (so_far > 0 and so_far >= self.allowance.usd)
        return self.spent

    def put(self, custom_id: str, reply: EngineReply, clean: Callable[[str], str] = str) -> None:
        """Append an answer, as a line that `clean` has taken secrets out of."""
        text = clean(json.dumps(make_line(custom_id, reply))).encode() + b"\n"
        with self._lock:
            self._file.write(text)
            # Flushed, so that the answer outlives this process; `sync` is for a power cut.
            self._file.flush()
            self._unsynced = True
            self.tally = self.tally.plus(reply.status, reply.body)

    def sync(self) -> bool:
        """Forces new answers to disk; returns whether there were any."""
        unsynced, self._unsynced = self._unsynced, False
        if unsynced:
            os.fsync(self._file.fileno())
        return unsynced

    def close(self) -> Tally:
        """Ends the work: no more answers are written. Returns the final tally."""
        with self._lock:
            self.stop.set()
            self.sync()
            self._file.close()
            return self.tally


def make_line(custom_id: str, reply: EngineReply) -> dict[str, Any]:
    """Returns a line of a result file in the form of the Batch API."""
    number = uuid.uuid4().hex
    return {
        "id": f"batch_req_{number}",
        "custom_id": custom_id,
        "response": {"status_code": reply.status, "request_id": number, "body": reply.body},
        "error": None,
    }
