"""Costs: queries of `enrich.costs`, the table of what was spent."""

from __future__ import annotations

from typing import Literal

COSTS_TABLE = "costs"
"""The table's name in the schema `enrich`; no model can have this name."""
CostGroup = Literal["model", "llm", "prompt", "day", "batch"]
COST_COLUMNS: dict[CostGroup, tuple[str, ...]] = {
    "model": ("model",),
    "llm": ("llm", "provider"),
    "prompt": ("prompt", "model", "llm"),
    "day": ("day",),
    "batch": ("batch", "model", "llm", "day", "kind", "status"),
}
"""What costs are grouped by, and the columns of each grouping."""


def render_cost_query(by: CostGroup) -> str:
    """Returns a query of costs by one of COST_COLUMNS. `reserved` is the estimate for batches that
    have not been read; `unpriced` counts batches without a known price."""
    # DuckDB's sum of BIGINTs is a HUGEINT, a type that few clients know; hence the casts.
    columns = ", ".join(COST_COLUMNS[by])
    return f"""SELECT {columns}, sum(requests)::BIGINT AS requests,
    sum(input_tokens)::BIGINT AS input_tokens, sum(cached_tokens)::BIGINT AS cached_tokens,
    sum(output_tokens)::BIGINT AS output_tokens, sum(cost) AS cost,
    sum(reserved) FILTER (cost IS NULL) AS reserved,
    count(*) FILTER (cost IS NULL AND reserved IS NULL) AS unpriced
FROM enrich.{COSTS_TABLE} GROUP BY {columns} ORDER BY min(day), {columns}"""
