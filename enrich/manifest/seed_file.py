"""Seed files: what is in seeds/, which table each file becomes, and how it is read.

A file that cannot become a table is a problem of that table only.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enrich.errors import EnrichError, InputError, nearest
from enrich.manifest.config import PROJECT_FILE
from enrich.manifest.sources import TABLE_NAME, explain_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from enrich.manifest.config import Config

SEED_READERS = {
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".json": "read_json",
    ".jsonl": "read_ndjson",
    ".ndjson": "read_ndjson",
    ".parquet": "read_parquet",
}
"""The endings of files that become tables, with DuckDB's function for each."""
PACKED_ENDINGS = (".gz", ".zst")
"""What may follow the ending of a text file: DuckDB decompresses it."""
SUPPORTED_SEEDS = ".csv, .tsv, .json, .jsonl and .ndjson (also with .gz or .zst), and .parquet"
NOTES_BESIDE_SEEDS = re.compile(
    r"readme.*|license.*|.*\.(md|rst|ya?ml|sql)|.*~|.*\.(bak|swp|tmp|orig)|#.*#", re.I
)
"""Files that people and their editors keep beside data; nobody expects them to be loaded."""
# Opening a pipe waits for whoever writes into it, so these are recognized without being opened.
SPECIAL_FILES = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


@dataclass(frozen=True, kw_only=True)
class SeedFile:
    """A file that becomes the table `name`.

    `source` is its name in messages, `reader` is DuckDB's function, `options` are its arguments
    from project.yml, and `encoding` is the encoding of its text, "" for UTF-8.
    """

    name: str
    path: Path
    source: str
    reader: str
    options: Mapping[str, Any] = field(default_factory=dict)
    encoding: str = ""

    @property
    def version(self) -> str:
        """A text that changes with the file and with how it is read."""
        # Size and time, not a hash: that would read every seed in full for each command.
        known = self.path.stat()
        said = repr(sorted(self.options.items())) + self.encoding if self.said else ""
        return f"{self.path.name}, {known.st_size} bytes, {known.st_mtime_ns}{said}"

    @property
    def said(self) -> bool:
        """Whether project.yml says how it is read."""
        return bool(self.options or self.encoding)


@dataclass(frozen=True, kw_only=True)
class SeedFiles:
    """The files by the table that they become, `problems` with others by the table that they would
    become, and sentences on files that are not loaded."""

    files: Mapping[str, SeedFile]
    problems: Mapping[str, EnrichError]
    unread: tuple[str, ...]


def find_seed_files(config: Config) -> SeedFiles:
    """Returns what is in seeds/, without opening any file. Options for a seed that does not exist
    are among the problems."""
    files: dict[str, SeedFile] = {}
    problems: dict[str, EnrichError] = {}
    unread: list[str] = []
    for path in sorted(config.seeds.glob("*")):
        source = f"{config.seeds.name}/{path.name}"
        ending = _find_ending(path.name)
        if path.name.startswith(".") or NOTES_BESIDE_SEEDS.fullmatch(path.name):
            continue
        if not ending and path.is_dir() and not any(_find_ending(e.name) for e in path.glob("*")):
            continue  # pictures, for example: nobody expects a table of them
        if not ending:
            unread.append(_explain_unread(source, path))
            continue
        name = path.name[: -len(ending)]
        if not TABLE_NAME.fullmatch(name):
            why = f"'{name}' cannot name a table, because it {explain_name(name)}"
            unread.append(f"{source} is not loaded: {why}; rename the file")
            continue
        other = next((known for known in files if known.lower() == name.lower()), "")
        if other or name in problems:
            what = f"{source} and another file would both be the table '{name}'"
            problems[other or name] = InputError(what, hint="rename or remove one of them")
            continue
        files[name] = _make_seed(config, name, path, source, ending)
        if (wrong := _find_fault(path)) is not None:
            problems[name] = InputError(
                f"{source} {wrong}", hint="replace it with a file that can be read"
            )
    for name in config.seed_options:
        if name not in files and name not in problems:
            where = f"{config.seeds.name}/"
            what = f"{PROJECT_FILE}: 'seeds' has options for '{name}', but {where} has no such file"
            problems[name] = InputError(what, hint=nearest(name, files))
    good = {name: file for name, file in files.items() if name not in problems}
    return SeedFiles(files=good, problems=problems, unread=tuple(unread))


def _make_seed(config: Config, name: str, path: Path, source: str, ending: str) -> SeedFile:
    given = dict(config.seed_options.get(name, {}))
    plain = next(each for each in SEED_READERS if ending.startswith(each))
    encoding = str(given.pop("encoding", ""))
    return SeedFile(
        name=name,
        path=path,
        source=source,
        reader=SEED_READERS[plain],
        options=given,
        encoding="" if encoding.lower() in ("utf-8", "utf8") else encoding,
    )


def _find_ending(name: str) -> str:
    """Returns the ending that tells the format of a file, in lower case; "" if there is none."""
    lowered = name.lower()
    return next((each for each in _list_endings() if lowered.endswith(each)), "")


def _list_endings() -> Iterator[str]:
    for each in SEED_READERS:
        yield each
        # A Parquet file is compressed inside, and DuckDB has to seek in it.
        if each != ".parquet":
            yield from (f"{each}{packed}" for packed in PACKED_ENDINGS)


def _explain_unread(source: str, path: Path) -> str:
    """Returns the sentence on a file that is not loaded."""
    kind = _find_fault(path)
    if kind is not None:
        return f"{source} is not loaded: it {kind}"
    close = nearest(path.suffix.lower(), SEED_READERS) if path.suffix else ""
    more = f": {close}" if close.startswith("did you") else ""
    return f"{source} is not loaded: seeds are {SUPPORTED_SEEDS}{more}"


def _find_fault(path: Path) -> str | None:
    """Returns what keeps a path from being read as a file, without opening it; None if nothing."""
    try:
        known = path.stat()
    except OSError as problem:
        return f"cannot be read: {problem.strerror}"
    for test, kind in SPECIAL_FILES.items():
        if test(known.st_mode):
            return f"is {kind}, not a file"
    return "is empty" if not known.st_size else None
