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
def read_migrations() -> Mapping[int, str]:
    """Returns the SQL of the ledger's migrations by number, in order."""
    folder = files("enrich.db") / "sql" / "migrations"
    found = {
        int(each.name[:4]): each.read_text(encoding="utf-8")
        for each in folder.iterdir()
        if each.name.endswith(".sql")
    }
    return dict(sorted(found.items()))


def check_ledger_version(database: Database, path: Path) -> int:
    """Returns the number of the last migration that a ledger has been through, or 0 if it does not
    say. Raises DatabaseError if a newer enrich has migrated it beyond what this one knows."""
    if not database.call("ledger_has_version"):
        return 0
    version = database.fetch_one("SELECT coalesce(max(version), 0) FROM ledger.identity")[0]
    newest = max(read_migrations())
    if version > newest:
        what = f"{path} was written by a newer enrich: its version is {version}"
        hint = f"upgrade enrich in this environment, which knows versions up to {newest}"
        raise DatabaseError(what, hint=hint)
    return int(version)


def migrate_ledger(database: Database, path: Path) -> None:
    """Bring a ledger to the present version, one migration after another, each in a transaction.

    The first migration creates whatever table or column is missing, and runs whenever a process
    first opens the file; the others run once.
    """
    # The first migration runs every time, so that a half-made ledger heals. A ledger from before
    # migrations had numbers has no version either, and lacks some of its columns.
    version = check_ledger_version(database, path)
    for number, sql in read_migrations().items():
        if number > 1 and number <= version:
            continue
        with database.transaction():
            database.execute(sql)
            if number > max(version, 1):
                database.execute("UPDATE ledger.identity SET version = $number", number=number)
