"""Execution: a batch's requests answered one by one, in a shuffled order, as far as asked."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from enrich.rehearsal.bill import Usage
from enrich.rehearsal.validation import parse

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.rehearsal.llm import Llm
    from enrich.rehearsal.results import Results
    from enrich.rehearsal.validation import Accepted


class Execution:
    """The work of one accepted batch. It can stop half way, go on later or never.

    The order of a batch's results is not promised (OpenAI Batch API guide), so it is the shuffled
    order of execution, the same for the same seed. One line is in memory at a time.
    """

    def __init__(
        self, accepted: Accepted, input_path: Path, results: Results, llm: Llm, *, order: str
    ) -> None:
        self._input = input_path
        self._results = results
        self._llm = llm
        self._order = accepted.offsets
        Random(order).shuffle(self._order)  # noqa: S311  # repeatable, not secret
        self.total = len(self._order)
        self.done = 0
        self.completed = 0
        self.failed = 0
        self.usage = Usage()

    def run(self, until: int) -> None:
        """Execute requests until this many are done."""
        with self._input.open("rb") as file, self._results as results:
            for offset in self._order[self.done : until]:
                file.seek(offset)
                request = parse(file.readline())
                self._execute(request["custom_id"], request["body"], request["url"], results)
        self.done = max(self.done, until)

    def _execute(self, custom_id: str, body: dict[str, object], url: str, results: Results) -> None:
        outcome = self._llm.execute(body, endpoint=url, custom_id=custom_id)
        if outcome.fault != "dropped":
            results.executed(custom_id, outcome)
        self.usage += outcome.usage
        if outcome.status in {0, 200}:
            self.completed += 1
        else:
            self.failed += 1

    def give_up(self, code: str) -> None:
        """Write the requests that have not been executed as `batch_expired` or `_cancelled`."""
        with self._input.open("rb") as file, self._results as results:
            for offset in self._order[self.done :]:
                file.seek(offset)
                results.not_executed(parse(file.readline())["custom_id"], code)
        self.done = self.total
