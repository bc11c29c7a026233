"""Plans: what a run would do, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.pricing.price import format_usd
from enrich.report.safe import as_json, clean, to_stdout
from enrich.report.text import coloured, size, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from enrich.pipeline.plan import Plan

HINTS = {
    "kept": "as on_change says: an earlier version's answers stay",
    "given up": "failed before; `enrich run --retry` asks them again",
    "unsendable": "`enrich run` says why, row by row, in the table's provenance",
}
"""What to know of rows that are not asked."""


def plans(found: Sequence[Plan]) -> None:
    """What a run would do, a block for each model, and in all."""
    console = terminal(stderr=False)
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
        console.print(f"\nin all: {requests:,} requests, about {format_usd(sum(known))}{more}")


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
    for note in plan.notes:
        console.print(f"  note: {clean(note)}", markup=False, highlight=False)
    if plan.diff:
        console.print(f"\n  {', '.join(plan.changed)} changed since the last run:\n")
        coloured(console, plan.diff)


def _plan_lines(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """What is counted, how many, and what there is to say about it."""
    yield "rows", f"{plan.rows:,}", ""
    for state, many in plan.states.items():
        yield f"  {state}", f"{many:,}", HINTS.get(state, "")
    why = ", ".join(f"{many:,} {reason}" for reason, many in plan.reasons.items())
    yield "  to ask", f"{plan.to_ask:,}", why
    if plan.gone:
        yield "gone", f"{plan.gone:,}", "no longer in the SELECT; their answers stay in the ledger"
    if plan.held_back:
        yield "last run", "", f"it {plan.held_back}; `enrich run {plan.model}` tests it again"
    if not plan.requests or plan.estimate is None:
        return
    shared = f"{plan.folded:,} rows ask what another row asks" if plan.folded else ""
    yield "requests", f"{plan.requests:,}", shared
    yield "batches", f"{plan.batches:,}", f"{size(plan.bytes)} in all"
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
        between = f"{format_usd(cost.low)} to {format_usd(cost.high)}"
        yield "cost", format_usd(cost.likely), f"{between}, {source}"
    else:
        yield "cost", format_usd(0), source
    if plan.probes:
        yield "first", f"{plan.first:,}", "requests go ahead, to see what they cost"
    if plan.paid < plan.requests:
        yield "within budget", f"{plan.paid:,}", f"requests: {plan.budget} pays for no more"


def plans_json(found: Sequence[Plan]) -> None:
    """The same for machines: one JSON array."""
    from dataclasses import asdict

    listed = [asdict(plan) | {"to_ask": plan.to_ask, "folded": plan.folded} for plan in found]
    to_stdout(as_json(listed, indent=2) + "\n")
