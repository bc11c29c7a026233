"""Write: create the request file of a batch from the ledger."""

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
    """Write the batch's request file: completely or not at all, and readable by its owner alone.

    Raises DiskError if it cannot be written.
    """
    part = path.with_suffix(".part")
    try:
        # Created here, because COPY would create it with the permissions of the umask.
        part.touch(mode=0o600)
        # Answers are matched by custom_id, so the order of lines is free, and faster without.
        with database.allow_any_order():
            write = render_request_lines(
                judge.endpoint, judge.prefix, packed=judge.packed, params=judge.params
            )
            database.execute(write, batch=batch.id, path=part)
        part.chmod(0o600)
        part.replace(path)
    except OSError as problem:
        hint = "free some disk space, or check who can write there"
        raise DiskError(f"{path} cannot be written: {problem.strerror}", hint=hint) from problem
    except DatabaseError as problem:
        part.unlink(missing_ok=True)
        message = f"{path} cannot be written: {problem.message}"
        raise DiskError(message, hint=problem.hint) from problem
