"""Backups: where a project keeps exports of its ledger, and how many it keeps."""

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
# Moments in UTC: names then sort by age, also across the end of daylight saving time.
EXPORT_NAME_FORMAT = "ledger-%Y%m%dT%H%M%S"
EXPORT_NAME = re.compile(r"ledger-\d{8}T\d{6}(-\d+)?")


@dataclass(frozen=True, kw_only=True)
class Backup:
    """After each run that changed the ledger, it is exported to a new folder below `to`. Only the
    newest `keep` exports are kept; 0 keeps all of them."""

    to: Path
    keep: int = 0

    @classmethod
    def from_settings(cls, settings: YamlSettings, root: Path) -> Backup | None:
        """Reads `backup:`, which is a folder or `{to: ..., keep: ...}`; None if it is not set.

        Raises ProjectError where it is neither.
        """
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
            what = "must have a whole number for 'keep'"
            raise settings.make_error("backup", what, hint=hint)
        return cls(to=root / to, keep=keep)

    def choose_folder(self) -> Path:
        """Returns the path of the folder for an export that starts now; it does not exist yet."""
        name = datetime.now(UTC).strftime(EXPORT_NAME_FORMAT)
        # Two runs may end within one second, which is as fine as names go.
        found, number = self.to / name, 1
        while found.exists():
            number += 1
            found = self.to / f"{name}-{number}"
        return found

    def list_exports(self) -> tuple[Path, ...]:
        """Returns the folders of the existing exports, the oldest first."""
        if not self.to.is_dir():
            return ()
        # Only folders with such a name are exports of this setting. Anything else in `to` is the
        # user's, and pruning must not touch it.
        found = (path for path in self.to.iterdir() if EXPORT_NAME.fullmatch(path.name))
        return tuple(sorted(found, key=_read_age))

    def prune(self) -> None:
        """Removes the oldest exports until `keep` are left. Raises DiskError."""
        try:
            for path in self.list_exports()[: -self.keep] if self.keep else ():
                # The manifest goes first: without one a folder is no export, so if the rest cannot
                # be removed, nobody imports half of a ledger.
                (path / "manifest.json").unlink(missing_ok=True)
                shutil.rmtree(path)
        except OSError as problem:
            hint = "remove it yourself; the new export is complete"
            message = f"the old export {path} cannot be removed: {problem.strerror}"
            raise DiskError(message, hint=hint) from problem


def _read_age(path: Path) -> tuple[str, int]:
    """Returns the key that sorts exports by age: the moment, and a number within one second."""
    # The number is compared as a number: as text, `-10` would come before `-2`.
    _, moment, *number = path.name.split("-")
    return moment, int(number[0]) if number else 1
