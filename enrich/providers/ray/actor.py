"""The actor: answers the rows that it is handed, and appends the answers to a part of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Literal, NamedTuple

from enrich.providers.executor.engine import EngineFailed
from enrich.providers.ray.engines import NodeEngines
from enrich.providers.ray.handed import ActorReport, HandedRows
from enrich.providers.ray.shared import SharedBatch
from enrich.providers.ray.storage import open_storage
from enrich.providers.ray.work import HiddenSettings
from enrich.providers.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.providers.executor.engine import Engine
    from enrich.providers.executor.requests import RequestLine

WATCH_SECONDS = 0.5
"""Between two looks whether the actor's server is alive."""


class ActorOutcome(NamedTuple):
    """How the work of an actor ended: all done; `broken`, which another actor may mend; or
    `hopeless`, because no row can be answered. The words say why."""

    kind: Literal["done", "broken", "hopeless"]
    words: str = ""


class RowActor:
    """What Ray places on a node. `work` runs until there is nothing more to do, while the driver
    calls `look` every moment, so it needs two threads."""

    def __init__(self, url: str, batch: str, part: str, total: int) -> None:
        """Opens a batch of `total` rows on the storage at `url`. Raises OSError if it is gone."""
        self._shared = SharedBatch(open_storage(url), batch)
        self._shared.check_here()
        self._total = total
        storage = self._shared.storage
        self._rows = HandedRows(storage, self._shared.input, storage.append(part))
        self._engines: Sequence[Engine] = ()

    def work(self, hidden: str) -> ActorOutcome:
        """Opens the engines and answers rows. Raises OSError if the storage fails."""
        secret = HiddenSettings.from_json(hidden)
        node = NodeEngines(
            job=self._shared.job,
            hidden=secret,
            is_wanted=lambda: not self._rows.stop.is_set(),
            total=self._total,
        )
        hide = Secrets.from_values(secret.hidden).redact
        try:
            self._engines = node.open()
        except (EngineFailed, OSError) as error:
            return ActorOutcome("broken", hide(str(error)))
        while self._rows.await_rows():
            outcome = self._answer(node)
            if outcome.kind != "done":
                self._rows.keep()  # its answers have been paid for, and nobody asks for them later
                return ActorOutcome(outcome.kind, hide(outcome.words))
        self._rows.close()
        return ActorOutcome("done")

    def _answer(self, node: NodeEngines) -> ActorOutcome:
        """Has the engines answer what there is."""
        pool = ThreadPoolExecutor(len(self._engines))
        pending = {pool.submit(engine.run, self._rows) for engine in self._engines}
        while pending:
            done, pending = wait(pending, timeout=WATCH_SECONDS)
            try:
                node.check_alive()
            except EngineFailed as error:
                return ActorOutcome("broken", str(error))
            for each in done:
                try:
                    each.result()
                except EngineFailed as error:
                    self._rows.stop.set()
                    return ActorOutcome("hopeless", str(error))
        return ActorOutcome("done")

    def look(self, lines: Sequence[RequestLine], *, last: bool, stop: bool) -> ActorReport:
        """Takes more rows, and what the driver wants; says how it stands. Raises OSError."""
        self._rows.give(lines)
        answered, waiting = self._rows.look(last=last, stop=stop)
        notes = dict.fromkeys(engine.note for engine in self._engines if engine.note)
        note = "; ".join(notes) if self._engines else "the engine is starting"
        grace = max((engine.grace for engine in self._engines), default=0.0)
        ready = bool(self._engines)
        return ActorReport(answered, self._rows.tally, waiting, ready, note, grace)
