"""Extensions of DuckDB: loaded where they are installed, and never fetched from the network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from enrich.db.quote import quote_name, quote_text
from enrich.errors import DatabaseError

if TYPE_CHECKING:
    from enrich.db.database import Database


def load_extension(database: Database, name: str) -> None:
    """Load an extension from the Python package that brings it, or from where `INSTALL name` has
    put it. Raises DatabaseError, with what to install."""
    import duckdb

    path = _find_packaged(name, duckdb.__version__)
    try:
        # DuckDB checks the signature of an extension, wherever it comes from.
        if path is not None:
            database.execute(f"LOAD {quote_text(str(path))}")
        else:
            database.execute(f"LOAD {quote_name(name)}")
    except DatabaseError as problem:
        version = duckdb.__version__
        package = f"pip install duckdb-extension-{name.replace('_', '-')}=={version}"
        # No packages have come out for DuckDB 2 so far.
        way = f"{package}, or " if version.startswith("1.") else ""
        hint = f"{way}run INSTALL {name} once in DuckDB {version}"
        message = f"DuckDB's extension '{name}' is not installed"
        raise DatabaseError(message, hint=hint) from problem


def _find_packaged(name: str, version: str) -> Path | None:
    """Returns the file of an extension for this version of DuckDB in a Python package; None if
    there is none."""
    package = find_spec(f"duckdb_extension_{name}")
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder, "extensions", f"v{version}", f"{name}.duckdb_extension")
        if path.is_file():
            return path
    return None
