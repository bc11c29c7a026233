"""A batch on the storage: all that the provider, the driver and the actors share."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from enrich.providers.executor.folder import BatchState, Job, parse_line
from enrich.providers.executor.tally import Allowance, Tally
from enrich.providers.ray.storage import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TypeGuard

    from enrich.providers.ray.storage import Storage

ATTEMPT_FILE = re.compile(r"(\d{4,})\.json")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A job on the cluster for a batch: how many rows were `answered` when it was submitted, and
    whether the cluster had forgotten the one before (`lost`), which may therefore be alive."""

    number: int
    answered: int = 0
    lost: bool = False


@dataclass(frozen=True, kw_only=True)
class DriverState:
    """How far the driver of an `attempt` is; `beat` changes while it lives."""

    attempt: int = 0
    beat: int = 0
    state: BatchState = field(default_factory=BatchState)


@dataclass(frozen=True)
class SharedBatch:
    """The files of one batch."""

    storage: Storage
    id: str

    @property
    def input(self) -> str:
        """The name of the request file."""
        return f"{self.id}/input.jsonl"

    def check_here(self) -> None:
        """Raises OSError on a node where the batch is not: a folder that is not mounted would take
        answers that nobody finds."""
        if not self.exists:
            raise OSError(f"{self.storage.url} has no batch {self.id} here: is it mounted?")

    @property
    def exists(self) -> bool:
        """Whether there is such a batch."""
        return self.storage.has(f"{self.id}/batch.json")

    def create(self, job: Job, requests: Path) -> None:
        """Writes the requests, and then the job."""
        self.storage.send(requests, self.input)
        self._write("batch.json", asdict(job))

    def withdraw(self) -> None:
        """Removes a batch of which the cluster knows nothing."""
        for name in (f"{self.id}/batch.json", self.input, *self._list("attempts")):
            self.storage.remove(name)
        self.drop_halves()

    @property
    def job(self) -> Job:
        """What the batch is to do. Raises OSError."""
        found = self._read("batch.json")
        if found is None:
            raise OSError(f"{self.storage.url}/{self.id}/batch.json holds no batch")
        return Job(**found)

    @property
    def attempts(self) -> list[Attempt]:
        """The jobs on the cluster so far, oldest first. The first is always one of them: it is
        announced before there is a batch."""
        numbers = self._list_attempts() or [1]
        found = (self._read(_name_attempt(number)) or {} for number in numbers)
        return [Attempt(**{**each, "number": n}) for n, each in zip(numbers, found, strict=True)]

    def add_attempt(self, attempt: Attempt) -> None:
        """Announces a job: from now on, no earlier one asks anything."""
        self.drop_halves()
        self._write(_name_attempt(attempt.number), asdict(attempt))

    def take_back(self, number: int) -> None:
        """Removes the announcement of a job of which the cluster knows nothing."""
        self.storage.remove(f"{self.id}/{_name_attempt(number)}")
        self.drop_halves()

    def is_superseded(self, number: int) -> bool:
        """Whether a later attempt than this one was announced."""
        return max(self._list_attempts(), default=0) > number

    @property
    def progress(self) -> DriverState:
        """What the driver has said last."""
        found = self._read("state.json")
        if found is None:
            return DriverState()
        return DriverState(**{**found, "state": BatchState(**found["state"])})

    def report(self, progress: DriverState) -> None:
        """Says how far the driver is."""
        self._write("state.json", asdict(progress))

    @property
    def end(self) -> BatchState | None:
        """How the batch ended; None if it has not."""
        found = BatchState(**(self._read("end.json") or {}))
        return found if found.ended else None

    def finish(self, status: str, *, code: str = "", error: str = "") -> BatchState:
        """Writes how the batch ended, from what was answered, and returns it."""
        # The driver has counted the requests, if it came that far.
        total = self.progress.state.total or sum(1 for _ in read_lines(self.storage, self.input))
        state = BatchState(status=status, total=total, code=code, error=error)
        state = state.with_tally(self.read_answered()[1])
        self._write("end.json", asdict(state))
        self.drop_halves()
        return state

    @property
    def is_cancelling(self) -> bool:
        """Whether somebody has asked for the batch to be cancelled."""
        return self.storage.has(f"{self.id}/cancel")

    def ask_cancel(self) -> None:
        """Asks the driver to stop."""
        self.storage.write(f"{self.id}/cancel", b"-")

    @property
    def allowance(self) -> Allowance | None:
        """What the batch may cost; None for any amount."""
        try:
            return Allowance.from_json(self.storage.read(f"{self.id}.allowance.json"))
        except FileNotFoundError:
            return None

    def allow(self, allowance: Allowance) -> None:
        """Says what the batch may cost, also before it exists."""
        if allowance != self.allowance:
            self.storage.write(f"{self.id}.allowance.json", json.dumps(asdict(allowance)).encode())

    def name_part(self, attempt: int, seat: int, start: int) -> str:
        """The name of the part of one actor."""
        return f"{self.id}/parts/{attempt:04}-{seat:03}-{start:03}"

    def read_parts(self, part: str = "") -> Iterator[tuple[str, bytes, dict[str, Any]]]:
        """Yields the custom_id of each answer, its line, and that as a document: of one part, or of
        all, each row once. A line that is not whole is left out: its row is asked again."""
        seen: set[str] = set()
        for name in self._list("parts"):
            if not name.startswith(part):
                continue
            for line in read_lines(self.storage, name):
                answer = parse_line(line)
                if _is_answer(answer) and answer["custom_id"] not in seen:
                    seen.add(answer["custom_id"])
                    yield answer["custom_id"], line, answer

    def read_answered(self, part: str = "") -> tuple[set[str], Tally]:
        """Returns the custom_ids with an answer, and what these come to."""
        seen, tally = set(), Tally()
        for custom_id, _, answer in self.read_parts(part):
            seen.add(custom_id)
            tally = tally.plus(answer["response"]["status_code"], answer["response"]["body"])
        return seen, tally

    def keep_half(self, number: int, half: bytes) -> None:
        """Keeps one half of what is secret (`halves`) until the driver of an attempt takes it."""
        self._write(f"halves/{number:04}.json", {"half": half.hex()})

    def take_half(self, number: int) -> bytes | None:
        """Returns that half and removes it; None if it was taken before."""
        found = self._read(f"halves/{number:04}.json")
        self.storage.remove(f"{self.id}/halves/{number:04}.json")
        return None if found is None else bytes.fromhex(found["half"])

    def drop_halves(self) -> None:
        """Removes the halves that no driver has taken."""
        for name in self._list("halves"):
            self.storage.remove(name)

    def _list(self, folder: str) -> list[str]:
        return self.storage.list_files(f"{self.id}/{folder}")

    def _list_attempts(self) -> list[int]:
        """Returns the numbers of the jobs so far, lowest first, whatever else lies beside them."""
        names = (name.rpartition("/")[2] for name in self._list("attempts"))
        return sorted(int(match[1]) for match in map(ATTEMPT_FILE.fullmatch, names) if match)

    def _read(self, name: str) -> dict[str, Any] | None:
        """Returns what a file holds; None if it is not there, or is damaged."""
        try:
            found = json.loads(self.storage.read(f"{self.id}/{name}"))
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _write(self, name: str, values: dict[str, Any]) -> None:
        self.storage.write(f"{self.id}/{name}", json.dumps(values).encode())


def _name_attempt(number: int) -> str:
    return f"attempts/{number:04}.json"


def _is_answer(document: Any) -> TypeGuard[dict[str, Any]]:  # noqa: ANN401  # any JSON
    """Whether a line of a part is an answer: somebody may have put other files beside the parts."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("custom_id"), str)
        and isinstance(document.get("response"), dict)
        and {"status_code", "body"} <= document["response"].keys()
    )
