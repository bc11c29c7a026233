"""Seeds and sources: load the user's files as tables and views of the warehouse."""

from __future__ import annotations

import codecs
import gzip
import re
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from typing import IO, TYPE_CHECKING, cast

from enrich.db.creation import make_folder
from enrich.db.ownership import MARK_START, clear_name, is_ours, mark_table, render_comment
from enrich.db.quote import quote_name
from enrich.errors import (
    Damaged,
    DatabaseError,
    DiskError,
    InputError,
    ProjectError,
    name_on_interrupt,
    nearest,
)
from enrich.manifest import seed_file
from enrich.manifest.variables import render_literal
from enrich.pipeline import zst
from enrich.pipeline.quotes import find_open_quote_in_file
from enrich.pipeline.review import load_reviews

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from enrich.db.database import Warehouse
    from enrich.errors import EnrichError
    from enrich.manifest.model import Model
    from enrich.manifest.seed_file import SeedFile
    from enrich.manifest.sources import Source
    from enrich.pipeline.flow import Flow

DUCKDB_ENCODINGS = {"latin-1": "latin-1", "utf-16": "utf-16"}
"""Encodings that DuckDB reads itself. Files in any other one that Python knows are copied to
UTF-8."""
CHUNK_BYTES = 1 << 20  # 1 MiB: a seed may be larger than memory
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by byte order mark. UTF-32 comes first: its mark starts with that of UTF-16."""
CSV_LINE_PATTERN = re.compile(r"CSV Error on Line: (\d+)|in line (\d+)")
CSV_REASON_PATTERN = re.compile(r"CSV Error on Line:.*\n(?:Original Line:.*\n)?(.*)")
SEPARATORS = ",;\t|"
USUAL_CSV_OPTIONS = {"quote": '"', "comment": "", "skip": 0}
"""How a CSV is read by default: as RFC 4180 says, and every line of it. DuckDB's sniffer may take
lines that start with # for comments, and skip lines at the top that do not fit the others."""
LARGER_LINE_BYTES = 20_000_000
"""The `max_line_size` that a hint offers: ten times DuckDB's default of 2,000,000 bytes, and small
enough for its buffers to fit in memory."""
SAMPLE_ROWS = 100
"""How many rows are examined if a CSV was read as one column."""
SEED_OPTIONS_HINT = (
    "fix the file, or say in project.yml how to read it: seeds: {tables: {NAME: {delim: ';'}}}"
)


def load_seed(database: Warehouse, each: SeedFile, *, work: Path) -> bool:
    """Load a seed file as a table, unless it has not changed. Returns whether it was loaded.

    Raises InputError with file and line if it cannot be read; the table stays as it was. Needs the
    warehouse.
    """
    known = render_comment(database, f"a seed: {each.version}")
    found = database.call("exists", schema="main", name=each.name)
    if found and found[0][1] == known:
        return False
    _check_options(database, each)
    # DuckDB would load what there is of a truncated file without an error.
    if each.path.suffix.lower() == ".zst" and not zst.is_whole(each.path):
        what = f"{each.source} is truncated or damaged"
        raise InputError(what, hint="copy it again from where it came from")
    with name_on_interrupt(each.source), _open_readable(each, work) as path, database.transaction():
        clear_name(database, each.name, "a seed")
        name = quote_name("warehouse", "main", each.name)
        try:
            database.execute(f"CREATE TABLE {name} AS {_render_select(each)}", path=path)
            _check_columns(database, each, path)
        except DatabaseError as problem:
            located = _locate_fault(database, each, path, problem)
            raise _explain_quote(each, path) or _explain_fault(each, located) from problem
        mark_table(database, "TABLE", "main", each.name, f"a seed: {each.version}")
    return True


def _render_select(each: SeedFile, **more: object) -> str:
    """Returns the SELECT of a file's rows."""
    usual = dict(USUAL_CSV_OPTIONS) if each.reader == "read_csv" else {}
    if each.encoding and _find_native_encoding(each.encoding):
        usual["encoding"] = _find_native_encoding(each.encoding)
    options = {**usual, **each.options, **more}
    listed = "".join(
        f", {quote_name(name)} = {render_literal(value)}" for name, value in options.items()
    )
    return f"SELECT * FROM {each.reader}($path{listed})"


def _check_options(database: Warehouse, each: SeedFile) -> None:
    if not each.options:  # to list what DuckDB knows takes longer than to load a small file
        return
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
    """Raises InputError for a CSV that was read as one column although it has a separator.

    DuckDB falls back to one column if the lines have different numbers of fields.
    """
    table = quote_name("warehouse", "main", each.name)
    columns = list(database.describe(f"FROM {table}"))
    if each.reader != "read_csv" or len(columns) > 1 or {"delim", "sep"} & set(each.options):
        return
    values = [str(value) for (value,) in database.execute(f"FROM {table} LIMIT {SAMPLE_ROWS}")]
    separator = next((c for c in SEPARATORS if c in columns[0]), "")
    inside = next((c for c in SEPARATORS if values and all(c in each for each in values)), "")
    if separator:
        # Fails with the line that does not fit, which says more than the error below.
        database.execute(
            f"SELECT count(*) FROM ({_render_select(each, delim=separator)})", path=path
        )
    if separator or inside:
        what = f"{each.source} was read as one column, '{columns[0][:60]}'"
        how = SEED_OPTIONS_HINT if separator else SEED_OPTIONS_HINT.replace("delim: ';'", "skip: 1")
        raise InputError(what, hint=how.replace("NAME", each.name))


def _locate_fault(
    database: Warehouse, each: SeedFile, path: Path, problem: DatabaseError
) -> DatabaseError:
    """Returns an error that names a line, if DuckDB only says that it could not sniff the CSV."""
    if "sniffing" not in str(problem.__cause__):
        return problem
    # With the sniffer off and a column of text for each field of the first line, DuckDB names the
    # first line that does not fit.
    with path.open("rb") as lines:
        first = lines.readline(CHUNK_BYTES).decode(errors="replace")
    separator = max(SEPARATORS, key=first.count)
    columns = {f"c{number}": "VARCHAR" for number in range(first.count(separator) + 1)}
    plain = {"auto_detect": False, "columns": columns, "delim": separator, "header": True}
    try:
        with database.open_bare() as beside:
            beside.execute(f"SELECT count(*) FROM ({_render_select(each, **plain)})", path=path)
    except DatabaseError as found:
        return found
    return problem


def _explain_quote(each: SeedFile, path: Path) -> InputError | None:
    """Returns the error that a quoted value of a CSV is not closed; None if that is not wrong."""
    # DuckDB then takes the lines that follow for a part of the value, and complains about one of
    # them, or about the separator.
    if each.reader != "read_csv" or {"quote", "escape"} & set(each.options):
        return None
    given = each.options.get("delim", each.options.get("sep"))
    found = find_open_quote_in_file(path, str(given or SEPARATORS))
    if found is None:
        return None
    hint = 'close it, or write a quote inside a value twice: "5"" disk"'
    what = "a quote opens a value here and is never closed"
    if found.inside:
        what = "a value goes on after its closing quote"
    return InputError(f"{each.source}:{found.line}: {what}", hint=hint)


def _explain_fault(each: SeedFile, problem: DatabaseError) -> InputError:
    """Returns DuckDB's complaint about a file, with the line and a hint."""
    text = str(problem.__cause__)
    at = CSV_LINE_PATTERN.search(text)
    reason = CSV_REASON_PATTERN.search(text)
    where = f"{each.source}:{at[1] or at[2]}" if at else each.source
    said = (reason[1] if reason else problem.message).strip().rstrip(".")
    # Known complaints get a hint of their own; the words are those of DuckDB 2.
    hint = "fix the file, or remove it from the folder"
    if each.reader == "read_csv":
        hint = SEED_OPTIONS_HINT.replace("NAME", each.name)
    if "unicode" in said.lower() or "utf-8" in said.lower() or "byte sequence" in said.lower():
        hint = f"name its encoding: seeds: {{tables: {{{each.name}: {{encoding: windows-1252}}}}}}"
    if "line size" in said.lower():
        option = f"{each.name}: {{max_line_size: {LARGER_LINE_BYTES}}}"
        hint = f"allow it in project.yml: seeds: {{tables: {{{option}}}}}"
    return InputError(f"{where}: {said}", hint=hint)


def _find_native_encoding(encoding: str) -> str:
    return DUCKDB_ENCODINGS.get(encoding.lower().replace("_", "-"), "")


@contextmanager
def _open_readable(each: SeedFile, work: Path) -> Iterator[Path]:
    """Yield a file that DuckDB can read: the seed itself, or a temporary copy in UTF-8."""
    encoding = each.encoding or _detect_encoding(each.path)
    if not encoding or _find_native_encoding(each.encoding) or each.reader == "read_parquet":
        yield each.path
        return
    try:
        codecs.lookup(encoding)
    except LookupError as problem:
        what = f"project.yml: the seed '{each.name}' has an unknown encoding, '{each.encoding}'"
        raise InputError(
            what, hint="use one such as latin-1, windows-1252, utf-16 or shift_jis"
        ) from problem
    copy = make_folder(work, "seeds") / f"{each.name}.txt"
    try:
        _transcode(replace(each, encoding=encoding), copy)
        yield copy
    finally:
        with suppress(OSError):
            copy.unlink()


def _detect_encoding(path: Path) -> str:
    """Returns the encoding that a file's byte order mark names; "" without one."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with cast("IO[bytes]", opened(path, "rb")) as raw:
            start = raw.read(4)
    except (OSError, EOFError):  # reading the whole file will report it
        return ""
    return next((name for mark, name in BYTE_ORDER_MARKS.items() if start.startswith(mark)), "")


def _transcode(each: SeedFile, copy: Path) -> None:
    packed = each.path.suffix.lower()
    if packed == ".zst":  # Python 3.14 is the first with a decoder in its standard library
        what = f"{each.source} cannot be read in {each.encoding}"
        raise InputError(what, hint="unpack it: zstd -d")
    line = 1
    opened = gzip.open if packed == ".gz" else open
    try:
        with (
            cast("IO[bytes]", opened(each.path, "rb")) as raw,
            # Without a translation of line endings, which may be part of a quoted field.
            copy.open("w", encoding="utf-8", newline="") as plain,
        ):
            # A chunk may end in the middle of a character.
            decoder = codecs.getincrementaldecoder(each.encoding)()
            while chunk := raw.read(CHUNK_BYTES):
                plain.write(text := decoder.decode(chunk))
                line += text.count("\n")
            plain.write(decoder.decode(b"", final=True))
    except UnicodeError as problem:
        what = f"{each.source} is not in {each.encoding}, at about line {line}"
        raise InputError(what, hint="name its encoding in project.yml: encoding: ...") from problem
    except (OSError, EOFError) as problem:
        raise DiskError(
            f"{each.source} cannot be read: {problem}", hint="check the file"
        ) from problem


def _drop_sources(database: Warehouse, sources: Sequence[Source]) -> None:
    """Drop the views of sources that are no longer declared. Needs the warehouse."""
    known = {each.name for each in sources}
    for name, said in database.call("source_views", mark=f"{MARK_START}a source"):
        if name not in known and is_ours(database, said):
            database.execute(f"DROP VIEW {quote_name('warehouse', 'main', name)}")


def create_source(database: Warehouse, source: Source) -> bool:
    """Create the view of a source's files. Returns False if it exists already. Needs the
    warehouse."""
    version = f"a source: {sha256(source.query.encode()).hexdigest()[:12]}"
    found = database.call("exists", schema="main", name=source.name)
    if found and found[0][1] == render_comment(database, version):
        return False
    with database.transaction():
        clear_name(database, source.name, "a source")
        name = quote_name("warehouse", "main", source.name)
        database.execute(f"CREATE VIEW {name} AS\n{source.query}")
        mark_table(database, "VIEW", "main", source.name, version)
    return True


def load_seeds(
    flow: Flow, *names: str, readers: Iterable[Model] = ()
) -> tuple[tuple[str, ...], list[EnrichError]]:
    """Load the named seeds, or all and the reviews of models, as tables if their files have
    changed, and create the views of sources. Returns the names of the tables loaded, and the
    problems.

    Seeds and sources that cannot be loaded are added to the command's `spoiled`, for the models
    that read them. They are reported, unless they keep one of the `readers` from being run: then
    the command reports that. Raises ProjectError if there is no seed of a name.
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
            problems |= create_sources(database, flow.config.sources)
            for name, each in wanted.items():
                try:
                    loaded += [name] if load_seed(database, each, work=flow.files.work) else []
                except Damaged:  # of the warehouse, not of the seed
                    raise
                except (InputError, DiskError) as problem:
                    problems[name] = problem
    flow.found.spoiled.update({name.lower(): problem for name, problem in problems.items()})
    if not names:
        reviewed, faults = load_reviews(flow)
        loaded += reviewed
        problems |= faults
    if loaded:
        copy = "a copy of " if flow.files.copies else ""
        flow.listener.say(f"loaded {', '.join(loaded)} into {copy}{flow.config.warehouse.name}")
    theirs = [flow.find_spoiled(each) for each in readers]
    own = [problem for problem in problems.values() if problem not in theirs]
    for sentence in (*found.unread, *(f"{p.message} ({p.hint})" for p in own)):
        flow.workspace.say_once(sentence)
    return tuple(loaded), list(problems.values())


def create_sources(database: Warehouse, sources: Sequence[Source]) -> dict[str, EnrichError]:
    """Create the views of sources. Returns the problems of those that cannot be created."""
    problems: dict[str, EnrichError] = {}
    _drop_sources(database, sources)
    for each in sources:
        try:
            create_source(database, each)
        except DatabaseError as problem:
            message = f"the source '{each.name}' cannot be read: {problem.message}"
            problems[each.name] = InputError(message, hint="check `sources:` in project.yml")
    return problems
