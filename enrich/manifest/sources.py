"""Sources: data outside the warehouse that models read, in attached databases or in files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.db.attached import COPYING_TYPES, DATABASE_TYPES, AttachedDatabase
from enrich.db.quote import quote_name
from enrich.errors import ProjectError, nearest
from enrich.manifest.settings import ENVIRONMENT_VARIABLE
from enrich.manifest.variables import render_literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.settings import YamlSettings

TABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
NAME_RULE = "use a letter from a to z first, then such letters, digits and _"
"""What models, seeds, SQL tests, sources and attached databases may be called."""
ATTACH_KEYS = ("path", "type", "data_path")
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
"""A folder such as `year=2024`, whose name DuckDB makes a column."""


def resolve_address(
    each: AttachedDatabase, environment: Mapping[str, str], root: Path
) -> AttachedDatabase:
    """Returns an attached database with the environment variables in its path replaced, and the
    path of a file made absolute from the folder `root`. Raises ProjectError."""
    # Not while project.yml is read: commands that attach nothing must work without the variable,
    # and `shown`, which messages use, keeps its value out of sight.
    for name in ENVIRONMENT_VARIABLE.findall(f"{each.path} {each.data_path}"):
        if name not in environment:
            hint = f"set it before you start enrich: export {name}=..."
            what = f"'attach' needs the environment variable {name} for '{each.name}'"
            raise ProjectError(f"project.yml: {what}", hint=hint)
    path = ENVIRONMENT_VARIABLE.sub(lambda match: environment[match[1]], each.path)
    data = (
        each.data_path
        if not each.data_path or REMOTE_MARK in each.data_path
        else str(root / each.data_path)
    )
    return replace(each, path=_join_root(each, path, root), data_path=data)


def _join_root(each: AttachedDatabase, path: str, root: Path) -> str:
    """Returns the path of a database, made absolute from the folder `root` if it is that of a
    file."""
    if each.type == "ducklake":
        catalog, mark, file = path.removeprefix("ducklake:").rpartition(":")
        is_file = catalog in ("", "sqlite", "duckdb") and REMOTE_MARK not in path
        return f"ducklake:{catalog}{mark}{root / file}" if is_file else path
    return str(root / path) if each.type in ("duckdb", "sqlite") else path


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files that models read as a view called `name`; `query` is its SELECT. `reach` are the files,
    or the folders before the first wildcard, that DuckDB must be allowed to open."""

    name: str
    query: str
    reach: tuple[Path, ...]


def read_attached(settings: YamlSettings, *, open_access: bool) -> tuple[AttachedDatabase, ...]:
    """Returns the databases under `attach:`. Raises ProjectError."""
    found: list[AttachedDatabase] = []
    for name, value in settings.read_mapping("attach").items():
        _check_name(settings, "attach", name)
        if name.lower() in {each.name.lower() for each in found}:
            raise settings.make_error("attach", f"has '{name}' twice", hint="keep one of them")
        said = value if isinstance(value, dict) else {"path": value}
        _check_options(settings, "attach", name, said, ATTACH_KEYS)
        path, kind = said.get("path"), str(said.get("type", "duckdb"))
        if not isinstance(path, str) or not path:
            hint = f"{name}: other.duckdb, or {name}: {{path: ..., type: postgres}}"
            raise settings.make_error("attach", f"needs a path for '{name}'", hint=hint)
        if kind not in DATABASE_TYPES:
            raise settings.make_error(
                "attach", f"has no type '{kind}' for '{name}'", hint=nearest(kind, DATABASE_TYPES)
            )
        data = said.get("data_path", "")
        if not isinstance(data, str) or (data and kind != "ducklake"):
            hint = f"{name}: {{type: ducklake, path: lake.ducklake, data_path: lake}}"
            what = f"has a data_path for '{name}', which is that of a DuckLake"
            raise settings.make_error("attach", what, hint=hint)
        # DuckDB reads the other types by extensions, which open files and connections themselves:
        # the wall around the SELECTs of models does not hold them.
        readable = kind == "duckdb" or open_access
        if not readable and kind not in COPYING_TYPES:
            hint = f"INSTALL DuckDB's extension for {kind}, and set external_access: true"
            raise settings.make_error("attach", f"cannot read '{name}'", hint=hint)
        found.append(
            AttachedDatabase(
                name=name, path=path, type=kind, shown=path, data_path=data, readable=readable
            )
        )
    return tuple(found)


def read_sources(settings: YamlSettings, *, root: Path, open_access: bool) -> tuple[Source, ...]:
    """Returns the files under `sources:`. Raises ProjectError."""
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
            what = f"needs the format of '{name}', which its name does not tell"
            raise settings.make_error("sources", what, hint=hint)
        whole = tuple(each for path in paths for each in _list_paths(root, path))
        options = said.get("options") or {}
        if HIVE_PARTITION.search(str(root)) and not any(
            HIVE_PARTITION.search(path) for path in paths
        ):
            # DuckDB finds partitions anywhere in a full path, also in the project's own folder,
            # which must not become a column.
            options = {"hive_partitioning": False, **options}
        query = _render_query(settings, name, FORMAT_READERS[kind], whole, options)
        reach = tuple(_cut_wildcards(root, path) for path in paths)
        found.append(Source(name=name, query=query, reach=reach))
    return tuple(found)


def _list_paths(root: Path, path: str) -> list[str]:
    """Returns a path, or several, from the project's folder, in whose own name nothing acts as a
    pattern."""
    if REMOTE_MARK in path or Path(path).is_absolute():
        return [path]
    # On POSIX a folder's name may contain a backslash. DuckDB reads it as a slash and finds nothing
    # by a pattern there, so Python looks for the files.
    if os.sep == "/" and "\\" in str(root):
        return sorted(str(each) for each in root.glob(path)) or [str(root / path)]
    return [
        f"{escape(str(root))}{os.sep}{path}" if WILDCARD.search(str(root)) else str(root / path)
    ]


def _cut_wildcards(root: Path, path: str) -> Path:
    """Returns a path, or the folder in front of its first wildcard."""
    # The `_` makes `.parent` right in both cases: for `data/*.csv` and for `data/a*.csv`.
    wild = WILDCARD.search(path)
    return root / path if wild is None else (root / (path[: wild.start()] + "_")).parent


def explain_name(name: str) -> str:
    """Returns what keeps a name from being that of a table, in words.

    >>> explain_name("1m"), explain_name("modèle"), explain_name("a-b")
    ('starts with a digit', "contains 'è'", "contains '-'")
    """
    if name[:1].isdigit():
        return "starts with a digit"
    if name.startswith("_"):
        return "starts with '_'"
    odd = re.search(r"[^A-Za-z0-9_]", name)
    return f"contains '{odd[0]}'" if odd else "is empty"


def _check_name(settings: YamlSettings, key: str, name: str) -> None:
    """Raises ProjectError for a name that is not valid, or that enrich or DuckDB uses."""
    if not TABLE_NAME.fullmatch(name) or name.lower() in RESERVED_SCHEMAS:
        hint = f"use letters, digits and _, but none of: {', '.join(RESERVED_SCHEMAS)}"
        raise settings.make_error(key, f"cannot use the name '{name}'", hint=hint)


def _check_options(
    settings: YamlSettings, key: str, name: str, said: Mapping[str, Any], known: tuple[str, ...]
) -> None:
    """Raises ProjectError for an option of `name` that is not `known`."""
    for word in said:
        if word not in known:
            what = f"has no setting '{word}' for '{name}'"
            raise settings.make_error(key, what, hint=nearest(str(word), known))


def _guess_format(path: str) -> str:
    """Returns the format that the name of a file tells; "" if it tells none."""
    return FORMAT_ENDINGS.get(Path(path.removesuffix(".gz").removesuffix(".zst")).suffix, "")


def _render_query(
    settings: YamlSettings,
    name: str,
    reader: str,
    paths: tuple[str, ...],
    options: Mapping[str, Any],
) -> str:
    """Returns the SELECT of a source's view. Raises ProjectError for an option that is not one."""
    arguments = [render_literal(list(paths))]
    for option, value in options.items():
        if not TABLE_NAME.fullmatch(str(option)):
            hint = f"options of DuckDB's {reader}: {{delim: ';', header: true}}"
            what = f"has no valid option '{option}' for '{name}'"
            raise settings.make_error("sources", what, hint=hint)
        arguments.append(f"{quote_name(str(option))} = {render_literal(value)}")
    return f"SELECT * FROM {reader}({', '.join(arguments)})"
