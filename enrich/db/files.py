"""The door to DuckDB: files are opened for one step and closed.

While one process has a DuckDB file open for writing, no other can even read it. So no step holds a
file longer than it needs. If another process holds a lock, enrich waits, says for whom, and gives
up after a time; nothing is lost by that.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from glob import escape
from pathlib import Path
from shutil import copyfile
from threading import Lock
from typing import TYPE_CHECKING, Literal, TypeVar

from enrich.db import alias
from enrich.db.alias import Aliases, Scratch, list_logs
from enrich.db.attached import LOCK_HOLDER
from enrich.db.complaint import (
    explain_unopened,
    is_interrupted,
    locate_damage,
    name_damaged,
    translate_problem,
)
from enrich.db.creation import (
    STORAGE_VERSION,
    create_database,
    keep_private,
    make_folder,
    make_log_room,
)
from enrich.db.database import Both, Database, Ledger, Warehouse
from enrich.db.migration import check_ledger_version, migrate_ledger
from enrich.db.needed import find_needed
from enrich.db.quote import quote_name
from enrich.errors import Damaged, DatabaseError, DiskError, EnrichError, Locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import duckdb

    from enrich.db.attached import AttachedDatabase

NOT_UTF8 = re.compile("[\ud800-\udfff]")
"""The characters by which Python represents bytes of a path that are not text (PEP 383)."""
HELD_BY_US = re.compile(
    "already attached|different configuration|file handle conflict|already exists"
)
_ATTACHING = Lock()
"""Held while a file is attached or detached."""
_ATTACHED_FILES: Counter[Path] = Counter()
"""The number of steps of this process that have each file attached now."""

DEFAULT_MEMORY = "640MB"
"""The memory that DuckDB may use unless project.yml says otherwise; the rest goes to
`.enrich/spill`."""
DEFAULT_THREADS = 8
"""The most threads that share that little memory; `memory_limit` in project.yml lifts this limit as
well."""
LEDGER_ROW_GROUP = 20_480
"""Rows in a row group of the ledger, fewer than DuckDB's 122,880: so several threads can read one
batch, and what is added goes into the file at once instead of through its log."""

Access = Literal["read", "write"]
Opened = TypeVar("Opened", bound=Database)


@dataclass(frozen=True, kw_only=True)
class DatabaseFiles:
    """Where a project's databases are, and how they are opened.

    `lock_timeout` is in seconds; `say` is called once with the message whose lock is waited for.
    `reach` holds the files and folders, besides the project's own, that a SELECT may read; None
    means any file, and all installed extensions. `memory_limit` is DuckDB's setting of that name.
    `attached` holds the user's other databases. `storage` is the storage version of a new
    warehouse. If `copies` is not None, nothing of the project is written, only copies in that
    folder.
    """

    root: Path
    warehouse: Path
    ledger: Path
    work: Path
    lock_timeout: float
    say: Callable[[str], None]
    verbose: bool = False
    reach: tuple[Path, ...] | None = ()
    memory_limit: str = ""
    attached: tuple[AttachedDatabase, ...] = ()
    storage: str = STORAGE_VERSION
    copies: Scratch | None = None
    aliases: Aliases = field(default=alias.SHARED_ALIASES, repr=False, compare=False)
    _owners: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _ready: set[tuple[str, int]] = field(default_factory=set, init=False, repr=False, compare=False)

    def open_ledger(self, access: Access = "write") -> AbstractContextManager[Ledger]:
        """Opens a connection for one step, with the ledger attached as `ledger`.

        A file that is absent is created. At the end of the step the file is released, and temporary
        tables are gone. Raises Locked if another process holds the file for too long, DatabaseError
        if it cannot be opened, Damaged, or DiskError. All this is true of the other two as well.
        """
        return self._open_step(Ledger, ledger=access)

    def open_warehouse(
        self, access: Access = "write", *, attached: Sequence[str] = ()
    ) -> AbstractContextManager[Warehouse]:
        """Opens a connection with the warehouse attached as `warehouse`, where names without a
        schema are looked up. Of the user's other databases, those that the SQL in `attached` names
        are attached as well, for reading."""
        return self._open_step(Warehouse, warehouse=access, attached=attached)

    def open_both(
        self, *, warehouse: Access = "write", ledger: Access = "write", attached: Sequence[str] = ()
    ) -> AbstractContextManager[Both]:
        """Opens a connection with both of them."""
        return self._open_step(Both, warehouse=warehouse, ledger=ledger, attached=attached)

    @contextmanager
    def _open_step(
        self,
        kind: type[Opened],
        *,
        warehouse: Access | None = None,
        ledger: Access | None = None,
        attached: Sequence[str] = (),
    ) -> Iterator[Opened]:
        wanted = {"ledger": (self.ledger, ledger), "warehouse": (self.warehouse, warehouse)}
        owner = self._find_owner() if warehouse else ""
        there = {
            name: self._find_file(name, path, access)
            for name, (path, access) in wanted.items()
            if access
        }
        keep = keep_private() if ledger else nullcontext()
        try:
            with keep, ExitStack() as open_files, closing(self._open_cursor()) as connection:
                database = kind(
                    connection=connection,
                    verbose=self.verbose,
                    owner=owner,
                    is_unrestricted=self.reach is None,
                    aliases=self.aliases,
                )
                for name, path in there.items():
                    self._attach_own(database, open_files, path, name, wanted[name][1])
                readable = [each for each in self.attached if each.readable]
                for each in find_needed(database, readable, attached, kept=bool(warehouse)):
                    self._attach_other(database, open_files, each)
                if warehouse:
                    database.execute("USE warehouse")
                yield database
        except Damaged as problem:
            if problem.file is not None:
                raise
            # Only now: to open and close a file that DuckDB has open would end DuckDB's lock on it,
            # for POSIX releases a process's locks on a file with any of its descriptors.
            raise locate_damage(problem, there) from problem.__cause__

    def _find_file(self, name: str, path: Path, access: Access) -> Path:
        """Returns the file to open, created if it is absent: the project's own or, if that cannot
        be written, its copy."""
        if self.copies is not None:
            copy = self.copies.path / f"{name}.duckdb"
            if copy.exists() or (path.exists() and access == "read"):
                return copy if copy.exists() else path
            if path.exists():
                self._copy_database(path, name, copy)
            path = copy
        if not path.exists():
            with keep_private() if name == "ledger" else nullcontext():
                real = path.resolve()  # a link may point to a file that does not exist yet
                create_database(real, "" if name == "ledger" else self.storage, self.aliases)
        return path

    def _copy_database(self, path: Path, name: str, copy: Path) -> None:
        """Copy a database with its logs, locked so that nobody writes it in the meantime."""
        # The logs come first: closing the file itself ends DuckDB's lock on it.
        with ExitStack() as open_files, closing(self._open_cursor()) as connection:
            database = Database(connection=connection, verbose=self.verbose, aliases=self.aliases)
            self._attach(database, open_files, path, name, "READ_ONLY")
            try:
                for log, other in zip(list_logs(path), list_logs(copy), strict=True):
                    if log.exists():
                        copyfile(log, other)
                copyfile(path, copy)
            except OSError as problem:
                hint = (
                    "free some space in the system's temporary folder, or set TMPDIR to another one"
                )
                message = f"{path} cannot be copied: {problem.strerror}"
                raise DiskError(message, hint=hint) from problem

    def use_copies(self) -> DatabaseFiles:
        """Returns the same databases for a folder that cannot be written: nothing in it changes."""
        copies = Scratch()
        return replace(self, work=copies.path / "work", copies=copies)

    @property
    def is_writable(self) -> bool:
        """Whether the databases and the folder of working files can be written."""
        if not (self.work.exists() or os.access(self.root, os.W_OK)):
            return False
        files = (self.warehouse, self.ledger)
        places = (self.work, *files, *(path.parent for path in files))
        return all(os.access(path, os.W_OK) for path in places if path.exists())

    def check_writable(self) -> None:
        """Raises DiskError if nothing can be written, for commands that would spend or keep
        anything."""
        if self.copies is not None:
            hint = "check that you may write to the folder, its databases and .enrich"
            raise DiskError(f"{self.root} cannot be written", hint=hint)

    def _open_cursor(self) -> duckdb.DuckDBPyConnection:
        with _ATTACHING:  # two threads must not start an engine each
            return self._engine.cursor()

    @cached_property
    def _engine(self) -> duckdb.DuckDBPyConnection:
        """The one DuckDB behind all steps: starting it takes far longer than attaching a file."""
        import duckdb

        for path in (self.root, self.work, self.warehouse, self.ledger):
            if NOT_UTF8.search(str(path)):
                hint = "rename it, or set a locale with UTF-8, such as LC_ALL=C.UTF-8"
                raise DiskError(f"{path} is not valid UTF-8, which DuckDB needs", hint=hint)
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": self.aliases.alias_folder(make_folder(self.work, "spill")),
            # A query must not download code by naming a function or an ending.
            "autoinstall_known_extensions": "false",
            "memory_limit": self.memory_limit or DEFAULT_MEMORY,
            # Otherwise a table that does not exist could be a variable of enrich's own code.
            "python_enable_replacements": False,
        }
        if "," not in str(self.root):  # a comma would begin another folder of this list
            settings["file_search_path"] = escape(str(self.root))
        if not self.memory_limit:
            settings["threads"] = min(DEFAULT_THREADS, os.cpu_count() or 1)
        try:
            engine = duckdb.connect(":memory:", config=settings)
        except duckdb.Error as problem:
            hint = "memory_limit in project.yml is a size, such as 2GB"
            raise DatabaseError(translate_problem(problem).message, hint=hint) from problem
        # The same SELECT must give the same requests on every machine: without this, a timestamp
        # with time zone would be rendered in the zone of the machine, and asked again on another.
        engine.execute("SET GLOBAL TimeZone = 'UTC'")
        if self.reach is not None:
            self._restrict(engine, self.reach)
        return engine

    def _restrict(self, engine: duckdb.DuckDBPyConnection, reach: tuple[Path, ...]) -> None:
        """Let SQL open only the project's files and those in `reach`, from now on."""
        files = (self.warehouse, self.ledger, *reach)
        if self.copies is None:
            for path in files[:2]:
                make_log_room(path)
        beside = (log for path in files for log in list_logs(path))
        known = (*(path.resolve() for path in files), *beside)
        paths = [form for path in known for form in (self.aliases.alias_file(path), str(path))]
        engine.execute("SET allowed_paths = $paths", {"paths": paths})
        folders = [f"{folder}{os.sep}" for folder in self._list_folders()]
        engine.execute("SET allowed_directories = $folders", {"folders": folders})
        # The last one, for it locks the other two: what SQL may open is settled before any is run.
        engine.execute("SET enable_external_access = false")

    def _list_folders(self) -> Iterator[str]:
        """Yields the folders in which SQL may open files, in every form that DuckDB may see."""
        inside = [path.resolve() for path in (self.root, self.work, *(self.reach or ()))]
        for path in inside:
            yield self.aliases.alias_folder(path)
            # DuckDB takes a backslash for a slash here, which must not admit another folder.
            if os.sep != "/" or "\\" not in str(path) or not _replace_backslashes(path).exists():
                yield str(path)
                yield escape(str(path))
        if self.copies is not None:
            yield str(self.copies.path)

    def _find_owner(self) -> str:
        """Returns the id of the project's ledger, which is created if it is absent."""
        # Remembered by inode, for the ledger may be replaced by an import while this object lives.
        access: Access = "read" if self.copies and self.ledger.exists() else "write"
        file = self._find_file("ledger", self.ledger, access)
        known = str(file.stat().st_ino)
        if known not in self._owners:
            with self.open_ledger(access) as database:
                (found,) = database.fetch_one("SELECT id FROM ledger.identity")
            self._owners[known] = str(found)
        return self._owners[known]

    def _attach_own(
        self,
        database: Database,
        open_files: ExitStack,
        path: Path,
        name: str,
        access: Access | None,
    ) -> None:
        """Attach the ledger or the warehouse, with the tables that it needs.

        Raises DatabaseError if a newer enrich has written the ledger.
        """
        if access == "write":
            self._attach(database, open_files, path, name, f"ROW_GROUP_SIZE {LEDGER_ROW_GROUP}")
            self._prepare(database, path, name)
            return
        self._attach(database, open_files, path, name, "READ_ONLY")
        if name == "ledger":
            check_ledger_version(database, path)

    def _prepare(self, database: Database, path: Path, name: str) -> None:
        """Create the tables that a file lacks, once for each file that this process opens."""
        file = (name, path.stat().st_ino)
        if file in self._ready:
            return
        if name == "ledger":
            migrate_ledger(database, path)
        else:
            database.call("warehouse")
            database.call("macros")
        self._ready.add(file)

    def _detach(self, name: str, file: Path | None = None) -> None:
        """Release a file; what was committed is in it or in the log beside it."""
        import duckdb

        with _ATTACHING:
            try:
                self._engine.execute(f"DETACH DATABASE IF EXISTS {quote_name(name)}")
            except (duckdb.Error, RuntimeError) as problem:
                # A file that cannot be detached stays locked. Closing the engine releases it, and
                # the next step starts another.
                self.__dict__.pop("_engine").close()
                if is_interrupted(problem):
                    raise KeyboardInterrupt from problem
                raise translate_problem(problem) from problem
            finally:
                _ATTACHED_FILES.subtract([file] if file else ())

    def _attach_other(
        self, database: Database, open_files: ExitStack, each: AttachedDatabase
    ) -> None:
        """Attach one of the user's other databases, for reading.

        Raises DatabaseError or Locked, without the address, which may hold a password.
        """
        if each.type == "duckdb":
            if not Path(each.path).is_file():
                hint = (
                    "check `attach:` in project.yml; its path is relative to the project's folder"
                )
                message = f"the database '{each.name}' does not exist: {each.shown}"
                raise DatabaseError(message, hint=hint)
            try:
                self._attach(database, open_files, Path(each.path), each.name, "READ_ONLY")
            except DatabaseError as problem:
                said = problem.message.replace(each.path, each.shown)
                raise type(problem)(
                    f"the database '{each.name}': {said}", hint=problem.hint
                ) from None
            return
        try:
            each.attach(database)
            open_files.callback(self._detach, each.name)
        # `from None` below and above: the cause would show the address in a traceback.
        except DatabaseError as problem:
            raise each.explain(problem) from None

    def _attach(
        self, database: Database, open_files: ExitStack, path: Path, name: str, option: str
    ) -> None:
        """Attach `path` until `open_files` is closed, waiting for another process or another thread
        to release it.

        Raises Locked after `lock_timeout`, DatabaseError or Damaged if it cannot be opened.
        """
        deadline = time.monotonic() + self.lock_timeout
        has_said = False
        if name in ("ledger", "warehouse") and path.is_file() and not path.stat().st_size:
            # DuckDB would take an empty file for a new database, and everything would be paid for
            # again.
            raise name_damaged({name: path}, [name])
        if option != "READ_ONLY":
            make_log_room(path)
        while True:
            who, problem = self._try_attach(database, open_files, path, name, option)
            if problem is None:
                return
            if time.monotonic() >= deadline:
                hint = "close it there, or wait longer: --lock-timeout SECONDS; nothing is lost"
                raise Locked(who, hint=hint) from problem.__cause__
            if not has_said:
                self.say(f"{who}; waiting up to {self.lock_timeout:.0f} s")
                has_said = True
            time.sleep(0.1)

    def _try_attach(
        self, database: Database, open_files: ExitStack, path: Path, name: str, option: str
    ) -> tuple[str, EnrichError | None]:
        """Attach `path` once. Returns who holds it, and DuckDB's complaint, if it is to be waited
        for. Raises Locked if nobody will release it, DatabaseError or Damaged."""
        file = path.resolve()
        # Meanwhile no other step attaches or detaches, so a step detaches only what is its own, and
        # whether another step holds the file is certain.
        with _ATTACHING:
            is_free = not _ATTACHED_FILES[file]
            try:
                database.attach(path, name, option)
                _ATTACHED_FILES[file] += 1
                open_files.callback(self._detach, name, file)
            except KeyboardInterrupt:
                if is_free:  # it may be attached all the same
                    self._engine.execute(f"DETACH DATABASE IF EXISTS {quote_name(name)}")
                raise
            except (DatabaseError, Damaged) as problem:
                text = str(problem.__cause__)
                who, is_ours = _describe_lock(path, text)
                if not who:
                    raise explain_unopened(path, name, problem, text) from problem.__cause__
                # Another step of this process ends by itself, and is waited for. If there is none,
                # the connection is the user's own, which only the user can close.
                if is_ours and is_free:
                    hint = "close the connection that has it open: connection.close()"
                    raise Locked(who, hint=hint) from problem.__cause__
                return who, problem
        return "", None


def _describe_lock(path: Path, text: str) -> tuple[str, bool]:
    """Returns who holds a file according to DuckDB's message, "" if the message is not about a
    lock, and whether it is this process."""
    if holder := LOCK_HOLDER.search(text):
        return f"{path.name} is held by process {holder[2]} ({holder[1]})", False
    if HELD_BY_US.search(text):
        return f"{path.name} is open in this process", True
    return "", False


def _replace_backslashes(path: Path) -> Path:
    return Path(str(path).replace("\\", "/"))
