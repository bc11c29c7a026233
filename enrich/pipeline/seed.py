"""Seeds and sources: what the user brings becomes tables and views of the warehouse."""

from __future__ import annotations

import codecs
import gzip
import re
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from typing import IO, TYPE_CHECKING, cast

from enrich.db import quote
from enrich.db.creation import make_folder
from enrich.db.ownership import MARK, cleared, comment, is_ours, mark
from enrich.errors import (
    Damaged,
    DatabaseError,
    DiskError,
    InputError,
    ProjectError,
    nearest,
    reading,
)
from enrich.manifest import seed_file
from enrich.manifest.variables import render_literal
from enrich.pipeline import zst

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from enrich.db.database import Warehouse
    from enrich.errors import EnrichError
    from enrich.manifest.seed_file import SeedFile
    from enrich.manifest.sources import Source
    from enrich.pipeline.flow import Flow

NATIVE = {"latin-1": "latin-1", "utf-16": "utf-16"}
"""Encodings that DuckDB reads by itself; others are Python's, and go through a copy in UTF-8."""
CHUNK = 1 << 20
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by how a text in them may begin; the mark of UTF-32 begins like that of UTF-16."""
LINE = re.compile(r"CSV Error on Line: (\d+)|in line (\d+)")
REASON = re.compile(r"CSV Error on Line:.*\n(?:Original Line:.*\n)?(.*)")
SEPARATORS = ",;\t|"
USUAL = {"quote": '"', "comment": "", "skip": 0}
"""How a CSV is read unless it is said: by RFC 4180, and every line of it. DuckDB itself would take
lines that begin with # for comments, and leave out what stands above the lines that fit."""
LONG = 20_000_000
"""Bytes of a line that memory surely allows."""
FIRST = 100
"""Rows by which a table of one column is judged."""
SAY_HOW = (
    "mend the file, or say in project.yml how it is read: seeds: {tables: {NAME: {delim: ';'}}}"
)


def load_seed(database: Warehouse, each: SeedFile, *, work: Path) -> bool:
    """Load a seed file as a table, unless it was loaded as it is now. Needs the warehouse.

    Raises InputError, with file and line, where it cannot be read; the table stays as it was.
    """
    known = comment(database, f"a seed: {each.version}")
    found = database.call("exists", schema="main", name=each.name)
    if found and found[0][1] == known:
        return False
    _check_options(database, each)
    if each.path.suffix.lower() == ".zst" and not zst.is_whole(each.path):
        what = f"{each.source} is cut off or damaged"
        raise InputError(what, hint="copy it again from where it came from")
    with reading(each.source), _readable(each, work) as path, database.transaction():
        cleared(database, each.name, "a seed")
        name = quote.name("warehouse", "main", each.name)
        try:
            database.execute(f"CREATE TABLE {name} AS {_select(each)}", path=path)
            _check_columns(database, each, path)
        except DatabaseError as problem:
            raise _unloaded(each, _pointed(database, each, path, problem)) from problem
        mark(database, "TABLE", "main", each.name, f"a seed: {each.version}")
    return True


def _select(each: SeedFile, **more: object) -> str:
    """The SELECT of a file's rows."""
    usual = dict(USUAL) if each.reader == "read_csv" else {}
    if each.encoding and _native(each.encoding):
        usual["encoding"] = _native(each.encoding)
    options = {**usual, **each.options, **more}
    listed = "".join(
        f", {quote.name(name)} = {render_literal(value)}" for name, value in options.items()
    )
    return f"SELECT * FROM {each.reader}($path{listed})"


def _check_options(database: Warehouse, each: SeedFile) -> None:
    known = {
        str(name)
        for (names,) in database.execute(
            "SELECT parameters FROM duckdb_functions() WHERE function_name = $reader",
            reader=each.reader,
        )
        for name in names
    }
    for option in each.options:
        if option not in known:
            what = f"project.yml: the seed '{each.name}' has no option '{option}'"
            raise InputError(what, hint=nearest(option, known))


def _check_columns(database: Warehouse, each: SeedFile, path: Path) -> None:
    """DuckDB makes one column of a CSV whose lines do not fit together: that is no table."""
    table = quote.name("warehouse", "main", each.name)
    columns = list(database.describe(f"FROM {table}"))
    if each.reader != "read_csv" or len(columns) > 1 or {"delim", "sep"} & set(each.options):
        return
    values = [str(value) for (value,) in database.execute(f"FROM {table} LIMIT {FIRST}")]
    separator = next((c for c in SEPARATORS if c in columns[0]), "")
    inside = next((c for c in SEPARATORS if values and all(c in each for each in values)), "")
    if separator:
        database.execute(f"SELECT count(*) FROM ({_select(each, delim=separator)})", path=path)
    if separator or inside:
        what = f"{each.source} was read as one column, '{columns[0][:60]}'"
        how = SAY_HOW if separator else SAY_HOW.replace("delim: ';'", "skip: 1")
        raise InputError(what, hint=how.replace("NAME", each.name))


def _pointed(
    database: Warehouse, each: SeedFile, path: Path, problem: DatabaseError
) -> DatabaseError:
    """An error that names a line, where DuckDB only says that it made nothing of a CSV."""
    if "sniffing" not in str(problem.__cause__):
        return problem
    with path.open("rb") as lines:
        first = lines.readline(CHUNK).decode(errors="replace")
    separator = max(SEPARATORS, key=first.count)
    columns = {f"c{number}": "VARCHAR" for number in range(first.count(separator) + 1)}
    plain = {"auto_detect": False, "columns": columns, "delim": separator, "header": True}
    try:
        with database.bare() as beside:
            beside.execute(f"SELECT count(*) FROM ({_select(each, **plain)})", path=path)
    except DatabaseError as found:
        return found
    return problem


def _unloaded(each: SeedFile, problem: DatabaseError) -> InputError:
    """DuckDB's word on a file, with the line it stumbled over."""
    text = str(problem.__cause__)
    at = LINE.search(text)
    reason = REASON.search(text)
    where = f"{each.source}:{at[1] or at[2]}" if at else each.source
    said = (reason[1] if reason else problem.message).strip().rstrip(".")
    hint = "mend the file, or take it out of the folder"
    if each.reader == "read_csv":
        hint = SAY_HOW.replace("NAME", each.name)
    if "unicode" in said.lower() or "utf-8" in said.lower() or "byte sequence" in said.lower():
        hint = f"say what it is in: seeds: {{tables: {{{each.name}: {{encoding: windows-1252}}}}}}"
    if "line size" in said.lower():
        option = f"{each.name}: {{max_line_size: {LONG}}}"
        hint = f"allow it in project.yml: seeds: {{tables: {{{option}}}}}"
    return InputError(f"{where}: {said}", hint=hint)


def _native(encoding: str) -> str:
    return NATIVE.get(encoding.lower().replace("_", "-"), "")


@contextmanager
def _readable(each: SeedFile, work: Path) -> Iterator[Path]:
    """The file as DuckDB reads it: of another encoding a copy in UTF-8, as long as it is needed."""
    encoding = each.encoding or _marked(each.path)
    if not encoding or _native(each.encoding) or each.reader == "read_parquet":
        yield each.path
        return
    try:
        codecs.lookup(encoding)
    except LookupError as problem:
        what = f"project.yml: the seed '{each.name}' has an unknown encoding, '{each.encoding}'"
        raise InputError(what, hint="such as latin-1, windows-1252, utf-16, shift_jis") from problem
    copy = make_folder(work, "seeds") / f"{each.name}.txt"
    try:
        _transcode(replace(each, encoding=encoding), copy)
        yield copy
    finally:
        with suppress(OSError):
            copy.unlink()


def _marked(path: Path) -> str:
    """The encoding that a text's first bytes tell; "" if they tell none."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with cast("IO[bytes]", opened(path, "rb")) as raw:
            start = raw.read(4)
    except (OSError, EOFError):  # whoever reads all of it will say why
        return ""
    return next((name for mark, name in BYTE_ORDER_MARKS.items() if start.startswith(mark)), "")


def _transcode(each: SeedFile, copy: Path) -> None:
    packed = each.path.suffix.lower()
    if packed == ".zst":
        what = f"{each.source} cannot be read in {each.encoding}"
        raise InputError(what, hint="unpack it: zstd -d")
    line = 1
    opened = gzip.open if packed == ".gz" else open
    try:
        with (
            cast("IO[bytes]", opened(each.path, "rb")) as raw,
            copy.open("w", encoding="utf-8", newline="") as plain,
        ):
            decoder = codecs.getincrementaldecoder(each.encoding)()
            while chunk := raw.read(CHUNK):
                plain.write(text := decoder.decode(chunk))
                line += text.count("\n")
            plain.write(decoder.decode(b"", final=True))
    except UnicodeError as problem:
        what = f"{each.source}: it is not in {each.encoding}, about line {line}"
        raise InputError(what, hint="say what it is in: encoding: ...") from problem
    except (OSError, EOFError) as problem:
        raise DiskError(
            f"{each.source} cannot be read: {problem}", hint="see the file"
        ) from problem


def _drop_sources(database: Warehouse, sources: Sequence[Source]) -> None:
    """Drop the views of sources that are not declared any more. Needs the warehouse."""
    known = {each.name for each in sources}
    for name, said in database.call("source_views", mark=f"{MARK}a source"):
        if name not in known and is_ours(database, said):
            database.execute(f"DROP VIEW {quote.name('warehouse', 'main', name)}")


def make_source(database: Warehouse, source: Source) -> bool:
    """Make the view of a source's files, unless it is there. Needs the warehouse."""
    version = f"a source: {sha256(source.query.encode()).hexdigest()[:12]}"
    found = database.call("exists", schema="main", name=source.name)
    if found and found[0][1] == comment(database, version):
        return False
    with database.transaction():
        cleared(database, source.name, "a source")
        name = quote.name("warehouse", "main", source.name)
        database.execute(f"CREATE VIEW {name} AS\n{source.query}")
        mark(database, "VIEW", "main", source.name, version)
    return True


def load_seeds(flow: Flow, *names: str) -> tuple[tuple[str, ...], list[EnrichError]]:
    """Load the seeds of these names, or all, as tables where their files have changed, and make the
    views of sources; gives the names of those loaded, and what was wrong.

    What cannot be loaded is left to the models that read it: it is among the command's `spoiled`.
    """
    found = seed_file.find_seed_files(flow.config)
    known = (*found.files, *found.problems)
    for name in names:
        if name not in known:
            raise ProjectError(f"there is no seed '{name}'", hint=nearest(name, known))
    wanted = {name: each for name, each in found.files.items() if not names or name in names}
    problems = {name: p for name, p in found.problems.items() if not names or name in names}
    loaded: list[str] = []
    if wanted or flow.config.sources:
        with flow.files.open_warehouse() as database:
            problems |= make_sources(database, flow.config.sources)
            for name, each in wanted.items():
                try:
                    loaded += [name] if load_seed(database, each, work=flow.files.work) else []
                except Damaged:
                    raise
                except (InputError, DiskError) as problem:
                    problems[name] = problem
    flow.found.spoiled.update({name.lower(): problem for name, problem in problems.items()})
    if loaded:
        copy = "a copy of " if flow.files.copies else ""
        flow.listener.say(f"loaded {', '.join(loaded)} into {copy}{flow.config.warehouse.name}")
    for sentence in (*found.unread, *(f"{p.message} ({p.hint})" for p in problems.values())):
        flow.workspace.say_once(sentence)
    return tuple(loaded), list(problems.values())


def make_sources(database: Warehouse, sources: Sequence[Source]) -> dict[str, EnrichError]:
    """Make the views of sources; gives what is wrong with those that cannot be made."""
    problems: dict[str, EnrichError] = {}
    _drop_sources(database, sources)
    for each in sources:
        try:
            make_source(database, each)
        except DatabaseError as problem:
            message = f"the source '{each.name}' cannot be read: {problem.message}"
            problems[each.name] = InputError(message, hint="see `sources:` in project.yml")
    return problems
