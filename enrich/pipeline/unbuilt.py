"""Unbuilt: why the table of a model is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enrich.db.files import DatabaseFiles


def explain_unbuilt(files: DatabaseFiles, name: str, *, command: str) -> tuple[str, str]:
    """Returns in words why a model is not in the warehouse, and what to do about it: `command`, if
    it has never been run."""
    with files.open_ledger() as database:
        ran = bool(database.call("latest_run", model=name))
        found = database.call("obstacle", model=name)
    if not ran:
        return "has not been run yet", command
    why = f"it {found[0][0]}" if found and found[0][0] else "not all of its answers are there"
    return f"has not been published yet: {why}", "enrich status shows what to do"
