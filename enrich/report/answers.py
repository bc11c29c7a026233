"""Answers: beside their rows, beside other answers, and over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.pricing.price import format_usd
from enrich.report.rows import print_rows, print_rows_json
from enrich.report.safe import OUTCOME_ADVICE, clean_text, format_json, write_note, write_stdout
from enrich.report.text import (
    format_cost,
    format_fields,
    format_value,
    open_console,
    print_diff,
    print_table,
    simplify_value,
)

if TYPE_CHECKING:
    from rich.console import Console

    from enrich.pipeline.compare import Comparison, Side
    from enrich.pipeline.preview import Preview
    from enrich.results import Failures, Rows


def render_provider_option(provider: str, usual: str) -> str:
    """Returns the option that names a provider; "" for the usual one, which needs none."""
    return "" if provider == usual else f" --provider {provider}"


def print_preview(preview: Preview, *, usual: str) -> None:
    """Print rows beside their answers, and what they have cost; `usual` is the default provider."""
    from rich import box
    from rich.table import Table

    if not preview.rows:
        hint = "its SELECT returns none, or --where is true for none"
        write_note(f"no row of {preview.model} matches, so nothing was asked\n\nhint: {hint}\n")
        return
    table = Table(box=box.SIMPLE, show_lines=True, expand=True, header_style="bold")
    table.add_column("row", overflow="fold", ratio=1)
    table.add_column("answer", overflow="fold", ratio=1)
    for row in preview.rows:
        shown = row.answer or {"outcome": row.outcome, "error": row.error, "answer": row.raw}
        table.add_row(format_fields(row.inputs), format_fields(shown))
    open_console(stderr=False).print(table)
    cost = format_usd(preview.cost)
    asked = f"{preview.asked:,} asked now of {preview.llm} ({preview.provider}), {cost}"
    waits = any(row.outcome == "pending" for row in preview.rows)
    known = f"nothing was asked{'' if waits else ': the answers were in the ledger'}"
    go = f"enrich plan {preview.model}{render_provider_option(preview.provider, usual)}"
    write_note(f"{asked if preview.asked else known}\n\nnext:\n  {go}\n")


def print_preview_json(preview: Preview) -> None:
    """Print one JSON object for each row."""
    from dataclasses import asdict

    for row in preview.rows:
        write_stdout(format_json(simplify_value(asdict(row))) + "\n")


def print_comparison(comparison: Comparison) -> None:
    """Print how far two sides agree, where they differ, and what each of them costs."""
    from rich.text import Text

    was, now = comparison.was, comparison.now
    console = open_console(stderr=False)
    print_diff(console, comparison.diff)
    cells = [
        [each.column, "" if each.share is None else f"{each.share:.1%}", f"{each.changed:,}"]
        for each in comparison.agreement
    ]
    print_table(["column", "agreement", "changed"], cells, right={1, 2})
    for name, only in ((was.name, comparison.only_was), (now.name, comparison.only_now)):
        if only:
            columns = clean_text(", ".join(only))
            console.print(Text(f"only {clean_text(name)}: {columns}"), style="dim")
    if comparison.differences:
        _print_differences(console, comparison)
    _print_sides(was, now)
    write_note(f"\n{comparison.both:,} of {comparison.rows:,} rows have both answers; ")
    asked = f"{comparison.asked:,} asked now, {format_cost(comparison.spent)}"
    write_note(f"{asked if comparison.asked else 'nothing was asked'}\n")
    if not comparison.diff and "published" in was.name and "each row alone" not in now.name:
        same = "the prompt has not changed since it was published: change it, or name another --llm"
        write_note(f"\nhint: {same}\n")


def _print_differences(console: Console, comparison: Comparison) -> None:
    """Print the cells that differ, with the key once for each row."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, expand=True, header_style="bold")
    for title in ("row", "column", comparison.was.name, comparison.now.name):
        table.add_column(clean_text(title), overflow="fold")
    last = ""
    for each in comparison.differences:
        key = "" if each.key == last else clean_text(each.key)
        sides = (Text("NULL" if s is None else clean_text(s)) for s in (each.was, each.now))
        table.add_row(Text(key), Text(each.column or "outcome"), *sides)
        last = each.key
    console.print(table)


def _print_sides(was: Side, now: Side) -> None:
    """Print the tokens and the cost of both sides."""
    cells = [
        [clean_text(s.name), f"{s.input_tokens:,}", f"{s.output_tokens:,}", format_cost(s.cost)]
        for s in (was, now)
    ]
    if was.cost and now.cost is not None:
        cells[1].append(f"{now.cost / was.cost - 1:+.0%}")
        cells[0].append("")
    columns = ["", "input tokens", "output tokens", "USD in a batch", "difference"][: len(cells[0])]
    print_table(columns, cells, right={1, 2, 3, 4})


def print_comparison_json(comparison: Comparison) -> None:
    """Print one JSON object."""
    from dataclasses import asdict

    write_stdout(format_json(asdict(comparison), indent=2) + "\n")


def print_failures(name: str, failures: Failures) -> None:
    """Print how many rows of each kind are not ok, and some of them beside their responses."""
    from rich import box
    from rich.table import Table

    if not len(failures):
        write_note(f"every row of {name} that came back is ok\n")
        return
    print_rows(failures.counts)
    table = Table(box=box.SIMPLE, show_lines=True, expand=True, header_style="bold")
    table.add_column("row", overflow="fold", ratio=1)
    table.add_column("what came back", overflow="fold", ratio=1)
    split = failures.rows.columns.index("outcome")  # the columns before it are the key
    for row in failures.rows:
        cells = dict(zip(failures.rows.columns, row, strict=True))
        key = dict(list(cells.items())[:split])
        response = {word: cells[word] for word in ("outcome", "error", "answer")}
        table.add_row(format_fields(key | {"input": cells["input"]}), format_fields(response))
    open_console(stderr=False).print(table)
    if len(failures) > len(failures.rows):
        write_note(f"{len(failures.rows):,} of {len(failures):,} are shown; -n shows more\n")
    outcomes = {
        dict(zip(failures.counts.columns, row, strict=True))["outcome"] for row in failures.counts
    }
    for outcome in OUTCOME_ADVICE.keys() & outcomes:
        write_note(f"\nhint: {OUTCOME_ADVICE[outcome]}\n")
    write_note(f"\nnext:\n  enrich failures {name} --retry\n")


def print_failures_json(_: str, failures: Failures) -> None:
    """Print one JSON object for each row."""
    print_rows_json(failures.rows)


def print_history(events: Rows) -> None:
    """Print the life of a row, one response after the other."""
    from rich.text import Text

    console = open_console(stderr=False)
    for row in events:
        cells = dict(zip(events.columns, row, strict=True))
        style = "green" if cells["outcome"] == "ok" else "yellow"
        at = cells["happened_at"].strftime("%Y-%m-%d %H:%M:%S")
        words = f"  run {cells['run']}  prompt {cells['prompt']}  {cells['llm'] or ''}"
        console.print(Text.assemble((at, "bold"), "  ", (cells["outcome"], style), words))
        if cells["batch"]:
            tokens = f"{cells['input_tokens'] or 0:,} + {cells['output_tokens'] or 0:,} tokens"
            which = f"{cells['batch']}, attempt {cells['attempt']}"
            # A response older than the run was in the ledger already, so the row cost nothing.
            is_reused = cells["received_at"] < cells["happened_at"]
            reused = f"answered {cells['received_at']:%Y-%m-%d %H:%M:%S}, found in the ledger"
            cost = reused if is_reused else format_cost(cells["cost"])
            console.print(Text(f"  {which}, {tokens}, {cost}", style="dim"))
        if cells["from_at"]:
            until = cells["until_at"]
            end = f"until {until:%Y-%m-%d %H:%M:%S}" if until else "and is the current answer"
            console.print(Text(f"  valid from {cells['from_at']:%Y-%m-%d %H:%M:%S} {end}"))
        for word in ("error", "answer"):
            if cells[word] is not None:
                console.print(Text(f"  {format_value(cells[word])}"))
