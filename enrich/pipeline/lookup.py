"""Lookup: rows that the ledger and the warehouse already hold."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.compiler import history, input_rows, tables
from enrich.db.complaint import TRY_SQL, find_missing_table, find_problem_line
from enrich.db.database import read_statement
from enrich.db.quote import quote_readably
from enrich.errors import DatabaseError, EnrichError, InputError, ProjectError, count_nouns, nearest
from enrich.ledger import costs
from enrich.ledger.run import Run
from enrich.ledger.state import list_states
from enrich.manifest import variables
from enrich.pipeline.answer_tables import find_key, judge_model
from enrich.pipeline.deliver import find_copy, has_copies
from enrich.pipeline.publish import write_books
from enrich.pipeline.read import Judge
from enrich.pipeline.remedy import find_remedy
from enrich.pipeline.unbuilt import explain_unbuilt
from enrich.results import Failures, Listed, Rows

if TYPE_CHECKING:
    from enrich.db.database import Database, Ledger
    from enrich.db.files import Access
    from enrich.ledger.costs import CostGroup
    from enrich.ledger.state import State
    from enrich.manifest.model import Model
    from enrich.pipeline.flow import Flow
    from enrich.pipeline.test import Result
    from enrich.pipeline.workspace import Workspace


LISTING = re.compile(r"^\s*show\b|\bduckdb_\w+\s*\(|\binformation_schema\b", re.IGNORECASE)
"""What occurs in a query for the databases and tables that there are."""


def fetch_rows(database: Database, query: str, **values: Any) -> Rows:  # noqa: ANN401  # SQL values
    """Returns the rows of a query with the names of its columns."""
    rows = database.execute(query, **values)
    described = database.connection.description or ()
    columns, types = (tuple(str(column[n]) for column in described) for n in (0, 1))
    return Rows(columns=columns, rows=tuple(rows), types=types)


def run_query(workspace: Workspace, query: str) -> Rows:
    """Run the user's own query. Unlike a model's SELECT, it may write and read any file.

    The ledger is attached read-only, and the user's other databases if the query names them, or if
    it lists what there is; those whose file is missing are left out.
    """
    files, known = workspace.files, workspace.variables
    # The name of a database may be a word of the query that means something else.
    there = [a for a in files.attached if a.type != "duckdb" or Path(a.path).is_file()]
    free = replace(files, reach=None, attached=tuple(there))
    if set(variables.list_variables(query)) <= set(known):
        query = variables.fill_variables(query, known, source="the query")
    # A project that cannot be written is worked on in copies, where a change would be lost.
    access: Access = "read" if files.copies else "write"
    named = [each.name for each in there] if LISTING.search(query) else []
    with free.open_both(warehouse=access, ledger="read", attached=(query, *named)) as database:
        try:
            found = fetch_rows(database, query)
        except DatabaseError as raised:
            problem = raised
        else:
            if found.columns:
                return found
            # Every statement returns a column.
            raise ProjectError("the query is empty", hint='as in: enrich sql "SHOW TABLES"')
    # The databases are closed: to know the models, they may have to be opened.
    raise _explain_query(workspace, query, problem) from problem


def _explain_query(workspace: Workspace, query: str, problem: DatabaseError) -> DatabaseError:
    """Returns DuckDB's error about the user's own query, with a hint that helps with a query."""
    if '"ledger" which is attached in read-only mode' in problem.message:
        what = "the ledger is attached for reading only"
        hint = "what it holds has been paid for; copy it into a table to change it"
        return DatabaseError(what, hint=hint)
    unset = [n for n in variables.list_variables(query) if n not in workspace.variables]
    if unset and "Values were not provided" in problem.message:
        hint = nearest(unset[0], workspace.variables) or "declare it in project.yml under `vars:`"
        return DatabaseError(f"project.yml has no variable '{unset[0]}'", hint=hint)
    missing, hint = find_missing_table(problem).lower(), problem.hint
    with suppress(EnrichError):  # what is wrong with the models has nothing to do with the query
        for name in workspace.graph.models if missing else ():
            if name.lower() == missing:
                command = f"enrich run {'+' * bool(workspace.graph.parents[name])}{name}"
                why, hint = explain_unbuilt(workspace.files, name, command=command)
                return DatabaseError(f"'{name}' {why}", hint=hint)
    at = find_problem_line(problem)
    if hint == TRY_SQL:
        hint = f"the query goes wrong in line {at[0]}: {at[1]}" if at else ""
    return DatabaseError(problem.message, hint=hint)


def find_states(flow: Flow, names: list[str] | None = None) -> Listed[State]:
    """Returns the states of these models, or of all enrichment models. Plain models are included
    only if this command built them."""
    with flow.files.open_ledger() as database:
        found = tuple(_add_hint(flow, state) for state in list_states(database, names))
    known = {state.model: state for state in found} | ({} if names is None else flow.found.built)
    picked = known if names is None else [name for name in names if name in known]
    return Listed(_add_copy(flow, known[name]) for name in picked)


def _add_copy(flow: Flow, state: State) -> State:
    """Returns the state with the copy of the model's table, if there is to be one."""
    try:
        model = flow.graph.models.get(state.model) if has_copies(flow.config) else None
        return replace(state, copy=find_copy(flow, model)) if model else state
    except EnrichError:  # what is wrong with its files has been said
        return state


def _add_hint(flow: Flow, state: State) -> State:
    """Returns the state with what to change, if a server refused a part of the model's requests."""
    words = state.stopped or state.failure
    model = flow.graph.models.get(state.model) if words else None
    if model is None or model.prompt is None:
        return state
    hint = find_remedy(words, model.prompt, flow.config, provider=state.provider)
    return replace(state, hint=hint)


def find_run_model(flow: Flow, name: str) -> Model:
    """Returns the model of this name. Raises ProjectError if it has not been run."""
    picked = flow.graph.find_model(name)
    with flow.files.open_ledger() as database:
        if not database.call("latest_run", model=name):
            _ = picked.own_prompt  # raises for a plain model, which never has a run
            raise ProjectError(f"'{name}' has not been run yet", hint=f"enrich run {name}")
    return picked


def _judge_latest(database: Ledger, name: str) -> None:
    """Judge the answers of a model by its own output: another one that asks the same may have
    judged them last."""
    database.execute(input_rows.render_inputs_upgrade(name))
    judge = Judge.of(database, Run.latest(database, name).version_id)
    with database.transaction():
        judge_model(database, name, judge)


def find_life(flow: Flow, name: str, key: tuple[str, ...]) -> Rows:
    """Returns the history of one row. `key` is the values of its key columns, in order, as text.

    Raises ProjectError if the number of values is wrong, and InputError if no row had this key.
    """
    picked = find_run_model(flow, name)
    with flow.files.open_ledger() as database:
        kinds = find_key(database, picked.name)
        if len(key) != len(kinds):
            columns = " ".join(f"--key {column.upper()}" for column in kinds)
            message = (
                f"the key of '{name}' has {count_nouns(len(kinds), 'column')}: {', '.join(kinds)}"
            )
            raise ProjectError(message, hint=f"enrich history {name} {columns}")
        _judge_latest(database, picked.name)
        values = {f"key_{number}": value for number, value in enumerate(key)}
        found = fetch_rows(database, history.render_life(picked.name, kinds), **values)
    if not found.rows:
        what = f"no row of '{name}' ever had the key {', '.join(key)}"
        raise InputError(what, hint=f"enrich.{quote_readably(name)} shows them")
    return found


def find_failures(flow: Flow, name: str, limit: int) -> Failures:
    """Returns the first `limit` rows of a model that are not ok, and counts of all of them."""
    picked = find_run_model(flow, name)
    with flow.files.open_ledger() as database:
        _judge_latest(database, picked.name)
        for statement in tables.render_settled_rows(picked.name):
            database.execute(statement)
        counts = fetch_rows(database, read_statement("failed_counts"))
        return Failures(
            rows=fetch_rows(database, tables.render_failures(), limit=limit), counts=counts
        )


def find_failing(flow: Flow, result: Result, limit: int) -> Rows:
    """Returns the first `limit` failing rows of a test."""
    with flow.files.open_warehouse("read") as database:
        return fetch_rows(database, f"FROM {result.table} LIMIT {limit}")


def sum_costs(flow: Flow, by: CostGroup) -> Rows:
    """Returns what was spent by one of COST_COLUMNS, and rebuilds `enrich.costs`."""
    with flow.files.open_both() as database:
        write_books(database)
        return fetch_rows(database, costs.render_cost_query(by))
