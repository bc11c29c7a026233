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
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from enrich.compiler import quote
from enrich.errors import DatabaseError, DiskError, Locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb

    from enrich.sources import Attached

HOLDER = re.compile(r"held in (.*?) ?\(PID (\d+)\)")
LINE = re.compile(r"^LINE (\d+): (.*)$", re.MULTILINE)
POSITION = re.compile(r"\n\s*LINE \d+:.*", re.DOTALL)

FULL = "the disk is full"
OURS = re.compile("already attached|different configuration|file handle conflict|already exists")
DENIED = re.compile(r'Cannot access (?:file|directory) "(.*?)" - file system operations')
KIND = re.compile(r"^[A-Z][A-Za-z -]* Error: ")
TRY = "enrich sql runs any query on the same warehouse: try it there"

MEMORY = "640MB"
"""What DuckDB may hold in memory; the rest goes to `.enrich/spill`."""
ROOM = "4GB"
"""What one thread may hold for a moment to read a very long line."""
THREADS = 8
"""How many threads may share that little memory; `memory_limit` in project.yml lifts this, too."""
BESIDE = ("", ".wal", ".wal.checkpoint", ".wal.recovery")
"""A DuckDB file, and the names of the logs it keeps beside itself."""
ROWS = 20_480
"""Rows that the ledger keeps together: several threads can read a batch, and what is added goes
into the file at once instead of through its log."""

Access = bool | Literal["read"]
Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where a project's databases are, and how they are opened.

    `lock_timeout` is in seconds; `say` is told once whose lock is waited for. `reach` names the
    files and folders, besides the project's own, that a SELECT may read; None: any file, and
    whatever extensions are installed. `memory_limit` is DuckDB's setting of that name. `attached`
    are the user's other databases.
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
    _owners: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _ready: set[tuple[str, int]] = field(default_factory=set, init=False, repr=False, compare=False)

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
        keep = private() if ledger else nullcontext()
        owner = self._owner() if warehouse else ""
        with keep, ExitStack() as open_files, closing(self._engine.cursor()) as connection:
            database = Database(connection=connection, verbose=self.verbose, owner=owner)
            database.free = self.reach is None
            for name, (path, access) in wanted.items():
                if not access:
                    continue
                open_files.callback(self._detach, name)
                if not path.exists():
                    _create(path)
                elif access == "read":
                    self._attach(database, path, name, "READ_ONLY")
                    continue
                self._attach(database, path, name, f"ROW_GROUP_SIZE {ROWS}")
                self._prepare(database, path, name)
            for each in self.attached if attached else ():
                open_files.callback(self._detach, each.name)
                self._attach_other(database, each)
            if warehouse:
                database.run("USE warehouse")
            yield database

    @cached_property
    def _engine(self) -> duckdb.DuckDBPyConnection:
        """The one DuckDB behind all steps: starting it takes far longer than attaching a file.

        What SQL may reach is settled before any is run, and cannot be widened afterwards.
        """
        import duckdb

        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": str(made(self.work, "spill")),
            "autoinstall_known_extensions": "false",
            "memory_limit": self.memory_limit or MEMORY,
        }
        if "," not in str(self.root):  # which would begin another folder
            settings["file_search_path"] = quote.pattern(str(self.root))
        if not self.memory_limit:
            settings["threads"] = min(THREADS, os.cpu_count() or 1)
        try:
            engine = duckdb.connect(":memory:", config=settings)
        except duckdb.Error as problem:
            hint = "memory_limit in project.yml is a size, such as 2GB"
            raise DatabaseError(_translated(problem).message, hint=hint) from problem
        engine.execute("SET GLOBAL TimeZone = 'UTC'")
        if self.reach is not None:
            files = [str(path.resolve()) for path in (self.warehouse, self.ledger, *self.reach)]
            paths = [path + end for path in files for end in BESIDE]
            inside = (self.root, self.work, *self.reach)
            named = {str(path.resolve()) for path in inside}  # DuckDB looks at patterns as well
            folders = [f"{path}{os.sep}" for path in named | set(map(quote.pattern, named))]
            engine.execute("SET allowed_paths = $paths", {"paths": paths})
            engine.execute("SET allowed_directories = $folders", {"folders": folders})
            engine.execute("SET enable_external_access = false")
        return engine

    def _owner(self) -> str:
        """The id of the project's ledger, which is made where it is absent."""
        known = str(self.ledger.stat().st_ino) if self.ledger.exists() else ""
        if known not in self._owners:
            with self.open(ledger=True) as database:
                self._owners[str(self.ledger.stat().st_ino)] = str(
                    database.one("SELECT id FROM ledger.identity")[0]
                )
        return self._owners[str(self.ledger.stat().st_ino)]

    def _prepare(self, database: Database, path: Path, name: str) -> None:
        """Make the tables that a file lacks: once for each file that this process meets."""
        file = (name, path.stat().st_ino)
        if file not in self._ready:
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
        told = False
        while True:
            try:
                statement = f"ATTACH $path AS {quote.name(name)} ({option})"
                database.run(statement, path=str(path))
                return
            except DatabaseError as problem:
                text = str(problem.__cause__)
                holder = HOLDER.search(text)
                if holder:
                    who = f"{path.name} is held by process {holder[2]} ({holder[1]})"
                elif OURS.search(text):
                    who = f"{path.name} is open in this very process"
                else:
                    raise _unopened(path, problem, text) from problem.__cause__
                if time.monotonic() >= deadline:
                    hint = "close it there, or wait longer: --lock-timeout SECONDS; nothing is lost"
                    raise Locked(who, hint=hint) from problem.__cause__
                if not told:
                    self.say(f"{who}; waiting up to {self.lock_timeout:.0f} s")
                    told = True
                time.sleep(0.1)


def _create(path: Path) -> None:
    """Make an empty database: whole, or not at all, whenever the process is killed or the disk is
    full; one that somebody else made meanwhile is left as it is."""
    import duckdb

    draft, log = (path.with_name(f"{path.name}.{end}") for end in (os.getpid(), "wal"))
    try:
        if (
            log.exists() and not path.exists()
        ):  # of a database that was removed: it belongs to no other
            log.replace(f"{log}.lost")
        duckdb.connect(str(draft)).close()
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        except OSError:  # a file system without links
            draft.rename(path)
    except duckdb.Error as problem:
        raise _unopened(path, _translated(problem), str(problem)) from problem
    except OSError as problem:
        hint = "see that you may write to its folder"
        raise DiskError(f"{path} cannot be made: {problem.strerror}", hint=hint) from problem
    finally:
        draft.unlink(missing_ok=True)


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

    def run(self, sql: str, /, **values: Any) -> list[Row]:  # noqa: ANN401  # any SQL value
        """Run one statement with bound values; gives all rows of the answer."""
        import duckdb

        start = time.perf_counter()
        try:
            cursor = self.connection.execute(sql, values or None)
            rows: list[Row] = cursor.fetchall() if cursor else []
        except (duckdb.Error, OverflowError, RuntimeError, ValueError) as problem:
            if _interrupted(problem):
                raise KeyboardInterrupt from problem
            raise _translated(problem) from problem
        if self.verbose:
            seconds = time.perf_counter() - start
            sys.stderr.write(f"sql {seconds:7.3f} s {len(rows):>6} rows  {_label(sql)}\n")
        return rows

    def one(self, sql: str, /, **values: Any) -> Row:  # noqa: ANN401
        """The only row of an answer."""
        return self.run(sql, **values)[0]

    def dicts(self, sql: str, /, **values: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """All rows of an answer, each by column name."""
        rows = self.run(sql, **values)
        names = [column[0] for column in self.connection.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def script(self, name: str, /, **values: Any) -> list[Row]:  # noqa: ANN401
        """Run the constant statement enrich/sql/NAME.sql."""
        return self.run(statement(name), **values)

    def describe(self, select: str) -> dict[str, str]:
        """The columns of a SELECT and their types."""
        return {row[0]: row[1] for row in self.run(f"DESCRIBE FROM (\n{select}\n)")}

    @contextmanager
    def bare(self) -> Iterator[Database]:
        """A connection beside this one, in which none of the user's tables and macros are known."""
        with closing(self.connection.cursor()) as connection:
            yield Database(connection=connection, verbose=self.verbose)

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
    """The text of enrich/sql/NAME.sql."""
    return (files("enrich") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def problem_line(problem: DatabaseError) -> tuple[int, str] | None:
    """The line DuckDB points at, counted from 1, and its text, if it points at one."""
    match = LINE.search(str(problem.__cause__))
    return (int(match[1]), match[2].strip()) if match else None


def _interrupted(problem: Exception) -> bool:
    """Whether it was Ctrl-C, which DuckDB's client calls a RuntimeError."""
    import duckdb

    said = isinstance(problem, RuntimeError) and str(problem) == "Query interrupted"
    return said or isinstance(problem, duckdb.InterruptException)


def _translated(problem: Exception) -> DatabaseError:
    """DuckDB's error as one sentence; the original stays as its cause."""
    import duckdb

    text = str(problem)
    lowered = text.lower()
    if "no space left" in lowered or "disk full" in lowered or "file too large" in lowered:
        return DatabaseError(FULL, hint="make room and start again; nothing is lost")
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


def _unopened(path: Path, problem: DatabaseError, text: str) -> DatabaseError:
    """Why a database cannot be opened; `text` is what DuckDB said of it."""
    if problem.message == FULL:
        return problem
    if "Could not read enough bytes" in text:
        hint = "bring it back from a copy; a warehouse that is removed is made anew at no cost"
        return DatabaseError(f"{path} is not whole", hint=hint)
    if "not a valid DuckDB database" in text:
        return DatabaseError(
            f"{path} is not a DuckDB database", hint="name another file in project.yml"
        )
    if "version" in text.lower():
        hint = "upgrade DuckDB in this environment: pip install -U duckdb"
        return DatabaseError(f"{path} was written by a newer DuckDB", hint=hint)
    hint = "see that its folder is there, and that you may write to it"
    return DatabaseError(f"{path} cannot be opened: {problem.message}", hint=hint)
