"""The driver: `python -m enrich.providers.ray.driver URL BATCH ATTEMPT`, a job on the cluster.

It hands out rows to actors, sees how far they are, and ends when every row has an answer, or the
batch is cancelled, spent or hopeless. It keeps nothing: what is on the storage decides.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import ray

from enrich.providers.executor.folder import BatchState
from enrich.providers.executor.requests import InvalidFile, index_requests
from enrich.providers.executor.worker import BUDGET_REACHED
from enrich.providers.ray.crew import Crew
from enrich.providers.ray.halves import HALF_VARIABLE, join_halves
from enrich.providers.ray.handed import UNSEEN_SECONDS
from enrich.providers.ray.pool import RowPool
from enrich.providers.ray.shared import DriverState, SharedBatch
from enrich.providers.ray.storage import open_storage, read_lines
from enrich.providers.ray.work import ActorSettings

if TYPE_CHECKING:
    from enrich.providers.executor.requests import RequestLine
    from enrich.providers.executor.tally import Allowance
    from enrich.providers.ray.crew import Seat

LOOK_PAUSE = 0.25
"""Seconds between two looks at the actors."""
SIGN_PAUSE = 1.0
"""Seconds between two signs of life, and looks at what others have written."""
COUNT_PAUSE = 10.0
"""Seconds between two looks at how many nodes there are."""
FIRST_SPENT = 4
"""How many rows are asked before it is known what one costs, if the batch has a budget."""


def run_driver(url: str, batch: str, number: int) -> None:
    """Brings a batch to its end, unless a later attempt has it."""
    shared = SharedBatch(open_storage(url), batch)
    shared.check_here()
    if shared.end is not None or shared.is_superseded(number):
        return
    half = shared.take_half(number)
    if half is None:
        sys.exit("what this job was given is gone: it has been started before")
    hidden = join_halves(bytes.fromhex(os.environ.pop(HALF_VARIABLE)), half)
    try:
        lines = list(index_requests(read_lines(shared.storage, shared.input), shared.job.endpoint))
    except InvalidFile as error:
        shared.finish("failed", code=error.code, error=str(error))
        return
    if _await_silence(shared, number):
        ray.init(log_to_driver=False)
        Drive.begin(shared, number, lines, hidden).run()


def _await_silence(shared: SharedBatch, number: int) -> bool:
    """Waits until the driver of an earlier attempt has surely given up, as far as the storage can
    tell; returns False if there is a later one."""
    mine = next(each for each in shared.attempts if each.number == number)
    seen, since = shared.progress, time.monotonic()
    # Where Ray itself has said that the driver is dead, its actors are, too.
    while seen.attempt and mine.lost and time.monotonic() - since < UNSEEN_SECONDS + SIGN_PAUSE:
        time.sleep(SIGN_PAUSE)
        if shared.is_superseded(number):
            return False
        if (now := shared.progress) != seen:
            seen, since = now, time.monotonic()
    return True


@dataclass(kw_only=True)
class Drive:
    """The way of one attempt to the end of its batch."""

    shared: SharedBatch
    number: int
    pool: RowPool
    crew: Crew
    total: int
    beat: int = 0
    wanted: int = 0
    cancelling: bool = False
    spent: bool = False
    hopeless: str = ""
    is_watched: bool = False
    allowance: Allowance | None = None
    stopped_at: float | None = None

    @classmethod
    def begin(
        cls, shared: SharedBatch, number: int, lines: list[RequestLine], hidden: str
    ) -> Drive:
        """Looks up which rows have an answer."""
        answered, tally = shared.read_answered()
        crew = Crew(
            batch=shared,
            attempt=number,
            settings=ActorSettings(**shared.job.settings),
            hidden=hidden,
            total=len(lines),
            kept=tally,
        )
        pool = RowPool.of(lines, answered)
        return cls(
            shared=shared,
            number=number,
            pool=pool,
            crew=crew,
            total=len(lines),
            is_watched=shared.job.is_preview,
        )

    def run(self) -> None:
        """Goes on until the batch has ended, or a later attempt was announced."""
        signed = counted = float("-inf")
        while not self._is_over():
            now = time.monotonic()
            if now - counted >= COUNT_PAUSE:
                self.wanted, counted = self._count_seats(), now
            if now - signed >= SIGN_PAUSE:
                if self.shared.is_superseded(self.number):
                    self.crew.dismiss()
                    return
                # A folder that is no longer mounted takes files that nobody finds.
                self.shared.check_here()
                self._sign()
                signed = now
            if self.stopped_at is None:
                self.crew.fill_seats(self.wanted)
            for seat in self.crew.seats:
                if seat.is_ready:
                    self._tell(seat)
            began = time.monotonic()
            self.pool.give_back(self.crew.hear(LOOK_PAUSE))
            time.sleep(max(0.0, LOOK_PAUSE - (time.monotonic() - began)))
        self.crew.dismiss()
        if not self.shared.is_superseded(self.number):
            self._finish()

    def _count_seats(self) -> int:
        """How many actors there should be: not more than rows, and one if somebody looks on."""
        most = 1 if self.is_watched else self.crew.count_wanted()
        return min(max(1, most), len(self.pool) + self.crew.handed)

    def _tell(self, seat: Seat) -> None:
        """Hands more rows to an actor that has few, and says whether to stop."""
        lines: list[RequestLine] = []
        # Not to one that has no place yet, or whose engine is loading: others may be faster.
        if seat.report and seat.report.ready and self.stopped_at is None:
            portion = self.pool.plan_portion(max(1, len(self.crew.active)))
            if seat.report.waiting < portion:
                # Twice at first: each lane of an engine takes a row, before any is answered.
                portion = portion if seat.handed else 2 * portion
                portion = len(self.pool) if self.is_watched else portion
                lines = self.pool.hand_out(min(portion, self._count_affordable()))
        last = self.is_watched and not len(self.pool)
        self.crew.tell(seat, lines, last=last, stop=self.stopped_at is not None)

    def _count_affordable(self) -> int:
        """How many more rows may be handed out, by what the batch may cost."""
        if self.allowance is None:
            return self.total
        tally = self.crew.tally
        answered = tally.completed + tally.failed
        if not answered:
            return max(0, FIRST_SPENT - self.crew.handed)
        so_far = self.allowance.price_tally(tally)
        if not so_far:
            return self.total
        left = int((self.allowance.usd - so_far) / (so_far / answered)) - self.crew.handed
        self.spent = self.spent or (left <= 0 and not self.crew.handed and len(self.pool) > 0)
        return max(0, left)

    def _sign(self) -> None:
        """Shows a sign of life and how far the batch is, and looks at what others have written."""
        self.beat += 1
        self.allowance = self.shared.allowance
        self.cancelling = self.cancelling or self.shared.is_cancelling
        state = BatchState(status=self._note() or "in_progress", total=self.total)
        state = state.with_tally(self.crew.tally)
        self.shared.report(DriverState(attempt=self.number, beat=self.beat, state=state))

    def _note(self) -> str:
        """What keeps the batch from going on, if anything does."""
        placed = [seat.report for seat in self.crew.seats if seat.report]
        if not placed:
            faults = [seat.fault for seat in self.crew.seats if seat.fault]
            return f"waiting for actors: {faults[-1] if faults else 'none has started yet'}"[:200]
        if all(report.note for report in placed):
            return placed[0].note[:200]
        return ""

    def _is_over(self) -> bool:
        """Whether nothing more is to be waited for. Tells the actors to stop, if they should."""
        seats = self.crew.seats
        outcomes = [seat.outcome for seat in seats if seat.outcome]
        self.hopeless = next((o.words for o in outcomes if o.kind == "hopeless"), self.hopeless)
        if not len(self.pool) and not self.crew.handed:
            return True
        if seats and not self.crew.active:
            fault = seats[-1].fault
            self.hopeless = f"the engine died {seats[-1].starts} times without an answer: {fault}"
            return True
        if self.is_watched and outcomes and not len(self.pool):
            return True
        # What is under way at the other actors has been paid for, also where the rest is hopeless.
        if (self.hopeless or self.cancelling or self.spent) and self.stopped_at is None:
            self.stopped_at = time.monotonic()
        if self.stopped_at is None:
            return False
        alive = [seat for seat in seats if seat.actor is not None and seat.outcome is None]
        grace = max((seat.report.grace for seat in alive if seat.report), default=0.0)
        return not alive or time.monotonic() - self.stopped_at > grace

    def _finish(self) -> None:
        """Writes how the batch ended."""
        if self.hopeless:
            self._end("failed", code="engine_failed", error=self.hopeless)
        elif self.crew.tally.completed + self.crew.tally.failed == self.total:
            self._end("completed")
        elif self.cancelling:
            self._end("cancelled")
        elif self.spent:
            error = "the budget was used up: the answers took more tokens than estimated"
            self._end("expired", code=BUDGET_REACHED, error=error)
        else:
            self._end("completed")  # a preview keeps no line of a lost answer

    def _end(self, status: str, *, code: str = "", error: str = "") -> None:
        state = self.shared.progress.state
        progress = DriverState(attempt=self.number, state=replace(state, total=self.total))
        self.shared.report(progress)
        self.shared.finish(status, code=code, error=error)


if __name__ == "__main__":
    try:
        run_driver(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    except OSError as problem:
        sys.exit(str(problem))
