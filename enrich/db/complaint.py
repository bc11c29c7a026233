"""DuckDB's errors, translated into one plain sentence and a hint."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

from enrich.db.alias import list_logs
from enrich.errors import Damaged, DatabaseError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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
MISSING_TABLE = re.compile(r"Table with name \"?([^\"\n]+?)\"? does not exist")
SYSTEM_NAME = re.compile(r'Did you mean "(?:pg_|duckdb_|sqlite_|pragma_|information_schema)[^\n]*')
"""A suggestion that is no table of the user's."""
EMPTY_STAR = re.compile(r"resulted in an empty set of columns")
# The names of the columns, and the one that was looked for.
NEAREST_COLUMN = re.compile(r"list_value\((.*?)\), \(lambda .* = lower\('((?:[^']|'')*)'\)")
QUOTED_TEXT = re.compile(r"'((?:[^']|'')*)'")
UNEQUAL_VECTORS = re.compile(
    r"list_\w+: list dimensions must be equal, got left length '(\d+)' and right length '(\d+)'"
)
MANY_TABLES = 12
"""The number of tables from which on a hint does not list them all."""
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


def find_missing_table(problem: DatabaseError) -> str:
    """Returns the name of the table that DuckDB has not found, "" if that is not its complaint."""
    match = MISSING_TABLE.search(str(problem.__cause__))
    return match[1] if match else ""


def translate_problem(
    problem: Exception, list_tables: Callable[[], Sequence[str]] = tuple
) -> DatabaseError | Damaged:
    """Returns an error of DuckDB as one sentence and a hint; the caller raises it from the
    original. `list_tables` is called for the user's tables if one is not found."""
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
    if said := _explain_vectors(text):
        found = DatabaseError(said[0], hint=said[1])
    else:
        shown = SYSTEM_NAME.sub("", POSITION_SHOWN.sub("", text).strip())
        sentence = ERROR_KIND.sub("", shown).split("\n")
        hint = " ".join(line.strip() for line in sentence[1:] if line.strip())
        missing = MISSING_TABLE.search(text) if not hint else None
        hint = _offer_table(missing[1], list_tables()) if missing else hint
        found = DatabaseError(sentence[0], hint=hint or TRY_SQL)
    found.unbound = isinstance(problem, duckdb.BinderException)
    return found


def _offer_table(name: str, tables: Sequence[str]) -> str:
    """Returns a hint that offers the nearest table; "" if there are none."""
    hint = nearest(name, tables)
    if hint.startswith("known") and len(tables) > MANY_TABLES:
        return 'enrich sql "SHOW ALL TABLES" lists the tables'
    return hint


def _explain_vectors(text: str) -> tuple[str, str] | None:
    """Returns what is wrong with a call of enrich's macros for vectors, and a hint; None if the
    message is about something else."""
    if unequal := UNEQUAL_VECTORS.search(text):
        what = f"the vectors have different lengths: {unequal[1]} and {unequal[2]}"
        return what, "compare vectors of the same model, which all have one length"
    if EMPTY_STAR.search(text):
        named = NEAREST_COLUMN.search(text)
        if named is None:
            return "the table has no such column", "DESCRIBE the table to see its columns"
        columns = [column.replace("''", "'") for column in QUOTED_TEXT.findall(named[1])]
        word = named[2].replace("''", "'")
        return f"the table has no column '{word}'", nearest(word, columns)
    if "LIMIT/OFFSET cannot be negative" in text:
        return (
            "a number of rows cannot be negative",
            "use 0 or more, for the k of nearest() as well",
        )
    return None


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
    if lacks_folder(path):
        return miss_folder(path)
    # A file that does not exist yet cannot be read either.
    hidden = os.access(path, os.F_OK) or not os.access(path.parent, os.X_OK)
    if hidden and not os.access(path, os.R_OK):
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


def lacks_folder(path: Path) -> bool:
    """Whether the folder of a file does not exist, as far as that can be seen."""
    try:
        return not path.parent.is_dir()
    except OSError:  # a folder above it cannot be entered
        return False


def miss_folder(path: Path) -> DatabaseError:
    """Returns the error that there is no folder for a database."""
    hint = f"mkdir -p {shlex.quote(str(path.parent))}"
    return DatabaseError(f"the folder of {path} does not exist", hint=hint)


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
