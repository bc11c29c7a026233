"""Sources: data outside the warehouse that models read: attached databases, and files as views."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.db.files import AttachedDatabase
from enrich.db.quote import quote_name
from enrich.errors import ProjectError, nearest
from enrich.manifest.variables import literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.settings import Settings

VARIABLE = re.compile(r"\$\{(\w+)\}")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
TYPES = ("duckdb", "sqlite", "postgres", "mysql")
OWN = ("warehouse", "ledger", "main", "enrich", "enrich_tests", "temp", "system", "memory")
FORMATS = {"csv": "read_csv", "parquet": "read_parquet", "json": "read_json_auto"}
"""DuckDB's reader for each format of a file."""
ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
REMOTE = "://"
WILD = re.compile(r"[*?\[{]")
HIVE = re.compile(r"[^/\\]+=[^/\\]*")


def address(each: AttachedDatabase, environment: Mapping[str, str], root: Path) -> AttachedDatabase:
    """An attached database with the environment variables in its path replaced; the path of a file
    begins at the folder `root`."""
    for name in VARIABLE.findall(each.path):
        if name not in environment:
            hint = f"set it before you start enrich: export {name}=..."
            what = f"'attach' needs the environment variable {name} for '{each.name}'"
            raise ProjectError(f"project.yml: {what}", hint=hint)
    path = VARIABLE.sub(lambda match: environment[match[1]], each.path)
    return replace(each, path=str(root / path) if each.type == "duckdb" else path)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files that models read as a view of this name; `reach` are the files, or what stands before
    the first wildcard."""

    name: str
    query: str
    reach: tuple[Path, ...]


def attached(settings: Settings, *, open_access: bool) -> tuple[AttachedDatabase, ...]:
    """The databases under `attach:`."""
    found: list[AttachedDatabase] = []
    for name, value in settings.mapping("attach").items():
        _check_name(settings, "attach", name)
        if name.lower() in {each.name.lower() for each in found}:
            raise settings.wrong("attach", f"has '{name}' twice", hint="keep one of them")
        said = value if isinstance(value, dict) else {"path": value}
        _known(settings, "attach", name, said, ("path", "type"))
        path, kind = said.get("path"), str(said.get("type", "duckdb"))
        if not isinstance(path, str) or not path:
            hint = f"{name}: other.duckdb, or {name}: {{path: ..., type: postgres}}"
            raise settings.wrong("attach", f"needs a path for '{name}'", hint=hint)
        if kind not in TYPES:
            raise settings.wrong(
                "attach", f"has no type '{kind}' for '{name}'", hint=nearest(kind, TYPES)
            )
        if kind != "duckdb" and not open_access:
            hint = f"an extension of DuckDB reads {kind}: INSTALL it, set external_access: true"
            raise settings.wrong("attach", f"cannot read '{name}'", hint=hint)
        found.append(AttachedDatabase(name=name, path=path, type=kind, shown=path))
    return tuple(found)


def sources(settings: Settings, *, root: Path, open_access: bool) -> tuple[Source, ...]:
    """The files under `sources:`."""
    found = []
    for name, value in settings.mapping("sources").items():
        _check_name(settings, "sources", name)
        said = value if isinstance(value, dict) else {"path": value}
        _known(settings, "sources", name, said, ("path", "format", "options"))
        named = said.get("path")
        given = named if isinstance(named, list) else [named]
        paths = [path for path in given if isinstance(path, str) and path]
        if not paths or len(paths) < len(given):
            hint = f"{name}: data/{name}.parquet, or {name}: {{path: ..., format: csv}}"
            raise settings.wrong("sources", f"needs a path for '{name}'", hint=hint)
        if any(REMOTE in path for path in paths) and not open_access:
            hint = "set external_access: true; the extension that reads it must be installed"
            raise settings.wrong("sources", f"reads '{name}' from another machine", hint=hint)
        kind = str(said.get("format") or _format(paths[0]))
        if kind not in FORMATS:
            hint = f"say which it is: {{path: ..., format: {' | '.join(FORMATS)}}}"
            raise settings.wrong("sources", f"does not tell the format of '{name}'", hint=hint)
        whole = tuple(each for path in paths for each in _whole(root, path))
        options = said.get("options") or {}
        if HIVE.search(str(root)) and not any(HIVE.search(path) for path in paths):
            options = {"hive_partitioning": False, **options}  # the project's folder is no column
        query = _query(settings, name, FORMATS[kind], whole, options)
        reach = tuple(_before_wildcards(root, path) for path in paths)
        found.append(Source(name=name, query=query, reach=reach))
    return tuple(found)


def _whole(root: Path, path: str) -> list[str]:
    """A path from the project's folder on, whose own name is no pattern. DuckDB finds nothing by a
    pattern in a folder with a backslash: there the files are found here."""
    if REMOTE in path or Path(path).is_absolute():
        return [path]
    if os.sep == "/" and "\\" in str(root):
        return sorted(str(each) for each in root.glob(path)) or [str(root / path)]
    return [f"{escape(str(root))}{os.sep}{path}" if WILD.search(str(root)) else str(root / path)]


def _before_wildcards(root: Path, path: str) -> Path:
    wild = WILD.search(path)
    return root / path if wild is None else (root / (path[: wild.start()] + "_")).parent


def _check_name(settings: Settings, key: str, name: str) -> None:
    if not NAME.fullmatch(name) or name.lower() in OWN:
        hint = "letters, digits and _, and no name of enrich's own"
        raise settings.wrong(key, f"cannot hold the name '{name}'", hint=hint)


def _known(
    settings: Settings, key: str, name: str, said: Mapping[str, Any], known: tuple[str, ...]
) -> None:
    for word in said:
        if word not in known:
            what = f"has no setting '{word}' for '{name}'"
            raise settings.wrong(key, what, hint=nearest(str(word), known))


def _format(path: str) -> str:
    """The format that a file's name tells, "" if none."""
    return ENDINGS.get(Path(path.removesuffix(".gz").removesuffix(".zst")).suffix, "")


def _query(
    settings: Settings, name: str, reader: str, paths: tuple[str, ...], options: Mapping[str, Any]
) -> str:
    """The SELECT of a source's view."""
    arguments = [literal(list(paths))]
    for option, value in options.items():
        if not NAME.fullmatch(str(option)):
            hint = f"options of DuckDB's {reader}: {{delim: ';', header: true}}"
            raise settings.wrong("sources", f"cannot give '{name}' '{option}'", hint=hint)
        arguments.append(f"{quote_name(str(option))} = {literal(value)}")
    return f"SELECT * FROM {reader}({', '.join(arguments)})"
