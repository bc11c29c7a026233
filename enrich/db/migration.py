"""The ledger's numbered migrations: a ledger of any earlier enrich becomes one of today."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from enrich.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.db.database import Database


@cache
def migrations() -> Mapping[int, str]:
    """The ledger's migrations by number, and the SQL of each."""
    folder = files("enrich.db") / "sql" / "migrations"
    found = {
        int(each.name[:4]): each.read_text(encoding="utf-8")
        for each in folder.iterdir()
        if each.name.endswith(".sql")
    }
    return dict(sorted(found.items()))


def check_version(database: Database, path: Path) -> int:
    """The last migration that a ledger has been through; 0: none that it knows of. Raises
    DatabaseError where a newer enrich has made it into what this one does not know."""
    if not database.call("ledger_has_version"):
        return 0
    version = database.fetch_one("SELECT coalesce(max(version), 0) FROM ledger.identity")[0]
    if version > max(migrations()):
        what = f"{path} was written by a newer enrich: its version is {version}"
        hint = f"upgrade enrich in this environment, which knows versions up to {max(migrations())}"
        raise DatabaseError(what, hint=hint)
    return int(version)


def migrate(database: Database, path: Path) -> None:
    """Bring a ledger to the present version, one migration after another, each whole or not at all.

    The first one makes whatever table or column is missing, and is run whenever a process meets
    the file; the others are run once.
    """
    version = check_version(database, path)
    for number, sql in migrations().items():
        if number > 1 and number <= version:
            continue
        with database.transaction():
            database.execute(sql)
            if number > max(version, 1):
                database.execute("UPDATE ledger.identity SET version = $number", number=number)
