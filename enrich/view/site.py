"""The site: everything about a project that the page shows outside of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enrich.compiler import viewing
from enrich.db.database import read_statement
from enrich.db.quote import quote_table
from enrich.errors import EnrichError
from enrich.ledger.budget import BUDGET_SCOPES
from enrich.ledger.state import list_states
from enrich.manifest.model import HISTORY_ENDING
from enrich.pipeline.answer_tables import find_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from enrich.db.database import Both
    from enrich.ledger.state import State
    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model

MOST_LABELS = 24
"""A column with more different labels than these gets no plot."""


def build_site(database: Both, graph: Graph) -> dict[str, Any]:
    """Returns the models with their states and figures, the graph, and what was spent.

    Needs warehouse and ledger.
    """
    states = {state.model: state for state in list_states(database)}
    prompts = _list_prompts(database)
    evaluations = [
        _to_json(row) for row in database.fetch_dicts(read_statement("shown_evaluations"))
    ]
    return {
        "models": [
            _describe_model(
                database,
                graph.models[name],
                states.get(name),
                [row for row in prompts if row["model"] == name],
                [row for row in evaluations if row["model"] == name],
            )
            for name in graph.order
        ],
        "graph": _describe_graph(graph),
        "costs": [_to_json(row) for row in database.fetch_dicts(read_statement("shown_costs"))],
        "broken": {name: f"{each.message} ({each.hint})" for name, each in graph.broken.items()},
    }


def _describe_model(
    database: Both,
    model: Model,
    state: State | None,
    prompts: list[dict[str, Any]],
    evaluations: list[dict[str, Any]],
) -> dict[str, Any]:
    exists = bool(database.call("exists", schema="main", name=model.name))
    # Those of columns that the table has no longer would be shown for ever.
    there = database.describe(f"FROM {viewing.name_published_table(model.name)}") if exists else {}
    evaluations = [row for row in evaluations if row["column"] in there]
    found: dict[str, Any] = {
        "name": model.name,
        "kind": model.kind,
        "description": model.description,
        "tags": list(model.tags),
        "exists": exists,
        "state": _name_state(state) if model.asks else "",
        "prompts": prompts,
        "evaluations": evaluations,
    }
    # A model whose prompt is gone is a plain one now, whatever it was.
    if state is None or not state.run or not model.asks:
        return found
    return {
        **found,
        "provider": state.provider,
        "llm": state.llm,
        "rows": state.rows,
        "outcomes": dict(state.outcomes),
        "ok": state.ok,
        "failed": state.failed,
        "pending": state.pending,
        "stale": state.stale,
        "busy": state.busy,
        "asked": sum(batch.requests for batch in state.batches),
        "answered": sum(batch.answered for batch in state.batches),
        "stopped": state.stopped,
        "heldBack": list(state.held_back),
        "failure": state.failure,
        "hint": state.hint,
        "startedAt": _format_time(state.started_at),
        "publishedAt": _format_time(state.published_at),
        "budgets": _list_budgets(database, model.name),
        **_describe_published(database, model, state, evaluations),
    }


def _describe_published(
    database: Both, model: Model, state: State, evaluations: list[dict[str, Any]]
) -> dict[str, Any]:
    """Returns what is counted in the model's tables: labels, failures and confusions."""
    there = {
        name
        for name in (model.name, f"{model.name}{HISTORY_ENDING}")
        if database.call("exists", schema="enrich", name=name)
    }
    if model.name not in there or not database.call("exists", schema="main", name=model.name):
        return {"labels": [], "failures": [], "confusions": []}
    given = database.describe(f"FROM {viewing.name_published_table(model.name)}")
    key = find_key(database, model.name)  # that of what is published
    return {
        "labels": _count_labels(
            database, model, state, given, key, history=f"{model.name}{HISTORY_ENDING}" in there
        ),
        "failures": [
            {
                "outcome": outcome,
                "error": error,
                "rows": many,
                **_find_remedy(model.name, outcome),
            }
            for outcome, _, error, many in database.execute(
                viewing.render_failure_groups(model.name)
            )
        ],
        "confusions": _list_confusions(database, model, key, given, evaluations),
    }


def _count_labels(
    database: Both,
    model: Model,
    state: State,
    given: Mapping[str, str],
    key: Mapping[str, str],
    *,
    history: bool,
) -> list[dict[str, Any]]:
    """Returns, for each published column of few labels, how many rows have each of them."""
    found = []
    for column in model.own_prompt.output.columns:
        measure = column.type.family.choose_measure(column.type)
        if measure != "labels" or column.name not in given:
            continue
        query = viewing.render_label_counts(
            model.name,
            column.name,
            is_list=given[column.name].endswith("]"),
            key=key,
            history=history,
        )
        counts = database.execute(query, started=state.started_at)
        if len(counts) <= MOST_LABELS:
            found.append({"column": column.name, "counts": [list(row) for row in counts]})
    return found


def _find_remedy(model: str, outcome: str) -> dict[str, str]:
    """Returns what helps rows with this outcome, in words and as a command."""
    again = f"enrich run {model} --retry"
    words = {
        "truncated": "The answer was longer than allowed. Limit its texts in `output:`, or raise "
        "`max_tokens` under `params:`; with `on_change: new`, only these rows are asked again.",
        "refused": "The llm refused. Another one may answer: set `llm: [first, second]` in the "
        "prompt, or ask once more.",
        "invalid": "The answer does not fit the output. Say in the prompt what is missing, or ask "
        "once more.",
    }
    # A changed prompt asks by itself; anything else has to be asked for.
    return {
        "remedy": words.get(outcome, "It was no fault of the answer: ask once more."),
        "command": f"enrich run {model}" if outcome == "truncated" else again,
    }


def _list_confusions(
    database: Both,
    model: Model,
    key: Mapping[str, str],
    given: Mapping[str, str],
    evaluations: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Returns, for each column of labels that was evaluated, which label met which answer; lists
    have no such matrix."""
    found = []
    pairs = dict.fromkeys((row["labels"], row["column"]) for row in evaluations if row["average"])
    for labels, column in pairs:
        if given.get(column, "]").endswith("]"):
            continue
        try:
            query = viewing.render_confusion(model.name, column, quote_table(labels), key=key)
            cells = [list(row) for row in database.execute(query)]
        except EnrichError:  # the labels are gone, or their column has another name
            continue
        found.append({"labels": labels, "column": column, "cells": cells})
    return found


def _list_prompts(database: Both) -> list[dict[str, Any]]:
    """Returns every version of every model that the ledger knows, the earliest first."""
    return [_to_json(row) for row in database.fetch_dicts(read_statement("shown_prompts"))]


def _list_budgets(database: Both, model: str) -> list[dict[str, Any]]:
    """Returns the budgets of the model's last run, and what has been spent of each."""
    for run, invocation, limits in database.call("run_limits", model=model):
        if not limits:
            return []
        (row,) = database.call("spent", model=model, run=run, invocation=invocation, planned=False)
        spent = dict(zip(BUDGET_SCOPES, row, strict=True))
        return [
            {"scope": BUDGET_SCOPES[scope], "limit": amount, "spent": spent[scope]}
            for scope, amount in limits.items()
        ]
    return []


def _describe_graph(graph: Graph) -> dict[str, Any]:
    tables = {table for name in graph.models for table in graph.list_tables(name)}
    return {
        "nodes": [
            *(
                {"name": table, "kind": graph.leaves.get(table, "table")}
                for table in sorted(tables)
            ),
            *({"name": name, "kind": graph.models[name].kind} for name in graph.order),
        ],
        "edges": [
            *([table, name] for name in graph.order for table in graph.list_tables(name)),
            *([parent, name] for name in graph.order for parent in sorted(graph.parents[name])),
        ],
    }


def _name_state(state: State | None) -> str:
    """Returns the state of a model in a word or two."""
    if state is None or not (state.run or state.after):
        return "not run"
    checks = {
        "waiting": bool(state.after),
        "running": any(not batch.held for batch in state.batches),
        "stopped": bool(state.stopped),
        "held back": bool(state.held_back),
        "out of budget": bool(state.unaffordable),
        "failed": bool(state.failure),
        "not all ok": bool(state.failed),
        "published": state.published_at is not None,
    }
    return next((word for word, is_so in checks.items() if is_so), "not published")


def _to_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _format_time(value) if hasattr(value, "isoformat") else value
        for name, value in row.items()
    }


def _format_time(when: datetime | None) -> str | None:
    """Returns a time of the ledger, which is UTC, as ISO 8601 with its zone."""
    return f"{when.isoformat(timespec='seconds')}Z" if when else None
