"""The screen: what enrich says while it works, and what went wrong, on stderr or in a notebook."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from enrich.pricing.price import format_usd
from enrich.report.safe import clean, to_stderr
from enrich.report.text import terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from enrich.errors import EnrichError
    from enrich.pipeline.listener import Progress

STEADY = 600.0
"""Seconds over which speed is measured: answers of batches come in lumps."""


def error(problem: EnrichError) -> None:
    """An error as people see it: one sentence, a blank line, a hint."""
    to_stderr(f"error: {problem.message}\n")
    if problem.hint:
        to_stderr(f"\nhint: {problem.hint}\n")


def in_notebook() -> bool:
    """Whether this process serves a notebook, which shows what is displayed, also what changes."""
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter


class Screen:
    """What enrich says while it works: live bars on a terminal and in a notebook, else plain lines
    on stderr."""

    def __init__(
        self, *, quiet: bool = False, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self.quiet = quiet
        self.note = note
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, tuple[int, str]] = {}
        self._shown: Any = None  # IPython's handle of what a notebook shows

    def say(self, sentence: str) -> None:
        """One sentence; bars stay below it."""
        self.note(sentence)
        if self.quiet:
            return
        if in_notebook():
            sys.stdout.write(f"{clean(sentence)}\n")
        elif self._bars is not None:
            self._bars.console.print(clean(sentence), markup=False, highlight=False)
        else:
            to_stderr(f"{sentence}\n")

    def progress(self, progress: Progress) -> None:
        """How far a model is."""
        tenth = 10 * progress.answered // max(progress.total, 1)  # so that a log stays short
        is_new = self._told.get(progress.model) != (tenth, progress.state)
        self._told[progress.model] = (tenth, progress.state)
        if is_new:
            self.note(str(progress))
        if self.quiet:
            return
        if in_notebook():
            self._bar(progress)
            self._display()
        elif sys.stderr.isatty():
            self._bar(progress).start()
        elif is_new:
            to_stderr(f"{progress}\n")

    def close(self) -> None:
        """Leave the bars as they stand."""
        if self._bars is not None:
            self._bars.stop()
        self._bars, self._shown = None, None
        self._tasks.clear()

    def _bar(self, found: Progress) -> Bars:
        from rich import progress

        if self._bars is None:
            self._bars = progress.Progress(
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(bar_width=20),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[more]}", markup=False),
                progress.TimeElapsedColumn(),
                progress.TimeRemainingColumn(),
                console=terminal(stderr=True),
                speed_estimate_period=STEADY,
                auto_refresh=not in_notebook(),
            )
        if found.model not in self._tasks:
            self._tasks[found.model] = self._bars.add_task(found.model, total=found.total, more="")
        more = [f"{found.failed:,} failed"] if found.failed else []
        more += [format_usd(found.spent)] if found.spent else []
        self._bars.update(
            self._tasks[found.model],
            completed=found.answered,
            total=found.total,
            more=", ".join([*more, found.state]),
        )
        return self._bars

    def _display(self) -> None:
        if self._shown is None:
            ipython: Any = import_module("IPython.display")
            self._shown = ipython.display(self._bars, display_id=True)
        else:
            self._shown.update(self._bars)
