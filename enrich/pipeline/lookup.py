"""Lookup: what the ledger and the warehouse know already, as rows to show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.compiler import history, tables
from enrich.db import quote
from enrich.db.database import statement
from enrich.errors import InputError, ProjectError
from enrich.ledger import costs
from enrich.ledger.state import states
from enrich.manifest import variables
from enrich.pipeline.publish import find_key, write_books
from enrich.results import Failures, Listed, Rows

if TYPE_CHECKING:
    from enrich.db.database import Database
    from enrich.db.files import Access
    from enrich.ledger.costs import By
    from enrich.ledger.state import State
    from enrich.manifest.model import Model
    from enrich.pipeline.flow import Flow
    from enrich.pipeline.test import Result
    from enrich.pipeline.workspace import Workspace


def fetch_rows(database: Database, query: str, **values: Any) -> Rows:  # noqa: ANN401  # SQL values
    """The answer to a query, with its columns' names."""
    rows = database.execute(query, **values)
    columns = tuple(column[0] for column in database.connection.description or ())
    return Rows(columns=columns, rows=tuple(rows))


def run_query(workspace: Workspace, query: str) -> Rows:
    """The answer to the user's own query: unlike a model's SELECT it may write, and read any file.
    The ledger is attached for reading; databases that are not there are left out."""
    files, known = workspace.files, workspace.variables
    there = [a for a in files.attached if a.type != "duckdb" or Path(a.path).is_file()]
    free = replace(files, reach=None, attached=tuple(there))
    if set(variables.list_variables(query)) <= set(known):
        query = variables.fill_variables(query, known, source="the query")
    access: Access = "read" if files.copies else "write"
    with free.open_both(warehouse=access, ledger="read", attached=True) as database:
        return fetch_rows(database, query)


def find_states(flow: Flow, names: list[str] | None = None) -> Listed[State]:
    """Where these models stand, or all that ask; plain models where they were made just now."""
    with flow.files.open_ledger() as database:
        found = states(database, names)
    if names is None:
        return Listed(found)
    known = {state.model: state for state in found} | flow.found.built
    return Listed(known[name] for name in names if name in known)


def find_run_model(flow: Flow, name: str) -> Model:
    """A model that has been run. Raises ProjectError where it has not."""
    picked = flow.graph.find_model(name)
    with flow.files.open_ledger() as database:
        if not database.call("latest_run", model=name):
            _ = picked.own_prompt  # a plain one never has a run
            raise ProjectError(f"'{name}' has not been run yet", hint=f"enrich run {name}")
    return picked


def find_life(flow: Flow, name: str, key: tuple[str, ...]) -> Rows:
    """The life of one row, by the values of its key as text, in the order of its columns."""
    picked = find_run_model(flow, name)
    with flow.files.open_ledger() as database:
        kinds = find_key(database, picked.name)
        if len(key) != len(kinds):
            columns = " ".join(f"--key {column.upper()}" for column in kinds)
            message = f"the key of '{name}' has {len(kinds)} columns: {', '.join(kinds)}"
            raise ProjectError(message, hint=f"enrich history {name} {columns}")
        values = {f"key_{number}": value for number, value in enumerate(key)}
        found = fetch_rows(database, history.life(picked.name, kinds), **values)
    if not found.rows:
        what = f"no row of '{name}' ever had the key {', '.join(key)}"
        raise InputError(what, hint=f"enrich.{quote.readable(name)} shows them")
    return found


def find_failures(flow: Flow, name: str, limit: int) -> Failures:
    """The first `limit` rows of a model that are not ok, and how many there are of each kind."""
    picked = find_run_model(flow, name)
    with flow.files.open_ledger() as database:
        database.execute(tables.inputs_completed(picked.name))
        database.execute(tables.settled(picked.name))
        counts = fetch_rows(database, statement("failed_counts"))
        return Failures(rows=fetch_rows(database, tables.failures(), limit=limit), counts=counts)


def find_failing(flow: Flow, result: Result, limit: int) -> Rows:
    """The first rows that a test found."""
    with flow.files.open_warehouse("read") as database:
        return fetch_rows(database, f"FROM {result.table} LIMIT {limit}")


def sum_costs(flow: Flow, by: By) -> Rows:
    """What was spent, summed; `enrich.costs` is made anew."""
    with flow.files.open_both() as database:
        write_books(database)
        return fetch_rows(database, costs.summed(by))
