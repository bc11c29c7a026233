"""Copies of the ledger: check it, export it as Parquet, import such an export.

An export is a folder with a Parquet file for each table, and `manifest.json`, which is written
last: it names every file with its rows and its hash. So what is not whole is never taken for whole.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.db import quote
from enrich.db.alias import logs
from enrich.db.complaint import DISK_FULL
from enrich.db.creation import keep_private
from enrich.db.files import LEDGER_ROW_GROUP
from enrich.errors import Damaged, DatabaseError, DiskError, ProjectError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from enrich.db.database import Ledger
    from enrich.db.files import Files
    from enrich.manifest.backup import Backup

MANIFEST = "manifest.json"
FORMAT = 1
"""The form of an export; a higher number is of a newer enrich."""
INPUTS = "inputs."
LOSSY = (
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
"""What the types begin with that Parquet cannot hold as they are: their values are kept as text."""
OPTIONAL = {
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
"""Columns that an answer is worth keeping without, where they cannot be read."""
KINDS = {
    "rows": int,
    "unread": int,
    "incomplete": int,
    "sha256": str,
    "columns": dict,
}
"""What a manifest says of each table."""
VECTOR = 2048
"""Rows that DuckDB reads at a time: less cannot be read apart."""
ASIDE = "%Y%m%dT%H%M%S"
EXPORT_AGAIN = "take another export, or make it again: enrich ledger export DIR"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A table of the ledger: its rows, how many could not be read, how many lack a value that could
    not be, and what is wrong."""

    table: str
    rows: int
    unread: int = 0
    incomplete: int = 0
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Export:
    """An export that is there: where, from when, of which ledger in which state, and the rows of
    each table."""

    folder: Path
    exported_at: datetime
    ledger: str
    state: str
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


def check(files: Files) -> tuple[Part, ...]:
    """Read every row of every table, and what rows refer to; nothing is changed.

    Raises Damaged where the ledger cannot even be opened.
    """
    _check_there(files)
    with files.open_ledger("read") as database:
        found = {name: _read(database, name, columns) for name, columns in _tables(database)}
        readable = not any(part.unread for part in found.values())
        if readable and {"batches", "prompts", "runs", "requests", "responses"} <= found.keys():
            for table, fault, many in _references(database):
                part = found[table]
                faults = (*part.faults, f"{many:,} {fault}")
                found[table] = replace(part, faults=faults)
    return tuple(found.values())


def _check_there(files: Files) -> None:
    if not files.ledger.exists():
        hint = "it is made by the first run; an export brings it back: enrich ledger import DIR"
        raise ProjectError(f"there is no ledger: {files.ledger}", hint=hint)


def _references(database: Ledger) -> list[tuple[Any, ...]]:
    try:
        return database.call("ledger_references")
    except DatabaseError:  # an earlier enrich made it, and some columns are not there yet
        return []


def _tables(database: Ledger) -> list[tuple[str, dict[str, str]]]:
    """The ledger's tables by name, `inputs.NAME` for those of models, and their columns."""
    return [
        (name, dict(zip(columns, kinds, strict=True)))
        for name, columns, kinds in database.call("ledger_tables")
    ]


def _quoted(table: str) -> str:
    schema, _, name = table.rpartition(".")
    return quote.name("ledger", schema or "main", name)


def _read(database: Ledger, table: str, columns: Mapping[str, str]) -> Part:
    """Read a table whole; if that fails, a piece at a time, to say how much is left of it."""
    listed = ", ".join(quote.name(column) for column in columns)
    query = f"SELECT count(*), bit_xor(hash({listed})) FROM {_quoted(table)}"
    try:
        rows = int(database.fetch_one(query)[0])
    except Damaged:
        rows, unread = _in_pieces(
            database, table, lambda part, _: int(database.fetch_one(query + part)[0])
        )
        fault = f"up to {unread:,} of its rows cannot be read"
        return Part(table=table, rows=rows + unread, unread=unread, faults=(fault,))
    for (column,) in database.call("ledger_keys", table=table):
        name = quote.name(column)
        try:  # a constant would be looked for by a scan, and the index not be read
            for (key,) in database.execute(f"SELECT {name} FROM {_quoted(table)}"):
                database.execute(
                    f"SELECT 1 FROM {_quoted(table)} WHERE {name} = (SELECT $key)", key=key
                )
        except Damaged:
            return Part(table=table, rows=rows, faults=("its index is damaged, its rows are not",))
    return Part(table=table, rows=rows)


def _in_pieces(database: Ledger, table: str, read: Callable[[str, bool], int]) -> tuple[int, int]:
    """Call `read` with a condition for each piece of a table, and, where that is damaged, for
    smaller ones, with the word that there are none; gives how many rows were read in all, and how
    many could not be."""
    try:
        (most,) = database.fetch_one(f"SELECT coalesce(max(rowid), -1) FROM {_quoted(table)}")
    except Damaged:
        most = -1
    rows, unread = 0, 0
    left = [(first, LEDGER_ROW_GROUP) for first in range(0, int(most) + 1, LEDGER_ROW_GROUP)][::-1]
    while left:
        first, many = left.pop()
        last = min(first + many - 1, int(most))
        try:
            rows += read(f" WHERE rowid BETWEEN {first} AND {last}", many == VECTOR)
        except Damaged:
            if many == LEDGER_ROW_GROUP:
                left += [(each, VECTOR) for each in range(first, last + 1, VECTOR)][::-1]
            else:
                unread += last - first + 1
    return rows, unread


def export(files: Files, folder: Path, *, skip_damaged: bool = False) -> Export:
    """Write all of the ledger into a new folder: whole, or not at all.

    `skip_damaged` leaves out the rows that cannot be read, and says so in the manifest.
    """
    _check_there(files)
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        hint = "name a folder that is not there yet"
        raise DiskError(f"{folder} is there already, and is not empty", hint=hint)
    draft = folder.with_name(f".{folder.name}.part")
    try:
        with keep_private():
            _remove(draft)
            (draft / "inputs").mkdir(parents=True)
            manifest = _written(files, draft, skip_damaged=skip_damaged)
            (draft / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        for path in (*draft.rglob("*"), draft):
            _sync(path)
        draft.rename(folder)
        _sync(folder.parent)
    except OSError as problem:
        with suppress(OSError):
            _remove(draft)
        hint = "make room, or name a folder that you may write to"
        what = DISK_FULL if problem.errno == 28 else problem.strerror
        raise DiskError(f"{folder} cannot be written: {what}", hint=hint) from problem
    except BaseException:
        with suppress(OSError):
            _remove(draft)
        raise
    return read_manifest(folder)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _sync(path: Path) -> None:
    """Have the disk keep what was written, so that a power cut after a rename leaves it whole."""
    if sys.platform == "win32" and path.is_dir():
        return
    # Windows flushes only what was opened for writing (FlushFileBuffers, GENERIC_WRITE).
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some file systems have no way to do it
        pass
    finally:
        os.close(descriptor)


def _written(files: Files, draft: Path, *, skip_damaged: bool) -> dict[str, Any]:
    """Write the tables into a folder; gives the manifest of it."""
    tables: dict[str, Any] = {}
    reaching = _reaching(files, draft)
    with reaching.open_ledger("read") as database:
        identity, state = _identity(database), ledger_state(database)
        for name, columns in _tables(database):
            path = draft / _file(name)
            lost = _write_table(database, name, columns, path, skip_damaged=skip_damaged)
            (rows,) = database.fetch_one("SELECT count(*) FROM read_parquet($path)", path=path)
            tables[name] = {
                "rows": rows,
                "unread": lost[0],
                "incomplete": lost[1],
                "columns": columns,
                **_sum(path),
            }
    return {
        "format": FORMAT,
        "enrich": version("enrich"),
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "ledger": identity,
        "state": state,
        "tables": tables,
    }


def _identity(database: Ledger) -> str:
    with suppress(Damaged, DatabaseError):  # absent where the first run was killed
        return "".join(str(row[0]) for row in database.execute("SELECT id FROM ledger.identity"))
    return ""


def ledger_state(database: Ledger) -> str:
    """Changes with whatever the ledger holds; "" where that cannot be read."""
    with suppress(Damaged, DatabaseError):
        return str(database.call("ledger_state")[0][0])
    return ""


def _reaching(files: Files, *folders: Path) -> Files:
    """The same files, with a DuckDB that may open these folders, too."""
    return replace(files, reach=folders, attached=())


def _file(table: str) -> str:
    model = table.removeprefix(INPUTS)
    return f"{table}.parquet" if model == table else f"inputs/{model}.parquet"


def _sum(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": file_digest(file, "sha256").hexdigest()}


def _write_table(
    database: Ledger, name: str, columns: Mapping[str, str], path: Path, *, skip_damaged: bool
) -> tuple[int, int]:
    """Write a table as Parquet; gives how many of its rows are not in it, and how many lack a value
    that can be done without."""
    parts = {column: _stored(database, name, column, columns[column]) for column in columns}
    query = f"SELECT {', '.join(parts.values())} FROM {_quoted(name)}"
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
            lost = _unreadable(database, name, columns, piece) if smallest else set()
            if not lost:
                raise
        listed = (f"NULL AS {quote.name(c)}" if c in lost else parts[c] for c in columns)
        most = f"SELECT {', '.join(listed)} FROM {_quoted(name)}{piece}"
        (many,) = database.fetch_one(f"{insert} {most}")
        incomplete += int(many)
        return int(many)

    _, unread = _in_pieces(database, name, read)
    database.execute(f"COPY temp._enrich_readable {target}", path=path)
    return unread, incomplete


def _unreadable(database: Ledger, table: str, columns: Mapping[str, str], piece: str) -> set[str]:
    """The columns of a piece of a table that cannot be read and can be done without."""
    lost = set()
    for column in OPTIONAL.get(table, frozenset()) & columns.keys():
        try:
            database.execute(f"SELECT max({quote.name(column)}) FROM {_quoted(table)}{piece}")
        except Damaged:
            lost.add(column)
    return lost


def _stored(database: Ledger, table: str, column: str, kind: str) -> str:
    """A column as Parquet can hold it: what it cannot hold is text, also inside a key."""
    name = quote.name(column)
    if column == "key" and table.startswith(INPUTS):
        fields = database.describe(f"SELECT unnest({name}) FROM {_quoted(table)}")
        parts = (
            f"{quote.name(field)} := {_plain(f'{name}.{quote.name(field)}', of)}"
            for field, of in fields.items()
        )
        return f"CASE WHEN {name} IS NOT NULL THEN struct_pack({', '.join(parts)}) END AS {name}"
    return f"{_plain(name, kind)} AS {name}"


def _plain(value: str, kind: str) -> str:
    return f"CAST({value} AS VARCHAR)" if kind.startswith(LOSSY) else value


def read_manifest(folder: Path) -> Export:
    """What an export says of itself; raises DiskError where it is no whole export."""
    said = _manifest(folder)
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


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        known = said["format"]
        for each in said["tables"].values():
            for key, kind in KINDS.items():
                if not isinstance(each[key], kind):
                    raise TypeError(key)
        datetime.fromisoformat(said["exported_at"])
        if not isinstance(said["ledger"], str) or not isinstance(said["state"], str):
            raise TypeError("ledger")
    except FileNotFoundError as problem:
        hint = "name the folder that `enrich ledger export` wrote"
        raise DiskError(
            f"{folder} is not a whole export: it has no {MANIFEST}", hint=hint
        ) from problem
    except OSError as problem:
        message = f"{path} cannot be read: {problem.strerror}"
        raise DiskError(message, hint="see its permissions") from problem
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        message = f"{path} is damaged: it is not what an export writes"
        raise DiskError(message, hint=EXPORT_AGAIN) from problem
    if known != FORMAT:
        message = f"{folder} was exported by a newer enrich, {said.get('enrich', 'unknown')}"
        raise DiskError(message, hint="upgrade enrich in this environment")
    return dict(said)


def import_(files: Files, folder: Path, *, replace_ledger: bool = False) -> Path | None:
    """Make the ledger anew from an export: whole, or not at all. Needs the project's turn.

    A ledger that holds anything is replaced only if that is asked for, and kept under the name
    that is returned.
    """
    folder = folder.absolute()
    files = replace(files, ledger=files.ledger.resolve())  # a link stays one
    said = _manifest(folder)
    for name, each in said["tables"].items():
        _check_file(folder, _file(name), each)
    if files.ledger.exists() and not replace_ledger and not _is_empty(files):
        message = f"{files.ledger} holds what was paid for, and is not replaced"
        hint = "enrich ledger import DIR --replace keeps it under another name"
        raise ProjectError(message, hint=hint)
    draft = files.ledger.with_name(f"{files.ledger.name}.import")
    try:
        for path in (draft, *logs(draft)):
            path.unlink(missing_ok=True)
        target = replace(_reaching(files, folder), ledger=draft)
        with target.open_ledger() as database, database.transaction():
            _fill(database, folder, said["tables"])
        _sync(draft)
        return _put_in_place(files, draft)
    except OSError as problem:
        message = f"{files.ledger} cannot be written: {problem.strerror}"
        raise DiskError(message, hint="make room, or see its permissions") from problem
    finally:
        with suppress(OSError):
            for path in (draft, *logs(draft)):
                path.unlink(missing_ok=True)


def _check_file(folder: Path, name: str, said: Mapping[str, Any]) -> None:
    """Refuse an export whose files are not as they were written."""
    path = folder / name
    try:
        found = _sum(path)["sha256"]
    except FileNotFoundError as problem:
        message = f"{folder} is not a whole export: {name} is missing"
        raise DiskError(message, hint=EXPORT_AGAIN) from problem
    except OSError as problem:
        message = f"{path} cannot be read: {problem.strerror}"
        raise DiskError(message, hint="see its permissions") from problem
    if found != said["sha256"]:
        message = f"{path} is damaged: it is not as it was exported"
        raise DiskError(message, hint=EXPORT_AGAIN)


def _is_empty(files: Files) -> bool:
    """Whether the ledger holds nothing that was asked or answered."""
    with files.open_ledger("read") as database:
        return not any(
            database.fetch_one(f"SELECT count(*) FROM {_quoted(name)}")[0]
            for name, _ in _tables(database)
            if name != "identity"
        )


def _fill(database: Ledger, folder: Path, tables: Mapping[str, Any]) -> None:
    """Fill the tables of a new ledger, and make those of models."""
    there = dict(_tables(database))
    for name, said in tables.items():
        unknown = sorted(said["columns"].keys() - there.get(name, said["columns"]).keys())
        if (name not in there and not name.startswith(INPUTS)) or unknown:
            what = f"{name}.{unknown[0]}" if unknown else name
            message = f"{folder} holds what this enrich does not know: {what}"
            raise DiskError(message, hint="upgrade enrich in this environment")
        casts = ", ".join(
            f"CAST({quote.name(column)} AS {kind}) AS {quote.name(column)}"
            for column, kind in said["columns"].items()
        )
        query = f"SELECT {casts} FROM read_parquet($path)"
        if name in there:
            database.execute(f"DELETE FROM {_quoted(name)}")
            database.execute(
                f"INSERT INTO {_quoted(name)} BY NAME {query}", path=folder / _file(name)
            )
        else:
            database.execute(f"CREATE TABLE {_quoted(name)} AS {query}", path=folder / _file(name))
        (rows,) = database.fetch_one(f"SELECT count(*) FROM {_quoted(name)}")
        if rows != said["rows"]:
            message = f"{folder} is damaged: {name} has {rows:,} rows, not {said['rows']:,}"
            raise DiskError(message, hint=EXPORT_AGAIN)


def _put_in_place(files: Files, draft: Path) -> Path | None:
    """Make the draft the ledger in one step; gives the name under which the old one is kept.

    At no moment is there no ledger: the next command would begin an empty one and pay again.
    """
    ledger, aside = files.ledger, None
    if ledger.exists():
        with suppress(Damaged), files.open_ledger():
            pass  # nobody else is at it, and its log is in it
        aside = _free(ledger.with_name(f"{ledger.name}.{datetime.now(UTC).strftime(ASIDE)}"))
        _keep(ledger, aside)
        for log, kept in zip(logs(ledger), logs(aside), strict=True):
            if log.exists():
                _keep(log, kept)
                log.unlink()  # it belongs to the old one
    draft.replace(ledger)
    _sync(ledger.parent)
    return aside


def _free(path: Path) -> Path:
    """A name that is not taken."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def _keep(path: Path, name: Path) -> None:
    """Give a file a second name."""
    try:
        os.link(path, name)
    except OSError:  # a file system without links
        shutil.copy2(path, name)


def back_up(files: Files, backup: Backup) -> Export | None:
    """Export the ledger if it is not as it was last exported; old exports make room."""
    with files.open_ledger("read") as database:
        state = ledger_state(database)
    known = latest(backup.list_exports())
    if known is not None and state and known.state == state:
        return None
    found = export(files, backup.choose_folder())
    backup.prune()
    return found


def latest(folders: Sequence[Path]) -> Export | None:
    """The last of these folders that is a whole export, as its manifest says."""
    for folder in reversed(folders):
        with suppress(DiskError):
            return read_manifest(folder)
    return None


def note(files: Files, made: Export) -> None:
    """Keep in mind where an export went, so that it can be said how old it is."""
    said = {"folder": str(made.folder)}
    with suppress(OSError), keep_private():
        _noted(files).write_text(json.dumps(said), encoding="utf-8")


def last(files: Files, backup: Backup | None) -> Export | None:
    """The newest export of this ledger that is still where it was made."""
    folders = list(backup.list_exports()) if backup else []
    with suppress(OSError, ValueError, KeyError, TypeError):
        folders.append(Path(json.loads(_noted(files).read_text(encoding="utf-8"))["folder"]))
    found = [each for each in (latest([folder]) for folder in folders) if each is not None]
    return max(found, key=lambda each: each.exported_at, default=None)


def _noted(files: Files) -> Path:
    return files.work / "export.json"
