"""Answers: beside their rows, beside other answers, and beside what came before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.pricing.price import format_usd
from enrich.report.rows import rows, rows_json
from enrich.report.safe import ADVICE, as_json, clean, to_stderr, to_stdout
from enrich.report.text import amount, as_lines, as_text, coloured, plain, tabulate, terminal

if TYPE_CHECKING:
    from enrich.pipeline.compare import Comparison
    from enrich.pipeline.preview import Preview
    from enrich.results import Failures, Rows


def by(provider: str, usual: str) -> str:
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
        table.add_row(as_lines(row.inputs), as_lines(said))
    terminal(stderr=False).print(table)
    asked = f"{found.asked:,} asked now of {found.llm} ({found.provider}), {format_usd(found.cost)}"
    waits = any(row.outcome == "pending" for row in found.rows)
    known = f"nothing was asked{'' if waits else ': the answers were in the ledger'}"
    go = f"enrich plan {found.model}{by(found.provider, usual)}"
    to_stderr(f"{asked if found.asked else known}\n\nnext:\n  {go}\n")


def preview_json(found: Preview) -> None:
    """The same for machines: one JSON object a row."""
    from dataclasses import asdict

    for row in found.rows:
        to_stdout(as_json(plain(asdict(row))) + "\n")


def comparison(found: Comparison) -> None:
    """How far two sides agree, where they do not, and what each takes."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = terminal(stderr=False)
    coloured(console, found.diff)
    cells = [
        [each.column, "" if each.share is None else f"{each.share:.1%}", f"{each.changed:,}"]
        for each in found.agreement
    ]
    tabulate(["column", "agreement", "changed"], cells, right={1, 2})
    for name, only in ((found.was.name, found.only_was), (found.now.name, found.only_now)):
        if only:
            console.print(Text(f"only {clean(name)}: {clean(', '.join(only))}"), style="dim")
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
        [clean(s.name), f"{s.input_tokens:,}", f"{s.output_tokens:,}", amount(s.cost)]
        for s in (found.was, found.now)
    ]
    if found.was.cost and found.now.cost is not None:
        cells[1].append(f"{found.now.cost / found.was.cost - 1:+.0%}")
        cells[0].append("")
    columns = ["", "input tokens", "output tokens", "USD in a batch", "difference"][: len(cells[0])]
    tabulate(columns, cells, right={1, 2, 3, 4})
    to_stderr(f"\n{found.both:,} of {found.rows:,} rows have both answers; ")
    now = f"{found.asked:,} asked now, {amount(found.spent)}"
    to_stderr(f"{now if found.asked else 'nothing was asked'}\n")
    if not found.diff and "published" in found.was.name:
        same = "the prompt is as it was when it was published: change it, or name another --llm"
        to_stderr(f"\nhint: {same}\n")


def comparison_json(found: Comparison) -> None:
    """The same for machines: one JSON object."""
    from dataclasses import asdict

    to_stdout(as_json(asdict(found), indent=2) + "\n")


def failures(name: str, found: Failures) -> None:
    """Rows that are not ok: how many of each kind, and some of them beside what came back."""
    from rich import box
    from rich.table import Table

    if not len(found):
        to_stderr(f"every row of {name} that came back is ok\n")
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
        table.add_row(as_lines(key | {"input": cells["input"]}), as_lines(said))
    terminal(stderr=False).print(table)
    if len(found) > len(found.rows):
        to_stderr(f"{len(found.rows):,} of {len(found):,} are shown; -n shows more\n")
    outcomes = {
        dict(zip(found.counts.columns, row, strict=True))["outcome"] for row in found.counts
    }
    for outcome in ADVICE.keys() & outcomes:
        to_stderr(f"\nhint: {ADVICE[outcome]}\n")
    to_stderr(f"\nnext:\n  enrich failures {name} --retry\n")


def failures_json(_: str, found: Failures) -> None:
    """The same for machines: one JSON object a row."""
    rows_json(found.rows)


def history(found: Rows) -> None:
    """The life of a row, one answer after the other."""
    from rich.text import Text

    console = terminal(stderr=False)
    for row in found:
        cells = dict(zip(found.columns, row, strict=True))
        style = "green" if cells["outcome"] == "ok" else "yellow"
        at = cells["happened_at"].strftime("%Y-%m-%d %H:%M:%S")
        words = f"  run {cells['run']}  prompt {cells['prompt']}  {cells['llm'] or ''}"
        console.print(Text.assemble((at, "bold"), "  ", (cells["outcome"], style), words))
        if cells["batch"]:
            tokens = f"{cells['input_tokens'] or 0:,} + {cells['output_tokens'] or 0:,} tokens"
            which = f"{cells['batch']}, attempt {cells['attempt']}"
            known = cells["received_at"] < cells["happened_at"]
            paid = f"answered {cells['received_at']:%Y-%m-%d %H:%M:%S}, asked of the ledger"
            cost = paid if known else amount(cells["cost"])
            console.print(Text(f"  {which}, {tokens}, {cost}", style="dim"))
        if cells["from_at"]:
            until = cells["until_at"]
            end = f"until {until:%Y-%m-%d %H:%M:%S}" if until else "and is the present answer"
            console.print(Text(f"  held from {cells['from_at']:%Y-%m-%d %H:%M:%S} {end}"))
        for word in ("error", "answer"):
            if cells[word] is not None:
                console.print(Text(f"  {as_text(cells[word])}"))
