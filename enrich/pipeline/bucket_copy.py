"""Bucket copies: a table as objects in an object storage, each replaced as a whole.

An object storage renames nothing, so a reader may see some partitions as they were and others as
they are until the manifest is written, which comes last. Partitions that have not changed are not
written again, and those that are gone are removed or, where the storage does not allow that, become
files without rows.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.compiler import copies
from enrich.db.quote import quote_name
from enrich.errors import DatabaseError, ProjectError
from enrich.pipeline.receipt import mark_file
from enrich.pipeline.staged import COPY_MANIFEST, OTHERS_HINT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from enrich.db.database import Database
    from enrich.manifest.destination import BucketDestination
    from enrich.pipeline.receipt import Receipt
    from enrich.pipeline.staged import Staged

UNDER_WAY = "under way"
"""What stands for the hash of a file while it is written."""
OWN_NAME = re.compile(r"(.*/)?data_\d+\.(parquet|csv|json)")
"""What the files of a copy are called."""
REMOVE = """COPY (SELECT 1 AS one, 2 AS two WHERE false) TO $url
(FORMAT parquet, PARTITION_BY (two), OVERWRITE)"""
"""Remove what is below a URL: DuckDB has no other statement for that."""
UPLOAD = "COPY (SELECT content FROM read_blob($file)) TO $url (FORMAT blob)"


def write_bucket(
    database: Database,
    staged: Staged,
    destination: BucketDestination,
    receipt: Receipt,
    *,
    begin: Callable[[], None],
) -> dict[str, str]:
    """Write what has changed of a table. Returns its files as `list_objects` does. `begin` is
    called before what is there, without saying so, becomes enrich's own. Raises ProjectError if the
    place holds anything else, or DatabaseError."""
    known = destination.said.to in receipt.own
    there = list_objects(database, destination)
    if destination.is_file:
        url = destination.said.to
        if there and not known:
            raise ProjectError(f"{url} exists, and enrich did not write it", hint=OTHERS_HINT)
        begin()
        database.execute(UPLOAD, file=staged.files[0], url=url)
        return list_objects(database, destination)
    earlier = _read_earlier(database, staged, destination, there, known=known)
    if there and earlier.get("form") != staged.form:
        begin()  # in the middle of it, the manifest may be gone, and others not yet
        _clear(database, destination, there, set(earlier.get("files", ())))
        there, earlier = {}, {}
    # What somebody has overwritten is written again.
    before = {
        name: seal if receipt.has_kept(name, there[name]) else UNDER_WAY
        for name, seal in earlier.get("files", {}).items()
        if name in there
    }
    is_same_shape = earlier.get("shape") == staged.table.shape
    parts = _write_parts(database, staged, destination, before, is_same_shape=is_same_shape)
    own = {*parts, COPY_MANIFEST}
    return {n: known for n, known in list_objects(database, destination).items() if n in own}


def _write_parts(
    database: Database,
    staged: Staged,
    destination: BucketDestination,
    before: Mapping[str, str],
    *,
    is_same_shape: bool,
) -> Mapping[str, str]:
    """Write the files that have changed, and remove those that are gone, by what was there
    `before`. Returns the files of the table, each with a hash of its rows."""
    place = destination.said.to.rstrip("/")
    parts = _seal_parts(database, staged)
    # Other columns can have the same hash: neither names nor the widths of types are part of it.
    changed = [n for n, seal in parts.items() if not is_same_shape or before.get(n) != seal]
    # Files without rows stay as they are, unless the columns have changed.
    gone = [n for n, seal in before.items() if n not in parts and (seal or not is_same_shape)]
    # Announced first: whatever a crash leaves behind is enrich's own, and is written again.
    announced = {**before, **dict.fromkeys((*changed, *gone), UNDER_WAY)}
    _write_manifest(database, place, staged.render_manifest(announced, whole=False))
    for name in changed:
        database.execute(UPLOAD, file=staged.folder / name, url=f"{place}/{name}")
    removed = _remove_parts(database, destination, gone)
    for name in gone:
        if name not in removed:
            _write_empty(database, staged, f"{place}/{name}")
    empty = {name: "" for name in before if name not in parts and name not in removed}
    _write_manifest(database, place, staged.render_manifest(parts | empty))
    return parts


def list_objects(database: Database, destination: BucketDestination) -> dict[str, str]:
    """Returns the objects of a copy, or whatever else is there, and what each is known by: see
    `mark_file`."""
    place = destination.said.to.rstrip("/")
    above = place.rpartition("/")[0] if destination.is_file else place
    # With a wildcard, for DuckDB takes a URL without one for that of an object that exists.
    query = "SELECT filename, size, epoch_us(last_modified) FROM read_blob($pattern)"
    pattern = f"{above}/*" if destination.is_file else f"{above}/**"
    try:
        rows = database.execute(query, pattern=pattern)
    except DatabaseError as problem:
        if "No files found" in problem.message:
            return {}
        raise
    return {
        url[len(above) + 1 :]: mark_file(size, written_at)
        for url, size, written_at in rows
        if url == place or not destination.is_file
    }


def _write_manifest(database: Database, place: str, text: str) -> None:
    statement = "COPY (SELECT encode($text)) TO $url (FORMAT blob)"
    database.execute(statement, text=text, url=f"{place}/{COPY_MANIFEST}")


def _read_earlier(
    database: Database,
    staged: Staged,
    destination: BucketDestination,
    there: Iterable[str],
    *,
    known: bool,
) -> dict[str, Any]:
    """Returns the manifest of the earlier copy: `files` holds a hash of the rows of each, "" if it
    has none. Raises ProjectError if there is anything of somebody else's."""
    place = destination.said.to.rstrip("/")
    if not there:
        return {}
    if COPY_MANIFEST not in there:
        if not known or not all(map(OWN_NAME.fullmatch, there)):
            staged.check_owner(None, place)
        return {}
    query = "SELECT content FROM read_text($url)"
    (text,) = database.fetch_one(query, url=f"{place}/{COPY_MANIFEST}")
    manifest: Any = None
    with suppress(ValueError):  # somebody else's file of this name
        manifest = json.loads(text)
    staged.check_owner(manifest, place)
    return dict(manifest)


def _clear(
    database: Database, destination: BucketDestination, there: Iterable[str], own: set[str]
) -> None:
    """Remove an earlier copy as a whole. Raises ProjectError if that is not possible, or if there
    is anything of somebody else's."""
    place = destination.said.to.rstrip("/")
    for name in there:
        if name not in own and name != COPY_MANIFEST and not OWN_NAME.fullmatch(name):
            message = f"{place} holds {name}, which enrich did not write"
            raise ProjectError(message, hint=OTHERS_HINT)
    why = ""
    try:
        database.execute(REMOVE, url=place)
    except DatabaseError as problem:
        why = f": {problem.message}"
    if list_objects(database, destination):
        message = f"{place} holds a copy that is written in another way and cannot be removed{why}"
        raise ProjectError(message, hint="remove it yourself, or publish to another place")


def _remove_parts(
    database: Database, destination: BucketDestination, gone: Collection[str]
) -> set[str]:
    """Remove the folders of which all files are `gone`. Returns the files that are removed: not
    every storage lets DuckDB do that, nor every key."""
    if not gone:
        return set()
    folders, there = {name.rpartition("/")[0] for name in gone}, list_objects(database, destination)
    for folder in sorted(folders):
        if folder and all(name in gone for name in there if name.startswith(f"{folder}/")):
            with suppress(DatabaseError):
                database.execute(REMOVE, url=f"{destination.said.to.rstrip('/')}/{folder}")
    return set(gone) - set(list_objects(database, destination))


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
