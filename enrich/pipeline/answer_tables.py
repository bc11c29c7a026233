"""The three tables of a model: the published one, its provenance and its history.

What they hold depends on the ledger alone: on the model's rows as of the last snapshot, and on the
responses to their requests. Their comments say what they were made from, and a hash of their rows.
If few rows have changed since, only these are written again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from enrich.compiler import changed_rows, history, input_rows, tables
from enrich.db.ownership import (
    MARK_START,
    check_name_free,
    clear_name,
    find_mark,
    mark_table,
    render_comment,
)
from enrich.db.quote import quote_name
from enrich.manifest.model import HISTORY_ENDING
from enrich.pipeline.portion import ROWS_TOGETHER
from enrich.pipeline.read import Judge, judge_again

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.db.database import Both, Ledger, Warehouse
    from enrich.ledger.run import Run
    from enrich.manifest.data_test import DataTest

ANSWERS_MARK = "a model: prompt "
"""What follows `MARK_START` in the comment on a table of answers."""
PUBLISHED_SCHEMAS = ("main", "enrich")
"""The schemas of a model's own table and of its provenance."""
MOST_PIECES = 64
"""Into how many pieces the rows are divided at most: each piece reads the fingerprints of all."""
FEW_CHANGED = 0.3
"""Up to this share of changed rows, writing only them is faster than writing all of them."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a model's tables are made from: a version, the run in which the model's rows last
    changed, the number of batches read before, what tells this state of the ledger from others
    (`as_of.sql`), and a hash of the tests that they passed."""

    version_id: str
    rows_from: int
    read: int
    as_of: str
    tests: str

    PATTERN = re.compile(
        rf"{MARK_START}{ANSWERS_MARK}(?P<version_id>\S+), rows of run (?P<rows_from>\d+), "
        r"(?P<read>\d+) batches read, as of (?P<as_of>\w+), tests (?P<tests>\w+), "
    )

    @classmethod
    def of(cls, database: Ledger, run: Run, tests: Sequence[DataTest]) -> Origin:
        """Returns what the tables of a run's model would be made from now."""
        rows_from, read = database.fetch_one(tables.render_table_state(run.model))
        definitions = "".join(test.definition for test in tests)
        tests_hash = sha256(definitions.encode()).hexdigest()[:8] if tests else "none"
        ((as_of,),) = database.call("as_of", read=read, run=rows_from)
        return cls(
            version_id=run.version_id, rows_from=rows_from, read=read, as_of=as_of, tests=tests_hash
        )

    @classmethod
    def from_comment(cls, comment: str) -> Origin | None:
        """Returns what a table's comment says it was made from; None if it does not say that."""
        found = cls.PATTERN.match(find_mark(comment))
        if found is None:
            return None
        return cls(
            version_id=found["version_id"],
            rows_from=int(found["rows_from"]),
            read=int(found["read"]),
            as_of=found["as_of"],
            tests=found["tests"],
        )

    def __str__(self) -> str:
        made_from = f"{self.version_id}, rows of run {self.rows_from}, {self.read} batches read"
        return f"{ANSWERS_MARK}{made_from}, as of {self.as_of}, tests {self.tests}"


def find_key(database: Ledger, model: str) -> dict[str, str]:
    """Returns the columns of a model's key and their types, according to the ledger."""
    return database.describe(f"SELECT key.* FROM {input_rows.name_inputs_table(model)}")


def find_origin(database: Warehouse, model: str) -> Origin | None:
    """Returns what the model's tables were made from; None if any of them is missing, or is not as
    it was made."""
    origins = set()
    for schema, name in _list_tables(model):
        found = database.call("exists", schema=schema, name=name)
        if not found or found[0][0] != "TABLE":
            return None
        said = find_mark(str(found[0][1]))
        origin = Origin.from_comment(said)
        sealed = _seal_origin(database, schema, name, str(origin))
        if origin is None or said != render_comment(database, sealed):
            return None
        origins.add(origin)
    return origins.pop() if len(origins) == 1 else None


def _list_tables(model: str) -> tuple[tuple[str, str], ...]:
    """Returns the schema and the name of each of a model's three tables."""
    return *((schema, model) for schema in PUBLISHED_SCHEMAS), ("enrich", model + HISTORY_ENDING)


def say_about(database: Warehouse, model: str, about: str) -> bool:
    """Whether the comments on the model's tables say what they are `about`."""
    comments = [
        str(database.call("exists", schema=schema, name=model)[0][1])
        for schema in PUBLISHED_SCHEMAS
    ]
    return all(each.removesuffix(find_mark(each)).strip() == about.strip() for each in comments)


def settle_answers(database: Both, run: Run, judge: Judge, was: Origin | None) -> bool:
    """Create `temp._enrich_settled`: the model's rows, each with its best response. Returns whether
    these are only the rows that have changed since the tables were made from `was`, if they are
    there: those in `temp._enrich_changed`."""
    model = run.model
    # In a transaction of its own: what is judged again stays so, even if the tables are rolled
    # back.
    with database.transaction():
        again = judge_model(database, model, judge)
    changed = was is not None and not again and _are_few_changed(database, run, was)
    (rows,) = database.fetch_one(input_rows.render_row_count(model))
    pieces = 1 if changed else min(MOST_PIECES, -(-int(rows) // ROWS_TOGETHER) or 1)
    for statement in tables.render_settled_rows(model, changed=changed, pieces=pieces):
        database.execute(statement)
    if database.call("unanswered")[0][0]:
        database.execute(tables.render_stale_answers(model, judge.output, judge.form))
    return changed


def judge_model(database: Ledger, model: str, judge: Judge) -> bool:
    """Judge the answers to a model's present rows by its own output, or by that of the version that
    they keep an answer to; and those that its rows had before, which other models may have judged,
    by that of the version that asked them. Returns whether another output had judged any of them
    last: that of another model that asks the same, or an earlier one."""
    again = False
    for (version,) in database.call("asked_elsewhere", model=model):
        past = tables.render_past_fingerprints(model, str(version))
        again = judge_again(database, Judge.of(database, str(version)), past) or again
    # Afterwards, for a row may ask again now what it asked before.
    present = tables.render_present_fingerprints(model)
    again = judge_again(database, judge, present) or again
    for (version,) in database.execute(tables.render_kept_versions(model)):
        kept = tables.render_kept_fingerprints(model, str(version))
        again = judge_again(database, Judge.of(database, str(version)), kept) or again
    return again


def write_tables(
    database: Both, model: str, judge: Judge, origin: Origin, *, about: str, changed: bool
) -> None:
    """Create the model's three tables from `temp._enrich_settled`, each with its comment; with
    `changed`, replace only the rows in `temp._enrich_changed`."""
    rows = {
        ("main", model): tables.render_published_rows(judge.output, judge.form),
        ("enrich", model): tables.render_provenance_rows(),
        ("enrich", f"{model}{HISTORY_ENDING}"): history.render_history_rows(
            model, judge.output, judge.form, changed=changed
        ),
    }
    key = tuple(find_key(database, model))
    for (schema, name), select in rows.items():
        table = quote_name("warehouse", schema, name)
        if changed:
            database.execute(changed_rows.render_delete_changed(table, key))
            # By position, for a name may occur twice: CREATE TABLE gives the second one a number.
            database.execute(f"INSERT INTO {table}\n{select}")
            continue
        # CREATE OR REPLACE TABLE does not replace a view, which a plain model of this name left.
        if check_name_free(database, name, "a model", schema=schema) == "VIEW":
            clear_name(database, name, "a model")
        database.execute(f"CREATE OR REPLACE TABLE {table} AS\n{select}")
    words = {each.name: each.description for each in judge.output.columns if each.description}
    for schema, name in _list_tables(model):
        sealed = _seal_origin(database, schema, name, str(origin))
        columns = words if schema == "main" else {}
        said = about if name == model else ""
        mark_table(database, "TABLE", schema, name, sealed, about=said, columns=columns)


def _seal_origin(database: Warehouse, schema: str, name: str, origin: str) -> str:
    """Returns the origin with a hash of the table's rows and of its columns, so that a change by
    anybody is noticed."""
    # bit_xor because a table has no order: a hash of hashes in sequence would change with it.
    table = quote_name("warehouse", schema, name)
    columns = database.describe(f"FROM {table}")
    values = ", ".join(map(quote_name, columns))
    rows, seal = database.fetch_one(f"SELECT count(*), bit_xor(hash({values})) FROM {table}")
    # A number has the same hash in each of the types that hold it.
    shape = sha256(repr(list(columns.items())).encode()).hexdigest()[:16]
    return f"{origin}, {rows} rows, seal {(seal or 0) ^ int(shape, 16):x}"


def _are_few_changed(database: Both, run: Run, was: Origin) -> bool:
    """Create `temp._enrich_changed`: the model's rows that have changed since its tables were made.
    Returns whether these are few, and nothing that all rows depend on has changed."""
    model = run.model
    key = find_key(database, model)
    published = database.describe(f"FROM {quote_name('warehouse', 'enrich', model)}")
    same = was.version_id == run.version_id and all(
        published.get(column) == kind for column, kind in key.items()
    )
    same = same and database.call("as_of", read=was.read, run=was.rows_from) == [(was.as_of,)]
    if not same or not database.call("same_model", model=model, run=was.rows_from)[0][0]:
        return False
    (rows,) = database.fetch_one(f"SELECT count(*) FROM {input_rows.name_inputs_table(model)}")
    (answers,) = database.call("answers_since", model=model, read=was.read)[0]
    if answers > rows * FEW_CHANGED:  # then as many rows have changed, and they need not be found
        return False
    changed = changed_rows.render_changed_rows(model)
    database.execute(changed, read=was.read, run=was.rows_from)
    (many,) = database.fetch_one("SELECT count(*) FROM temp._enrich_changed")
    return bool(many <= rows * FEW_CHANGED)
