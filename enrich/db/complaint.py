"""What DuckDB complains about, as one plain sentence and a hint."""

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
    "`enrich ledger check` says what can still be read, "
    "and `enrich ledger import DIR --replace` brings back an export"
)
REMAKE_WAREHOUSE = (
    "move the warehouse away, and `enrich run` rebuilds its tables from the ledger without "
    "asking or paying again"
)
TRY_SQL = "enrich sql runs any query on the same warehouse: try it there"


def find_problem_line(problem: DatabaseError) -> tuple[int, str] | None:
    """The line DuckDB points at, counted from 1, and its text, if it points at one."""
    match = LINE_SHOWN.search(str(problem.__cause__))
    return (int(match[1]), match[2].strip()) if match else None


def is_interrupted(problem: Exception) -> bool:
    """Whether it was Ctrl-C, which DuckDB's client calls a RuntimeError."""
    import duckdb

    said = isinstance(problem, RuntimeError) and str(problem) == "Query interrupted"
    return said or isinstance(problem, duckdb.InterruptException)


def translate_problem(problem: Exception) -> DatabaseError | Damaged:
    """DuckDB's error as one sentence; the original stays as its cause."""
    import duckdb

    text = str(problem)
    lowered = text.lower()
    if "no space left" in lowered or "disk full" in lowered or "file too large" in lowered:
        return DatabaseError(DISK_FULL, hint="make room and start again; nothing is lost")
    if DAMAGE.search(text) and "parquet" not in lowered:
        hint = f"{CHECK_LEDGER}; {REMAKE_WAREHOUSE}"
        return Damaged("the ledger or the warehouse is damaged", hint=hint)
    if isinstance(problem, duckdb.OutOfMemoryException):
        hint = "give it more in project.yml, such as memory_limit: 4GB; nothing is lost"
        return DatabaseError("DuckDB needs more memory than it may take", hint=hint)
    if denied := ACCESS_DENIED.search(text):
        hint = "move it into the project, or allow it in project.yml: external_access: [FOLDER]"
        return DatabaseError(f"'{denied[1]}' lies outside the project and is not read", hint=hint)
    if "external extensions is disabled" in text:
        hint = "install it once (INSTALL name), and set external_access: true in project.yml"
        return DatabaseError("extensions of DuckDB are not loaded", hint=hint)
    sentence = ERROR_KIND.sub("", POSITION_SHOWN.sub("", text).strip()).split("\n")
    hint = " ".join(line.strip() for line in sentence[1:] if line.strip())
    found = DatabaseError(sentence[0], hint=hint or TRY_SQL)
    found.unbound = isinstance(problem, duckdb.BinderException)
    return found


def name_damaged(files: Mapping[str, Path], names: Sequence[str]) -> Damaged:
    """The error that one of these databases is damaged: of each, its file and the way out."""
    shown = " or ".join(str(files[name]) for name in names)
    hints = [CHECK_LEDGER if name == "ledger" else REMAKE_WAREHOUSE for name in names]
    found = Damaged(f"{shown} is damaged", hint="; ".join(hints))
    found.file = files[names[0]]
    return found


def read_block_checksum(path: Path, location: int) -> int:
    """The checksum that a block of a DuckDB file begins with."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(location)
        return int.from_bytes(file.read(8), "little")
    return -1


def explain_unopened(path: Path, name: str, problem: EnrichError, text: str) -> EnrichError:
    """Why the database attached as `name` cannot be opened; `text` is what DuckDB said of it."""
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
                found = Damaged(
                    f"{path} is damaged: {list_logs(path)[0].name} beside it is not its log",
                    hint=f"if it was copied or brought back, move that log away; else {found.hint}",
                )
                found.file = path
            return found
        return DatabaseError(f"{path} is damaged", hint="bring it back from a copy")
    if path.is_dir():
        hint = f"name a file by `{name}:` in project.yml" if own else "name a file"
        return DatabaseError(f"{path} is a folder, not a database", hint=hint)
    if not os.access(path, os.R_OK):
        hint = "see its permissions: you must be able to read and write it"
        return DatabaseError(f"{path} cannot be read by you", hint=hint)
    if "version" in text.lower():
        hint = "upgrade DuckDB in this environment: pip install -U duckdb"
        return DatabaseError(f"{path} was written by a newer DuckDB", hint=hint)
    hint = "see that its folder is there, and that you may write to it"
    return DatabaseError(f"{path} cannot be opened: {problem.message}", hint=hint)


def locate_damage(problem: Damaged, files: dict[str, Path]) -> Damaged:
    """The error of which it is not known which of these files is damaged, with its file: in a
    damaged block stands the checksum that DuckDB names."""
    block = BAD_BLOCK.search(str(problem.__cause__))
    holders = [
        name
        for name, path in files.items()
        if len(files) == 1 or (block and read_block_checksum(path, int(block[2])) == int(block[1]))
    ]
    return name_damaged(files, holders or list(files))
