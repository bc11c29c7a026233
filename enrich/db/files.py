"""The door to DuckDB: files are opened for one step and closed.

While one process has a DuckDB file open for writing no other can even read it, so no step holds
one longer than it needs. Meeting somebody else's lock, enrich waits, says for whom, and gives up
after a time; nothing is lost by that.
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
from typing import TYPE_CHECKING, Literal, TypeVar

from enrich.db import alias
from enrich.db.alias import Aliases, Scratch, list_logs
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
from enrich.db.quote import quote_name
from enrich.errors import Damaged, DatabaseError, DiskError, Locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb

LOCK_HOLDER = re.compile(r"held in (.*?) ?\(PID (\d+)\)")

NOT_UTF8 = re.compile("[\ud800-\udfff]")
"""How Python writes the bytes of a path that are no text."""
HELD_BY_US = re.compile(
    "already attached|different configuration|file handle conflict|already exists"
)
_ATTACHED_FILES: Counter[Path] = Counter()
"""How many steps of this process have each file attached now."""

DEFAULT_MEMORY = "640MB"
"""What DuckDB may hold in memory; the rest goes to `.enrich/spill`."""
DEFAULT_THREADS = 8
"""How many threads may share that little memory; `memory_limit` in project.yml lifts this, too."""
LEDGER_ROW_GROUP = 20_480
"""Rows that the ledger keeps together: several threads can read a batch, and what is added goes
into the file at once instead of through its log."""

Access = Literal["read", "write"]
Opened = TypeVar("Opened", bound=Database)


@dataclass(frozen=True, kw_only=True)
class AttachedDatabase:
    """A database of the user's own that models read as `NAME.table`. `${NAME}` in its path is an
    environment variable, read when the database is attached; `shown` is the path as written."""

    name: str
    path: str
    type: str
    shown: str = ""

    @property
    def option(self) -> str:
        return "READ_ONLY" if self.type == "duckdb" else f"READ_ONLY, TYPE {self.type}"


@dataclass(frozen=True, kw_only=True)
class DatabaseFiles:
    """Where a project's databases are, and how they are opened.

    `lock_timeout` is in seconds; `say` is told once whose lock is waited for. `reach` names the
    files and folders, besides the project's own, that a SELECT may read; None: any file, and
    whatever extensions are installed. `memory_limit` is DuckDB's setting of that name. `attached`
    are the user's other databases. `storage` is the storage version of a new warehouse. With
    `copies` nothing of the project's is written: what must be is written into copies there.
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
    _open: dict[str, Path] = field(default_factory=dict, init=False, repr=False, compare=False)

    def open_ledger(self, access: Access = "write") -> AbstractContextManager[Ledger]:
        """A connection for one step with the ledger attached as `ledger`.

        What is absent is created; at the end of the step the file is let go of, and temporary
        tables are gone. The same holds for the other two.
        """
        return self._open_step(Ledger, ledger=access)

    def open_warehouse(
        self, access: Access = "write", *, attached: bool = False
    ) -> AbstractContextManager[Warehouse]:
        """One with the warehouse attached as `warehouse`, in which names without a schema are
        looked up; `attached`: with the user's other databases, for reading."""
        return self._open_step(Warehouse, warehouse=access, attached=attached)

    def open_both(
        self, *, warehouse: Access = "write", ledger: Access = "write", attached: bool = False
    ) -> AbstractContextManager[Both]:
        """One with both of them."""
        return self._open_step(Both, warehouse=warehouse, ledger=ledger, attached=attached)

    @contextmanager
    def _open_step(
        self,
        kind: type[Opened],
        *,
        warehouse: Access | None = None,
        ledger: Access | None = None,
        attached: bool = False,
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
            with keep, ExitStack() as open_files, closing(self._engine.cursor()) as connection:
                database = kind(
                    connection=connection,
                    verbose=self.verbose,
                    owner=owner,
                    is_unrestricted=self.reach is None,
                    aliases=self.aliases,
                )
                for name, path in there.items():
                    open_files.callback(self._detach, name)
                    self._attach_own(database, path, name, wanted[name][1])
                for each in self.attached if attached else ():
                    open_files.callback(self._detach, each.name)
                    self._attach_other(database, each)
                if warehouse:
                    database.execute("USE warehouse")
                yield database
        except Damaged as problem:
            if problem.file is not None:
                raise
            # Only now, for to look into a file that DuckDB has open would end its lock on it.
            raise locate_damage(problem, there) from problem.__cause__

    def _find_file(self, name: str, path: Path, access: Access) -> Path:
        """The file to open, which is made where it is absent: the project's own, or, where that
        cannot be written, its copy."""
        if self.copies is not None:
            copy = self.copies.path / f"{name}.duckdb"
            if copy.exists() or (path.exists() and access == "read"):
                return copy if copy.exists() else path
            if path.exists():
                self._copy_database(path, name, copy)
            path = copy
        if not path.exists():
            with keep_private() if name == "ledger" else nullcontext():
                real = path.resolve()  # a link may lead to where nothing is yet
                create_database(real, "" if name == "ledger" else self.storage, self.aliases)
        return path

    def _copy_database(self, path: Path, name: str, copy: Path) -> None:
        """Copy a database while nobody writes it. The log first: to close the file itself ends
        DuckDB's lock on it."""
        with closing(self._engine.cursor()) as connection:
            database = Database(connection=connection, verbose=self.verbose, aliases=self.aliases)
            self._attach(database, path, name, "READ_ONLY")
            try:
                for log, other in zip(list_logs(path), list_logs(copy), strict=True):
                    if log.exists():
                        copyfile(log, other)
                copyfile(path, copy)
            except OSError as problem:
                hint = "make room in the system's temporary folder, or name another by TMPDIR"
                message = f"{path} cannot be copied: {problem.strerror}"
                raise DiskError(message, hint=hint) from problem
            finally:
                self._detach(name)

    def use_copies(self) -> DatabaseFiles:
        """The same for a folder that cannot be written: nothing in it is changed."""
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
        """Refuse what would spend or keep anything where nothing can be written."""
        if self.copies is not None:
            hint = "see that you may write to the folder, its databases and .enrich"
            raise DiskError(f"{self.root} cannot be written", hint=hint)

    @cached_property
    def _engine(self) -> duckdb.DuckDBPyConnection:
        """The one DuckDB behind all steps: starting it takes far longer than attaching a file.

        What SQL may reach is settled before any is run, and cannot be widened afterwards.
        """
        import duckdb

        for path in (self.root, self.work, self.warehouse, self.ledger):
            if NOT_UTF8.search(str(path)):
                hint = "rename it, or set a locale with UTF-8, such as LC_ALL=C.UTF-8"
                raise DiskError(f"{path} is not text in UTF-8, which DuckDB needs", hint=hint)
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": self.aliases.alias_folder(make_folder(self.work, "spill")),
            "autoinstall_known_extensions": "false",
            "memory_limit": self.memory_limit or DEFAULT_MEMORY,
        }
        if "," not in str(self.root):  # which would begin another folder
            settings["file_search_path"] = escape(str(self.root))
        if not self.memory_limit:
            settings["threads"] = min(DEFAULT_THREADS, os.cpu_count() or 1)
        try:
            engine = duckdb.connect(":memory:", config=settings)
        except duckdb.Error as problem:
            hint = "memory_limit in project.yml is a size, such as 2GB"
            raise DatabaseError(translate_problem(problem).message, hint=hint) from problem
        engine.execute("SET GLOBAL TimeZone = 'UTC'")
        if self.reach is not None:
            files = (self.warehouse, self.ledger, *self.reach)
            if self.copies is None:
                for path in files[:2]:
                    make_log_room(path)
            beside = (log for path in files for log in list_logs(path))
            known = (*(path.resolve() for path in files), *beside)
            paths = [form for path in known for form in (self.aliases.alias_file(path), str(path))]
            engine.execute("SET allowed_paths = $paths", {"paths": paths})
            folders = [f"{folder}{os.sep}" for folder in self._list_folders()]
            engine.execute("SET allowed_directories = $folders", {"folders": folders})
            engine.execute("SET enable_external_access = false")
        return engine

    def _list_folders(self) -> Iterator[str]:
        """The folders in which SQL may open files, in every form in which DuckDB may meet them."""
        inside = [path.resolve() for path in (self.root, self.work, *(self.reach or ()))]
        for path in inside:
            yield self.aliases.alias_folder(path)
            # DuckDB takes a backslash for a slash here, which must not let another folder in.
            if os.sep != "/" or "\\" not in str(path) or not _replace_backslashes(path).exists():
                yield str(path)
                yield escape(str(path))
        if self.copies is not None:
            yield str(self.copies.path)

    def _find_owner(self) -> str:
        """The id of the project's ledger, which is made where it is absent."""
        access: Access = "read" if self.copies and self.ledger.exists() else "write"
        file = self._find_file("ledger", self.ledger, access)
        known = str(file.stat().st_ino)
        if known not in self._owners:
            with self.open_ledger(access) as database:
                (found,) = database.fetch_one("SELECT id FROM ledger.identity")
            self._owners[known] = str(found)
        return self._owners[known]

    def _attach_own(self, database: Database, path: Path, name: str, access: Access | None) -> None:
        """Attach the ledger or the warehouse, with the tables and the version that it needs."""
        if access == "write":
            self._attach(database, path, name, f"ROW_GROUP_SIZE {LEDGER_ROW_GROUP}")
            self._prepare(database, path, name)
            return
        self._attach(database, path, name, "READ_ONLY")
        if name == "ledger":
            check_ledger_version(database, path)

    def _prepare(self, database: Database, path: Path, name: str) -> None:
        """Make the tables that a file lacks: once for each file that this process meets."""
        file = (name, path.stat().st_ino)
        if file in self._ready:
            return
        if name == "ledger":
            migrate_ledger(database, path)
        else:
            database.call(name)
        self._ready.add(file)

    def _detach(self, name: str) -> None:
        """Let go of a file; what was committed is in it, or in its log beside it."""
        import duckdb

        try:
            self._engine.execute(f"DETACH DATABASE IF EXISTS {quote_name(name)}")
        except (duckdb.Error, RuntimeError) as problem:
            self.__dict__.pop("_engine").close()
            if is_interrupted(problem):
                raise KeyboardInterrupt from problem
            raise translate_problem(problem) from problem
        finally:
            file = self._open.pop(name, None)
            _ATTACHED_FILES.subtract([file] if file else ())

    def _attach_other(self, database: Database, each: AttachedDatabase) -> None:
        """Attach one of the user's other databases; its address may hold a password, and so stays
        out of what is said."""
        if each.type == "duckdb":
            if not Path(each.path).is_file():
                hint = "see `attach:` in project.yml; its path begins at the project's folder"
                message = f"the database '{each.name}' is not there: {each.shown}"
                raise DatabaseError(message, hint=hint)
            try:
                self._attach(database, Path(each.path), each.name, each.option)
            except DatabaseError as problem:
                said = problem.message.replace(each.path, each.shown)
                raise type(problem)(
                    f"the database '{each.name}': {said}", hint=problem.hint
                ) from None
            return
        try:
            statement = f"ATTACH $path AS {quote_name(each.name)} ({each.option})"
            database.execute(statement, path=each.path)
        except DatabaseError as problem:
            said = problem.message.replace(each.path, "...")
            hint = f"see `attach:` in project.yml; INSTALL {each.type} once in DuckDB"
            raise DatabaseError(
                f"the database '{each.name}' cannot be attached: {said}", hint=hint
            ) from None

    def _attach(self, database: Database, path: Path, name: str, option: str) -> None:
        """Attach `path`, waiting for another process, or another thread, to let go of it."""
        deadline = time.monotonic() + self.lock_timeout
        told = strange = False
        if name in ("ledger", "warehouse") and path.is_file() and not path.stat().st_size:
            raise name_damaged({name: path}, [name])  # DuckDB would begin a new one in it
        if option != "READ_ONLY":
            make_log_room(path)
        while True:
            try:
                database.execute(f"ATTACH $path AS {quote_name(name)} ({option})", path=path)
                file = path.resolve()
                _ATTACHED_FILES[file] += 1
                self._open[name] = file
                return
            except (DatabaseError, Damaged) as problem:
                text = str(problem.__cause__)
                holder = LOCK_HOLDER.search(text)
                if holder:
                    who = f"{path.name} is held by process {holder[2]} ({holder[1]})"
                elif HELD_BY_US.search(text):
                    who = f"{path.name} is open in this very process"
                    if not _ATTACHED_FILES[path.resolve()]:  # another step of ours ends by itself
                        if strange:
                            hint = "close the connection that has it open: connection.close()"
                            raise Locked(who, hint=hint) from problem.__cause__
                        strange = True  # unless that step has just ended
                        continue
                else:
                    raise explain_unopened(path, name, problem, text) from problem.__cause__
                if time.monotonic() >= deadline:
                    hint = "close it there, or wait longer: --lock-timeout SECONDS; nothing is lost"
                    raise Locked(who, hint=hint) from problem.__cause__
                if not told:
                    self.say(f"{who}; waiting up to {self.lock_timeout:.0f} s")
                    told = True
                time.sleep(0.1)


def _replace_backslashes(path: Path) -> Path:
    return Path(str(path).replace("\\", "/"))
