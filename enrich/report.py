"""Reports: what people read. Tables go to stdout, sentences and progress to stderr."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from enrich.price import usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.text import Text

    from enrich.audit import Result
    from enrich.batches import Batch
    from enrich.compare import Comparison
    from enrich.debug import Finding
    from enrich.errors import EnrichError
    from enrich.graph import Graph
    from enrich.model import Model
    from enrich.plan import Plan
    from enrich.preview import Preview
    from enrich.project import Evaluation, Failures, Rows
    from enrich.rehearsal import Rehearsal
    from enrich.state import State

LONG = 500
"""Letters of a cell that a preview shows."""
DIFF = {"+": "green", "-": "red", "@": "cyan"}
HINTS = {
    "kept": "as on_change says: an earlier version's answers stay",
    "given up": "failed before; `enrich run --retry` asks them again",
    "unaskable": "`enrich run` says why, row by row, in the table's provenance",
}
"""What to know of rows that are not asked."""
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
        words = sorted({_word(batch) for batch in batches})
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
        if not state.run:
            rows.append([state.model, "", "", "", "", _under_way(state), "", "not yet"])
            continue
        rows.append(
            [
                state.model,
                f"{state.rows:,}",
                f"{state.ok:,}",
                f"{state.failed:,}",
                f"{pending:,}",
                _under_way(state),
                state.llm,
                "held back" if state.held_back else _ago(state.published_at),
            ]
        )
        for batch in state.batches if unfold else ():
            counts = f"{batch.answered:,} of {batch.requests:,} {_word(batch)}"
            rows.append([f"  {batch.batch}", f"{batch.requests:,}", "", "", "", counts, "", ""])
    _table(columns, rows, right={1, 2, 3, 4})


def closing(found: Sequence[State], *, usual: str) -> None:
    """After the table: what did not come out, and what to type next; `usual` is the provider that
    a command takes by itself."""
    for state in found:
        if state.failed:
            words = ", ".join(
                f"{many:,} {word}" for word, many in state.outcomes.items() if word != "ok"
            )
            sys.stderr.write(
                f"\n{state.model}: {words}. See why:\n  enrich failures {state.model}\n"
            )
        if state.held_back:
            sys.stderr.write(
                f"\n{state.model} is held back by {', '.join(state.held_back)}: its table is as it "
                "was. See the rows, then mend prompt or tests:\n"
                f"  enrich test {state.model} --show\n"
            )
        if state.held:
            left = sum(batch.requests for batch in state.held)
            costs = usd(sum(batch.reserved or 0 for batch in state.held))
            sys.stderr.write(
                f"\n{state.model}: {state.held[0].held} pays for no more: {left:,} requests are "
                f"left, for about {costs}. "
            )
            if state.held == state.batches:
                again = f"enrich run {state.model}{_by(state.provider, usual)}"
                sys.stderr.write(f"Raise it in `budget:` or by --max-cost, then:\n  {again}\n")
            else:
                sys.stderr.write("What is under way may leave enough for some of them.\n")
        if state.ok and not state.held_back:
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
            "held_back": list(state.held_back),
            "after": list(state.after),
            "started_at": state.started_at.isoformat() if state.started_at else None,
            "published_at": state.published_at.isoformat() if state.published_at else None,
            "batches": [
                {
                    "batch": batch.batch,
                    "remote": batch.remote,
                    "status": batch.status,
                    "requests": batch.requests,
                    "completed": batch.completed,
                    "failed": batch.failed,
                    "held": batch.held,
                    "reserved": batch.reserved,
                }
                for batch in state.batches
            ],
        }
        for state in found
    ]
    sys.stdout.write(json.dumps(listed, indent=2) + "\n")


def models(found: Sequence[Model], whole: Graph) -> None:
    """The models, a line each, in the order they run."""
    columns = ["model", "kind", "reads", "tags", "file", "description"]
    cells = [
        [
            model.name,
            model.kind,
            ", ".join((*sorted(whole.parents[model.name]), *whole.tables(model.name))),
            ", ".join(model.tags),
            model.source,
            clean(model.description),
        ]
        for model in found
    ]
    _table(columns, cells, right=set())


def models_json(found: Sequence[Model], whole: Graph) -> None:
    """The same for machines: one JSON array."""
    listed = [
        {
            "model": model.name,
            "kind": model.kind,
            "models": sorted(whole.parents[model.name]),
            "tables": list(whole.tables(model.name)),
            "tags": list(model.tags),
            "file": model.source,
            "description": model.description,
        }
        for model in found
    ]
    sys.stdout.write(json.dumps(listed, indent=2, ensure_ascii=False) + "\n")


def graph(found: Sequence[Model], whole: Graph) -> None:
    """Who reads whom, as trees from the tables down; what stands twice is unfolded once."""
    from rich.text import Text
    from rich.tree import Tree

    names = {model.name: model for model in found}
    children: dict[str, list[str]] = {}
    for model in found:
        parents = [name for name in whole.parents[model.name] if name in names]
        for parent in (*sorted(parents), *whole.tables(model.name)):
            children.setdefault(parent, []).append(model.name)
    below = {name for listed in children.values() for name in listed}
    roots = [*dict.fromkeys(name for name in children if name not in names)]
    roots += [name for name in names if name not in below]
    shown: set[str] = set()

    def label(name: str) -> Text:
        kind = names[name].kind if name in names else whole.leaves.get(name, "table")
        return Text.assemble((name, "bold" if name in names else ""), (f"  {kind}", "dim"))

    def grow(tree: Tree, name: str) -> None:
        for child in children.get(name, []):
            again = child in shown and bool(children.get(child))
            shown.add(child)
            branch = tree.add(label(child) + Text("  (above)", "dim") if again else label(child))
            if not again:
                grow(branch, child)

    console = _console(stderr=False)
    for root in roots:
        tree = Tree(label(root), guide_style="dim")
        grow(tree, root)
        console.print(tree)


SHAPES = {"enrichment": "[[{}]]", "view": "({})", "table": "[{}]"}
"""How Mermaid draws what a model becomes; seeds, sources and other tables are cylinders."""


def mermaid(found: Sequence[Model], whole: Graph) -> None:
    """The same as a Mermaid flowchart."""
    names = {model.name for model in found}
    lines = ["flowchart LR"]
    tables = dict.fromkeys(table for model in found for table in whole.tables(model.name))
    ids = {table: f"t{number}" for number, table in enumerate(tables)}
    lines += [f'    {ids[table]}[("{_quoted(table)}")]' for table in tables]
    for model in found:
        shape = SHAPES[model.kind].format(f'"{model.name}"')
        lines.append(f"    {_node(model.name)}{shape}")
    for model in found:
        parents = sorted(whole.parents[model.name] & names)
        starts = [*map(_node, parents), *(ids[table] for table in whole.tables(model.name))]
        lines += [f"    {start} --> {_node(model.name)}" for start in starts]
    sys.stdout.write("\n".join(lines) + "\n")


def _node(name: str) -> str:
    """A model's id: a word of Mermaid's own, such as `end`, cannot be one."""
    return f"m_{name}"


def _quoted(text: str) -> str:
    """Text in Mermaid's quotes."""
    return clean(text).replace('"', "#quot;")


def tests(found: Sequence[Result], shown: Mapping[str, Rows]) -> None:
    """What tests found, a line each; below, the rows that are to be shown."""
    if not found:
        sys.stderr.write("there are no tests\n\nhint: `tests:` in a prompt, or tests/NAME.sql\n")
        return
    columns = ["model", "test", "result", "rows", "where they are"]
    cells = [
        [
            result.model,
            result.test,
            result.verdict,
            f"{result.failures:,}",
            result.table or clean(result.error),
        ]
        for result in found
    ]
    _table(columns, cells, right={3})
    for table, listed in shown.items():
        sys.stdout.write(f"\n{table}\n")
        rows(listed)
    left = [result.table for result in found if result.table and result.table not in shown]
    if left:
        sys.stderr.write(f'\nnext:\n  enrich sql "FROM {left[0]}"\n')


def tests_json(found: Sequence[Result]) -> None:
    """The same for machines: one JSON array."""
    from dataclasses import asdict

    listed = [asdict(result) | {"result": result.verdict} for result in found]
    sys.stdout.write(json.dumps(listed, indent=2, ensure_ascii=False) + "\n")


def plans(found: Sequence[Plan]) -> None:
    """What a run would do, a block for each model, and in all."""
    console = _console(stderr=False)
    for number, plan in enumerate(found):
        if number:
            console.print()
        _plan(console, plan)
    asking = [plan for plan in found if plan.requests]
    if len(asking) > 1:
        requests = sum(plan.requests for plan in asking)
        costs = [plan.estimate.usd for plan in asking if plan.estimate]
        known = [cost for cost in costs if cost is not None]
        more = "" if len(known) == len(costs) else " and what has an unknown price"
        console.print(f"\nin all: {requests:,} requests, about {usd(sum(known))}{more}")


def _plan(console: Console, plan: Plan) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    plain = plan.kind != "enrichment"
    whose = f"  {plan.llm} ({plan.provider})" if plan.llm else f"  a {plan.kind}" if plain else ""
    console.print(Text.assemble((plan.model, "bold"), whose))
    if plan.after:
        why = "made" if plain else "what it asks depends on answers that are not in yet:"
        console.print(f"  {why} after {', '.join(plan.after)}")
    if not plan.llm:
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for side in ("left", "right"):
        table.add_column(justify=side, no_wrap=True)
    table.add_column(overflow="fold")
    for cells in _plan_lines(plan):
        table.add_row(*map(clean, cells))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    if plan.diff:
        console.print(f"\n  {', '.join(plan.changed)} changed since the last run:\n")
        _diff(console, plan.diff)


def _plan_lines(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """What is counted, how many, and what there is to say about it."""
    yield "rows", f"{plan.rows:,}", ""
    for state, many in plan.states.items():
        yield f"  {state}", f"{many:,}", HINTS.get(state, "")
    why = ", ".join(f"{many:,} {reason}" for reason, many in plan.reasons.items())
    yield "  to ask", f"{plan.to_ask:,}", why
    if plan.gone:
        yield "gone", f"{plan.gone:,}", "no longer in the SELECT; their answers stay in the ledger"
    if not plan.requests or plan.estimate is None:
        return
    shared = f"{plan.folded:,} rows ask what another row asks" if plan.folded else ""
    yield "requests", f"{plan.requests:,}", shared
    yield "batches", f"{plan.batches:,}", f"{_size(plan.bytes)} in all"
    learnt = "from the bytes, by a rule of thumb: a preview makes it sound"
    if plan.estimate.answers:
        many = plan.estimate.answers
        learnt = f"as seen in {many:,} {'answer' if many == 1 else 'answers'}"
    for word, tokens, note in (
        ("input tokens", plan.estimate.input, learnt),
        ("output tokens", plan.estimate.output, ""),
    ):
        between = f"{tokens.low:,.0f} to {tokens.high:,.0f}"
        yield word, f"{tokens.likely:,.0f}", f"{between}, {note}" if note else between
    source = plan.price.source if plan.price else f"set it under `prices:` of '{plan.provider}'"
    cost = plan.estimate.cost
    if cost is None:
        yield "cost", "unknown", source
    elif cost.high:
        yield "cost", usd(cost.likely), f"{usd(cost.low)} to {usd(cost.high)}, {source}"
    else:
        yield "cost", usd(0), source
    if plan.paid < plan.requests:
        yield "within budget", f"{plan.paid:,}", f"requests: {plan.budget} pays for no more"


def plans_json(found: Sequence[Plan]) -> None:
    """The same for machines: one JSON array."""
    from dataclasses import asdict

    listed = [asdict(plan) | {"to_ask": plan.to_ask, "folded": plan.folded} for plan in found]
    sys.stdout.write(json.dumps(listed, indent=2) + "\n")


def _by(provider: str, usual: str) -> str:
    """The option that names a provider, where it is not the usual one."""
    return "" if provider == usual else f" --provider {provider}"


def preview(found: Preview, *, usual: str) -> None:
    """Rows beside their answers, and what that took; for `usual` see `closing`."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_lines=True, expand=True, header_style="bold")
    table.add_column("row", overflow="fold", ratio=1)
    table.add_column("answer", overflow="fold", ratio=1)
    for row in found.rows:
        said = row.answer or {"outcome": row.outcome, "error": row.error, "answer": row.raw}
        table.add_row(_cells(row.inputs), _cells(said))
    _console(stderr=False).print(table)
    asked = f"{found.asked:,} asked now of {found.llm} ({found.provider}), {usd(found.cost)}"
    waits = any(row.outcome == "pending" for row in found.rows)
    known = f"nothing was asked{'' if waits else ': the answers were in the ledger'}"
    go = f"enrich plan {found.model}{_by(found.provider, usual)}"
    sys.stderr.write(f"{asked if found.asked else known}\n\nnext:\n  {go}\n")


def comparison(found: Comparison) -> None:
    """How far two sides agree, where they do not, and what each takes."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = _console(stderr=False)
    _diff(console, found.diff)
    cells = [
        [each.column, "" if each.share is None else f"{each.share:.1%}", f"{each.changed:,}"]
        for each in found.agreement
    ]
    _table(["column", "agreement", "changed"], cells, right={1, 2})
    if found.differences:
        table = Table(box=box.SIMPLE, expand=True, header_style="bold")
        for title in ("row", "column", found.was.name, found.now.name):
            table.add_column(clean(title), overflow="fold")
        last = ""
        for each in found.differences:
            key = "" if each.key == last else clean(each.key)
            sides = (Text("NULL" if s is None else clean(s)) for s in (each.was, each.now))
            table.add_row(Text(key), Text(each.column or "outcome"), *sides)
            last = each.key
        console.print(table)
    cells = [
        [clean(s.name), f"{s.input_tokens:,}", f"{s.output_tokens:,}", _usd(s.cost)]
        for s in (found.was, found.now)
    ]
    if found.was.cost and found.now.cost is not None:
        cells[1].append(f"{found.now.cost / found.was.cost - 1:+.0%}")
        cells[0].append("")
    columns = ["", "input tokens", "output tokens", "USD in a batch", "difference"][: len(cells[0])]
    _table(columns, cells, right={1, 2, 3, 4})
    sys.stderr.write(f"\n{found.both:,} of {found.rows:,} rows have both answers; ")
    now = f"{found.asked:,} asked now, {_usd(found.spent)}"
    sys.stderr.write(f"{now if found.asked else 'nothing was asked'}\n")
    if not found.diff and "published" in found.was.name:
        same = "the prompt is as it was when it was published: change it, or name another --llm"
        sys.stderr.write(f"\nhint: {same}\n")


def comparison_json(found: Comparison) -> None:
    """The same for machines: one JSON object."""
    from dataclasses import asdict

    sys.stdout.write(json.dumps(asdict(found), ensure_ascii=False, indent=2) + "\n")


def findings(found: Sequence[Finding]) -> None:
    """What was looked at, a line each, and what to do about it."""
    from rich.text import Text

    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    console = _console(stderr=False)
    wide = max(len(each.what) for each in found)
    for each in found:
        verdict = (f"{each.verdict:<5}", colours[each.verdict])
        console.print(Text.assemble(verdict, f"{each.what:<{wide}}  {clean(each.detail)}"))
        if each.verdict != "ok" and each.hint:
            console.print(Text(f"{'':{wide + 7}}hint: {clean(each.hint)}", style="dim"))


def findings_json(found: Sequence[Finding]) -> None:
    """The same for machines: one JSON array."""
    from dataclasses import asdict

    sys.stdout.write(json.dumps([asdict(each) for each in found], ensure_ascii=False) + "\n")


def evaluation(found: Evaluation) -> None:
    """How each version did in all, and the latest one label by label."""
    _figures(found.figures)
    if found.labels.rows:
        sys.stdout.write(f"\nprompt {found.prompt}, label by label\n")
        _figures(found.labels)


def evaluation_json(found: Evaluation) -> None:
    """The same for machines: one JSON object."""
    figures, labels = (
        [dict(zip(part.columns, map(_plain, row), strict=True)) for row in part]
        for part in (found.figures, found.labels)
    )
    listed = {"figures": figures, "prompt": found.prompt, "labels": labels}
    sys.stdout.write(json.dumps(listed, ensure_ascii=False, indent=2) + "\n")


def _figures(found: Rows) -> None:
    """Rows of which nobody needs the columns that are NULL throughout; shares with three places."""
    shown = [
        number
        for number in range(len(found.columns))
        if any(row[number] is not None for row in found)
    ]
    _table(
        [found.columns[number] for number in shown],
        [[_figure(row[number]) for number in shown] for row in found],
        right={
            place
            for place, number in enumerate(shown)
            if not any(isinstance(row[number], str) for row in found)
        },
    )


def _figure(value: Any) -> str:  # noqa: ANN401  # any SQL value
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else clean(str(value))


def _diff(console: Console, diff: str) -> None:
    """A unified diff in its colours."""
    from rich.text import Text

    for line in diff.split("\n") if diff else ():
        console.print(Text(f"  {clean(line)}", style=DIFF.get(line[:1], "")), soft_wrap=True)
    if diff:
        console.print()


def failures(name: str, found: Failures) -> None:
    """Rows that are not ok: how many of each kind, and some of them beside what came back."""
    from rich import box
    from rich.table import Table

    if not len(found):
        sys.stderr.write(f"every row of {name} that came back is ok\n")
        return
    rows(found.counts)
    table = Table(box=box.SIMPLE, show_lines=True, expand=True, header_style="bold")
    table.add_column("row", overflow="fold", ratio=1)
    table.add_column("what came back", overflow="fold", ratio=1)
    split = found.rows.columns.index("outcome")
    for row in found.rows:
        cells = dict(zip(found.rows.columns, row, strict=True))
        key = dict(list(cells.items())[:split])
        said = {word: cells[word] for word in ("outcome", "error", "answer")}
        table.add_row(_cells(key | {"input": cells["input"]}), _cells(said))
    _console(stderr=False).print(table)
    if len(found) > len(found.rows):
        sys.stderr.write(f"{len(found.rows):,} of {len(found):,} are shown; -n shows more\n")
    sys.stderr.write(f"\nnext:\n  enrich failures {name} --retry\n")


def failures_json(_: str, found: Failures) -> None:
    """The same for machines: one JSON object a row."""
    rows_json(found.rows)


def history(found: Rows) -> None:
    """The life of a row, one answer after the other."""
    from rich.text import Text

    console = _console(stderr=False)
    for row in found:
        cells = dict(zip(found.columns, row, strict=True))
        style = "green" if cells["outcome"] == "ok" else "yellow"
        at = cells["happened_at"].strftime("%Y-%m-%d %H:%M:%S")
        words = f"  run {cells['run']}  prompt {cells['prompt']}  {cells['llm'] or ''}"
        console.print(Text.assemble((at, "bold"), "  ", (cells["outcome"], style), words))
        if cells["batch"]:
            tokens = f"{cells['input_tokens'] or 0:,} + {cells['output_tokens'] or 0:,} tokens"
            what = f"{cells['batch']}, attempt {cells['attempt']}, {tokens}, {_usd(cells['cost'])}"
            console.print(Text(f"  {what}", style="dim"))
        if cells["from_at"]:
            until = cells["until_at"]
            end = f"until {until:%Y-%m-%d %H:%M:%S}" if until else "and is the present answer"
            console.print(Text(f"  held from {cells['from_at']:%Y-%m-%d %H:%M:%S} {end}"))
        for word in ("error", "answer"):
            if cells[word] is not None:
                console.print(Text(f"  {_cell(cells[word])}"))


def _cells(row: Mapping[str, Any]) -> Text:
    """Named values, a line each; what is long is cut."""
    from rich.text import Text

    lines = []
    for name, value in row.items():
        if value is not None or name not in ("error", "answer"):
            shown = f"{len(value):,} bytes" if isinstance(value, bytes) else _cell(value)
            cut = shown if len(shown) <= LONG else f"{shown[:LONG]} ..."
            lines.append(Text.assemble((f"{clean(name)}: ", "dim"), cut))
    return Text("\n").join(lines)


def preview_json(found: Preview) -> None:
    """The same for machines: one JSON object a row."""
    from dataclasses import asdict

    for row in found.rows:
        sys.stdout.write(json.dumps(_plain(asdict(row)), ensure_ascii=False) + "\n")


def _size(many: int) -> str:
    """Bytes as people read them, in the units of providers' limits.

    >>> _size(999), _size(1_500_000)
    ('999 bytes', '1.5 MB')
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if many >= size:
            return f"{many / size:,.1f} {unit}"
    return f"{many:,} bytes"


def costs(found: Rows) -> None:
    """What was spent, with a line for all of it."""
    named = [dict(zip(found.columns, row, strict=True)) for row in found]
    groups = found.columns[: found.columns.index("requests")]
    counts = ("requests", "input_tokens", "cached_tokens", "output_tokens")
    under_way = any(row["reserved"] for row in named)
    columns = [*groups, *(word.replace("_", " ") for word in counts), "USD"]
    cells = [
        [*(_cell(row[word]) for word in groups), *(f"{row[word] or 0:,}" for word in counts)]
        + [_usd(row["cost"])]
        + ([usd(row["reserved"]) if row["reserved"] else ""] if under_way else [])
        for row in named
    ]
    if len(named) > 1:
        sums = [sum(row[word] or 0 for row in named) for word in counts]
        whole = [sum(row[word] or 0 for row in named) for word in ("cost", "reserved")]
        last = ["in all", *("" for _ in groups[1:]), *(f"{many:,}" for many in sums)]
        cells.append([*last, *map(_usd, whole[: 1 + under_way])])
    first = len(groups)
    columns += ["under way, about"] if under_way else []
    _table(columns, cells, right=set(range(first, len(columns))))
    unpriced = sum(row["unpriced"] for row in named)
    if unpriced:
        batches = "1 batch has" if unpriced == 1 else f"{unpriced:,} batches have"
        sys.stderr.write(
            f"\n{batches} no known price: the tokens are counted, the cost is not\n"
            "\nhint: set it under `prices:` of the provider in project.yml, for batches to come\n"
        )


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else usd(amount)


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


def _word(batch: Batch) -> str:
    """How a batch stands, in one word: its status if it has one."""
    return batch.status or ("held" if batch.held else "waiting")


def _under_way(state: State) -> str:
    if state.after:
        return f"waits for {', '.join(state.after)}"
    if not state.batches:
        return "failed" if state.failure else ""
    done = sum(batch.answered for batch in state.batches)
    total = sum(batch.requests for batch in state.batches)
    many = f" in {len(state.batches)} batches" if len(state.batches) > 1 else ""
    words = ", ".join(sorted({_word(batch) for batch in state.batches}))
    times = [batch.submitted_at or state.started_at for batch in state.batches]
    since = _age(min(time for time in times if time))
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
            clean(column),
            justify="right" if number in right else "left",
            overflow="fold",
            no_wrap=number in right,
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
