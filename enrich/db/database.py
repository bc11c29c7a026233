"""The door to DuckDB: files are opened for one step and closed, and every statement passes here.

While one process has a DuckDB file open for writing no other can even read it, so no step holds
one longer than it needs. Meeting somebody else's lock, enrich waits, says for whom, and gives up
after a time; nothing is lost by that.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from glob import escape
from importlib.resources import files
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any, Literal

from enrich.db import alias, quote
from enrich.db.alias import Aliases, Scratch, logs, make_room, plain_name
from enrich.db.interruptible import interruptible
from enrich.errors import Damaged, DatabaseError, DiskError, Locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import duckdb

    from enrich.errors import EnrichError

HOLDER = re.compile(r"held in (.*?) ?\(PID (\d+)\)")
LINE = re.compile(r"^LINE (\d+): (.*)$", re.MULTILINE)
POSITION = re.compile(r"\n\s*LINE \d+:.*", re.DOTALL)

UNTEXT = re.compile("[\ud800-\udfff]")
"""How Python writes the bytes of a path that are no text."""
FULL = "the disk is full"
OURS = re.compile("already attached|different configuration|file handle conflict|already exists")
_HELD: Counter[Path] = Counter()
"""How many steps of this process have each file attached now."""
DENIED = re.compile(r'Cannot access (?:file|directory) "(.*?)" - file system operations')
DAMAGE = re.compile(
    "Corrupt (database|WAL) file|Could not read enough bytes|not a valid DuckDB database"
    "|Failure while replaying WAL|Serialization Error|[Ff]ailed to deserialize"
)
BLOCK = re.compile(r"stored checksum (\d+) in block at location (\d+)")
KIND = re.compile(r"^[A-Z][A-Za-z -]* Error: ")
CHECK_LEDGER = (
    "`enrich ledger check` says what can still be read, "
    "and `enrich ledger import DIR --replace` brings back an export"
)
REMAKE = (
    "move the warehouse away, and `enrich run` rebuilds its tables from the ledger without "
    "asking or paying again"
)
TRY = "enrich sql runs any query on the same warehouse: try it there"

MEMORY = "640MB"
"""What DuckDB may hold in memory; the rest goes to `.enrich/spill`."""
ROOM = "4GB"
"""What one thread may hold for a moment to read a very long line."""
THREADS = 8
"""How many threads may share that little memory; `memory_limit` in project.yml lifts this, too."""
STORAGE = "v1.5.0"
"""The storage version of a new warehouse: DuckDB 1.5 and tools that bring it can open it."""
ROWS = 20_480
"""Rows that the ledger keeps together: several threads can read a batch, and what is added goes
into the file at once instead of through its log."""

Access = bool | Literal["read"]
Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Attached:
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
class Files:
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
    attached: tuple[Attached, ...] = ()
    storage: str = STORAGE
    copies: Scratch | None = None
    aliases: Aliases = field(default=alias.SHARED, repr=False, compare=False)
    _owners: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _ready: set[tuple[str, int]] = field(default_factory=set, init=False, repr=False, compare=False)
    _open: dict[str, Path] = field(default_factory=dict, init=False, repr=False, compare=False)

    @contextmanager
    def open(
        self, *, warehouse: Access = False, ledger: Access = False, attached: bool = False
    ) -> Iterator[Database]:
        """A connection for one step, with the named files attached under these names.

        Files that are absent are created; "read" gives one for reading only; `attached`: with the
        user's other databases, for reading. At the end of the step
        the files are let go of, and temporary tables are gone.
        """
        wanted = {"ledger": (self.ledger, ledger), "warehouse": (self.warehouse, warehouse)}
        owner = self._owner() if warehouse else ""
        there = {name: self._found(name, *each) for name, each in wanted.items() if each[1]}
        keep = private() if ledger else nullcontext()
        try:
            with keep, ExitStack() as open_files, closing(self._engine.cursor()) as connection:
                database = Database(connection=connection, verbose=self.verbose, owner=owner)
                database.free, database.aliases = self.reach is None, self.aliases
                for name, path in there.items():
                    open_files.callback(self._detach, name)
                    if wanted[name][1] == "read":
                        self._attach(database, path, name, "READ_ONLY")
                        if name == "ledger":
                            check_version(database, path)
                        continue
                    self._attach(database, path, name, f"ROW_GROUP_SIZE {ROWS}")
                    self._prepare(database, path, name)
                for each in self.attached if attached else ():
                    open_files.callback(self._detach, each.name)
                    self._attach_other(database, each)
                if warehouse:
                    database.run("USE warehouse")
                yield database
        except Damaged as problem:
            if problem.file is not None:
                raise
            # Only now, for to look into a file that DuckDB has open would end its lock on it.
            raise self._located(problem, there) from problem.__cause__

    def _found(self, name: str, path: Path, access: Access) -> Path:
        """The file to open, which is made where it is absent: the project's own, or, where that
        cannot be written, its copy."""
        if self.copies is not None:
            copy = self.copies.path / f"{name}.duckdb"
            if copy.exists() or (path.exists() and access == "read"):
                return copy if copy.exists() else path
            if path.exists():
                self._copy(path, name, copy)
            path = copy
        if not path.exists():
            with private() if name == "ledger" else nullcontext():
                real = path.resolve()  # a link may lead to where nothing is yet
                create(real, "" if name == "ledger" else self.storage, self.aliases)
        return path

    def _copy(self, path: Path, name: str, copy: Path) -> None:
        """Copy a database while nobody writes it. The log first: to close the file itself ends
        DuckDB's lock on it."""
        with closing(self._engine.cursor()) as connection:
            database = Database(connection=connection, verbose=self.verbose, aliases=self.aliases)
            self._attach(database, path, name, "READ_ONLY")
            try:
                for log, other in zip(logs(path), logs(copy), strict=True):
                    if log.exists():
                        copyfile(log, other)
                copyfile(path, copy)
            except OSError as problem:
                hint = "make room in the system's temporary folder, or name another by TMPDIR"
                message = f"{path} cannot be copied: {problem.strerror}"
                raise DiskError(message, hint=hint) from problem
            finally:
                self._detach(name)

    def on_copies(self) -> Files:
        """The same for a folder that cannot be written: nothing in it is changed."""
        copies = Scratch()
        return replace(self, work=copies.path / "work", copies=copies)

    @property
    def writable(self) -> bool:
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

    def _located(self, problem: Damaged, files: dict[str, Path]) -> Damaged:
        """The error of which it is not known which of these files is damaged, with its file: in a
        damaged block stands the checksum that DuckDB names."""
        block = BLOCK.search(str(problem.__cause__))
        holders = [
            name
            for name, path in files.items()
            if len(files) == 1 or (block and _checksum(path, int(block[2])) == int(block[1]))
        ]
        return damaged(files, holders or list(files))

    @cached_property
    def _engine(self) -> duckdb.DuckDBPyConnection:
        """The one DuckDB behind all steps: starting it takes far longer than attaching a file.

        What SQL may reach is settled before any is run, and cannot be widened afterwards.
        """
        import duckdb

        for path in (self.root, self.work, self.warehouse, self.ledger):
            if UNTEXT.search(str(path)):
                hint = "rename it, or set a locale with UTF-8, such as LC_ALL=C.UTF-8"
                raise DiskError(f"{path} is not text in UTF-8, which DuckDB needs", hint=hint)
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": self.aliases.folder(made(self.work, "spill")),
            "autoinstall_known_extensions": "false",
            "memory_limit": self.memory_limit or MEMORY,
        }
        if "," not in str(self.root):  # which would begin another folder
            settings["file_search_path"] = escape(str(self.root))
        if not self.memory_limit:
            settings["threads"] = min(THREADS, os.cpu_count() or 1)
        try:
            engine = duckdb.connect(":memory:", config=settings)
        except duckdb.Error as problem:
            hint = "memory_limit in project.yml is a size, such as 2GB"
            raise DatabaseError(_translated(problem).message, hint=hint) from problem
        engine.execute("SET GLOBAL TimeZone = 'UTC'")
        if self.reach is not None:
            files = (self.warehouse, self.ledger, *self.reach)
            if self.copies is None:
                for path in files[:2]:
                    _make_room(path)
            beside = (log for path in files for log in logs(path))
            known = (*(path.resolve() for path in files), *beside)
            paths = [form for path in known for form in (self.aliases.of(path), str(path))]
            engine.execute("SET allowed_paths = $paths", {"paths": paths})
            folders = [f"{folder}{os.sep}" for folder in self._folders()]
            engine.execute("SET allowed_directories = $folders", {"folders": folders})
            engine.execute("SET enable_external_access = false")
        return engine

    def _folders(self) -> Iterator[str]:
        """The folders in which SQL may open files, in every form in which DuckDB may meet them."""
        inside = [path.resolve() for path in (self.root, self.work, *(self.reach or ()))]
        for path in inside:
            yield self.aliases.folder(path)
            # DuckDB takes a backslash for a slash here, which must not let another folder in.
            if os.sep != "/" or "\\" not in str(path) or not _slashed(path).exists():
                yield str(path)
                yield escape(str(path))
        if self.copies is not None:
            yield str(self.copies.path)

    def _owner(self) -> str:
        """The id of the project's ledger, which is made where it is absent."""
        access: Access = "read" if self.copies and self.ledger.exists() else True
        file = self._found("ledger", self.ledger, access)
        known = str(file.stat().st_ino)
        if known not in self._owners:
            with self.open(ledger=access) as database:
                (found,) = database.one("SELECT id FROM ledger.identity")
            self._owners[known] = str(found)
        return self._owners[known]

    def _prepare(self, database: Database, path: Path, name: str) -> None:
        """Make the tables that a file lacks: once for each file that this process meets."""
        file = (name, path.stat().st_ino)
        if file in self._ready:
            return
        if name == "ledger":
            migrate(database, path)
        else:
            database.script(name)
        self._ready.add(file)

    def _detach(self, name: str) -> None:
        """Let go of a file; what was committed is in it, or in its log beside it."""
        import duckdb

        try:
            self._engine.execute(f"DETACH DATABASE IF EXISTS {quote.name(name)}")
        except (duckdb.Error, RuntimeError) as problem:
            self.__dict__.pop("_engine").close()
            if _interrupted(problem):
                raise KeyboardInterrupt from problem
            raise _translated(problem) from problem
        finally:
            file = self._open.pop(name, None)
            _HELD.subtract([file] if file else ())

    def _attach_other(self, database: Database, each: Attached) -> None:
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
            statement = f"ATTACH $path AS {quote.name(each.name)} ({each.option})"
            database.run(statement, path=each.path)
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
            raise damaged({name: path}, [name])  # DuckDB would begin a new one in it
        if option != "READ_ONLY":
            _make_room(path)
        while True:
            try:
                database.run(f"ATTACH $path AS {quote.name(name)} ({option})", path=path)
                file = path.resolve()
                _HELD[file] += 1
                self._open[name] = file
                return
            except (DatabaseError, Damaged) as problem:
                text = str(problem.__cause__)
                holder = HOLDER.search(text)
                if holder:
                    who = f"{path.name} is held by process {holder[2]} ({holder[1]})"
                elif OURS.search(text):
                    who = f"{path.name} is open in this very process"
                    if not _HELD[path.resolve()]:  # another step of ours ends by itself
                        if strange:
                            hint = "close the connection that has it open: connection.close()"
                            raise Locked(who, hint=hint) from problem.__cause__
                        strange = True  # unless that step has just ended
                        continue
                else:
                    raise _unopened(path, name, problem, text) from problem.__cause__
                if time.monotonic() >= deadline:
                    hint = "close it there, or wait longer: --lock-timeout SECONDS; nothing is lost"
                    raise Locked(who, hint=hint) from problem.__cause__
                if not told:
                    self.say(f"{who}; waiting up to {self.lock_timeout:.0f} s")
                    told = True
                time.sleep(0.1)


@cache
def migrations() -> Mapping[int, str]:
    """The ledger's migrations by number, and the SQL of each."""
    folder = files("enrich.db") / "sql" / "migrations"
    found = {
        int(each.name[:4]): each.read_text(encoding="utf-8")
        for each in folder.iterdir()
        if each.name.endswith(".sql")
    }
    return dict(sorted(found.items()))


def check_version(database: Database, path: Path) -> int:
    """The last migration that a ledger has been through; 0: none that it knows of. Raises
    DatabaseError where a newer enrich has made it into what this one does not know."""
    if not database.script("ledger_has_version"):
        return 0
    version = database.one("SELECT coalesce(max(version), 0) FROM ledger.identity")[0]
    if version > max(migrations()):
        what = f"{path} was written by a newer enrich: its version is {version}"
        hint = f"upgrade enrich in this environment, which knows versions up to {max(migrations())}"
        raise DatabaseError(what, hint=hint)
    return int(version)


def migrate(database: Database, path: Path) -> None:
    """Bring a ledger to the present version, one migration after another, each whole or not at all.

    The first one makes whatever table or column is missing, and is run whenever a process meets
    the file; the others are run once.
    """
    version = check_version(database, path)
    for number, sql in migrations().items():
        if number > 1 and number <= version:
            continue
        with database.transaction():
            database.run(sql)
            if number > max(version, 1):
                database.run("UPDATE ledger.identity SET version = $number", number=number)


def create(path: Path, storage: str, aliases: Aliases) -> None:
    """Make an empty database of a storage version, "": DuckDB's own. Whole, or not at all, whenever
    the process is killed or the disk is full; one that somebody else made meanwhile stays."""
    import duckdb

    draft, log = path.with_name(f"{plain_name(path)}.{os.getpid()}"), logs(path)[0]
    option = f" (STORAGE_VERSION {quote.text(storage)})" if storage else ""
    try:
        if (
            log.exists() and not path.exists()
        ):  # of a database that was removed: it belongs to no other
            log.replace(f"{log}.lost")
        _make_room(path)
        _make_room(draft)
        with closing(duckdb.connect(":memory:")) as connection:
            connection.execute(f"ATTACH $path AS made{option}", {"path": aliases.of(draft)})
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
            hint = f"name a version of DuckDB, such as {STORAGE}, or latest"
            raise DatabaseError(message, hint=hint) from problem
        raise _unopened(path, "", _translated(problem), str(problem)) from problem
    except OSError as problem:
        hint = "see that you may write to its folder"
        raise DiskError(f"{path} cannot be made: {problem.strerror}", hint=hint) from problem
    finally:
        draft.unlink(missing_ok=True)


def _slashed(path: Path) -> Path:
    return Path(str(path).replace("\\", "/"))


def _make_room(path: Path) -> None:
    try:
        make_room(path)
    except OSError as problem:
        message = f"{path.parent} has a ? in its path, and a log cannot be kept beside it"
        hint = f"rename the folder: DuckDB keeps the log in {logs(path)[0].parent}"
        raise DiskError(message, hint=hint) from problem


def made(folder: Path, *names: str) -> Path:
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
def private() -> Iterator[None]:
    """Files created inside are nobody else's to read. The ledger and its log hold rows."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@dataclass(kw_only=True)
class Database:
    """An open connection. Statements raise DatabaseError, or InputError where a SELECT is the
    user's own; never an error of DuckDB. `owner` is the id of the project's ledger, where the
    warehouse is open. `free`: SQL may read any file, and call extensions."""

    connection: duckdb.DuckDBPyConnection = field(repr=False)
    verbose: bool = False
    owner: str = ""
    free: bool = False
    aliases: Aliases = field(default_factory=Aliases, repr=False)

    def run(self, sql: str, /, **values: Any) -> list[Row]:  # noqa: ANN401  # any SQL value
        """Run one statement with bound values; gives all rows of the answer.

        A Path among the values, or in a list of them, stands for that file, whatever its name.
        """
        import duckdb

        start = time.perf_counter()
        bound = {name: self._bound(value) for name, value in values.items()}
        try:
            rows = interruptible(lambda: self._rows(sql, bound), self.connection.interrupt)
        except (duckdb.Error, OverflowError, RuntimeError, ValueError) as problem:
            if _interrupted(problem):
                raise KeyboardInterrupt from problem
            raise _translated(problem) from problem
        if self.verbose:
            seconds = time.perf_counter() - start
            sys.stderr.write(f"sql {seconds:7.3f} s {len(rows):>6} rows  {_label(sql)}\n")
        return rows

    def _rows(self, sql: str, bound: Mapping[str, Any]) -> list[Row]:
        cursor = self.connection.execute(sql, bound or None)
        return cursor.fetchall() if cursor else []

    def _bound(self, value: Any) -> Any:  # noqa: ANN401  # any SQL value
        if isinstance(value, list):
            return [self._bound(item) if isinstance(item, Path) else item for item in value]
        return self.aliases.of(value) if isinstance(value, Path) else value

    def one(self, sql: str, /, **values: Any) -> Row:  # noqa: ANN401
        """The only row of an answer."""
        return self.run(sql, **values)[0]

    def dicts(self, sql: str, /, **values: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """All rows of an answer, each by column name."""
        rows = self.run(sql, **values)
        names = [column[0] for column in self.connection.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def script(self, name: str, /, **values: Any) -> list[Row]:  # noqa: ANN401
        """Run the constant statement enrich/db/sql/NAME.sql."""
        return self.run(statement(name), **values)

    def describe(self, select: str) -> dict[str, str]:
        """The columns of a SELECT and their types."""
        return {row[0]: row[1] for row in self.run(f"DESCRIBE FROM (\n{select}\n)")}

    @contextmanager
    def bare(self) -> Iterator[Database]:
        """A connection beside this one, in which none of the user's tables and macros are known."""
        with closing(self.connection.cursor()) as connection:
            yield Database(connection=connection, verbose=self.verbose, aliases=self.aliases)

    @contextmanager
    def roomy(self) -> Iterator[None]:
        """Inside, one thread may take much memory, for what cannot be had in pieces."""
        (limit,) = self.one("SELECT current_setting('memory_limit')")
        self.run("SET threads = 1")
        self.run(f"SET memory_limit = '{ROOM}'")
        try:
            yield
        finally:
            self.run("RESET threads")
            self.run(f"SET memory_limit = '{limit}'")

    @contextmanager
    def unordered(self) -> Iterator[None]:
        """Inside, rows need not keep their order: what writes a large file is twice as fast."""
        self.run("SET preserve_insertion_order = false")
        try:
            yield
        finally:
            self.run("RESET preserve_insertion_order")

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Nothing of what happens inside is kept."""
        self.run("BEGIN TRANSACTION")
        try:
            yield
        finally:
            self.run("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: what happens inside is kept only if the block ends without an error."""
        self.run("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK")
            raise
        self.run("COMMIT")


def _label(sql: str) -> str:
    """What to call a statement: its opening comment, or its first words."""
    first, _, _ = sql.partition("\n")
    return first[3:] if first.startswith("-- ") else " ".join(sql.split())[:72]


@cache
def statement(name: str) -> str:
    """The text of enrich/db/sql/NAME.sql."""
    return (files("enrich.db") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def problem_line(problem: DatabaseError) -> tuple[int, str] | None:
    """The line DuckDB points at, counted from 1, and its text, if it points at one."""
    match = LINE.search(str(problem.__cause__))
    return (int(match[1]), match[2].strip()) if match else None


def _interrupted(problem: Exception) -> bool:
    """Whether it was Ctrl-C, which DuckDB's client calls a RuntimeError."""
    import duckdb

    said = isinstance(problem, RuntimeError) and str(problem) == "Query interrupted"
    return said or isinstance(problem, duckdb.InterruptException)


def _translated(problem: Exception) -> DatabaseError | Damaged:
    """DuckDB's error as one sentence; the original stays as its cause."""
    import duckdb

    text = str(problem)
    lowered = text.lower()
    if "no space left" in lowered or "disk full" in lowered or "file too large" in lowered:
        return DatabaseError(FULL, hint="make room and start again; nothing is lost")
    if DAMAGE.search(text) and "parquet" not in lowered:
        hint = f"{CHECK_LEDGER}; {REMAKE}"
        return Damaged("the ledger or the warehouse is damaged", hint=hint)
    if isinstance(problem, duckdb.OutOfMemoryException):
        hint = "give it more in project.yml, such as memory_limit: 4GB; nothing is lost"
        return DatabaseError("DuckDB needs more memory than it may take", hint=hint)
    if denied := DENIED.search(text):
        hint = "move it into the project, or allow it in project.yml: external_access: [FOLDER]"
        return DatabaseError(f"'{denied[1]}' lies outside the project and is not read", hint=hint)
    if "external extensions is disabled" in text:
        hint = "install it once (INSTALL name), and set external_access: true in project.yml"
        return DatabaseError("extensions of DuckDB are not loaded", hint=hint)
    sentence = KIND.sub("", POSITION.sub("", text).strip()).split("\n")
    hint = " ".join(line.strip() for line in sentence[1:] if line.strip())
    found = DatabaseError(sentence[0], hint=hint or TRY)
    found.unbound = isinstance(problem, duckdb.BinderException)
    return found


def damaged(files: Mapping[str, Path], names: Sequence[str]) -> Damaged:
    """The error that one of these databases is damaged: of each, its file and the way out."""
    shown = " or ".join(str(files[name]) for name in names)
    hints = [CHECK_LEDGER if name == "ledger" else REMAKE for name in names]
    found = Damaged(f"{shown} is damaged", hint="; ".join(hints))
    found.file = files[names[0]]
    return found


def _checksum(path: Path, location: int) -> int:
    """The checksum that a block of a DuckDB file begins with."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(location)
        return int.from_bytes(file.read(8), "little")
    return -1


def _unopened(path: Path, name: str, problem: EnrichError, text: str) -> EnrichError:
    """Why the database attached as `name` cannot be opened; `text` is what DuckDB said of it."""
    if problem.message == FULL:
        return problem
    own = name in ("ledger", "warehouse")
    if "not a valid DuckDB database" in text and own:
        way = CHECK_LEDGER if name == "ledger" else REMAKE
        hint = f"{way}; if it never was one, set `{name}:` in project.yml to another file"
        found = Damaged(f"{path} is not a DuckDB database", hint=hint)
        found.file = path
        return found
    if DAMAGE.search(text):
        if own:
            found = damaged({name: path}, [name])
            if "WAL" in text:  # the file itself may be whole
                found = Damaged(
                    f"{path} is damaged: {logs(path)[0].name} beside it is not its log",
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
