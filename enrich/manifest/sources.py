"""Sources: data outside the warehouse that models read: attached databases, and files as views."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.db import quote
from enrich.db.files import Attached
from enrich.errors import ProjectError, nearest
from enrich.manifest.settings import ENVIRONMENT_VARIABLE
from enrich.manifest.variables import render_literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.settings import YamlSettings

TABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""A name that needs no quotes in SQL and may also name a file on every system."""
DATABASE_TYPES = ("duckdb", "sqlite", "postgres", "mysql")
RESERVED_SCHEMAS = (
    "warehouse",
    "ledger",
    "main",
    "enrich",
    "enrich_tests",
    "temp",
    "system",
    "memory",
)
FORMAT_READERS = {"csv": "read_csv", "parquet": "read_parquet", "json": "read_json_auto"}
"""DuckDB's reader for each format of a file."""
FORMAT_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
REMOTE_MARK = "://"
WILDCARD = re.compile(r"[*?\[{]")
HIVE_PARTITION = re.compile(r"[^/\\]+=[^/\\]*")


def resolve_address(each: Attached, environment: Mapping[str, str], root: Path) -> Attached:
    """An attached database with the environment variables in its path replaced; the path of a file
    begins at the folder `root`."""
    for name in ENVIRONMENT_VARIABLE.findall(each.path):
        if name not in environment:
            hint = f"set it before you start enrich: export {name}=..."
            what = f"'attach' needs the environment variable {name} for '{each.name}'"
            raise ProjectError(f"project.yml: {what}", hint=hint)
    path = ENVIRONMENT_VARIABLE.sub(lambda match: environment[match[1]], each.path)
    return replace(each, path=str(root / path) if each.type == "duckdb" else path)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files that models read as a view of this name; `reach` are the files, or what stands before
    the first wildcard."""

    name: str
    query: str
    reach: tuple[Path, ...]


def read_attached(settings: YamlSettings, *, open_access: bool) -> tuple[Attached, ...]:
    """The databases under `attach:`."""
    found: list[Attached] = []
    for name, value in settings.read_mapping("attach").items():
        _check_name(settings, "attach", name)
        if name.lower() in {each.name.lower() for each in found}:
            raise settings.make_error("attach", f"has '{name}' twice", hint="keep one of them")
        said = value if isinstance(value, dict) else {"path": value}
        _check_options(settings, "attach", name, said, ("path", "type"))
        path, kind = said.get("path"), str(said.get("type", "duckdb"))
        if not isinstance(path, str) or not path:
            hint = f"{name}: other.duckdb, or {name}: {{path: ..., type: postgres}}"
            raise settings.make_error("attach", f"needs a path for '{name}'", hint=hint)
        if kind not in DATABASE_TYPES:
            raise settings.make_error(
                "attach", f"has no type '{kind}' for '{name}'", hint=nearest(kind, DATABASE_TYPES)
            )
        if kind != "duckdb" and not open_access:
            hint = f"an extension of DuckDB reads {kind}: INSTALL it, set external_access: true"
            raise settings.make_error("attach", f"cannot read '{name}'", hint=hint)
        found.append(Attached(name=name, path=path, type=kind, shown=path))
    return tuple(found)


def read_sources(settings: YamlSettings, *, root: Path, open_access: bool) -> tuple[Source, ...]:
    """The files under `sources:`."""
    found = []
    for name, value in settings.read_mapping("sources").items():
        _check_name(settings, "sources", name)
        said = value if isinstance(value, dict) else {"path": value}
        _check_options(settings, "sources", name, said, ("path", "format", "options"))
        named = said.get("path")
        given = named if isinstance(named, list) else [named]
        paths = [path for path in given if isinstance(path, str) and path]
        if not paths or len(paths) < len(given):
            hint = f"{name}: data/{name}.parquet, or {name}: {{path: ..., format: csv}}"
            raise settings.make_error("sources", f"needs a path for '{name}'", hint=hint)
        if any(REMOTE_MARK in path for path in paths) and not open_access:
            hint = "set external_access: true; the extension that reads it must be installed"
            raise settings.make_error("sources", f"reads '{name}' from another machine", hint=hint)
        kind = str(said.get("format") or _guess_format(paths[0]))
        if kind not in FORMAT_READERS:
            hint = f"say which it is: {{path: ..., format: {' | '.join(FORMAT_READERS)}}}"
            raise settings.make_error("sources", f"does not tell the format of '{name}'", hint=hint)
        whole = tuple(each for path in paths for each in _list_paths(root, path))
        options = said.get("options") or {}
        if HIVE_PARTITION.search(str(root)) and not any(
            HIVE_PARTITION.search(path) for path in paths
        ):
            options = {"hive_partitioning": False, **options}  # the project's folder is no column
        query = _render_query(settings, name, FORMAT_READERS[kind], whole, options)
        reach = tuple(_cut_wildcards(root, path) for path in paths)
        found.append(Source(name=name, query=query, reach=reach))
    return tuple(found)


def _list_paths(root: Path, path: str) -> list[str]:
    """A path from the project's folder on, whose own name is no pattern. DuckDB finds nothing by a
    pattern in a folder with a backslash: there the files are found here."""
    if REMOTE_MARK in path or Path(path).is_absolute():
        return [path]
    if os.sep == "/" and "\\" in str(root):
        return sorted(str(each) for each in root.glob(path)) or [str(root / path)]
    return [
        f"{escape(str(root))}{os.sep}{path}" if WILDCARD.search(str(root)) else str(root / path)
    ]


def _cut_wildcards(root: Path, path: str) -> Path:
    wild = WILDCARD.search(path)
    return root / path if wild is None else (root / (path[: wild.start()] + "_")).parent


def _check_name(settings: YamlSettings, key: str, name: str) -> None:
    if not TABLE_NAME.fullmatch(name) or name.lower() in RESERVED_SCHEMAS:
        hint = "letters, digits and _, and no name of enrich's own"
        raise settings.make_error(key, f"cannot hold the name '{name}'", hint=hint)


def _check_options(
    settings: YamlSettings, key: str, name: str, said: Mapping[str, Any], known: tuple[str, ...]
) -> None:
    for word in said:
        if word not in known:
            what = f"has no setting '{word}' for '{name}'"
            raise settings.make_error(key, what, hint=nearest(str(word), known))


def _guess_format(path: str) -> str:
    """The format that a file's name tells, "" if none."""
    return FORMAT_ENDINGS.get(Path(path.removesuffix(".gz").removesuffix(".zst")).suffix, "")


def _render_query(
    settings: YamlSettings,
    name: str,
    reader: str,
    paths: tuple[str, ...],
    options: Mapping[str, Any],
) -> str:
    """The SELECT of a source's view."""
    arguments = [render_literal(list(paths))]
    for option, value in options.items():
        if not TABLE_NAME.fullmatch(str(option)):
            hint = f"options of DuckDB's {reader}: {{delim: ';', header: true}}"
            raise settings.make_error("sources", f"cannot give '{name}' '{option}'", hint=hint)
        arguments.append(f"{quote.name(str(option))} = {render_literal(value)}")
    return f"SELECT * FROM {reader}({', '.join(arguments)})"
