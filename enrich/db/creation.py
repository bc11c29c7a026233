"""Files and folders that enrich creates: databases, whole or not at all, and working folders."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from enrich.db.alias import list_logs, make_log_folders, simplify_name
from enrich.db.complaint import explain_unopened, translate_problem
from enrich.db.quote import quote_text, render_attach
from enrich.errors import DatabaseError, DiskError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enrich.db.alias import Aliases

STORAGE_VERSION = "v1.5.0"
"""The storage version of a new warehouse, so that tools with DuckDB 1.5 can open it as well."""


def create_database(path: Path, storage: str, aliases: Aliases) -> None:
    """Create an empty database of a storage version, or of DuckDB's default for "".

    It is created whole or not at all, even if the process is killed or the disk is full; a database
    that another process has created in the meantime stays. Raises DatabaseError or DiskError.
    """
    import duckdb

    # DuckDB writes a new file in place, so that a process killed in the middle would leave half a
    # file. A draft is written instead, then linked: unlike a rename, that never replaces a file.
    draft, log = path.with_name(f"{simplify_name(path)}.{os.getpid()}"), list_logs(path)[0]
    option = f"STORAGE_VERSION {quote_text(storage)}" if storage else ""
    try:
        # A log without its database is left over from one that was removed. DuckDB would replay it
        # into the new one.
        if log.exists() and not path.exists():
            log.replace(f"{log}.lost")
        make_log_room(path)
        make_log_room(draft)
        with closing(duckdb.connect(":memory:")) as connection:
            connection.execute(render_attach(aliases.alias_file(draft), "made", option))
            connection.execute("DETACH made")
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links, such as exFAT
            draft.rename(path)
    except duckdb.Error as problem:
        if "version string" in str(problem):
            message = f"project.yml: 'warehouse' names an unknown storage version, '{storage}'"
            hint = f"name a version of DuckDB, such as {STORAGE_VERSION}, or latest"
            raise DatabaseError(message, hint=hint) from problem
        raise explain_unopened(path, "", translate_problem(problem), str(problem)) from problem
    except OSError as problem:
        hint = "check that you may write to its folder"
        raise DiskError(f"{path} cannot be created: {problem.strerror}", hint=hint) from problem
    finally:
        draft.unlink(missing_ok=True)


def make_log_room(path: Path) -> None:
    """Create the folders of a database's logs. Raises DiskError if that is not possible."""
    try:
        make_log_folders(path)
    except OSError as problem:
        message = f"{path.parent} has a ? in its path, and a log cannot be kept beside it"
        hint = f"rename the folder: DuckDB keeps the log in {list_logs(path)[0].parent}"
        raise DiskError(message, hint=hint) from problem


def make_folder(folder: Path, *names: str) -> Path:
    """Returns a folder of working files below `folder`, created if it is absent, which only its
    owner can read. Raises DiskError."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in names:
            folder = folder / name
            folder.mkdir(exist_ok=True, mode=0o700)
    except OSError as problem:
        hint = "free some space, or check what is in its way"
        raise DiskError(f"{folder} cannot be created: {problem.strerror}", hint=hint) from problem
    return folder


@contextmanager
def keep_private() -> Iterator[None]:
    """Inside, new files can be read only by their owner."""
    # The umask, for DuckDB creates the ledger and its log, which hold rows, with open permissions.
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
