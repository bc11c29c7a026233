"""Write: the request file of a batch, out of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.body import render_request_lines
from enrich.errors import DatabaseError, DiskError

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.db.database import Ledger
    from enrich.ledger.batch import Batch
    from enrich.pipeline.read import Judge


def write_requests(database: Ledger, path: Path, batch: Batch, judge: Judge) -> None:
    """The request file: complete or absent, and nobody else's to read."""
    part = path.with_suffix(".part")
    try:
        part.touch(mode=0o600)
        with database.allow_any_order():
            write = render_request_lines(judge.endpoint, judge.prefix)
            database.execute(write, batch=batch.id, path=part)
        part.chmod(0o600)
        part.replace(path)
    except OSError as problem:
        hint = "make room, or see who may write there"
        raise DiskError(f"{path} cannot be written: {problem.strerror}", hint=hint) from problem
    except DatabaseError as problem:
        part.unlink(missing_ok=True)
        message = f"{path} cannot be written: {problem.message}"
        raise DiskError(message, hint=problem.hint) from problem
