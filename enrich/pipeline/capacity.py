"""Capacity: plans extended to more rows, by what the ledger has measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enrich.compiler.input_rows import name_inputs_table
from enrich.db.files import LEDGER_ROW_GROUP
from enrich.pricing.capacity import RowSizes, guess_answer, project_rows
from enrich.providers.capabilities import quote_price

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.pipeline.plan import Plan
    from enrich.pricing.capacity import Capacity
    from enrich.providers import Provider


def extend_plans(
    files: DatabaseFiles,
    plans: Iterable[Plan],
    capacity: Capacity,
    open_provider: Callable[[str], Provider],
) -> list[Plan]:
    """Returns the plans, each with what that capacity takes for it. A plan without an llm, or
    without a row that was ever asked or is to be, stays as it is."""
    with files.open_ledger("read") as database:
        return [_extend_plan(database, plan, capacity, open_provider) for plan in plans]


def _extend_plan(
    database: Ledger, plan: Plan, capacity: Capacity, open_provider: Callable[[str], Provider]
) -> Plan:
    answers, request, tail, answer, usd, *tokens = database.call("row_sizes", model=plan.model)[0]
    asked = plan.to_ask if plan.requests and plan.estimate else 0
    if not plan.llm or not (answers or asked):
        return plan
    if usd is None and answers:
        usd = _price_tokens(open_provider(plan.provider), plan.llm, *tokens)
    # What stands for most of the rows at hand: a few that are left over may be unlike the others.
    share = _find_share(database, plan.model)
    usd, request = None if usd is None else usd * share, (request or 0.0) * share
    if plan.estimate and asked and (2 * asked >= plan.rows or not answers):
        share = plan.requests / asked
        usd = None if plan.estimate.usd is None else plan.estimate.usd / asked
        request = plan.bytes / asked
    if not answers and plan.estimate:
        tail, answer = plan.bytes / plan.requests, guess_answer(plan.estimate.output, plan.requests)
    per_row, rows = database.call("ledger_row_bytes")[0]
    sizes = RowSizes.of(
        request=float(request),
        tail=float(tail),
        answer=float(answer),
        # A small ledger consists of blocks that are not full.
        ledger=float(per_row) if rows >= LEDGER_ROW_GROUP else None,
        answers=int(answers),
        share=share,
    )
    found = project_rows(capacity, rows=plan.rows, usd_per_row=usd, sizes=sizes)
    return replace(plan, capacity=found)


def _find_share(database: Ledger, model: str) -> float:
    """Returns how many requests there are for a row: rows that ask the same, and copies, have one
    together."""
    if not database.call("inputs_key", model=model):
        return 1.0
    rows = f"FROM {name_inputs_table(model)} WHERE until_run IS NULL"
    requests, many = database.fetch_one(f"SELECT count(DISTINCT fingerprint), count(*) {rows}")
    return float(requests / many) if requests else 1.0


def _price_tokens(
    provider: Provider, llm: str, fresh: float, cached: float, output: float
) -> float | None:
    """Returns what tokens cost now, if that was not known when they were taken."""
    price = quote_price(provider, llm)
    if price is None:
        return None
    return price.price_tokens(input_tokens=fresh, cached_tokens=cached, output_tokens=output)
