"""Aliases: paths as DuckDB takes them.

DuckDB reads `*`, `?` and `[` in a path as a pattern, `name=value` as a partition, and a backslash
as a slash. A path that holds one of these is reached through a link in a temporary folder.
"""

from __future__ import annotations

import re
import shutil
import weakref
from pathlib import Path
from tempfile import mkdtemp

ODD = re.compile(r"[?*\[\]\\{}=]")
ODD_NAME = re.compile(r"[?*\[\]\\{}]")
ENDING = re.compile(r"(\.[A-Za-z0-9]+)*$")


class Scratch:
    """A temporary folder, which is gone with this object."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="enrich-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class Aliases:
    """The links made so far; they are gone with this object."""

    def __init__(self) -> None:
        self._made: dict[Path, str] = {}
        self._home: Scratch | None = None

    def of(self, path: Path) -> str:
        """What DuckDB is told for `path`, which need not be there; its folder must be."""
        folder, name = path.absolute().parent, path.name
        if ODD_NAME.search(name) and path.exists():
            return self._link(path.absolute())
        return f"{self._link(folder)}/{name}" if ODD.search(str(folder)) else str(path)

    def folder(self, path: Path) -> str:
        """The same for a folder."""
        return self._link(path.absolute()) if ODD.search(str(path)) else str(path)

    def _link(self, target: Path) -> str:
        if target not in self._made:
            if self._home is None:
                self._home = Scratch()
            ending = ENDING.search(target.name)
            end = ending[0] if ending else ""
            link = self._home.path / f"{len(self._made)}{end}"
            try:
                link.symlink_to(target)
            except OSError:  # Windows without the right to make links: it has no such names
                return str(target)
            self._made[target] = str(link)
        return self._made[target]


def logs(path: Path) -> tuple[Path, ...]:
    """The logs that DuckDB keeps for a database: beside it, or, where its path holds a question
    mark, which DuckDB takes for an address's, with their ending before that:
    `what?/ledger.duckdb` has `what.wal?/ledger.duckdb`."""
    before, mark, after = str(path.resolve()).partition("?")
    ends = (".wal", ".wal.checkpoint", ".wal.recovery")
    return tuple(Path(f"{before}{end}{mark}{after}") for end in ends)


def make_room(path: Path) -> None:
    """Make the folders of a database's logs. They stay: another process may be about to use one."""
    for log in logs(path):
        if log.parent != path.resolve().parent:
            log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def plain_name(path: Path) -> str:
    """A name much like a file's that DuckDB takes as it is.

    >>> plain_name(Path("data/what?.duckdb"))
    'what_.duckdb'
    """
    return ODD_NAME.sub("_", path.name)


SHARED = Aliases()
"""The links of this process: what SQL names and what DuckDB is allowed are the same."""
