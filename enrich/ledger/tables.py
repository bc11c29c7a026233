"""Tables of the ledger, for whoever copies or reads all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enrich.db.quote import quote_name
from enrich.errors import ProjectError

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles


def check_ledger_exists(files: DatabaseFiles) -> None:
    if not files.ledger.exists():
        hint = "the first run creates it; to restore an export: enrich ledger import DIR"
        raise ProjectError(f"there is no ledger: {files.ledger}", hint=hint)


def list_tables(database: Ledger) -> list[tuple[str, dict[str, str]]]:
    """Returns the ledger's tables, those of models as `inputs.NAME`, and the types of their
    columns."""
    return [
        (name, dict(zip(columns, kinds, strict=True)))
        for name, columns, kinds in database.call("ledger_tables")
    ]


def quote_ledger_table(table: str) -> str:
    schema, _, name = table.rpartition(".")
    return quote_name("ledger", schema or "main", name)


def allow_folders(files: DatabaseFiles, *folders: Path) -> DatabaseFiles:
    """Returns the same databases for a DuckDB that may also open these folders."""
    # A DuckDB that has been started cannot be allowed more, so these files start one of their own.
    return replace(files, reach=folders, attached=())
