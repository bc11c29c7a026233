"""Capacity: plans extended to more rows, by what the ledger has measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enrich.db.files import LEDGER_ROW_GROUP
from enrich.pricing.capacity import RowSizes, guess_answer, project_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.pipeline.plan import Plan
    from enrich.pricing.capacity import Capacity


def extend_plans(files: DatabaseFiles, plans: Iterable[Plan], capacity: Capacity) -> list[Plan]:
    """Returns the plans, each with what that capacity takes for it. A plan without an llm, or
    without a row that was ever asked or is to be, stays as it is."""
    with files.open_ledger("read") as database:
        return [_extend_plan(database, plan, capacity) for plan in plans]


def _extend_plan(database: Ledger, plan: Plan, capacity: Capacity) -> Plan:
    answers, request, tail, answer, usd = database.call("row_sizes", model=plan.model)[0]
    asked = plan.to_ask if plan.requests and plan.estimate else 0
    if not plan.llm or not (answers or asked):
        return plan
    if asked and plan.estimate:
        usd = None if plan.estimate.usd is None else plan.estimate.usd / asked
        request = plan.bytes / asked
        if not answers:
            tail, answer = request, guess_answer(plan.estimate.output, asked)
    per_row, rows = database.call("ledger_row_bytes")[0]
    sizes = RowSizes.of(
        request=float(request or tail),
        tail=float(tail),
        answer=float(answer),
        # A small ledger consists of blocks that are not full.
        ledger=float(per_row) if rows >= LEDGER_ROW_GROUP else None,
        answers=int(answers),
    )
    found = project_rows(capacity, rows=plan.rows, usd_per_row=usd, sizes=sizes)
    return replace(plan, capacity=found)
