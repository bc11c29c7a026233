"""Budgets: what may be spent, in USD, and what is left of it.

What a batch is estimated to cost is reserved when it is submitted; once it is read, what its tokens
cost counts instead. A batch that a budget does not pay for is held, not sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.pricing.price import format_usd

if TYPE_CHECKING:
    from enrich.db.database import Ledger
    from enrich.ledger.run import Run
    from enrich.manifest.budget import Budget

SCOPES = {
    "run": "a run",
    "model": "this model in a run",
    "month": "a month",
    "model month": "this model in a month",
}
"""What a budget is for, in the order that `spent.sql` counts, and how people call it."""


def find_limits(project: Budget, model: Budget, max_cost: float | None) -> dict[str, float]:
    """The budgets that bear on a run, by scope: `max_cost`, from the command line, goes before the
    project's own for a run; a model's own before that for any model."""
    found = {
        "run": project.run if max_cost is None else max_cost,
        "model": project.model if model.run is None else model.run,
        "month": project.month,
        "model month": model.month,
    }
    return {scope: amount for scope, amount in found.items() if amount is not None}


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """What is left of the tightest budget, in USD, and which that is; None: there is no budget.

    `spent` is what has been spent of its `limit`: more, where answers took more than estimated.
    """

    usd: float | None = None
    scope: str = ""
    limit: float = 0.0
    spent: float = 0.0

    @classmethod
    def of_run(
        cls, database: Ledger, run: Run, *, planned: bool = False, foreseen: float = 0.0
    ) -> Remaining:
        """What is left to a run. `planned`: what the same command has planned is taken off as well;
        `foreseen`: USD that it would have planned, if its plans were carried out."""
        limits = run.limits
        if not limits:
            return cls()
        (row,) = database.call(
            "spent", model=run.model, run=run.id, invocation=run.invocation, planned=planned
        )
        spent = dict(zip(SCOPES, row, strict=True))
        for scope in ("run", "month"):
            spent[scope] += foreseen
        left, scope = min((amount - spent[scope], scope) for scope, amount in limits.items())
        return cls(usd=max(0.0, left), scope=scope, limit=limits[scope], spent=limits[scope] - left)

    def pays(self, cost: float | None) -> bool:
        """Whether so much may still be spent; an unknown cost may not, where there is a budget."""
        return self.usd is None or (cost is not None and cost <= self.usd * (1 + 1e-9))

    @property
    def account(self) -> str:
        """What has been spent of the budget, as people read it; "" where there is none."""
        if self.usd is None:
            return ""
        over = self.spent - self.limit
        more = f": {format_usd(over)} more, for answers took more tokens than estimated"
        return f"spent {format_usd(self.spent)} of {self}{more if over > 0.000001 else ''}"

    def __str__(self) -> str:
        """Which budget it is; empty where there is none."""
        if self.usd is None:
            return ""
        return f"the budget of {format_usd(self.limit)} for {SCOPES.get(self.scope, self.scope)}"
