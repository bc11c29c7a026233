"""Reports: what people read. Tables go to stdout, sentences and progress to stderr.

safe      text that can move no cursor: all that is shown
console   rich's console, with the same promise
text      tables, cells and colours, as a terminal may show them
screen    what enrich says while it works, and what went wrong, on stderr
rows      the answer to a query, what was spent, the bill of a rehearsal
states    where the models stand, and what to type next
plans     what a run would do, and why
graphs    the models, a line each, as a tree and as a diagram
parts     the tables of the ledger, whole or damaged
answers   answers beside their rows, beside others, and beside what came before
verdicts  what tests found, how answers did against labels, what debug saw
"""

from __future__ import annotations

from enrich.report.answers import (
    comparison,
    comparison_json,
    failures,
    failures_json,
    history,
    preview,
    preview_json,
)
from enrich.report.graphs import graph, mermaid, models, models_json
from enrich.report.parts import exported, ledger_damaged, parts, parts_json
from enrich.report.plans import plans, plans_json
from enrich.report.rows import bill, bill_json, costs, rows, rows_json
from enrich.report.screen import Screen, error
from enrich.report.states import closing, results, states, states_json
from enrich.report.verdicts import (
    evaluation,
    evaluation_json,
    findings,
    findings_json,
    tests,
    tests_json,
)

__all__ = [
    "Screen",
    "bill",
    "bill_json",
    "closing",
    "comparison",
    "comparison_json",
    "costs",
    "error",
    "evaluation",
    "evaluation_json",
    "exported",
    "failures",
    "failures_json",
    "findings",
    "findings_json",
    "graph",
    "history",
    "ledger_damaged",
    "mermaid",
    "models",
    "models_json",
    "parts",
    "parts_json",
    "plans",
    "plans_json",
    "preview",
    "preview_json",
    "results",
    "rows",
    "rows_json",
    "states",
    "states_json",
    "tests",
    "tests_json",
]
