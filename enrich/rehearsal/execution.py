"""Execution: the requests of a batch answered one by one, in a shuffled order."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from enrich.rehearsal.bill import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.rehearsal.llm import ExecutedRequest
    from enrich.rehearsal.results import ResultFiles
    from enrich.rehearsal.validation import AcceptedFile


class Executes(Protocol):
    """Answers requests: the llm, or what reads another API's requests for it."""

    def execute(
        self, body: Mapping[str, Any], *, endpoint: str, custom_id: str = ""
    ) -> ExecutedRequest: ...


class Execution:
    """The work of one accepted batch. It can stop halfway, and continue later or never.

    OpenAI's guide to the Batch API does not promise the order of results, so they are in the
    shuffled order of execution, which the seed decides. One line is in memory at a time.
    """

    def __init__(
        self,
        accepted: AcceptedFile,
        input_path: Path,
        results: ResultFiles,
        llm: Executes,
        *,
        order: str,
    ) -> None:
        self._input = input_path
        self._results = results
        self._llm = llm
        self._order = accepted.offsets
        self._read = accepted.read
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
                request = self._read(file.readline())
                self._execute(request["custom_id"], request["body"], request["url"], results)
        self.done = max(self.done, until)

    def _execute(
        self, custom_id: str, body: dict[str, object], url: str, results: ResultFiles
    ) -> None:
        outcome = self._llm.execute(body, endpoint=url, custom_id=custom_id)
        if outcome.fault != "dropped":
            results.write_executed(custom_id, outcome)
        self.usage += outcome.usage
        # OpenAI counts requests that it has lost (status_code 0) as completed.
        if outcome.status in {0, 200}:
            self.completed += 1
        else:
            self.failed += 1

    def give_up(self, code: str) -> None:
        """Write error lines with this code for the requests that have not been executed."""
        with self._input.open("rb") as file, self._results as results:
            for offset in self._order[self.done :]:
                file.seek(offset)
                results.write_not_executed(self._read(file.readline())["custom_id"], code)
        self.done = self.total
