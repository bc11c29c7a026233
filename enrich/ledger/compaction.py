"""Compaction: the ledger written anew, without the blocks that DuckDB keeps for later."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from enrich.db.alias import list_logs
from enrich.db.creation import make_log_room
from enrich.db.disk import format_bytes, sync_to_disk
from enrich.db.files import LEDGER_ROW_GROUP
from enrich.db.quote import quote_name
from enrich.errors import DatabaseError, DiskError
from enrich.ledger.export import hash_ledger
from enrich.ledger.tables import allow_folders, check_ledger_exists, list_tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles

DRAFT_ENDING = ".vacuum"
CHANGED_HINT = "nothing is lost; run it again while no other program writes to the ledger"


@dataclass(frozen=True, kw_only=True)
class Saving:
    """The bytes that something took `before` and takes `after`."""

    SHOWN: ClassVar = ("what", "before", "after", "saved")

    what: str
    before: int
    after: int

    @property
    def saved(self) -> int:
        return self.before - self.after


def measure_used(files: DatabaseFiles) -> int:
    """Returns about how many bytes the ledger would have if it were written anew."""
    with files.open_ledger("read") as database:
        return int(database.call("ledger_blocks")[0][0])


def foresee_compaction(files: DatabaseFiles) -> Saving:
    """Returns about what `compact_ledger` would save."""
    check_ledger_exists(files)
    before = files.ledger.stat().st_size
    return Saving(what=files.ledger.name, before=before, after=min(before, measure_used(files)))


def compact_ledger(files: DatabaseFiles) -> Saving:
    """Write the ledger anew, and replace it in one step once every table is found to be the same.

    Needs the project's lock. Killed at any moment, the ledger is the old one or the new one. If
    nothing is saved, it stays as it is. Raises DiskError, DatabaseError or Damaged.
    """
    check_ledger_exists(files)
    ledger = files.ledger.resolve()  # a symbolic link is kept
    with files.open_ledger():
        pass  # DuckDB merges what is left in the log
    before = ledger.stat().st_size
    _check_room(files, ledger)
    draft = _name_draft(ledger)
    try:
        remove_draft(files)
        state = _write_draft(files, draft)
        after = draft.stat().st_size
        if after >= before:
            return Saving(what=files.ledger.name, before=before, after=before)
        shutil.copymode(ledger, draft)
        sync_to_disk(draft)
        with _keep_others_out(files, state):
            draft.replace(ledger)
        sync_to_disk(ledger.parent)
    except OSError as problem:
        message = f"{files.ledger} cannot be compacted: {problem.strerror}"
        raise DiskError(message, hint="free some disk space, or check its permissions") from problem
    finally:
        with suppress(OSError):
            remove_draft(files)
    return Saving(what=files.ledger.name, before=before, after=after)


def remove_draft(files: DatabaseFiles) -> None:
    """Remove what a compaction that was killed has left. Needs the project's lock."""
    draft = _name_draft(files.ledger.resolve())
    for path in (draft, *list_logs(draft)):
        path.unlink(missing_ok=True)


def _name_draft(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}{DRAFT_ENDING}")


def _check_room(files: DatabaseFiles, ledger: Path) -> None:
    needed, free = measure_used(files), shutil.disk_usage(ledger.parent).free
    if needed > free:
        room = f"it takes about {format_bytes(needed)} beside it, and {format_bytes(free)} are free"
        message = f"{files.ledger} cannot be compacted: {room}"
        raise DiskError(message, hint="free some disk space")


def _write_draft(files: DatabaseFiles, draft: Path) -> str:
    """Copy the ledger into a new file. Returns its state. Raises DatabaseError if the copy is not
    the same."""
    make_log_room(draft)
    with allow_folders(files, draft.parent, draft).open_ledger("read") as database:
        option = f"ROW_GROUP_SIZE {LEDGER_ROW_GROUP}"
        database.execute(f"ATTACH $path AS draft ({option})", path=draft)
        try:
            database.execute("COPY FROM DATABASE ledger TO draft")
            for name, columns in list_tables(database):
                if _hash_table(database, "ledger", name, columns) != _hash_table(
                    database, "draft", name, columns
                ):
                    message = f"{files.ledger} cannot be compacted: the copy of {name} differs"
                    raise DatabaseError(message, hint="nothing has changed: enrich ledger check")
            return hash_ledger(database)
        finally:
            database.execute("DETACH draft")


def _hash_table(
    database: Ledger, catalog: str, table: str, columns: dict[str, str]
) -> tuple[Any, ...]:
    """Returns the number of rows, and a hash of all their values."""
    schema, _, name = table.rpartition(".")
    listed = ", ".join(quote_name(column) for column in columns)
    return database.fetch_one(
        f"SELECT count(*), sum(hash({listed})) FROM {quote_name(catalog, schema or 'main', name)}"
    )


@contextmanager
def _keep_others_out(files: DatabaseFiles, state: str) -> Iterator[None]:
    """Inside, no other process has the ledger open, and it is as it was when it was copied. Raises
    DatabaseError if it is not."""
    with files.open_ledger() as database:
        if not state or hash_ledger(database) != state:
            message = f"{files.ledger} was changed while it was compacted, and stays as it is"
            raise DatabaseError(message, hint=CHANGED_HINT)
        if sys.platform != "win32":
            yield
    if sys.platform == "win32":  # which replaces no file that is open
        yield
