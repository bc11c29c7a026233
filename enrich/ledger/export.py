"""Exports: the ledger as a folder of Parquet files.

An export has a file for each table, and `manifest.json`, which names every file with its rows and
its hash. It is written last, so an incomplete export cannot pass for a complete one.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from errno import ENOSPC
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.db.complaint import DISK_FULL
from enrich.db.creation import keep_private
from enrich.db.disk import sync_to_disk
from enrich.db.quote import quote_name
from enrich.errors import Damaged, DatabaseError, DiskError
from enrich.ledger.integrity import Part, read_in_pieces
from enrich.ledger.tables import allow_folders, check_ledger_exists, list_tables, quote_ledger_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.manifest.backup import Backup

MANIFEST_NAME = "manifest.json"
EXPORT_FORMAT = 1
"""The version of the export format; a newer enrich may write a higher number."""
INPUTS_PREFIX = "inputs."
LOSSY_TYPES = (
    "HUGEINT",
    "UHUGEINT",
    "BIGNUM",
    "BIT",
    "ENUM",
    "INTERVAL",
    "TIMETZ",
    "TIME WITH TIME ZONE",
    "TIME_NS",
    "TIMESTAMP_S",
    "TIMESTAMP_MS",
    "TIMESTAMP_NS",
)
"""Prefixes of types that Parquet cannot hold without loss: their values are exported as text.

DuckDB writes a HUGEINT as a DOUBLE, and has no Parquet type for the other ones or for their
precision.
"""
OPTIONAL_COLUMNS = {
    "requests": frozenset({"tail", "bytes"}),
    "responses": frozenset(
        {
            "reason",
            "status_code",
            "finish",
            "llm",
            "input_tokens",
            "cached_tokens",
            "output_tokens",
            "reasoning_tokens",
            "judged_by",
            "received_at",
        }
    ),
}
"""Columns that can be exported as NULL if they cannot be read: the answer itself is still
complete."""
MANIFEST_TYPES = {
    "rows": int,
    "unread": int,
    "incomplete": int,
    "sha256": str,
    "columns": dict,
}
"""What a manifest records about each table, and the type of each entry."""
EXPORT_AGAIN_HINT = "use another export, or export again: enrich ledger export DIR"


@dataclass(frozen=True, kw_only=True)
class Export:
    """An existing export: its folder, its time, the id and state of the ledger that it was made of,
    and its tables."""

    folder: Path
    exported_at: datetime
    ledger: str
    state: str
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


def write_export(files: DatabaseFiles, folder: Path, *, skip_damaged: bool = False) -> Export:
    """Write the whole ledger to a new folder, completely or not at all.

    `skip_damaged` leaves out rows that cannot be read; the manifest counts them. Raises DiskError
    if the folder cannot be written, and Damaged if a table cannot be read without `skip_damaged`.
    """
    check_ledger_exists(files)
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        hint = "name a folder that does not exist yet"
        raise DiskError(f"{folder} already exists and is not empty", hint=hint)
    # Beside the folder, because a rename cannot cross file systems; hidden until it is complete.
    draft = folder.with_name(f".{folder.name}.part")
    try:
        with keep_private():  # it holds everything that was asked and answered
            _remove_folder(draft)
            (draft / "inputs").mkdir(parents=True)
            manifest = _write_tables(files, draft, skip_damaged=skip_damaged)
            (draft / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        for path in (*draft.rglob("*"), draft):
            sync_to_disk(path)
        draft.rename(folder)
        sync_to_disk(folder.parent)
    except OSError as problem:
        with suppress(OSError):
            _remove_folder(draft)
        hint = "free some disk space, or name a folder that you can write to"
        what = DISK_FULL if problem.errno == ENOSPC else problem.strerror
        raise DiskError(f"{folder} cannot be written: {what}", hint=hint) from problem
    except BaseException:  # Ctrl-C as well: a draft can be as large as the ledger
        with suppress(OSError):
            _remove_folder(draft)
        raise
    return read_manifest(folder)


def _remove_folder(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _write_tables(files: DatabaseFiles, draft: Path, *, skip_damaged: bool) -> dict[str, Any]:
    """Write the tables to a folder. Returns its manifest."""
    tables: dict[str, Any] = {}
    reaching = allow_folders(files, draft)
    with reaching.open_ledger("read") as database:
        identity, state = _read_identity(database), hash_ledger(database)
        for name, columns in list_tables(database):
            path = draft / name_file(name)
            lost = _write_table(database, name, columns, path, skip_damaged=skip_damaged)
            # Counted in the file: it is what the next import will find.
            (rows,) = database.fetch_one("SELECT count(*) FROM read_parquet($path)", path=path)
            tables[name] = {
                "rows": rows,
                "unread": lost[0],
                "incomplete": lost[1],
                "columns": columns,
                **describe_file(path),
            }
    return {
        "format": EXPORT_FORMAT,
        "enrich": version("enrich"),
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "ledger": identity,
        "state": state,
        "tables": tables,
    }


def _read_identity(database: Ledger) -> str:
    with suppress(Damaged, DatabaseError):  # missing if the first run was killed
        return "".join(str(row[0]) for row in database.execute("SELECT id FROM ledger.identity"))
    return ""


def hash_ledger(database: Ledger) -> str:
    """Returns a value that changes with the ledger's contents; "" if they cannot be read."""
    with suppress(Damaged, DatabaseError):
        return str(database.call("ledger_state")[0][0])
    return ""


def name_file(table: str) -> str:
    # In a folder of their own, because a model can have the name of one of the ledger's tables.
    model = table.removeprefix(INPUTS_PREFIX)
    return f"{table}.parquet" if model == table else f"inputs/{model}.parquet"


def describe_file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": file_digest(file, "sha256").hexdigest()}


def _write_table(
    database: Ledger, name: str, columns: Mapping[str, str], path: Path, *, skip_damaged: bool
) -> tuple[int, int]:
    """Write a table as Parquet. Returns how many of its rows are missing from the file, and how
    many are in it without one of the OPTIONAL_COLUMNS."""
    parts = {column: _render_column(database, name, column, columns[column]) for column in columns}
    query = f"SELECT {', '.join(parts.values())} FROM {quote_ledger_table(name)}"
    target = "TO $path (FORMAT parquet, COMPRESSION zstd)"
    try:
        database.execute(f"COPY ({query}) {target}", path=path)
        return 0, 0
    except Damaged:
        if not skip_damaged:
            raise
    database.execute(f"CREATE OR REPLACE TEMP TABLE _enrich_readable AS {query} LIMIT 0")
    insert = "INSERT INTO temp._enrich_readable"
    incomplete = 0

    def read(piece: str, smallest: bool) -> int:
        nonlocal incomplete
        try:
            return int(database.fetch_one(f"{insert} {query}{piece}")[0])
        except Damaged:
            lost = _find_unreadable(database, name, columns, piece) if smallest else set()
            if not lost:
                raise
        listed = (f"NULL AS {quote_name(c)}" if c in lost else parts[c] for c in columns)
        most = f"SELECT {', '.join(listed)} FROM {quote_ledger_table(name)}{piece}"
        (many,) = database.fetch_one(f"{insert} {most}")
        incomplete += int(many)
        return int(many)

    _, unread = read_in_pieces(database, name, read)
    database.execute(f"COPY temp._enrich_readable {target}", path=path)
    return unread, incomplete


def _find_unreadable(
    database: Ledger, table: str, columns: Mapping[str, str], piece: str
) -> set[str]:
    """Returns the OPTIONAL_COLUMNS that cannot be read in this piece of a table."""
    lost = set()
    for column in OPTIONAL_COLUMNS.get(table, frozenset()) & columns.keys():
        try:
            database.execute(
                f"SELECT max({quote_name(column)}) FROM {quote_ledger_table(table)}{piece}"
            )
        except Damaged:
            lost.add(column)
    return lost


def _render_column(database: Ledger, table: str, column: str, kind: str) -> str:
    """Returns a column as Parquet can hold it: lossy types as text, inside a key as well."""
    name = quote_name(column)
    if column == "key" and table.startswith(INPUTS_PREFIX):
        fields = database.describe(f"SELECT unnest({name}) FROM {quote_ledger_table(table)}")
        parts = (
            f"{quote_name(field)} := {_render_storable(f'{name}.{quote_name(field)}', of)}"
            for field, of in fields.items()
        )
        return f"CASE WHEN {name} IS NOT NULL THEN struct_pack({', '.join(parts)}) END AS {name}"
    return f"{_render_storable(name, kind)} AS {name}"


def _render_storable(value: str, kind: str) -> str:
    return f"CAST({value} AS VARCHAR)" if kind.startswith(LOSSY_TYPES) else value


def read_manifest(folder: Path) -> Export:
    """Returns what an export's manifest says; raises DiskError if the export is not complete."""
    said = load_manifest(folder)
    parts = tuple(
        Part(
            table=name,
            rows=each["rows"],
            unread=each["unread"],
            incomplete=each["incomplete"],
        )
        for name, each in said["tables"].items()
    )
    moment = datetime.fromisoformat(said["exported_at"])
    return Export(
        folder=folder,
        exported_at=moment,
        ledger=said["ledger"],
        state=said["state"],
        parts=parts,
    )


def load_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST_NAME
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        known = said["format"]
        # Checked here, once, so that nothing below has to expect a file that was edited by hand.
        for each in said["tables"].values():
            for key, kind in MANIFEST_TYPES.items():
                if not isinstance(each[key], kind):
                    raise TypeError(key)
        datetime.fromisoformat(said["exported_at"])
        if not isinstance(said["ledger"], str) or not isinstance(said["state"], str):
            raise TypeError("ledger")
    except FileNotFoundError as problem:
        hint = "name the folder that `enrich ledger export` wrote"
        raise DiskError(
            f"{folder} is not a complete export: it has no {MANIFEST_NAME}", hint=hint
        ) from problem
    except OSError as problem:
        message = f"{path} cannot be read: {problem.strerror}"
        raise DiskError(message, hint="check its permissions") from problem
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        message = f"{path} is damaged: its contents are not what an export writes"
        raise DiskError(message, hint=EXPORT_AGAIN_HINT) from problem
    if known != EXPORT_FORMAT:
        message = f"{folder} was exported by a newer enrich, {said.get('enrich', 'unknown')}"
        raise DiskError(message, hint="upgrade enrich in this environment")
    return dict(said)


def export_if_changed(files: DatabaseFiles, backup: Backup) -> Export | None:
    """Export the ledger if it has changed since the last export, and delete the oldest exports.

    Returns the new export, None if there was nothing to do.
    """
    with files.open_ledger("read") as database:
        state = hash_ledger(database)
    known = read_latest_export(backup.list_exports())
    if known is not None and state and known.state == state:
        return None
    found = write_export(files, backup.choose_folder())
    backup.prune()  # last, so that there is a complete export at every moment
    return found


def read_latest_export(folders: Sequence[Path]) -> Export | None:
    """Returns the last of these folders that is a complete export, None if none is."""
    for folder in reversed(folders):
        with suppress(DiskError):
            return read_manifest(folder)
    return None


def remember_export(files: DatabaseFiles, made: Export) -> None:
    """Remember the folder of an export, so that `enrich debug` can report how old it is."""
    # Not in the ledger: that would change its state, and the export would count as outdated.
    said = {"folder": str(made.folder)}
    with suppress(OSError), keep_private():
        _remembered_path(files).write_text(json.dumps(said), encoding="utf-8")


def find_newest_export(files: DatabaseFiles, backup: Backup | None) -> Export | None:
    """Returns the newest export of this ledger that still exists, None if there is none."""
    folders = list(backup.list_exports()) if backup else []
    with suppress(OSError, ValueError, KeyError, TypeError):
        folders.append(
            Path(json.loads(_remembered_path(files).read_text(encoding="utf-8"))["folder"])
        )
    found = [
        each for each in (read_latest_export([folder]) for folder in folders) if each is not None
    ]
    return max(found, key=lambda each: each.exported_at, default=None)


def _remembered_path(files: DatabaseFiles) -> Path:
    return files.work / "export.json"
