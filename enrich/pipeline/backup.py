"""Backup: export and import the ledger while holding the project's lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.errors import EnrichError
from enrich.ledger import export, restore
from enrich.pipeline.lock import hold_project

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.ledger.export import Export
    from enrich.pipeline.workspace import Workspace


def export_ledger(workspace: Workspace, folder: Path, *, skip_damaged: bool) -> Export:
    """Write the whole ledger to a new folder, and remember where that is."""
    with hold_project(workspace.files):
        made = export.write_export(workspace.files, folder, skip_damaged=skip_damaged)
    export.remember_export(workspace.files, made)
    return made


def import_ledger(workspace: Workspace, folder: Path, *, replace: bool) -> Path | None:
    """Create the ledger from an export. Returns the path under which the old one is kept, if
    any."""
    workspace.files.check_writable()
    with hold_project(workspace.files):
        aside = restore.restore_export(workspace.files, folder, replace_ledger=replace)
    # The provider may still hold later batches, which this ledger knows nothing of.
    moment = export.read_manifest(folder).exported_at
    workspace.listener.say(
        f"the export was made at {moment:%Y-%m-%d %H:%M} UTC: "
        "anything asked after that is not in it and may be asked again"
    )
    return aside


def back_up(workspace: Workspace) -> None:
    """Export the ledger to the `backup` folder of project.yml if it has changed.

    A failure is only reported: the command before it has done its work.
    """
    config = workspace.config
    if config.backup is None or not config.ledger.exists():
        return
    try:
        with hold_project(workspace.files):
            export.export_if_changed(workspace.files, config.backup)
    except EnrichError as problem:
        workspace.listener.say(
            f"the ledger could not be backed up: {problem.message} ({problem.hint})"
        )
