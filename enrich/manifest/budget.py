"""Budgets: the most that may be spent, in USD, as project.yml and prompts set it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enrich.manifest.settings import YamlSettings

PROJECT_BUDGETS = ("run", "model", "month")
# A prompt has no `model`: what it says is about one model anyway.
PROMPT_BUDGETS = ("run", "month")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most USD for one run, for any one model in a run, and for a calendar month (UTC). None
    sets no limit."""

    run: float | None = None
    model: float | None = None
    month: float | None = None

    @classmethod
    def from_settings(cls, settings: YamlSettings, keys: tuple[str, ...]) -> Budget:
        """Reads `budget:`, an amount for a run or a mapping from these `keys` to amounts.

        Raises the error of the settings' file where it is neither.
        """
        value = settings.values.get("budget")
        if value is None:
            return cls()
        amounts: dict[Any, Any] = value if isinstance(value, dict) else {"run": value}
        for name, amount in amounts.items():
            if name not in keys:
                hint = f"use one of: {', '.join(keys)}"
                raise settings.make_error("budget", f"cannot be set for a '{name}'", hint=hint)
            # `true` is an int in Python, and YAML has `.inf` and `.nan`, which pass as floats.
            if (
                isinstance(amount, bool)
                or not isinstance(amount, (int, float))
                or not 0 <= amount < inf
            ):
                alone = not isinstance(value, dict)
                what = "must be an amount in USD"
                hint = "budget: 5.00" if alone else f"budget: {{{name}: 5.00}}"
                what = what if alone else f"{what} for '{name}'"
                raise settings.make_error("budget", what, hint=hint)
        return cls(**{str(name): float(amount) for name, amount in amounts.items()})
