"""Vacuum: what a project needs no longer is given back to the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.db.disk import measure_files
from enrich.ledger.compaction import Saving, compact_ledger, foresee_compaction
from enrich.ledger.tables import check_ledger_exists
from enrich.manifest.config import WORK_FOLDER
from enrich.pipeline.lock import hold_project
from enrich.pipeline.upkeep import foresee_files, tidy_files

if TYPE_CHECKING:
    from enrich.pipeline.workspace import Workspace


def vacuum_project(workspace: Workspace) -> tuple[Saving, Saving]:
    """Tidy up after all batches that have been read, and compact the ledger. Returns what that
    saved in each. What cannot be removed is reported, and stays for the next time."""
    files = workspace.files
    files.check_writable()
    check_ledger_exists(files)
    with hold_project(files):
        before = measure_files([workspace.config.work])
        problems = tidy_files(workspace)
        kept = Saving(what=WORK_FOLDER, before=before, after=measure_files([workspace.config.work]))
        found = compact_ledger(files), kept
    for sentence in dict.fromkeys(problems):
        workspace.listener.say(f"not tidied up: {sentence}")
    return found


def foresee_vacuum(workspace: Workspace) -> tuple[Saving, Saving]:
    """Returns about what `vacuum_project` would save. Changes nothing."""
    ledger = foresee_compaction(workspace.files)
    before = measure_files([workspace.config.work])
    after = max(0, before - foresee_files(workspace))
    return ledger, Saving(what=WORK_FOLDER, before=before, after=after)
