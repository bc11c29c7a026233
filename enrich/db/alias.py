"""Aliases: paths that DuckDB takes literally.

DuckDB reads `*`, `?` and `[` in a path as a pattern, `name=value` as a partition, and a backslash
as a slash. A path with one of these is reached through a link in a temporary folder.
"""

from __future__ import annotations

import re
import shutil
import weakref
from pathlib import Path
from tempfile import mkdtemp

SPECIAL_IN_FOLDER = re.compile(r"[?*\[\]\\{}=]")
SPECIAL_IN_NAME = re.compile(r"[?*\[\]\\{}]")
FILE_ENDING = re.compile(r"(\.[A-Za-z0-9]+)*$")


class Scratch:
    """A temporary folder, which is removed together with this object."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="enrich-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class Aliases:
    """The links created so far, which are removed together with this object."""

    def __init__(self) -> None:
        self._made: dict[Path, str] = {}
        self._home: Scratch | None = None

    def alias_file(self, path: Path) -> str:
        """Returns the path to give DuckDB for the file `path`, whose folder must exist."""
        folder, name = path.absolute().parent, path.name
        if SPECIAL_IN_NAME.search(name) and path.exists():
            return self._link(path.absolute())
        return (
            f"{self._link(folder)}/{name}" if SPECIAL_IN_FOLDER.search(str(folder)) else str(path)
        )

    def alias_folder(self, path: Path) -> str:
        """Returns the path to give DuckDB for the folder `path`."""
        return self._link(path.absolute()) if SPECIAL_IN_FOLDER.search(str(path)) else str(path)

    def _link(self, target: Path) -> str:
        if target not in self._made:
            # Only now: most projects have no such path, and need no folder.
            if self._home is None:
                self._home = Scratch()
            # DuckDB chooses the reader of a file by its ending, and so needs to see it.
            ending = FILE_ENDING.search(target.name)
            end = ending[0] if ending else ""
            link = self._home.path / f"{len(self._made)}{end}"
            try:
                link.symlink_to(target)
            except OSError:  # Windows without the right to make links: it has no such names
                return str(target)
            self._made[target] = str(link)
        return self._made[target]


def list_logs(path: Path) -> tuple[Path, ...]:
    """Returns the paths of the logs that DuckDB keeps for a database."""
    # DuckDB takes a question mark in a path for the start of a URL's query and inserts the ending
    # before it: the log of `what?/ledger.duckdb` is `what.wal?/ledger.duckdb`.
    before, mark, after = str(path.resolve()).partition("?")
    ends = (".wal", ".wal.checkpoint", ".wal.recovery")
    return tuple(Path(f"{before}{end}{mark}{after}") for end in ends)


def make_log_folders(path: Path) -> None:
    """Create the folders of a database's logs, where DuckDB looks for them outside its folder."""
    # They are never removed, for another process may be about to use one.
    for log in list_logs(path):
        if log.parent != path.resolve().parent:
            log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def simplify_name(path: Path) -> str:
    """Returns a name similar to a file's that DuckDB takes literally.

    >>> simplify_name(Path("data/what?.duckdb"))
    'what_.duckdb'
    """
    return SPECIAL_IN_NAME.sub("_", path.name)


SHARED_ALIASES = Aliases()
"""The links of this process, shared so that the paths in SQL are those that DuckDB may open."""
