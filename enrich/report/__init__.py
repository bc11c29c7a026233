"""Reports: what people read. Tables go to stdout, sentences and progress to stderr.

safe      text that cannot move the cursor; everything that is shown passes through it
console   rich's console, with the same promise
text      tables, cells and colors that fit a terminal
screen    progress and errors, on stderr or in a notebook
rows      the result of a query, what has been spent, the bill of a rehearsal
states    the state of the models, and what to type next
plans     what a run would do, and why
graphs    the models as a list, as a tree and as a diagram
parts     the tables of the ledger, intact or damaged, and what a vacuum saves
answers   answers beside their rows, beside other answers, and over time
reviews   what reviews say about a table, and examples made of them
verdicts  the results of tests, evaluations and `debug`
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enrich.report.answers import (
        print_comparison,
        print_comparison_json,
        print_failures,
        print_failures_json,
        print_history,
        print_preview,
        print_preview_json,
    )
    from enrich.report.graphs import print_graph, print_mermaid, print_models, print_models_json
    from enrich.report.parts import (
        print_export,
        print_ledger_damage,
        print_parts,
        print_parts_json,
        print_savings,
        print_savings_json,
    )
    from enrich.report.plans import print_plans, print_plans_json
    from enrich.report.reviews import print_examples
    from enrich.report.rows import (
        print_bill,
        print_bill_json,
        print_costs,
        print_rows,
        print_rows_json,
    )
    from enrich.report.screen import Screen, print_error
    from enrich.report.states import (
        build_results,
        print_next_steps,
        print_states,
        print_states_json,
    )
    from enrich.report.verdicts import (
        print_evaluation,
        print_evaluation_json,
        print_findings,
        print_findings_json,
        print_tests,
        print_tests_json,
    )

__all__ = [
    "Screen",
    "build_results",
    "print_bill",
    "print_bill_json",
    "print_comparison",
    "print_comparison_json",
    "print_costs",
    "print_error",
    "print_evaluation",
    "print_evaluation_json",
    "print_examples",
    "print_export",
    "print_failures",
    "print_failures_json",
    "print_findings",
    "print_findings_json",
    "print_graph",
    "print_history",
    "print_ledger_damage",
    "print_mermaid",
    "print_models",
    "print_models_json",
    "print_next_steps",
    "print_parts",
    "print_parts_json",
    "print_plans",
    "print_plans_json",
    "print_preview",
    "print_preview_json",
    "print_rows",
    "print_rows_json",
    "print_savings",
    "print_savings_json",
    "print_states",
    "print_states_json",
    "print_tests",
    "print_tests_json",
]

_HOMES = {
    "Screen": "screen",
    "build_results": "states",
    "print_bill": "rows",
    "print_bill_json": "rows",
    "print_comparison": "answers",
    "print_comparison_json": "answers",
    "print_costs": "rows",
    "print_error": "screen",
    "print_evaluation": "verdicts",
    "print_evaluation_json": "verdicts",
    "print_examples": "reviews",
    "print_export": "parts",
    "print_failures": "answers",
    "print_failures_json": "answers",
    "print_findings": "verdicts",
    "print_findings_json": "verdicts",
    "print_graph": "graphs",
    "print_history": "answers",
    "print_ledger_damage": "parts",
    "print_mermaid": "graphs",
    "print_models": "graphs",
    "print_models_json": "graphs",
    "print_next_steps": "states",
    "print_parts": "parts",
    "print_parts_json": "parts",
    "print_savings": "parts",
    "print_savings_json": "parts",
    "print_plans": "plans",
    "print_plans_json": "plans",
    "print_preview": "answers",
    "print_preview_json": "answers",
    "print_rows": "rows",
    "print_rows_json": "rows",
    "print_states": "states",
    "print_states_json": "states",
    "print_tests": "verdicts",
    "print_tests_json": "verdicts",
}
"""The module of each name, which is imported when the name is used: rich takes a while."""


def __getattr__(name: str) -> object:
    """Returns what a module of this package defines. Raises AttributeError."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
