"""Publish: replace a model's table in the warehouse, in one transaction.

What is published is a function of the ledger alone: the model's rows as last snapshotted, and the
responses to what they stand for. So it can be made again at any time, at no cost.

What enrich makes carries a comment that says so, and what it was made from: nothing without one is
ever replaced, and nothing is made twice from the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import quote, tables
from enrich.errors import ProjectError
from enrich.plan import Run
from enrich.responses import Judge, judge_again

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.database import Database
    from enrich.model import Model

MARK = "made by enrich from "
SCHEMAS = ("main", "enrich")
"""Where a model's tables stand: the published one, and its provenance."""
READERS = {".csv": "read_csv", ".parquet": "read_parquet", ".jsonl": "read_ndjson"}
"""The files of seeds/ that become tables, and DuckDB's function for each."""


def publish(database: Database, model: str) -> None:
    """Replace the tables `model` and `enrich.model`, unless they are as they would become.

    Needs warehouse and ledger.
    """
    run = Run.latest(database, model)
    database.run(tables.inputs_completed(model))
    rows_from, read = database.one(tables.state(model))
    version = f"a model: prompt {run.prompt}, rows of run {rows_from}, {read} batches read"
    if not _current(database, model, version):
        _replace(database, model, Judge.of(database, run.prompt), version)
    database.run(tables.counted(model), run=run.run)


def _replace(database: Database, model: str, judge: Judge, version: str) -> None:
    with database.transaction():
        database.run(tables.present(model))
        judge_again(database, judge)
    database.run(tables.settled(model))
    database.run(tables.kept(model, judge.output, judge.form))
    with database.transaction():
        for schema in SCHEMAS:
            check_free(database, model, "a model", schema=schema)
        database.run(tables.published(model, judge.output, judge.form))
        database.run(tables.provenance(model))
        for schema in SCHEMAS:
            mark(database, "TABLE", schema, model, _sealed(database, schema, model, version))


def _current(database: Database, model: str, version: str) -> bool:
    """Whether both tables were made from just this, and have their rows still."""
    for schema in SCHEMAS:
        found = database.script("exists", schema=schema, name=model)
        if not found or found[0][0] != "TABLE":
            return False
        if found[0][1] != MARK + _sealed(database, schema, model, version):
            return False
    return True


def _sealed(database: Database, schema: str, model: str, version: str) -> str:
    """The version with a hash of all that is in the table: a change by anybody shows."""
    table = quote.name("warehouse", schema, model)
    rows, seal = database.one(f"SELECT count(*), bit_xor(hash(every)) FROM {table} AS every")
    return f"{version}, {rows} rows, seal {seal or 0:x}"


def build(database: Database, model: Model) -> None:
    """Make a plain SQL model's view. Needs the warehouse."""
    with database.transaction():
        _cleared(database, model.name, "a model")
        database.run(f"CREATE VIEW {quote.name('warehouse', 'main', model.name)} AS\n{model.query}")
        mark(database, "VIEW", "main", model.name, "a model")


def seed(database: Database, name: str, path: Path) -> bool:
    """Load a seed file as a table, unless it was loaded as it is now. Needs the warehouse."""
    stat = path.stat()
    version = f"{path.name}, {stat.st_size} bytes, {stat.st_mtime_ns}"
    found = database.script("exists", schema="main", name=name)
    if found and found[0][1] == f"{MARK}a seed: {version}":
        return False
    with database.transaction():
        _cleared(database, name, "a seed")
        database.run(
            f"CREATE TABLE {quote.name('warehouse', 'main', name)} AS "
            f"SELECT * FROM {READERS[path.suffix]}($path)",
            path=str(path),
        )
        mark(database, "TABLE", "main", name, f"a seed: {version}")
    return True


def check_free(database: Database, name: str, source: str, *, schema: str = "main") -> str:
    """Refuse a name that stands for what enrich did not make, or made from something else.

    Gives TABLE or VIEW if there is one that may be replaced, else nothing.
    """
    found = database.script("exists", schema=schema, name=name)
    if not found:
        return ""
    kind, comment = found[0]
    if not str(comment or "").startswith(MARK + source):
        whose = f"is {comment}" if str(comment or "").startswith(MARK) else "enrich did not make it"
        shown = name if schema == "main" else f"{schema}.{name}"
        hint = f"drop it (DROP {kind} {shown}) or rename the file"
        raise ProjectError(f"the warehouse has a table '{shown}': {whose}", hint=hint)
    return str(kind)


def _cleared(database: Database, name: str, source: str) -> None:
    """Make room for a table or view."""
    kind = check_free(database, name, source)
    if kind:
        database.run(f"DROP {kind} {quote.name('warehouse', 'main', name)}")


def mark(database: Database, kind: str, schema: str, name: str, source: str) -> None:
    """Say in a table's or view's comment that enrich made it, and from what."""
    where = quote.name("warehouse", schema, name)
    database.run(f"COMMENT ON {kind} {where} IS {quote.text(MARK + source)}")
