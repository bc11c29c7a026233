"""Plans: what a run would do, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.db.disk import format_bytes
from enrich.errors import count_nouns
from enrich.pricing.price import format_usd
from enrich.report.answers import render_provider_option
from enrich.report.safe import clean_text, format_json, write_stdout
from enrich.report.text import open_console, print_diff

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from enrich.pipeline.plan import Plan
    from enrich.pricing.capacity import Projection
    from enrich.pricing.estimate import Estimate

STATE_HINTS = {
    "triaged": "as triage says: their nearest labels are clear",
    "copied": "as dedupe says: `enrich compare --alone` shows how often that is right",
    "kept": "as on_change says: they keep the answers of an earlier version",
    "given up": "failed before; `enrich run --retry` asks about them again",
    "unsendable": "a note below says why; `enrich failures` lists them after a run",
}
"""Why rows in a state are not asked about, and what to do."""


def print_plans(plans: Sequence[Plan], *, usual: str) -> None:
    """Print what a run would do, a block for each model, and the total; `usual` is the default
    provider."""
    console = open_console(stderr=False)
    for number, plan in enumerate(plans):
        if number:
            console.print()
        _print_plan(console, plan, usual)
    asking = [plan for plan in plans if plan.requests]
    if len(asking) > 1:
        later = [plan.model for plan in plans if plan.after and plan.kind == "enrichment"]
        without = f", without {', '.join(later)}" if later else ""
        console.print(f"\nin total: {_sum_plans(asking)}{without}")


def _sum_plans(plans: Sequence[Plan]) -> str:
    """Returns what all models would send. What a budget does not pay for is not counted: several
    models may ask the same of it."""
    requests = sum(plan.requests for plan in plans)
    paid = sum(plan.paid for plan in plans)
    if paid < requests:
        spend = format_usd(sum(plan.spend for plan in plans))
        return f"{count_nouns(paid, 'request')} within budget, about {spend}"
    costs = [plan.estimate.usd for plan in plans if plan.estimate]
    known = [cost for cost in costs if cost is not None]
    more = "" if len(known) == len(costs) else " plus what has no known price"
    return f"{count_nouns(requests, 'request')}, about {format_usd(sum(known))}{more}"


def _print_plan(console: Console, plan: Plan, usual: str) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    plain = plan.kind != "enrichment"
    whose = f"  {plan.llm} ({plan.provider})" if plan.llm else f"  a {plan.kind}" if plain else ""
    console.print(Text.assemble((plan.model, "bold"), whose))
    if plan.after:
        why = "created" if plain else "what it asks depends on answers that have not arrived yet:"
        console.print(f"  {why} after {', '.join(plan.after)}")
    if not plan.llm:
        _print_notes(console, plan)
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for side in ("left", "right"):
        table.add_column(justify=side, no_wrap=True)
    table.add_column(overflow="fold")
    for cells in _list_figures(plan, usual):
        table.add_row(*map(clean_text, cells))
    for cells in _list_projection(plan.capacity, plan.provider) if plan.capacity else ():
        table.add_row(*map(clean_text, cells))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    _print_notes(console, plan)
    if plan.diff:
        console.print(f"\n  {', '.join(plan.changed)} changed since the last run:\n")
        print_diff(console, plan.diff)


def _print_notes(console: Console, plan: Plan) -> None:
    for note in plan.notes:
        console.print(f"  note: {clean_text(note)}", markup=False, highlight=False)


def _list_figures(plan: Plan, usual: str) -> Iterator[tuple[str, str, str]]:
    """Yields a name, a figure and a note for each line of a plan."""
    yield "rows", f"{plan.rows:,}", ""
    for state, many in plan.states.items():
        hint = f"{', '.join(plan.shared_with)} asks the same" if state == "shared" else ""
        yield f"  {state}", f"{many:,}", hint or STATE_HINTS.get(state, "")
    why = ", ".join(f"{many:,} {reason}" for reason, many in plan.reasons.items())
    yield "  to ask", f"{plan.to_ask:,}", why
    if plan.gone:
        yield "gone", f"{plan.gone:,}", "no longer in the SELECT; their answers stay in the ledger"
    if plan.held_back:
        again = f"enrich run {plan.model}{render_provider_option(plan.provider, usual)}"
        yield "last run", "", f"it {plan.held_back}; `{again}` tests it again"
    if plan.requests and plan.estimate is not None:
        yield from _list_tokens(plan, plan.estimate)
        yield from _list_cost(plan, plan.estimate)


def _list_tokens(plan: Plan, estimate: Estimate) -> Iterator[tuple[str, str, str]]:
    """Yields the lines about what is sent, and about what that saves."""
    asks = "asks" if plan.folded == 1 else "ask"
    shared = (
        f"{count_nouns(plan.folded, 'row')} {asks} the same as another row" if plan.folded else ""
    )
    yield "requests", f"{plan.requests:,}", shared
    yield "batches", f"{plan.batches:,}", f"{format_bytes(plan.bytes)} in total"
    basis = "a rule of thumb from the bytes: a preview makes it reliable"
    if many := estimate.answers:
        basis = f"as seen in {count_nouns(many, 'answer')}"
    thought = estimate.reasoning
    for word, tokens, note in (
        ("input tokens", estimate.input, basis),
        ("output tokens", estimate.output, f"{thought:,.0f} to think" if thought else ""),
    ):
        if not tokens.high:  # an embedding has no output
            continue
        between = f"{tokens.low:,.0f} to {tokens.high:,.0f}"
        yield word, f"{tokens.likely:,.0f}", f"{between}, {note}" if note else between
    if plan.copied:
        yield "saved", "", f"by copied answers: {_describe_tokens(plan.copied)}"
    if plan.alone:
        each = _describe_tokens(plan.alone)
        yield "packed", f"{plan.pack:,}", f"rows to a request; each alone: {each}"


def _list_cost(plan: Plan, estimate: Estimate) -> Iterator[tuple[str, str, str]]:
    """Yields the lines about what it costs, and about what a budget leaves of it."""
    source = plan.price.source if plan.price else f"set it under `prices:` of '{plan.provider}'"
    cost = estimate.cost
    if cost is None:
        yield "cost", "unknown", source
    elif cost.high:
        between = f"{format_usd(cost.low)} to {format_usd(cost.high)}"
        yield "cost", format_usd(cost.likely), f"{between}, {source}"
    else:
        yield "cost", format_usd(0), source
    if plan.probes:
        yield "first", f"{plan.first:,}", "requests are sent first, to see what they cost"
    if plan.paid < plan.requests:
        yield "within budget", f"{plan.paid:,}", f"requests: {plan.budget} pays for no more"


def _list_projection(found: Projection, provider: str) -> Iterator[tuple[str, str, str]]:
    """Yields a name, a figure and a note for each line of what more rows would take."""
    each = found.rows / (found.nodes * found.hours * 3600)
    yield f"for {count_nouns(round(found.rows), 'row')}", "", ""
    yield "  nodes", f"{found.nodes:,}", f"at {each:,.4g} rows a second each"
    took = f"{found.hours / 24:,.1f} days" if found.hours >= 48 else ""
    took = f"{found.hours * 3600:,.3g} seconds" if found.hours < 0.1 else took
    yield "  hours", f"{found.hours:,.2f}", took
    tokens = f"{format_usd(found.tokens_usd)} for tokens"
    if found.usd is None:
        tokens = f"without tokens: set their price under `prices:` of '{provider}'"
    nodes = f"{format_usd(found.nodes_usd)} for nodes" if found.nodes_usd else ""
    cost = found.nodes_usd if found.usd is None else found.usd
    yield "  cost", format_usd(cost), ", ".join(filter(None, (tokens, nodes)))
    size = {name: format_bytes(round(bytes_)) for name, bytes_ in found.storage.items()}
    kept = sum(found.storage[name] for name in ("ledger", "table", "compressed"))
    note = f"ledger {size['ledger']}, table {size['table']}, results {size['compressed']}"
    answers = found.sizes.answers
    basis = f"as seen in {count_nouns(answers, 'answer')}" if answers else "a rule of thumb"
    yield "  storage", format_bytes(round(kept)), f"{note}; {basis}"
    open_ = format_bytes(round(found.storage["requests"] + found.storage["results"]))
    note = f"requests {size['requests']}, results {size['results']}, as long as batches are open"
    yield "  at most more", open_, note


def _describe_tokens(estimate: Estimate) -> str:
    """Returns the input tokens of an estimate, and its cost if that is known and not zero."""
    tokens = f"{estimate.input.likely:,.0f} input tokens"
    return f"{tokens}, {estimate}" if estimate.usd else tokens


def print_plans_json(plans: Sequence[Plan]) -> None:
    """Print one JSON array."""
    from dataclasses import asdict

    listed = [asdict(plan) | {"to_ask": plan.to_ask, "folded": plan.folded} for plan in plans]
    write_stdout(format_json(listed, indent=2) + "\n")
