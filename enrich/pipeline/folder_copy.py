"""Folder copies: a table as files on this machine, which replace the earlier ones as a whole."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from enrich.errors import DiskError, ProjectError
from enrich.pipeline.staged import COPY_MANIFEST, OTHERS_HINT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enrich.manifest.destination import FolderDestination
    from enrich.pipeline.staged import Staged


def write_folder(
    staged: Staged, destination: FolderDestination, *, known: bool, begin: Callable[[], None]
) -> None:
    """Put the files of a table in the place of those of its earlier copy.

    `known`: a file that is there is enrich's own. `begin` is called before it becomes so. Raises
    ProjectError if the place holds anything else, or DiskError.
    """
    path = destination.path
    new, old = (path.with_name(f".{path.name}.{word}") for word in ("new", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _heal(path, old)
        _remove(new)
        if destination.is_file:
            _check_file(path, known=known)
            begin()
            shutil.copyfile(staged.files[0], new)
            new.replace(path)
            return
        _check_folder(staged, destination)
        (staged.folder / COPY_MANIFEST).write_text(staged.render_manifest(), encoding="utf-8")
        # Copied beside the place first, for a folder can only be renamed within a file system.
        shutil.copytree(staged.folder, new)
        if path.exists():
            path.rename(old)
        new.rename(path)
        _remove(old)
    except OSError as problem:
        message = f"{destination.said.to} cannot be written: {problem.strerror}"
        raise DiskError(message, hint="check that you may write to its folder") from problem


def check_folder_place(destination: FolderDestination) -> None:
    """Raises DiskError if the place cannot be written."""
    path = destination.path
    above = next(each for each in path.parents if each.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        message = f"{destination.said.to} cannot be written"
        raise DiskError(message, hint=f"check that you may write to {above}")


def is_there(destination: FolderDestination) -> bool:
    """Whether a whole copy is in its place, whatever it was made from."""
    path = destination.path
    return path.is_file() if destination.is_file else (path / COPY_MANIFEST).is_file()


def _heal(path: Path, old: Path) -> None:
    """Put back what a process that was killed between two renames has left aside."""
    if old.exists() and not path.exists():
        old.rename(path)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_file(path: Path, *, known: bool) -> None:
    if path.is_dir() or (path.exists() and not known):
        raise ProjectError(f"{path} exists, and enrich did not write it", hint=OTHERS_HINT)


def _check_folder(staged: Staged, destination: FolderDestination) -> None:
    path = destination.path
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    manifest: Any = None
    with suppress(OSError, ValueError):  # if it has none, it is somebody else's
        manifest = json.loads((path / COPY_MANIFEST).read_text(encoding="utf-8"))
    staged.check_owner(manifest, destination.said.to)
