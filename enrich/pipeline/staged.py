"""Staged: a table as files in the project, from which its copy is made.

The DuckDB that runs the user's SQL writes them, and can reach no further. What carries them to
another place (`folder_copy`, `bucket_copy`, `table_copy`) sees the files alone.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from enrich.compiler import copies
from enrich.db.creation import make_folder
from enrich.db.ownership import find_mark, is_ours
from enrich.db.quote import quote_name
from enrich.errors import DatabaseError, DiskError, ProjectError
from enrich.manifest.destination import TableDestination, check_partitions
from enrich.pipeline.receipt import COPIES_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from enrich.db.database import Warehouse
    from enrich.manifest.destination import Destination
    from enrich.manifest.publication import Publication

COPY_MANIFEST = "_enrich.json"
"""The file in a folder of copies that says what they were made from, written last."""
SEALED = re.compile(r"(\d+) rows, seal ([0-9a-f]+) \(ledger")
"""The rows of a table and their hash, in its comment (see `publish`)."""
EMPTY_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""The value of NULL in the name of a partition's folder."""
OTHERS_HINT = "move it away, or publish to another place"


@dataclass(frozen=True, kw_only=True)
class TableState:
    """A published table as it is: its columns and their types, its rows, and the `seal` that
    changes with any of these. `ledger` is the id of the project's ledger."""

    model: str
    columns: Mapping[str, str]
    rows: int
    seal: str
    ledger: str

    @property
    def shape(self) -> str:
        """A hash of the columns and their types."""
        return sha256(repr(list(self.columns.items())).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Staged:
    """The files of a table, below `folder`."""

    table: TableState
    said: Publication
    folder: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in order."""
        return tuple(sorted(path for path in self.folder.rglob("*") if path.is_file()))

    def name(self, file: Path) -> str:
        """Returns the name of a file in the copy, with the folders of its partition."""
        return file.relative_to(self.folder).as_posix()

    @property
    def form(self) -> str:
        """How the files are written, in words that change with it."""
        return describe_form(self.said)

    def render_manifest(self, parts: Mapping[str, str] | None = None, *, whole: bool = True) -> str:
        """What the copy says about itself; `parts` has a hash of each of its files. Unless it is
        `whole`, it has no seal."""
        found: dict[str, Any] = {
            "made by": "enrich",
            "model": self.table.model,
            "ledger": self.table.ledger,
            "rows": self.table.rows,
            "seal": self.table.seal if whole else "",
            "form": self.form,
            "shape": self.table.shape,
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "files": dict(parts) if parts is not None else [self.name(file) for file in self.files],
        }
        return json.dumps(found, indent=2)

    def check_owner(self, manifest: Any, place: str) -> None:  # noqa: ANN401  # JSON
        """Raises ProjectError unless the manifest of an earlier copy is that of this table."""
        said = manifest if isinstance(manifest, dict) else {}
        if (said.get("model"), said.get("ledger")) == (self.table.model, self.table.ledger):
            return
        what = "holds files that enrich did not write"
        if said.get("made by") == "enrich":
            what = f"holds the copy of another table, {said.get('model')}"
        raise ProjectError(f"{place} {what}", hint=OTHERS_HINT)


def describe_form(said: Publication) -> str:
    """Returns how a copy is written, in words that change with it."""
    return " ".join((said.format, *said.partition_by))


def read_table(database: Warehouse, model: str) -> TableState | None:
    """Returns the state of a model's table or view; None if enrich has not published one. Needs the
    warehouse."""
    found = database.call("exists", schema="main", name=model)
    comment = str(found[0][1] or "") if found else ""
    if not find_mark(comment) or not is_ours(database, comment):
        return None
    columns = database.describe(f"FROM {quote_name('warehouse', 'main', model)}")
    # What an llm's table was made from says this already, without reading the table.
    known = SEALED.search(comment)
    rows, seal = (
        known.groups() if known else database.fetch_one(copies.render_table_seal(model, columns))
    )
    words = repr((rows, seal, list(columns.items())))
    return TableState(
        model=model,
        columns=columns,
        rows=int(rows),
        seal=sha256(words.encode()).hexdigest()[:24],
        ledger=database.owner,
    )


def stage_table(
    database: Warehouse, table: TableState, destination: Destination, work: Path
) -> Staged:
    """Write a table to files in the folder of working files. Needs the warehouse.

    Raises ProjectError if it cannot be divided as it should be.
    """
    to_table = isinstance(destination, TableDestination)
    said = replace(destination.said, format="parquet") if to_table else destination.said
    check_partitions(destination, table.columns)
    folder = make_folder(work, COPIES_FOLDER, table.model)
    clear_staged(folder)
    make_folder(folder)
    divided, file = bool(said.partition_by) and not to_table, f"data_0.{said.format}"
    staged = Staged(table=table, said=said, folder=folder / "table")
    if divided and table.rows:
        with _explain_long_names(destination):
            statement = copies.render_staging(table.model, said, divided=True)
            database.execute(statement, path=staged.folder)
    elif divided:
        # Without rows there would be no file, and so nothing that a reader could open.
        parts = (f"{name}={EMPTY_PARTITION}" for name in said.partition_by)
        path = make_folder(folder, "table", *parts) / file
        database.execute(copies.render_empty_part(table.model, said), path=path)
    else:
        path = make_folder(folder, "table") / file
        database.execute(copies.render_staging(table.model, said, divided=False), path=path)
    return staged


@contextmanager
def _explain_long_names(destination: Destination) -> Iterator[None]:
    """Raises ProjectError where a folder would have a longer name than a file system allows."""
    try:
        yield
    except DatabaseError as problem:
        if "name too long" not in problem.message.lower():
            raise
        by = ", ".join(destination.said.partition_by)
        message = f"{destination.source}: a value of {by} is too long to name a folder"
        raise ProjectError(message, hint="divide by a column with short values") from problem


def clear_staged(folder: Path) -> None:
    """Remove the files of a table. Raises DiskError."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as problem:
        message = f"{folder} cannot be removed: {problem.strerror}"
        raise DiskError(message, hint="remove it yourself; it holds working files") from problem
