"""Seed files: what is in seeds/, which table each file becomes, and how it is read.

A file that cannot become a table is a problem of that table and of no other.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enrich.errors import EnrichError, InputError, nearest
from enrich.manifest.config import PROJECT_FILE
from enrich.manifest.sources import TABLE_NAME

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
"""The endings of files that become tables, and DuckDB's function for each."""
PACKED_ENDINGS = (".gz", ".zst")
"""What may follow the ending of a text: DuckDB unpacks it."""
SUPPORTED_SEEDS = ".csv, .tsv, .json, .jsonl and .ndjson (also with .gz or .zst), and .parquet"
NOTES_BESIDE_SEEDS = re.compile(
    r"readme.*|license.*|.*\.(md|rst|ya?ml|sql)|.*~|.*\.(bak|swp|tmp|orig)|#.*#", re.I
)
"""What people keep beside their data, and nobody expects to be loaded."""
SPECIAL_FILES = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


@dataclass(frozen=True, kw_only=True)
class SeedFile:
    """A file that becomes the table `name`; `source` is how messages name it, `reader` DuckDB's
    function, `options` what project.yml gives it, and `encoding` what its text is in, if not
    UTF-8."""

    name: str
    path: Path
    source: str
    reader: str
    options: Mapping[str, Any] = field(default_factory=dict)
    encoding: str = ""

    @property
    def version(self) -> str:
        """Changes with the file and with how it is read."""
        known = self.path.stat()
        said = repr(sorted(self.options.items())) + self.encoding if self.said else ""
        return f"{self.path.name}, {known.st_size} bytes, {known.st_mtime_ns}{said}"

    @property
    def said(self) -> bool:
        """Whether project.yml says how it is read."""
        return bool(self.options or self.encoding)


@dataclass(frozen=True, kw_only=True)
class SeedFiles:
    """The files by the table they become, what is wrong with others by the table they would become,
    and sentences on what is not loaded."""

    files: Mapping[str, SeedFile]
    problems: Mapping[str, EnrichError]
    unread: tuple[str, ...]


def find_seed_files(config: Config) -> SeedFiles:
    """Look at seeds/; nothing is opened. Raises ProjectError for options of a seed that is not
    there."""
    files: dict[str, SeedFile] = {}
    problems: dict[str, EnrichError] = {}
    unread: list[str] = []
    for path in sorted(config.seeds.glob("*")):
        source = f"{config.seeds.name}/{path.name}"
        ending = _find_ending(path.name)
        if path.name.startswith(".") or NOTES_BESIDE_SEEDS.fullmatch(path.name):
            continue
        if not ending and path.is_dir() and not any(_find_ending(e.name) for e in path.glob("*")):
            continue  # pictures, say: nobody expects a table of it
        if not ending:
            unread.append(_explain_unread(source, path))
            continue
        name = path.name[: -len(ending)]
        if not TABLE_NAME.fullmatch(name):
            unread.append(f"{source} is not loaded: '{name}' cannot name a table; rename the file")
            continue
        other = next((known for known in files if known.lower() == name.lower()), "")
        if other or name in problems:
            what = f"{source} and another file are both the table '{name}'"
            problems[other or name] = InputError(what, hint="rename or remove one of them")
            continue
        files[name] = _make_seed(config, name, path, source, ending)
        if (wrong := _find_fault(path)) is not None:
            problems[name] = InputError(
                f"{source} {wrong}", hint="put a file there that can be read"
            )
    for name in config.seed_options:
        if name not in files and name not in problems:
            where = f"{config.seeds.name}/"
            what = f"{PROJECT_FILE}: 'seeds' has options for '{name}', which is no file of {where}"
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
    """The ending that says what a file is, in lower case; "" if none does."""
    lowered = name.lower()
    return next((each for each in _list_endings() if lowered.endswith(each)), "")


def _list_endings() -> Iterator[str]:
    for each in SEED_READERS:
        yield each
        if each != ".parquet":
            yield from (f"{each}{packed}" for packed in PACKED_ENDINGS)


def _explain_unread(source: str, path: Path) -> str:
    """The sentence on a file of an unknown kind."""
    kind = _find_fault(path)
    if kind is not None:
        return f"{source} is not loaded: it {kind}"
    close = nearest(path.suffix.lower(), SEED_READERS) if path.suffix else ""
    more = f": {close}" if close.startswith("did you") else ""
    return f"{source} is not loaded: seeds are {SUPPORTED_SEEDS}{more}"


def _find_fault(path: Path) -> str | None:
    """What keeps a path from being read as a file, without opening it; None if nothing does."""
    try:
        known = path.stat()
    except OSError as problem:
        return f"cannot be read: {problem.strerror}"
    for test, kind in SPECIAL_FILES.items():
        if test(known.st_mode):
            return f"is {kind}, not a file"
    return "is empty" if not known.st_size else None
