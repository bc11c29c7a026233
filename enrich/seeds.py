"""Seeds and sources: what the user brings becomes tables and views of the warehouse."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from enrich.compiler import quote
from enrich.folder import READERS
from enrich.marks import MARK, cleared, comment, is_ours, mark

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from enrich.database import Database
    from enrich.sources import Source


def seed(database: Database, name: str, path: Path) -> bool:
    """Load a seed file as a table, unless it was loaded as it is now. Needs the warehouse."""
    stat = path.stat()
    version = f"{path.name}, {stat.st_size} bytes, {stat.st_mtime_ns}"
    found = database.script("exists", schema="main", name=name)
    if found and found[0][1] == comment(database, f"a seed: {version}"):
        return False
    with database.transaction():
        cleared(database, name, "a seed")
        database.run(
            f"CREATE TABLE {quote.name('warehouse', 'main', name)} AS "
            f"SELECT * FROM {READERS[path.suffix]}($path)",
            path=str(path),
        )
        mark(database, "TABLE", "main", name, f"a seed: {version}")
    return True


def forget_sources(database: Database, sources: Sequence[Source]) -> None:
    """Drop the views of sources that are not declared any more. Needs the warehouse."""
    known = {each.name for each in sources}
    for name, said in database.script("source_views", mark=f"{MARK}a source"):
        if name not in known and is_ours(database, said):
            database.run(f"DROP VIEW {quote.name('warehouse', 'main', name)}")


def source(database: Database, source: Source) -> bool:
    """Make the view of a source's files, unless it is there. Needs the warehouse."""
    version = f"a source: {sha256(source.query.encode()).hexdigest()[:12]}"
    found = database.script("exists", schema="main", name=source.name)
    if found and found[0][1] == comment(database, version):
        return False
    with database.transaction():
        cleared(database, source.name, "a source")
        name = quote.name("warehouse", "main", source.name)
        database.run(f"CREATE VIEW {name} AS\n{source.query}")
        mark(database, "VIEW", "main", source.name, version)
    return True
