"""Copies of the ledger: check it, export it as Parquet, and import such an export.

An export is a folder with a Parquet file for each table, and `manifest.json`, which names every
file with its rows and its hash. It is written last, so an incomplete export cannot pass for a
complete one.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from errno import ENOSPC
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.db.alias import list_logs
from enrich.db.complaint import DISK_FULL
from enrich.db.creation import keep_private
from enrich.db.disk import sync_to_disk
from enrich.db.files import LEDGER_ROW_GROUP
from enrich.db.quote import quote_name
from enrich.errors import Damaged, DatabaseError, DiskError, ProjectError
from enrich.ledger.tables import allow_folders, check_ledger_exists, list_tables, quote_ledger_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
VECTOR_ROWS = 2048
"""DuckDB's vector size: it reads this many rows at a time, so a smaller piece would fail as
well."""
REPLACED_AT = "%Y%m%dT%H%M%S"
"""How the name of a replaced ledger ends: without colons, which Windows forbids in file names."""
EXPORT_AGAIN_HINT = "use another export, or export again: enrich ledger export DIR"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A table of the ledger: its rows, how many of them could not be read (`unread`), how many were
    read without one of their values (`incomplete`), and what is wrong (`faults`)."""

    table: str
    rows: int
    unread: int = 0
    incomplete: int = 0
    faults: tuple[str, ...] = ()


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


def check_ledger(files: DatabaseFiles) -> tuple[Part, ...]:
    """Read every row of every table and check references between them. Changes nothing.

    Raises Damaged if the ledger cannot be opened at all.
    """
    check_ledger_exists(files)
    with files.open_ledger("read") as database:
        found = {
            name: _check_table(database, name, columns) for name, columns in list_tables(database)
        }
        # References to a row that cannot be read would all be reported as missing.
        readable = not any(part.unread for part in found.values())
        if readable and {"batches", "prompts", "runs", "requests", "responses"} <= found.keys():
            for table, fault, many in _find_dangling(database):
                part = found[table]
                faults = (*part.faults, f"{many:,} {fault}")
                found[table] = replace(part, faults=faults)
    return tuple(found.values())


def _find_dangling(database: Ledger) -> list[tuple[Any, ...]]:
    try:
        return database.call("ledger_references")
    except DatabaseError:  # an older enrich created the ledger, without some of the columns
        return []


def _check_table(database: Ledger, table: str, columns: Mapping[str, str]) -> Part:
    """Read a whole table; if that fails, read it in pieces to find out how much is left of it."""
    # The hash makes DuckDB read every value: count(*) alone is answered from metadata.
    listed = ", ".join(quote_name(column) for column in columns)
    query = f"SELECT count(*), bit_xor(hash({listed})) FROM {quote_ledger_table(table)}"
    try:
        rows = int(database.fetch_one(query)[0])
    except Damaged:
        rows, unread = _read_in_pieces(
            database, table, lambda part, _: int(database.fetch_one(query + part)[0])
        )
        fault = f"up to {unread:,} of its rows cannot be read"
        return Part(table=table, rows=rows + unread, unread=unread, faults=(fault,))
    for (column,) in database.call("ledger_keys", table=table):
        name = quote_name(column)
        try:  # with a constant DuckDB scans the table, and the index would not be read
            for (key,) in database.execute(f"SELECT {name} FROM {quote_ledger_table(table)}"):
                database.execute(
                    f"SELECT 1 FROM {quote_ledger_table(table)} WHERE {name} = (SELECT $key)",
                    key=key,
                )
        except Damaged:
            return Part(table=table, rows=rows, faults=("its index is damaged, its rows are not",))
    return Part(table=table, rows=rows)


def _read_in_pieces(
    database: Ledger, table: str, read: Callable[[str, bool], int]
) -> tuple[int, int]:
    """Read a table row group by row group, and a damaged one vector by vector.

    `read` takes a WHERE clause, and whether the piece is one of the smallest; it returns the number
    of rows. Returns how many rows were read, and how many could not be.
    """
    try:
        (most,) = database.fetch_one(
            f"SELECT coalesce(max(rowid), -1) FROM {quote_ledger_table(table)}"
        )
    except Damaged:  # nothing of the table can be found without its row ids
        most = -1
    rows, unread = 0, 0
    left = [(first, LEDGER_ROW_GROUP) for first in range(0, int(most) + 1, LEDGER_ROW_GROUP)][::-1]
    while left:  # a stack, so the lists are reversed to read rows in order
        first, many = left.pop()
        last = min(first + many - 1, int(most))
        try:
            rows += read(f" WHERE rowid BETWEEN {first} AND {last}", many == VECTOR_ROWS)
        except Damaged:
            if many == LEDGER_ROW_GROUP:
                left += [(each, VECTOR_ROWS) for each in range(first, last + 1, VECTOR_ROWS)][::-1]
            else:
                unread += last - first + 1
    return rows, unread


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
            path = draft / _name_file(name)
            lost = _write_table(database, name, columns, path, skip_damaged=skip_damaged)
            # Counted in the file: it is what the next import will find.
            (rows,) = database.fetch_one("SELECT count(*) FROM read_parquet($path)", path=path)
            tables[name] = {
                "rows": rows,
                "unread": lost[0],
                "incomplete": lost[1],
                "columns": columns,
                **_hash_file(path),
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


def _name_file(table: str) -> str:
    # In a folder of their own, because a model can have the name of one of the ledger's tables.
    model = table.removeprefix(INPUTS_PREFIX)
    return f"{table}.parquet" if model == table else f"inputs/{model}.parquet"


def _hash_file(path: Path) -> dict[str, Any]:
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

    _, unread = _read_in_pieces(database, name, read)
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
    said = _load_manifest(folder)
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


def _load_manifest(folder: Path) -> dict[str, Any]:
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


def restore_export(
    files: DatabaseFiles, folder: Path, *, replace_ledger: bool = False
) -> Path | None:
    """Create the ledger from an export, completely or not at all. Needs the project's lock.

    A ledger that holds anything is replaced only with `replace_ledger`. Returns the path under
    which the old one is kept, None if there was none.
    """
    folder = folder.absolute()
    files = replace(files, ledger=files.ledger.resolve())  # a symbolic link is kept
    said = _load_manifest(folder)
    # All files are checked before anything is written.
    for name, each in said["tables"].items():
        _check_file(folder, _name_file(name), each)
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
        found = _hash_file(path)["sha256"]
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
                path=folder / _name_file(name),
            )
        else:
            database.execute(
                f"CREATE TABLE {quote_ledger_table(name)} AS {query}",
                path=folder / _name_file(name),
            )
        (rows,) = database.fetch_one(f"SELECT count(*) FROM {quote_ledger_table(name)}")
        if rows != said["rows"]:
            message = f"{folder} is damaged: {name} has {rows:,} rows, not {said['rows']:,}"
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
