"""Costs: what was spent, out of the ledger, and the table of it in the warehouse."""

from __future__ import annotations

from typing import Literal

COSTS_TABLE = "costs"
"""Its name in the schema `enrich`: no model can be called so."""
CostGroup = Literal["model", "llm", "prompt", "day", "batch"]
COST_COLUMNS: dict[CostGroup, tuple[str, ...]] = {
    "model": ("model",),
    "llm": ("llm", "provider"),
    "prompt": ("prompt", "model", "llm"),
    "day": ("day",),
    "batch": ("batch", "model", "llm", "day", "kind", "status"),
}
"""The columns that costs are reported by."""


def render_cost_query(by: CostGroup) -> str:
    """A query of the costs by one of GROUPS. `reserved` is for what is under way; `unpriced`
    counts batches whose price nobody knows."""
    columns = ", ".join(COST_COLUMNS[by])
    return f"""SELECT {columns}, sum(requests)::BIGINT AS requests,
    sum(input_tokens)::BIGINT AS input_tokens, sum(cached_tokens)::BIGINT AS cached_tokens,
    sum(output_tokens)::BIGINT AS output_tokens, sum(cost) AS cost,
    sum(reserved) FILTER (cost IS NULL) AS reserved,
    count(*) FILTER (cost IS NULL AND reserved IS NULL) AS unpriced
FROM enrich.{COSTS_TABLE} GROUP BY {columns} ORDER BY min(day), {columns}"""
