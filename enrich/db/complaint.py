"""DuckDB's errors, translated into one plain sentence and a hint."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from enrich.db.alias import list_logs
from enrich.errors import Damaged, DatabaseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from enrich.errors import EnrichError

# Messages are compared because DuckDB's exception types are too coarse: an IOException may be a
# damaged file, an absent one or a lock.
LINE_SHOWN = re.compile(r"^LINE (\d+): (.*)$", re.MULTILINE)
POSITION_SHOWN = re.compile(r"\n\s*LINE \d+:.*", re.DOTALL)
DISK_FULL = "the disk is full"
ACCESS_DENIED = re.compile(r'Cannot access (?:file|directory) "(.*?)" - file system operations')
DAMAGE = re.compile(
    "Corrupt (database|WAL) file|Could not read enough bytes|not a valid DuckDB database"
    "|Failure while replaying WAL|Serialization Error|[Ff]ailed to deserialize"
)
BAD_BLOCK = re.compile(r"stored checksum (\d+) in block at location (\d+)")
ERROR_KIND = re.compile(r"^[A-Z][A-Za-z -]* Error: ")
CHECK_LEDGER = (
    "`enrich ledger check` reports what can still be read, "
    "and `enrich ledger import DIR --replace` restores an export"
)
EXPORT_THERE = (
    "export it where it was written (enrich ledger export DIR), move it away here, and bring it "
    "back (enrich ledger import DIR)"
)
REMAKE_WAREHOUSE = (
    "move the warehouse away, and `enrich run` rebuilds its tables from the ledger without "
    "asking or paying again"
)
TRY_SQL = "enrich sql runs any query on the same warehouse: try it there"


def find_problem_line(problem: DatabaseError) -> tuple[int, str] | None:
    """Returns the line that DuckDB points at, counted from 1, and its text, if it points at one."""
    match = LINE_SHOWN.search(str(problem.__cause__))
    return (int(match[1]), match[2].strip()) if match else None


def is_interrupted(problem: Exception) -> bool:
    """Whether the error is an interrupted statement."""
    import duckdb

    # At Ctrl-C in its main thread, DuckDB's Python client raises a plain RuntimeError instead of
    # its own InterruptException.
    said = isinstance(problem, RuntimeError) and str(problem) == "Query interrupted"
    return said or isinstance(problem, duckdb.InterruptException)


def translate_problem(problem: Exception) -> DatabaseError | Damaged:
    """Returns an error of DuckDB as one sentence and a hint; the caller raises it from the
    original."""
    import duckdb

    text = str(problem)
    lowered = text.lower()
    if "no space left" in lowered or "disk full" in lowered or "file too large" in lowered:
        return DatabaseError(
            DISK_FULL, hint="free some space and run the command again; nothing is lost"
        )
    # A damaged Parquet file is a user's input, and nothing that the ledger could restore.
    if DAMAGE.search(text) and "parquet" not in lowered:
        hint = f"{CHECK_LEDGER}; {REMAKE_WAREHOUSE}"
        return Damaged("the ledger or the warehouse is damaged", hint=hint)
    if isinstance(problem, duckdb.OutOfMemoryException):
        hint = "raise the limit in project.yml, such as memory_limit: 4GB; nothing is lost"
        return DatabaseError("DuckDB needs more memory than it may use", hint=hint)
    if denied := ACCESS_DENIED.search(text):
        hint = "move it into the project, or allow it in project.yml: external_access: [FOLDER]"
        return DatabaseError(f"'{denied[1]}' is outside the project and is not read", hint=hint)
    if "external extensions is disabled" in text:
        hint = "install it once (INSTALL name), and set external_access: true in project.yml"
        return DatabaseError("DuckDB extensions are not loaded", hint=hint)
    sentence = ERROR_KIND.sub("", POSITION_SHOWN.sub("", text).strip()).split("\n")
    hint = " ".join(line.strip() for line in sentence[1:] if line.strip())
    found = DatabaseError(sentence[0], hint=hint or TRY_SQL)
    found.unbound = isinstance(problem, duckdb.BinderException)
    return found


def name_damaged(files: Mapping[str, Path], names: Sequence[str]) -> Damaged:
    """Returns the error that one of these databases is damaged, with the file of each and what to
    do about it."""
    shown = " or ".join(str(files[name]) for name in names)
    hints = [CHECK_LEDGER if name == "ledger" else REMAKE_WAREHOUSE for name in names]
    found = Damaged(f"{shown} is damaged", hint="; ".join(hints))
    found.file = files[names[0]]
    return found


def read_block_checksum(path: Path, location: int) -> int:
    """Returns the checksum at the start of a block of a DuckDB file, or -1 if it cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(location)
        return int.from_bytes(file.read(8), "little")
    return -1


def explain_unopened(path: Path, name: str, problem: EnrichError, text: str) -> EnrichError:
    """Returns the error that the database attached as `name` cannot be opened, with the reason;
    `text` is DuckDB's own message."""
    # From the surest sign to the vaguest: a message that names damage is believed before the file
    # itself is looked at, and "version" is in many messages.
    if problem.message == DISK_FULL:
        return problem
    own = name in ("ledger", "warehouse")
    if "not a valid DuckDB database" in text and own:
        way = CHECK_LEDGER if name == "ledger" else REMAKE_WAREHOUSE
        hint = f"{way}; if it never was one, set `{name}:` in project.yml to another file"
        found = Damaged(f"{path} is not a DuckDB database", hint=hint)
        found.file = path
        return found
    if DAMAGE.search(text):
        if own:
            found = name_damaged({name: path}, [name])
            if "WAL" in text:  # the file itself may be whole
                hint = f"if it was copied or restored, move that log away; otherwise {found.hint}"
                log = list_logs(path)[0].name
                found = Damaged(f"{path} is damaged: {log} beside it is not its log", hint=hint)
                found.file = path
            return found
        return DatabaseError(f"{path} is damaged", hint="restore it from a copy")
    if path.is_dir():
        hint = f"set `{name}:` in project.yml to a file" if own else "name a file"
        return DatabaseError(f"{path} is a folder, not a database", hint=hint)
    if not os.access(path, os.R_OK):
        hint = "check its permissions: you must be able to read and write it"
        return DatabaseError(f"you may not read {path}", hint=hint)
    if "version" in text.lower():
        hint = "upgrade DuckDB in this environment: pip install -U duckdb"
        # DuckDB 2 writes a ledger that DuckDB 1.5 cannot open; Parquet goes between the two.
        other = {"ledger": EXPORT_THERE, "warehouse": REMAKE_WAREHOUSE}.get(name)
        hint += f"; or {other}" if other else ""
        return DatabaseError(f"{path} was written by a newer DuckDB", hint=hint)
    hint = "check that its folder exists and that you may write to it"
    return DatabaseError(f"{path} cannot be opened: {problem.message}", hint=hint)


def locate_damage(problem: Damaged, files: dict[str, Path]) -> Damaged:
    """Returns the error that a file is damaged with the file it is, as far as that can be found."""
    # DuckDB names a place in a file but not the file. The checksum that it names is stored at that
    # place, and so in one of the files only.
    block = BAD_BLOCK.search(str(problem.__cause__))
    holders = [
        name
        for name, path in files.items()
        if len(files) == 1 or (block and read_block_checksum(path, int(block[2])) == int(block[1]))
    ]
    return name_damaged(files, holders or list(files))
