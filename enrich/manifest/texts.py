"""Texts: the project's files as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.errors import DiskError

if TYPE_CHECKING:
    from pathlib import Path

READABLE_HINT = "it must be a UTF-8 text file that you have permission to read"


def read_text(path: Path, *, source: str) -> str:
    """Returns the text of a file in UTF-8, with either line end as a newline. `source` is its name
    in messages. Raises DiskError."""
    try:
        # Editors on Windows may put a byte order mark first, which DuckDB cannot parse.
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        hint = "save it as UTF-8 in your editor"
        raise DiskError(f"{source}:{line}: the file is not UTF-8", hint=hint) from problem
    except OSError as problem:
        what = f"{source} cannot be read: {problem.strerror or problem}"
        raise DiskError(what, hint=READABLE_HINT) from problem
