"""Attached databases: those of the user's own, which models read and copies are written to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.db.extensions import load_extension
from enrich.db.quote import quote_text
from enrich.errors import Damaged, DatabaseError

if TYPE_CHECKING:
    from enrich.db.database import Database
    from enrich.errors import EnrichError

LOCK_HOLDER = re.compile(r"held in (.*?) ?\(PID (\d+)\)")
"""Who holds a file, in DuckDB's message."""
EXTENSIONS = {
    "sqlite": "sqlite_scanner",
    "postgres": "postgres_scanner",
    "mysql": "mysql_scanner",
    "ducklake": "ducklake",
    "motherduck": "motherduck",
}
"""DuckDB's extension for each type of database, but for its own."""
DATABASE_TYPES = ("duckdb", *EXTENSIONS)
COPYING_TYPES = tuple(word for word in DATABASE_TYPES if word != "mysql")
"""The types that tables can be copied to. MySQL has no lists, and its own idea of a schema."""
PREFIXES = {"ducklake": "ducklake:", "motherduck": "md:"}
"""How the address of such a database starts: that is how DuckDB knows its type."""
REMOTE_EXTENSIONS = {
    "s3": "httpfs", "gs": "httpfs", "gcs": "httpfs", "r2": "httpfs", "az": "azure",
    "abfss": "azure",
}  # fmt: skip
"""DuckDB's extension for each protocol of an object storage."""


@dataclass(frozen=True, kw_only=True)
class AttachedDatabase:
    """A database of the user's own, which models read as `NAME.table`.

    `shown` is the path as written in project.yml: `path` may hold the value of an environment
    variable, such as a password. `data_path` is where a DuckLake keeps its files, "" for what it
    knows itself. If not `readable`, it is attached to write copies to, and no model may read it.
    """

    name: str
    path: str
    type: str
    shown: str = ""
    data_path: str = ""
    readable: bool = True

    @property
    def address(self) -> str:
        """The path as DuckDB takes it."""
        prefix = PREFIXES.get(self.type, "")
        return self.path if self.path.startswith(prefix) else f"{prefix}{self.path}"

    @property
    def extensions(self) -> tuple[str, ...]:
        """The extensions that attaching it takes."""
        own = [EXTENSIONS[self.type]] if self.type in EXTENSIONS else []
        # `ducklake:postgres:dbname=...`: its catalog is in another database.
        catalog = self.address.removeprefix("ducklake:").partition(":")[0]
        own += [EXTENSIONS[catalog]] if self.type == "ducklake" and catalog in EXTENSIONS else []
        remote = REMOTE_EXTENSIONS.get(self.data_path.partition("://")[0], "")
        return tuple(filter(None, [*own, remote if "://" in self.data_path else ""]))

    def attach(self, database: Database, *, writable: bool = False) -> None:
        """Attach it, with the extensions that this takes. Raises DatabaseError, whose message may
        hold the address."""
        for name in self.extensions:
            load_extension(database, name)
        options = [] if writable else ["READ_ONLY"]
        if self.type not in PREFIXES and self.type != "duckdb":
            options.append(f"TYPE {self.type}")
        if self.data_path:
            options.append(f"DATA_PATH {quote_text(self.data_path)}")
        database.attach(self.address, self.name, ", ".join(options))

    def explain(self, problem: EnrichError) -> DatabaseError:
        """Returns the error that it cannot be attached, without its address."""
        if isinstance(problem, Damaged):
            hint = "restore it from a copy, or move it away; tables are then copied there again"
            return DatabaseError(f"the database '{self.name}' is damaged", hint=hint)
        if holder := LOCK_HOLDER.search(str(problem.__cause__)):
            message = f"the database '{self.name}' is held by process {holder[2]} ({holder[1]})"
            return DatabaseError(message, hint="close it there")
        said = problem.message.replace(self.address, "...").replace(self.path, "...")
        known = "extension" in problem.message
        hint = problem.hint if known else "check `attach:` in project.yml"
        return DatabaseError(f"the database '{self.name}' cannot be attached: {said}", hint=hint)
