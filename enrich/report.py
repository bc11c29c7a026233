"""Reports: what people read. Tables go to stdout, sentences and progress to stderr."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from enrich.batches import Batch
    from enrich.errors import EnrichError
    from enrich.project import Rows, State
    from enrich.rehearsal import Rehearsal

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Text that cannot move a terminal's cursor or turn its writing round.

    >>> clean("a\\x1b[31mb")
    'a\\ufffd[31mb'
    """
    return CONTROL.sub("\ufffd", text)


def error(problem: EnrichError) -> None:
    """An error as people see it: one sentence, a blank line, a hint."""
    sys.stderr.write(f"error: {clean(problem.message)}\n")
    if problem.hint:
        sys.stderr.write(f"\nhint: {clean(problem.hint)}\n")


class Screen:
    """What enrich says while it works, on stderr: live bars on a terminal, else plain lines."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, tuple[int, str]] = {}

    def say(self, sentence: str) -> None:
        """One sentence; bars stay below it."""
        if self._progress is not None:
            self._progress.console.print(clean(sentence), markup=False, highlight=False)
        else:
            sys.stderr.write(f"{clean(sentence)}\n")

    def progress(self, model: str, batches: list[Batch]) -> None:
        """How many of a model's requests are answered."""
        total = sum(batch.requests for batch in batches)
        done = sum(batch.requests if batch.read_at else batch.answered for batch in batches)
        words = sorted({batch.status or "waiting" for batch in batches})
        state = ", ".join(words)
        if sys.stderr.isatty():
            self._bar(model, done, total, state)
        else:
            self._line(model, done, total, state)

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
                console=_console(stderr=True),
            )
            self._progress.start()
        if model not in self._tasks:
            self._tasks[model] = self._progress.add_task(model, total=total, state=state)
        self._progress.update(self._tasks[model], completed=done, total=total, state=state)

    def _line(self, model: str, done: int, total: int, state: str) -> None:
        """A line for each tenth, so that a log stays short."""
        tenth = 10 * done // max(total, 1)
        if self._told.get(model) != (tenth, state):
            self._told[model] = (tenth, state)
            sys.stderr.write(f"{model}: {done:,} of {total:,} answered ({state})\n")


def states(found: Sequence[State], *, unfold: bool = False) -> None:
    """Where the models stand, a line each; with `unfold` each open batch below its model."""
    columns = ["model", "rows", "ok", "not ok", "pending", "in progress", "llm", "published"]
    rows: list[list[str]] = []
    for state in found:
        known = bool(state.outcomes)
        pending = state.outcomes.get("pending", 0) if known else state.rows
        rows.append(
            [
                state.model,
                f"{state.rows:,}",
                f"{state.ok:,}",
                f"{state.failed:,}",
                f"{pending:,}",
                _under_way(state),
                state.llm,
                _ago(state.published_at),
            ]
        )
        for batch in state.batches if unfold else ():
            counts = f"{batch.answered:,} of {batch.requests:,} {batch.status or 'waiting'}"
            rows.append([f"  {batch.batch}", f"{batch.requests:,}", "", "", "", counts, "", ""])
    _table(columns, rows, right={1, 2, 3, 4})


def closing(found: Sequence[State]) -> None:
    """After the table: what did not come out, and what to type next."""
    for state in found:
        if state.failed:
            words = ", ".join(
                f"{many:,} {word}" for word, many in state.outcomes.items() if word != "ok"
            )
            sys.stderr.write(
                f"\n{state.model}: {words}. See why:\n"
                f'  enrich sql "SELECT outcome, error, count(*) FROM enrich.{state.model} '
                f"WHERE outcome <> 'ok' GROUP BY ALL\"\n"
            )
        if state.ok:
            sys.stderr.write(f'\nnext:\n  enrich sql "SELECT * FROM {state.model} LIMIT 10"\n')


def states_json(found: Sequence[State]) -> None:
    """The same for machines: one JSON array."""
    listed = [
        {
            "model": state.model,
            "provider": state.provider,
            "llm": state.llm,
            "run": state.run,
            "rows": state.rows,
            "requests": state.requests,
            "outcomes": dict(state.outcomes),
            "stale": state.stale,
            "failure": state.failure,
            "started_at": state.started_at.isoformat(),
            "published_at": state.published_at.isoformat() if state.published_at else None,
            "batches": [
                {
                    "batch": batch.batch,
                    "remote": batch.remote,
                    "status": batch.status,
                    "requests": batch.requests,
                    "completed": batch.completed,
                    "failed": batch.failed,
                }
                for batch in state.batches
            ],
        }
        for state in found
    ]
    sys.stdout.write(json.dumps(listed, indent=2) + "\n")


def bill(server: Rehearsal) -> None:
    """What a rehearsal would have cost."""
    counts = _bill(server)
    _table(
        [name.replace("_", " ") for name in counts],
        [[f"{many:,}" for many in counts.values()]],
        right=set(range(len(counts))),
    )


def bill_json(server: Rehearsal) -> None:
    """The same for machines: one JSON object."""
    sys.stdout.write(json.dumps(_bill(server)) + "\n")


def _bill(server: Rehearsal) -> dict[str, int]:
    found = server.bill
    return {
        "batches": len(server.batches),
        "requests_billed": found.total,
        "billed_again": found.total - len(found.requests),
        "input_tokens": found.usage.input,
        "output_tokens": found.usage.output,
    }


def rows(found: Rows) -> None:
    """The answer to a query as a table."""
    _table(
        list(found.columns),
        [[_cell(value) for value in row] for row in found],
        right={
            number
            for number in range(len(found.columns))
            if found.rows and all(isinstance(row[number], (int, float)) for row in found)
        },
    )


def rows_json(found: Rows) -> None:
    """The answer to a query: one JSON object a line."""
    names: list[str] = []
    for column in found.columns:
        twice = sum(name == column or name.startswith(f"{column}_") for name in names)
        names.append(f"{column}_{twice}" if column in names else column)
    for row in found:
        named = dict(zip(names, map(_plain, row), strict=True))
        sys.stdout.write(json.dumps(named, ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:  # noqa: ANN401  # any SQL value, as JSON can say it
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _under_way(state: State) -> str:
    if not state.batches:
        return "failed" if state.failure else ""
    done = sum(batch.answered for batch in state.batches)
    total = sum(batch.requests for batch in state.batches)
    many = f" in {len(state.batches)} batches" if len(state.batches) > 1 else ""
    words = ", ".join(sorted({batch.status or "waiting" for batch in state.batches}))
    since = _age(min(batch.submitted_at or state.started_at for batch in state.batches))
    return f"{done:,} of {total:,}{many} ({words}, {since})"


def _ago(when: datetime | None) -> str:
    if when is None:
        return "not yet"
    age = _age(when)
    return "just now" if age.endswith(" s") else f"{age} ago"


def _age(when: datetime) -> str:
    """How long ago a time (UTC) is, in its largest unit."""
    seconds = max(0, int((datetime.now(UTC).replace(tzinfo=None) - when).total_seconds()))
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {word}"
    return f"{seconds} s"


def _cell(value: Any) -> str:  # noqa: ANN401  # any SQL value
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"[{', '.join(_cell(item) for item in value)}]"
    if isinstance(value, (datetime, date)):
        return str(value)
    return clean(str(value)).replace("\n", " ")


def _table(columns: list[str], cells: Iterable[list[str]], *, right: set[int]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(
            clean(column), justify="right" if number in right else "left", overflow="fold"
        )
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console = _console(stderr=False)
    console.print(table)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else 160
    return Console(stderr=stderr, width=width, highlight=False)
