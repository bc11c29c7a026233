"""Engines: whatever answers the rows of a batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from enrich.providers.executor.folder import Folder
    from enrich.providers.executor.reply import EngineReply

    OpenEngines = Callable[[Folder], Sequence["Engine"]]
    """Opens the engines of a batch, which may keep files in its folder. Raises EngineFailed."""


class EngineFailed(Exception):
    """The engine cannot answer any row; the text says why, and the batch has failed."""


class OpenRows(Protocol):
    """Rows that wait for an answer, and where answers go; shared by the threads of engines."""

    @property
    def stop(self) -> Event:
        """Set once no more rows are to be asked."""

    @property
    def spent(self) -> bool:
        """Whether what the answers may cost is used up."""

    def peek(self, number: int) -> list[dict[str, Any]]:
        """Returns up to `number` rows without taking them."""

    def take(self) -> dict[str, Any] | None:
        """The next row; None where there is none, or where there is to be none."""

    def check_spent(self, under_way: int = 0) -> bool:
        """The same as `spent`, if each row `under_way` costs as much as one answered so far."""

    def put(self, custom_id: str, reply: EngineReply, clean: Callable[[str], str] = str) -> None:
        """Keeps an answer, as a line that `clean` has taken secrets out of."""


class Engine(Protocol):
    """Answers the rows of a batch. Several may share them."""

    @property
    def grace(self) -> float:
        """Seconds that the rows under way are given when their batch is cancelled."""

    @property
    def note(self) -> str:
        """What keeps it from answering now, in a few words; empty if nothing."""

    def run(self, answers: OpenRows) -> None:
        """Answer rows until there are no more, or until told to stop. Raises EngineFailed where no
        row can be answered; anything else ends the worker, and its rows are asked again."""


def _stay_cold(body: Mapping[str, Any]) -> None:
    """Does nothing, for engines that need no warming."""


@dataclass(frozen=True, kw_only=True)
class ThreadedEngine:
    """An engine in this process: `answer` returns the reply to a request's body, and is called by
    `slots` threads at once. `warm` is called once before, with the body of the first of several
    requests."""

    answer: Callable[[Mapping[str, Any]], EngineReply]
    slots: int = 1
    warm: Callable[[Mapping[str, Any]], None] = _stay_cold
    # Native code cannot be interrupted, so a long row must not hold up the end for long.
    grace: float = 3.0
    note: str = ""

    def run(self, answers: OpenRows) -> None:
        """Warm up while the other slots wait, then answer with all of them."""
        ready = Event()
        ahead = answers.peek(2)
        pool = ThreadPoolExecutor(self.slots)
        slots = [pool.submit(self._answer_rows, answers, ready) for _ in range(self.slots)]
        try:
            if len(ahead) > 1:
                self.warm(ahead[0]["body"])
        finally:
            ready.set()
        for slot in slots:
            slot.result()

    def _answer_rows(self, answers: OpenRows, ready: Event) -> None:
        """What one slot does."""
        ready.wait()
        while request := answers.take():
            answers.put(request["custom_id"], self.answer(request["body"]))
