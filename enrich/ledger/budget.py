"""Budgets: how much may be spent, in USD, and how much is left.

The estimated cost of a batch is reserved when it is submitted, and replaced by the cost of its
tokens once it has been read. A batch that exceeds a budget is held instead of sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.pricing.price import format_usd

if TYPE_CHECKING:
    from enrich.db.database import Ledger
    from enrich.ledger.run import Run
    from enrich.manifest.budget import Budget

BUDGET_SCOPES = {
    "run": "a run",
    "model": "this model in a run",
    "month": "a month",
    "model month": "this model in a month",
}
"""The scopes of budgets, in the order of the columns of `spent.sql`, and how messages call them."""


def find_limits(project: Budget, model: Budget, max_cost: float | None) -> dict[str, float]:
    """Returns the limits of a run in USD, by scope. `max_cost` (the command line) replaces the
    project's budget for a run, and a model's own budget replaces the project's for any model."""
    found = {
        "run": project.run if max_cost is None else max_cost,
        "model": project.model if model.run is None else model.run,
        "month": project.month,
        "model month": model.month,
    }
    return {scope: amount for scope, amount in found.items() if amount is not None}


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """What is left of the tightest budget, in USD, and which one that is; None without a budget.

    `spent` can exceed `limit` if answers took more tokens than estimated.
    """

    usd: float | None = None
    scope: str = ""
    limit: float = 0.0
    spent: float = 0.0

    @classmethod
    def of_run(
        cls,
        database: Ledger,
        run: Run,
        *,
        planned: bool = False,
        foreseen: float = 0.0,
        ahead: float = 0.0,
    ) -> Remaining:
        """Returns what is left for a run. With `planned`, batches that the same command has planned
        are deducted as well. `foreseen` is USD that earlier plans of the command would spend, and
        `ahead` what the plan of this run has already been given."""
        limits = run.limits
        if not limits:
            return cls()
        (row,) = database.call(
            "spent", model=run.model, run=run.id, invocation=run.invocation, planned=planned
        )
        spent = dict(zip(BUDGET_SCOPES, row, strict=True))
        # Budgets of one model are not affected: each plan before this one is of another model.
        for scope in ("run", "month"):
            spent[scope] += foreseen
        left, scope = min(
            (amount - spent[scope] - ahead, scope) for scope, amount in limits.items()
        )
        # What is left is negative once answers have taken more than estimated.
        return cls(usd=max(0.0, left), scope=scope, limit=limits[scope], spent=limits[scope] - left)

    def pays(self, cost: float | None) -> bool:
        """Whether the budget covers this cost; with a budget, an unknown cost (None) is not
        covered."""
        # Costs are sums of floats: a batch that uses the rest exactly must not fail by rounding.
        return self.usd is None or (cost is not None and cost <= self.usd * (1 + 1e-9))

    @property
    def account(self) -> str:
        """A sentence on what has been spent of the budget; "" without a budget."""
        if self.usd is None:
            return ""
        over = self.spent - self.limit
        # A smaller excess is a rounding error of the sum.
        more = f": {format_usd(over)} over, because answers took more tokens than estimated"
        return f"spent {format_usd(self.spent)} of {self}{more if over > 0.000001 else ''}"

    def __str__(self) -> str:
        """The budget in words; "" without a budget."""
        if self.usd is None:
            return ""
        scope = BUDGET_SCOPES.get(self.scope, self.scope)
        return f"the budget of {format_usd(self.limit)} for {scope}"
