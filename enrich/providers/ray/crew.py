"""The crew: the actors of a batch, each in a seat, which gets another one when its actor dies."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from enrich.providers.executor.launch import MOST_STARTS
from enrich.providers.ray.actor import ActorOutcome, RowActor
from enrich.providers.ray.work import HiddenSettings
from enrich.providers.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enrich.providers.executor.requests import RequestLine
    from enrich.providers.executor.tally import Tally
    from enrich.providers.ray.handed import ActorReport
    from enrich.providers.ray.shared import SharedBatch
    from enrich.providers.ray.work import ActorSettings

RAY_NAMES = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""What Ray calls these resources in the options of an actor; all others are its own words."""


@dataclass(kw_only=True)
class Seat:
    """A place for an actor. `handed` are the rows that it has, by custom_id; `starts` counts the
    actors since the last answer."""

    number: int
    started: int = 0
    starts: int = 0
    actor: Any = None
    working: Any = None
    looking: Any = None
    handed: dict[str, RequestLine] = field(default_factory=dict)
    report: ActorReport | None = None
    outcome: ActorOutcome | None = None
    part: str = ""
    fault: str = ""

    @property
    def is_retired(self) -> bool:
        """Whether its actors have died too often without an answer."""
        return self.actor is None and self.starts >= MOST_STARTS

    @property
    def is_ready(self) -> bool:
        """Whether its actor can be told something now."""
        return self.actor is not None and self.looking is None


@dataclass(kw_only=True)
class Crew:
    """The actors of an `attempt`; `kept` is what the answers of those that are gone come to."""

    batch: SharedBatch
    attempt: int
    settings: ActorSettings
    hidden: str
    total: int
    kept: Tally
    seats: list[Seat] = field(default_factory=list)

    @cached_property
    def _secrets(self) -> Secrets:
        """What no message may show."""
        return Secrets.from_values(HiddenSettings.from_json(self.hidden).hidden)

    @property
    def tally(self) -> Tally:
        """What all answers come to."""
        found = self.kept
        for seat in self.seats:
            if seat.report is not None:
                found = found.add(seat.report.tally)
        return found

    @property
    def handed(self) -> int:
        """How many rows actors have."""
        return sum(len(seat.handed) for seat in self.seats)

    @property
    def active(self) -> list[Seat]:
        """The seats that have, or may get, an actor."""
        return [seat for seat in self.seats if not seat.is_retired]

    def count_wanted(self) -> int:
        """How many actors there should be: as many as the settings say, or as fit on the nodes."""
        if self.settings.actors:
            return self.settings.actors
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        needed = {name: value for name, value in self.settings.resources.items() if value > 0}
        if not needed:
            return sum(1 for node in nodes if node.get("CPU", 0) >= 1)
        return sum(int(min(node.get(k, 0) / need for k, need in needed.items())) for node in nodes)

    def fill_seats(self, wanted: int) -> None:
        """Sees to it that so many seats have an actor."""
        while len(self.seats) < wanted:
            self.seats.append(Seat(number=len(self.seats) + 1))
        for seat in self.active[:wanted]:
            if seat.actor is None:
                self._start_actor(seat)

    def _start_actor(self, seat: Seat) -> None:
        resources: Mapping[str, float] = self.settings.resources or {"CPU": 1}
        known = {RAY_NAMES[name]: value for name, value in resources.items() if name in RAY_NAMES}
        others = {name: value for name, value in resources.items() if name not in RAY_NAMES}
        seat.started += 1
        seat.starts += 1
        seat.part = self.batch.name_part(self.attempt, seat.number, seat.started)
        made = ray.remote(RowActor).options(
            **{"num_cpus": 0, **known},
            resources=others,
            max_concurrency=2,
            max_restarts=0,  # another one takes its seat, with a part of its own
            scheduling_strategy="SPREAD",
        )
        seat.actor = made.remote(self.batch.storage.url, self.batch.id, seat.part, self.total)
        # By a call: what creates an actor is kept by Ray, the arguments of its methods are not.
        seat.working = seat.actor.work.remote(self.hidden)

    def tell(self, seat: Seat, lines: Sequence[RequestLine], *, last: bool, stop: bool) -> None:
        """Hands rows to the actor of a seat, and says what it is to do."""
        seat.handed |= {line.custom_id: line for line in lines}
        seat.looking = seat.actor.look.remote(list(lines), last=last, stop=stop)

    def hear(self, seconds: float) -> list[RequestLine]:
        """Waits so long for what actors have to say. Returns the rows of those that have died."""
        awaited = [r for seat in self.seats for r in (seat.looking, seat.working) if r is not None]
        if not awaited:
            return []
        done = set(ray.wait(awaited, num_returns=len(awaited), timeout=seconds)[0])
        lost: list[RequestLine] = []
        for seat in self.seats:
            try:
                if seat.looking in done:
                    self._note_report(seat, ray.get(seat.looking))
                if seat.working in done:
                    seat.outcome, seat.working = ray.get(seat.working), None
            except RayError as problem:
                words = self._secrets.redact(_find_reason(problem))
                seat.outcome = ActorOutcome("broken", words)
            if seat.outcome is not None and seat.outcome.kind == "broken":
                lost += self._vacate(seat)
        return lost

    def _note_report(self, seat: Seat, report: ActorReport) -> None:
        seat.report, seat.looking = report, None
        for custom_id in report.answered:
            seat.handed.pop(custom_id, None)
            seat.starts = 0

    def _vacate(self, seat: Seat) -> list[RequestLine]:
        """Ends the actor of a seat; returns its rows without an answer, by what is in its part."""
        ray.kill(seat.actor)
        answered, tally = self.batch.read_answered(seat.part)
        self.kept = self.kept.add(tally)
        left = [line for name, line in seat.handed.items() if name not in answered]
        seat.starts = 0 if answered else seat.starts
        seat.fault = seat.outcome.words if seat.outcome else ""
        seat.actor = seat.working = seat.looking = seat.report = seat.outcome = None
        seat.handed = {}
        return left

    def dismiss(self) -> None:
        """Ends all actors, and counts what is in their parts."""
        for seat in self.seats:
            if seat.actor is not None:
                self._vacate(seat)


def _find_reason(problem: RayError) -> str:
    """Returns in one line why an actor died: the last of Ray's words, without a traceback."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines[-1] if lines else type(problem).__name__)[:300]
