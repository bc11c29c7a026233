"""The screen: what enrich says while it works, and what went wrong, on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from enrich.report.safe import clean, to_stderr
from enrich.report.text import status_of, terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

    from enrich.batches import Batch
    from enrich.errors import EnrichError


def error(problem: EnrichError) -> None:
    """An error as people see it: one sentence, a blank line, a hint."""
    to_stderr(f"error: {clean(problem.message)}\n")
    if problem.hint:
        to_stderr(f"\nhint: {clean(problem.hint)}\n")


class Screen:
    """What enrich says while it works, on stderr: live bars on a terminal, else plain lines."""

    def __init__(
        self, *, quiet: bool = False, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self.quiet = quiet
        self.note = note
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, tuple[int, str]] = {}

    def say(self, sentence: str) -> None:
        """One sentence; bars stay below it."""
        self.note(sentence)
        if self.quiet:
            return
        if self._progress is not None:
            self._progress.console.print(clean(sentence), markup=False, highlight=False)
        else:
            to_stderr(f"{clean(sentence)}\n")

    def progress(self, model: str, batches: list[Batch]) -> None:
        """How many of a model's requests are answered."""
        total = sum(batch.requests for batch in batches)
        done = sum(batch.requests if batch.read_at else batch.answered for batch in batches)
        words = sorted({status_of(batch) for batch in batches})
        state = ", ".join(words)
        tenth = 10 * done // max(total, 1)  # so that a log stays short
        is_new = self._told.get(model) != (tenth, state)
        self._told[model] = (tenth, state)
        line = f"{model}: {done:,} of {total:,} answered ({state})"
        if is_new:
            self.note(line)
        if self.quiet:
            return
        if sys.stderr.isatty():
            self._bar(model, done, total, state)
        elif is_new:
            to_stderr(f"{line}\n")

    def close(self) -> None:
        """Leave the bars as they stand."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _bar(self, model: str, done: int, total: int, state: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

        if self._progress is None:
            from rich.progress import Progress

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[state]}"),
                TimeElapsedColumn(),
                console=terminal(stderr=True),
            )
            self._progress.start()
        if model not in self._tasks:
            self._tasks[model] = self._progress.add_task(model, total=total, state=state)
        self._progress.update(self._tasks[model], completed=done, total=total, state=state)
