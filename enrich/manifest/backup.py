"""Backups: where a project keeps exports of its ledger, and how many."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from enrich.errors import DiskError, nearest

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.manifest.settings import YamlSettings

BACKUP_KEYS = ("to", "keep")
EXPORT_NAME_FORMAT = "ledger-%Y%m%dT%H%M%S"
EXPORT_NAME = re.compile(r"ledger-\d{8}T\d{6}(-\d+)?")


@dataclass(frozen=True, kw_only=True)
class Backup:
    """Each run that changed the ledger is followed by an export into a folder below `to`; the
    newest `keep` of them stay, 0: all."""

    to: Path
    keep: int = 0

    @classmethod
    def from_settings(cls, settings: YamlSettings, root: Path) -> Backup | None:
        """What `backup:` says: a folder, or `{to: ..., keep: ...}`; None if nothing."""
        value = settings.values.get("backup")
        if value is None:
            return None
        said = value if isinstance(value, dict) else {"to": value}
        for word in said:
            if word not in BACKUP_KEYS:
                raise settings.make_error(
                    "backup", f"has no '{word}'", hint=nearest(str(word), BACKUP_KEYS)
                )
        to, keep = said.get("to"), said.get("keep", 0)
        if not isinstance(to, str) or not to:
            hint = "backup: backups, or backup: {to: backups, keep: 7}"
            raise settings.make_error("backup", "must name a folder", hint=hint)
        if not isinstance(keep, int) or isinstance(keep, bool) or keep < 0:
            hint = "backup: {to: backups, keep: 7}; 0 keeps all"
            raise settings.make_error("backup", "must keep a whole number of exports", hint=hint)
        return cls(to=root / to, keep=keep)

    def choose_folder(self) -> Path:
        """The folder of an export made now."""
        name = datetime.now(UTC).strftime(EXPORT_NAME_FORMAT)
        found, number = self.to / name, 1
        while found.exists():
            number += 1
            found = self.to / f"{name}-{number}"
        return found

    def list_exports(self) -> tuple[Path, ...]:
        """The exports that are there, the oldest first."""
        if not self.to.is_dir():
            return ()
        found = (path for path in self.to.iterdir() if EXPORT_NAME.fullmatch(path.name))
        return tuple(sorted(found, key=_read_age))

    def prune(self) -> None:
        """Remove the exports that are more than `keep`. An export is gone as soon as its manifest
        is, so that what is left of one that cannot be removed is never taken for whole."""
        try:
            for path in self.list_exports()[: -self.keep] if self.keep else ():
                (path / "manifest.json").unlink(missing_ok=True)
                shutil.rmtree(path)
        except OSError as problem:
            hint = "remove it yourself; the new export is there"
            message = f"the old export {path} cannot be removed: {problem.strerror}"
            raise DiskError(message, hint=hint) from problem


def _read_age(path: Path) -> tuple[str, int]:
    """What sorts exports by when they were made: two of one second are numbered."""
    _, moment, *number = path.name.split("-")
    return moment, int(number[0]) if number else 1
