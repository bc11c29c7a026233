"""The screen: progress and errors, on stderr or in a notebook."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from enrich.pricing.price import format_usd
from enrich.report.safe import clean_text, write_stderr
from enrich.report.text import open_console

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from enrich.errors import EnrichError
    from enrich.pipeline.listener import Progress


def print_error(problem: EnrichError) -> None:
    """Print an error: one sentence, a blank line, a hint."""
    write_stderr(f"error: {problem.message}\n")
    if problem.hint:
        write_stderr(f"\nhint: {problem.hint}\n")


def is_in_notebook() -> bool:
    """Whether this process serves a notebook, which can show progress that changes in place."""
    # Rich, which knows for sure, is slow to import, so it is asked only if this may be one.
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter


class Screen:
    """Shows what enrich does: live bars on a terminal and in a notebook, otherwise plain lines on
    stderr."""

    def __init__(
        self, *, quiet: bool = False, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self.quiet = quiet
        self.note = note
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._noted: dict[str, tuple[int, str]] = {}
        self._handle: Any = None  # IPython's handle for what the notebook shows

    def say(self, sentence: str) -> None:
        """Print one sentence, above the bars if there are any."""
        self.note(sentence)
        if self.quiet:
            return
        if is_in_notebook():
            sys.stdout.write(
                f"{clean_text(sentence)}\n"
            )  # Jupyter shows stderr as a failure, in red
        elif self._bars is not None:
            # Without markup, because a name or a reason may hold square brackets.
            self._bars.console.print(clean_text(sentence), markup=False, highlight=False)
        else:
            write_stderr(f"{sentence}\n")

    def progress(self, progress: Progress) -> None:
        """Show how far a model is."""
        # A plain log gets a line for each tenth only, so that it stays short.
        tenth = 10 * progress.answered // max(progress.total, 1)
        is_new = self._noted.get(progress.model) != (tenth, progress.state)
        self._noted[progress.model] = (tenth, progress.state)
        if is_new:
            self.note(str(progress))
        if self.quiet:
            return
        if is_in_notebook():
            self._update_bar(progress)
            self._display_bars()
        elif sys.stderr.isatty():
            self._update_bar(progress).start()
        elif is_new:
            write_stderr(f"{progress}\n")

    def close(self) -> None:
        """Stop the bars and leave them on the screen."""
        if self._bars is not None:
            self._bars.stop()
        self._bars, self._handle = None, None
        self._tasks.clear()

    def _update_bar(self, found: Progress) -> Bars:
        from rich import progress

        if self._bars is None:
            self._bars = progress.Progress(
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(bar_width=20),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[more]}", markup=False),
                progress.TimeElapsedColumn(),
                console=open_console(stderr=True),
                auto_refresh=not is_in_notebook(),
            )
        if found.model not in self._tasks:
            self._tasks[found.model] = self._bars.add_task(found.model, total=found.total, more="")
        more = [f"{found.failed:,} failed"] if found.failed else []
        more += [format_usd(found.spent)] if found.spent else []
        more += [found.speed] if found.speed else []
        self._bars.update(
            self._tasks[found.model],
            completed=found.answered,
            total=found.total,
            more=", ".join([*more, found.state]),
        )
        return self._bars

    def _display_bars(self) -> None:
        if self._handle is None:
            ipython: Any = import_module("IPython.display")
            self._handle = ipython.display(self._bars, display_id=True)
        else:
            self._handle.update(self._bars)
