"""Bucket copies: a table as objects in an object storage, each replaced as a whole.

An object storage renames nothing, so a reader may see some partitions as they were and others as
they are until the manifest is written, which comes last. Partitions that have not changed are not
written again, and those that are gone become files without rows, for DuckDB deletes no objects.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.compiler import copies
from enrich.db.quote import quote_name
from enrich.errors import ProjectError
from enrich.pipeline.staged import COPY_MANIFEST, OTHERS_HINT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enrich.db.database import Database
    from enrich.manifest.destination import BucketDestination
    from enrich.pipeline.staged import Staged

UNDER_WAY = "under way"
"""What stands for the hash of a file while it is written."""
UPLOAD = "COPY (SELECT content FROM read_blob($file)) TO $url (FORMAT blob)"


def write_bucket(
    database: Database,
    staged: Staged,
    destination: BucketDestination,
    *,
    known: bool,
    begin: Callable[[], None],
) -> None:
    """Write what has changed of a table. `known`: an object that is there is enrich's own. `begin`
    is called before it becomes so. Raises ProjectError if the place holds anything else, or
    DatabaseError."""
    place = destination.said.to
    if destination.is_file:
        if not known and place in list_objects(database, f"{place.rpartition('/')[0]}/*"):
            raise ProjectError(f"{place} exists, and enrich did not write it", hint=OTHERS_HINT)
        begin()
        database.execute(UPLOAD, file=staged.files[0], url=place)
        return
    place = place.rstrip("/")
    before = _read_parts(database, staged, place)
    parts = _seal_parts(database, staged)
    changed = [name for name, seal in parts.items() if before.get(name) != seal]
    gone = [name for name, seal in before.items() if seal and name not in parts]
    # Announced first: whatever a crash leaves behind is enrich's own, and is written again.
    announced = {**before, **dict.fromkeys((*changed, *gone), UNDER_WAY)}
    _write_manifest(database, place, staged.render_manifest(announced, whole=False))
    for name in changed:
        database.execute(UPLOAD, file=staged.folder / name, url=f"{place}/{name}")
    for name in gone:
        _write_empty(database, staged, f"{place}/{name}")
    empty = dict.fromkeys((name for name in before if name not in parts), "")
    _write_manifest(database, place, staged.render_manifest(parts | empty))


def _write_manifest(database: Database, place: str, text: str) -> None:
    statement = "COPY (SELECT encode($text)) TO $url (FORMAT blob)"
    database.execute(statement, text=text, url=f"{place}/{COPY_MANIFEST}")


def list_objects(database: Database, pattern: str) -> list[str]:
    """Returns the URLs of objects that match a pattern, which must have a wildcard: DuckDB takes a
    URL without one for that of an object that exists."""
    return [row[0] for row in database.execute("SELECT file FROM glob($pattern)", pattern=pattern)]


def _read_parts(database: Database, staged: Staged, place: str) -> Mapping[str, str]:
    """Returns the files of the earlier copy, each with a hash of its rows, "" if it has none."""
    there = list_objects(database, f"{place}/**")
    if not there:
        return {}
    if f"{place}/{COPY_MANIFEST}" not in there:
        staged.check_owner(None, place)
    query = "SELECT content FROM read_text($url)"
    (text,) = database.fetch_one(query, url=f"{place}/{COPY_MANIFEST}")
    manifest: Any = None
    with suppress(ValueError):  # somebody else's file of this name
        manifest = json.loads(text)
    staged.check_owner(manifest, place)
    files: Mapping[str, str] = manifest["files"]
    return files


def _seal_parts(database: Database, staged: Staged) -> dict[str, str]:
    """Returns the files of a table, each with a hash of its rows."""
    if not staged.said.partition_by:  # there is one, and it is written because it has changed
        return {staged.name(file): staged.table.seal for file in staged.files}
    columns = [name for name in staged.table.columns if name not in staged.said.partition_by]
    query = copies.render_part_seals(columns, staged.said.format)
    rows = database.execute(query, paths=list(staged.files))
    seals = {Path(name).resolve(): seal for name, seal in rows}
    return {staged.name(file): seals.get(file.resolve(), "") for file in staged.files}


def _write_empty(database: Database, staged: Staged, url: str) -> None:
    """Write a file with the columns of the table, but without rows."""
    columns = ", ".join(
        quote_name(name) for name in staged.table.columns if name not in staged.said.partition_by
    )
    reader = copies.STAGED_READERS[staged.said.format].replace("$paths", "$file")
    query = f"SELECT {columns} FROM {reader} LIMIT 0"
    database.execute(
        f"COPY ({query}) TO $url (FORMAT {staged.said.format})", file=staged.files[0], url=url
    )
