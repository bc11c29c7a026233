"""Restoring: the ledger is created from an export, completely or not at all."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from enrich.db.alias import list_logs
from enrich.db.disk import sync_to_disk
from enrich.db.quote import quote_name
from enrich.errors import Damaged, DiskError, ProjectError, count_nouns
from enrich.ledger.export import (
    EXPORT_AGAIN_HINT,
    INPUTS_PREFIX,
    describe_file,
    load_manifest,
    name_file,
)
from enrich.ledger.tables import allow_folders, list_tables, quote_ledger_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles

CORE_TABLES = {"identity", "prompts", "runs", "batches", "requests", "responses"}
"""The tables that every export has had: without one of them, answers would be paid for again."""
REPLACED_AT = "%Y%m%dT%H%M%S"
"""How the name of a replaced ledger ends: without colons, which Windows forbids in file names."""


def restore_export(
    files: DatabaseFiles, folder: Path, *, replace_ledger: bool = False
) -> Path | None:
    """Create the ledger from an export, completely or not at all. Needs the project's lock.

    A ledger that holds anything is replaced only with `replace_ledger`. Returns the path under
    which the old one is kept, None if there was none.
    """
    folder = folder.absolute()
    files = replace(files, ledger=files.ledger.resolve())  # a symbolic link is kept
    said = load_manifest(folder)
    if absent := sorted(CORE_TABLES - said["tables"].keys()):
        message = f"{folder} is not a complete export: its manifest does not name {absent[0]}"
        raise DiskError(message, hint=EXPORT_AGAIN_HINT)
    # All files are checked before anything is written.
    for name, each in said["tables"].items():
        _check_file(folder, name_file(name), each)
    if files.ledger.exists() and not replace_ledger and not _is_empty(files):
        message = f"{files.ledger} holds answers that were paid for, and is not replaced"
        hint = "enrich ledger import DIR --replace keeps it under another name"
        raise ProjectError(message, hint=hint)
    draft = files.ledger.with_name(f"{files.ledger.name}.import")
    try:
        for path in (draft, *list_logs(draft)):
            path.unlink(missing_ok=True)
        target = replace(allow_folders(files, folder), ledger=draft)
        with target.open_ledger() as database, database.transaction():
            _fill_tables(database, folder, said["tables"])
        sync_to_disk(draft)
        return _replace_ledger(files, draft)
    except OSError as problem:
        message = f"{files.ledger} cannot be written: {problem.strerror}"
        raise DiskError(message, hint="free some disk space, or check its permissions") from problem
    finally:
        with suppress(OSError):
            for path in (draft, *list_logs(draft)):
                path.unlink(missing_ok=True)


def _check_file(folder: Path, name: str, said: Mapping[str, Any]) -> None:
    """Raises DiskError if a file of an export is missing or has changed since it was written."""
    path = folder / name
    try:
        found = describe_file(path)["sha256"]
    except FileNotFoundError as problem:
        message = f"{folder} is not a complete export: {name} is missing"
        raise DiskError(message, hint=EXPORT_AGAIN_HINT) from problem
    except OSError as problem:
        message = f"{path} cannot be read: {problem.strerror}"
        raise DiskError(message, hint="check its permissions") from problem
    if found != said["sha256"]:
        message = f"{path} is damaged: it has changed since it was exported"
        raise DiskError(message, hint=EXPORT_AGAIN_HINT)


def _is_empty(files: DatabaseFiles) -> bool:
    """Whether every table of the ledger is empty, apart from its identity."""
    with files.open_ledger("read") as database:
        return not any(
            database.fetch_one(f"SELECT count(*) FROM {quote_ledger_table(name)}")[0]
            for name, _ in list_tables(database)
            if name != "identity"
        )


def _fill_tables(database: Ledger, folder: Path, tables: Mapping[str, Any]) -> None:
    """Fill the tables of a new ledger, and create those of models."""
    there = dict(list_tables(database))
    for name, said in tables.items():
        # A newer enrich may have added columns or tables, which would be lost here.
        unknown = sorted(said["columns"].keys() - there.get(name, said["columns"]).keys())
        if (name not in there and not name.startswith(INPUTS_PREFIX)) or unknown:
            what = f"{name}.{unknown[0]}" if unknown else name
            message = (
                f"{folder} contains something that this version of enrich does not know: {what}"
            )
            raise DiskError(message, hint="upgrade enrich in this environment")
        # Types that were exported as text become what they were.
        casts = ", ".join(
            f"CAST({quote_name(column)} AS {kind}) AS {quote_name(column)}"
            for column, kind in said["columns"].items()
        )
        query = f"SELECT {casts} FROM read_parquet($path)"
        # By name, because the export of an older enrich lacks the columns added since.
        if name in there:
            database.execute(f"DELETE FROM {quote_ledger_table(name)}")
            database.execute(
                f"INSERT INTO {quote_ledger_table(name)} BY NAME {query}",
                path=folder / name_file(name),
            )
        else:
            database.execute(
                f"CREATE TABLE {quote_ledger_table(name)} AS {query}",
                path=folder / name_file(name),
            )
        (rows,) = database.fetch_one(f"SELECT count(*) FROM {quote_ledger_table(name)}")
        if rows != said["rows"]:
            message = (
                f"{folder} is damaged: {name} has {count_nouns(rows, 'row')}, not {said['rows']:,}"
            )
            raise DiskError(message, hint=EXPORT_AGAIN_HINT)


def _replace_ledger(files: DatabaseFiles, draft: Path) -> Path | None:
    """Replace the ledger by the draft in one step. Returns the path under which the old one is
    kept.

    The old file gets a second name first, so there is a ledger at every moment: without one, the
    next command would start an empty one and pay again.
    """
    ledger, aside = files.ledger, None
    if ledger.exists():
        with suppress(Damaged), files.open_ledger():
            pass  # no other process has it open, and DuckDB has merged its log
        aside = _find_free_name(
            ledger.with_name(f"{ledger.name}.{datetime.now(UTC).strftime(REPLACED_AT)}")
        )
        _give_second_name(ledger, aside)
        for log, kept in zip(list_logs(ledger), list_logs(aside), strict=True):
            if log.exists():
                _give_second_name(log, kept)
                log.unlink()  # DuckDB would replay it into the new ledger
    draft.replace(ledger)
    sync_to_disk(ledger.parent)
    return aside


def _find_free_name(path: Path) -> Path:
    """Returns the path, or the first numbered variant of it that does not exist."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def _give_second_name(path: Path, name: Path) -> None:
    """Give a file a second name: a hard link, or a copy."""
    try:
        os.link(path, name)
    except OSError:  # a file system without hard links
        shutil.copy2(path, name)
