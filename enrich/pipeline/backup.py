"""Backup: the ledger is exported and imported under the project's lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.errors import EnrichError
from enrich.ledger import copy
from enrich.pipeline.lock import hold_project

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.ledger.copy import Export
    from enrich.pipeline.workspace import Workspace


def export_ledger(workspace: Workspace, folder: Path, *, skip_damaged: bool) -> Export:
    """Write all of the ledger into a new folder, and remember that it is there."""
    with hold_project(workspace.files):
        made = copy.write_export(workspace.files, folder, skip_damaged=skip_damaged)
    copy.remember_export(workspace.files, made)
    return made


def import_ledger(workspace: Workspace, folder: Path, *, replace: bool) -> Path | None:
    """Make the ledger from an export; gives where the old one is kept."""
    workspace.files.check_writable()
    with hold_project(workspace.files):
        aside = copy.restore_export(workspace.files, folder, replace_ledger=replace)
    moment = copy.read_manifest(folder).exported_at
    workspace.listener.say(
        f"the export is of {moment:%Y-%m-%d %H:%M} UTC: "
        "what was asked after that is not in it, and may be asked again"
    )
    return aside


def back_up(workspace: Workspace) -> None:
    """Export the ledger to where project.yml wants copies, if it changed. That one cannot be made
    is said, and undoes nothing of the command before it."""
    config = workspace.config
    if config.backup is None or not config.ledger.exists():
        return
    try:
        with hold_project(workspace.files):
            copy.export_if_changed(workspace.files, config.backup)
    except EnrichError as problem:
        workspace.listener.say(f"the ledger is not backed up: {problem.message} ({problem.hint})")
