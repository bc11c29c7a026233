"""Destinations: the place that a model's table is copied to, found from what `publish:` says."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from enrich.db.attached import COPYING_TYPES, REMOTE_EXTENSIONS
from enrich.errors import ProjectError, nearest
from enrich.manifest.config import PROJECT_FILE
from enrich.manifest.publication import COPY_FILE
from enrich.manifest.reviews import REVIEWS_FOLDER
from enrich.manifest.sources import REMOTE_MARK, TABLE_NAME

PATH_MARK = re.compile(r"[/\\]")
"""What occurs in paths and URLs, and in the name of no table."""
COPY_BOOKS = "enrich_copies"
"""The table beside the copies in another database, which says what each was made from."""
SYSTEM_SCHEMAS = ("information_schema", "pg_catalog")

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enrich.db.attached import AttachedDatabase
    from enrich.manifest.config import Config
    from enrich.manifest.model import Model
    from enrich.manifest.publication import Publication


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the table of `model` is copied to, and how: one of the three below. `said.to` is the
    place of this model alone, as messages show it. `source` is the file that says so."""

    model: str
    source: str
    said: Publication

    @property
    def is_file(self) -> bool:
        """Whether the copy is one file, and not a folder of files."""
        return bool(COPY_FILE.search(self.said.to))


@dataclass(frozen=True, kw_only=True)
class FolderDestination(Destination):
    """A folder or a file on this machine."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class BucketDestination(Destination):
    """A prefix or an object in an object storage, whose URL is `said.to`."""


@dataclass(frozen=True, kw_only=True)
class TableDestination(Destination):
    """A table in an attached database."""

    database: AttachedDatabase
    schema: str
    table: str

    @property
    def is_file(self) -> bool:
        return False


def find_destination(config: Config, model: Model) -> Destination | None:
    """Returns where a model's table is copied to; None if it is not. Raises ProjectError."""
    own = model.publication
    usual = None if model.kind == "view" or model.unpublished else config.publication
    said = own or usual
    if said is None:
        return None
    source = PROJECT_FILE
    if own is not None:
        source = model.prompt.source if model.prompt else model.source
    parts = said.to.split(".")
    database = {each.name.lower(): each for each in config.attached}.get(parts[0].lower())
    if database is not None and not PATH_MARK.search(said.to):
        schema, table = _name_table(database, parts, model.name, source)
        said = replace(said, to=f"{database.name}.{schema}.{table}")
        return TableDestination(
            model=model.name,
            source=source,
            said=said,
            database=database,
            schema=schema,
            table=table,
        )
    is_remote = REMOTE_MARK in said.to
    if is_remote:
        _check_url(said.to, source)
    if own is None:
        said = replace(said, to=f"{said.to.rstrip('/')}/{model.name}")
    if is_remote:
        return BucketDestination(model=model.name, source=source, said=said)
    path = _find_path(config, said.to, source)
    return FolderDestination(model=model.name, source=source, said=said, path=path)


def check_destination(config: Config, model: Model) -> None:
    """Raises ProjectError if a model's table cannot be copied as it says, as far as its files show
    that."""
    destination = find_destination(config, model)
    if destination is None or model.prompt is None:
        return
    columns = (*model.key, *(column.name for column in model.prompt.output.columns))
    check_partitions(destination, columns)


def check_partitions(destination: Destination, columns: Iterable[str]) -> None:
    """Raises ProjectError if a copy is to be divided by what is not one of the table's columns, by
    all of them, or by databases that are not divided."""
    said, known = destination.said, list(columns)
    for name in said.partition_by:
        if name not in known:
            message = f"{destination.source}: 'publish' divides it by '{name}', which is no column"
            raise ProjectError(message, hint=nearest(name, known))
    if isinstance(destination, TableDestination) and said.partition_by:
        if destination.database.type == "ducklake":
            return
        message = f"{destination.source}: {said.to} cannot be divided by columns"
        hint = "remove partition_by: only folders, object storages and DuckLakes are divided"
        raise ProjectError(message, hint=hint)
    if said.partition_by and set(known) <= set(said.partition_by):
        message = f"{destination.source}: 'publish' divides the table by all of its columns"
        hint = "leave one out of partition_by: those are in the names of folders, not in the files"
        raise ProjectError(message, hint=hint)


def _name_table(
    database: AttachedDatabase, parts: list[str], model: str, source: str
) -> tuple[str, str]:
    """Returns the schema and the name of a table in an attached database, as DuckDB reads short
    names. Raises ProjectError."""
    if database.type not in COPYING_TYPES:
        hint = f"these can: {', '.join(COPYING_TYPES)}"
        message = f"{source}: no table can be copied to a database of type {database.type}"
        raise ProjectError(message, hint=hint)
    if len(parts) > 3 or not all(map(TABLE_NAME.fullmatch, parts)):
        message = f"{source}: 'publish' names no table: {'.'.join(parts)}"
        hint = f"publish: {database.name}.SCHEMA.TABLE, with letters, digits and _ in each name"
        raise ProjectError(message, hint=hint)
    usual = "public" if database.type == "postgres" else "main"
    schema, table = parts[1] if len(parts) == 3 else usual, parts[-1] if len(parts) > 1 else model
    if schema.lower() in SYSTEM_SCHEMAS or table.lower() == COPY_BOOKS:
        message = f"{source}: no table can be copied to {database.name}.{schema}.{table}"
        hint = "it belongs to the database itself, or to enrich: choose another name"
        raise ProjectError(message, hint=hint)
    return schema, table


def _check_url(url: str, source: str) -> None:
    protocol, _, rest = url.partition(REMOTE_MARK)
    protocol = protocol.lower()
    if protocol not in REMOTE_EXTENSIONS:
        hint = f"these can be written: {', '.join(f'{name}://' for name in REMOTE_EXTENSIONS)}"
        raise ProjectError(f"{source}: nothing can be published to {protocol}://", hint=hint)
    if not rest.partition("/")[0].strip():
        message = f"{source}: 'publish' names no bucket: {url}"
        raise ProjectError(message, hint=f"publish: {protocol}://BUCKET/FOLDER")


def _find_path(config: Config, shown: str, source: str) -> Path:
    """Returns the path of a copy. Raises ProjectError if it is not below the project, nor below
    what project.yml names, or if it belongs to the project itself."""
    try:
        path = Path(os.path.normpath(config.root / Path(shown).expanduser()))
    except RuntimeError as problem:
        message = f"{source}: {shown} names a home folder that does not exist"
        raise ProjectError(message, hint="write the full path") from problem
    # A model's own file must not reach further than its SELECT does; project.yml may name any path.
    if source != PROJECT_FILE and not config.may_read(path):
        hint = "list the folder in project.yml: external_access: [FOLDER]"
        message = f"{source}: {shown} is outside the project, and nothing is published there"
        raise ProjectError(message, hint=hint)
    real, hint = path.resolve(), "publish to a folder of its own"
    if config.root.resolve().is_relative_to(real):
        raise ProjectError(f"{source}: {shown} holds the project itself", hint=hint)
    own = [config.models, config.seeds, *config.tests, config.root / REVIEWS_FOLDER, config.work]
    # A DuckLake deletes what it does not know.
    lakes = (each.data_path for each in config.attached if REMOTE_MARK not in each.data_path)
    own += [config.root / path for path in lakes if path]
    for folder in (each.resolve() for each in own if each != config.root):
        if real.is_relative_to(folder) or folder.is_relative_to(real):
            word = "is in" if real.is_relative_to(folder) else "holds"
            message = f"{source}: {shown} {word} the project's own folder {folder.name}"
            raise ProjectError(message, hint=hint)
    return path
