"""Budgets as settings have them: what may be spent, in USD."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enrich.manifest.settings import YamlSettings

PROJECT_BUDGETS = ("run", "model", "month")
PROMPT_BUDGETS = ("run", "month")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """USD for one run, for any one model in a run, and for a calendar month (UTC)."""

    run: float | None = None
    model: float | None = None
    month: float | None = None

    @classmethod
    def from_settings(cls, settings: YamlSettings, keys: tuple[str, ...]) -> Budget:
        """What `budget:` says: an amount for a run, or amounts by what they are for."""
        value = settings.values.get("budget")
        if value is None:
            return cls()
        amounts: dict[Any, Any] = value if isinstance(value, dict) else {"run": value}
        for name, amount in amounts.items():
            if name not in keys:
                hint = f"known here: {', '.join(keys)}"
                raise settings.make_error("budget", f"is not for a '{name}'", hint=hint)
            if (
                isinstance(amount, bool)
                or not isinstance(amount, (int, float))
                or not 0 <= amount < inf
            ):
                hint = f"{name}: 5.00"
                raise settings.make_error("budget", f"'{name}' must be an amount in USD", hint=hint)
        return cls(**{str(name): float(amount) for name, amount in amounts.items()})
