"""Files and folders that enrich makes: databases, whole or not at all, and working folders."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from enrich.db.alias import list_logs, make_log_folders, simplify_name
from enrich.db.complaint import explain_unopened, translate_problem
from enrich.db.quote import quote_text
from enrich.errors import DatabaseError, DiskError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enrich.db.alias import Aliases

STORAGE_VERSION = "v1.5.0"
"""The storage version of a new warehouse: DuckDB 1.5 and tools that bring it can open it."""


def create_database(path: Path, storage: str, aliases: Aliases) -> None:
    """Make an empty database of a storage version, "": DuckDB's own. Whole, or not at all, whenever
    the process is killed or the disk is full; one that somebody else made meanwhile stays."""
    import duckdb

    draft, log = path.with_name(f"{simplify_name(path)}.{os.getpid()}"), list_logs(path)[0]
    option = f" (STORAGE_VERSION {quote_text(storage)})" if storage else ""
    try:
        if (
            log.exists() and not path.exists()
        ):  # of a database that was removed: it belongs to no other
            log.replace(f"{log}.lost")
        make_log_room(path)
        make_log_room(draft)
        with closing(duckdb.connect(":memory:")) as connection:
            connection.execute(f"ATTACH $path AS made{option}", {"path": aliases.alias_file(draft)})
            connection.execute("DETACH made")
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        except OSError:  # a file system without links
            draft.rename(path)
    except duckdb.Error as problem:
        if "version string" in str(problem):
            message = f"project.yml: 'warehouse' names an unknown storage version, '{storage}'"
            hint = f"name a version of DuckDB, such as {STORAGE_VERSION}, or latest"
            raise DatabaseError(message, hint=hint) from problem
        raise explain_unopened(path, "", translate_problem(problem), str(problem)) from problem
    except OSError as problem:
        hint = "see that you may write to its folder"
        raise DiskError(f"{path} cannot be made: {problem.strerror}", hint=hint) from problem
    finally:
        draft.unlink(missing_ok=True)


def make_log_room(path: Path) -> None:
    try:
        make_log_folders(path)
    except OSError as problem:
        message = f"{path.parent} has a ? in its path, and a log cannot be kept beside it"
        hint = f"rename the folder: DuckDB keeps the log in {list_logs(path)[0].parent}"
        raise DiskError(message, hint=hint) from problem


def make_folder(folder: Path, *names: str) -> Path:
    """A folder of working files, made where it is absent; nobody else's to read."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in names:
            folder = folder / name
            folder.mkdir(exist_ok=True, mode=0o700)
    except OSError as problem:
        hint = "make room, or see what stands in its way"
        raise DiskError(f"{folder} cannot be made: {problem.strerror}", hint=hint) from problem
    return folder


@contextmanager
def keep_private() -> Iterator[None]:
    """Files created inside are nobody else's to read. The ledger and its log hold rows."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
