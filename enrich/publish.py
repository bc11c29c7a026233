"""Publish: replace a model's table in the warehouse, in one transaction.

What is published is a function of the ledger alone: the model's rows as last snapshotted, and the
responses to what they stand for. So it can be made again at any time, at no cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import quote, tables
from enrich.errors import ProjectError
from enrich.plan import Run
from enrich.responses import Judge

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.database import Database, Row
    from enrich.model import Model

KINDS = {"seed": "a seed", "sql": "a model", "enrichment": "a model"}


def publish(database: Database, model: str) -> int:
    """Replace the tables `model` and `enrich.model`; gives the number of answered rows.

    Needs warehouse and ledger.
    """
    run = Run.latest(database, model)
    judge = Judge.of(database, run.prompt)
    database.run(tables.settled(model))
    with database.transaction():
        claim(database, model, "enrichment")
        database.run(tables.published(model, judge.output, judge.form))
        database.run(tables.provenance(model))
    database.script("published", run=run.run)
    return int(database.one(f"SELECT count(*) FROM {quote.name('warehouse', 'main', model)}")[0])


def build(database: Database, model: Model) -> None:
    """Make a plain SQL model's view. Needs the warehouse."""
    with database.transaction():
        claim(database, model.name, "sql")
        database.run(f"CREATE VIEW {quote.name('warehouse', 'main', model.name)} AS\n{model.query}")


def seed(database: Database, name: str, path: Path) -> bool:
    """Load a seed file as a table, unless it was loaded as it is now. Needs the warehouse."""
    stat = path.stat()
    digest = f"{path.name} {stat.st_size} {stat.st_mtime_ns}"
    known = database.script("relation", name=name)
    if known and known[0][1] == digest and database.script("exists", name=name):
        return False
    with database.transaction():
        claim(database, name, "seed", digest)
        database.run(
            f"CREATE TABLE {quote.name('warehouse', 'main', name)} AS "
            f"SELECT * FROM {READERS[path.suffix]}($path)",
            path=str(path),
        )
    return True


READERS = {".csv": "read_csv", ".parquet": "read_parquet", ".jsonl": "read_ndjson"}
"""The files of seeds/ that become tables, and DuckDB's function for each."""


def check_free(database: Database, name: str, kind: str) -> list[Row]:
    """Refuse a name that stands for what enrich did not make, or made from something else."""
    found = database.script("exists", name=name)
    known = database.script("relation", name=name)
    if found and (not known or known[0][0] != kind):
        whose = f"made from {KINDS[known[0][0]]}" if known else "that enrich did not make"
        hint = f"drop it (DROP {found[0][0]} {quote.name(name)}) or rename the file"
        raise ProjectError(f"the warehouse has a table '{name}' {whose}", hint=hint)
    return found


def claim(database: Database, name: str, kind: str, digest: str = "") -> None:
    """Make room for a table or view that enrich makes."""
    found = check_free(database, name, kind)
    if found and (kind != "enrichment"):
        database.run(f"DROP {found[0][0]} {quote.name('warehouse', 'main', name)}")
    database.script("claim_dropped", name=name)
    database.script("claim", name=name, kind=kind, digest=digest)
