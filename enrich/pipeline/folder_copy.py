"""Folder copies: a table as files on this machine, which replace the earlier ones as a whole."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from errno import EDQUOT, ENOSPC
from pathlib import Path
from stat import S_IRWXU
from typing import TYPE_CHECKING, Any

from enrich.errors import DiskError, ProjectError
from enrich.pipeline.receipt import mark_file
from enrich.pipeline.staged import COPY_MANIFEST, OTHERS_HINT

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.manifest.destination import FolderDestination
    from enrich.pipeline.staged import Staged


LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers leave in each folder that somebody looks at."""


def write_folder(
    staged: Staged, destination: FolderDestination, *, known: bool, begin: Callable[[], None]
) -> None:
    """Put the files of a table in the place of those of its earlier copy.

    `known`: a file that is there is enrich's own. `begin` is called before it becomes so. Raises
    ProjectError if the place holds anything else, or DiskError.
    """
    path = destination.path.resolve()  # what a link points to is replaced, not the link
    new, old = (path.with_name(f".{path.name}.{word}") for word in ("new", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _heal(path, old)
        _remove(new)
        if destination.is_file:
            _check_file(path, known=known)
            begin()
            shutil.copyfile(staged.files[0], new)
            _keep_mode(path, new)
            new.replace(path)
            return
        _check_folder(staged, destination)
        (staged.folder / COPY_MANIFEST).write_text(staged.render_manifest(), encoding="utf-8")
        # Copied beside the place first, for a folder can only be renamed within a file system.
        _copy_files(staged, new)
        _keep_mode(path, new)
        if path.exists():
            path.rename(old)
        new.rename(path)
    except OSError as problem:
        with suppress(DiskError):  # what is there of it would only fill the disk
            _remove(new)
        message = f"{destination.said.to} cannot be written: {problem.strerror}"
        hint = f"check that you may write to {path.parent}"
        if problem.errno in (ENOSPC, EDQUOT):
            hint = f"free some space on the disk of {path.parent}"
        raise DiskError(message, hint=hint) from problem
    with suppress(DiskError):  # the copy is complete; the next one says so
        _remove(old)


def check_folder_place(destination: FolderDestination) -> None:
    """Raises DiskError if the place cannot be written."""
    path = destination.path
    above = next(each for each in path.parents if each.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        message = f"{destination.said.to} cannot be written"
        raise DiskError(message, hint=f"check that you may write to {above}")


def list_files(destination: FolderDestination) -> dict[str, str]:
    """Returns the files of a copy, or whatever else is there, and what each is known by: see
    `mark_file`."""
    path = destination.path
    found = [path] if destination.is_file else sorted(path.rglob("*"))
    above = path.parent if destination.is_file else path
    return {
        each.relative_to(above).as_posix(): mark_file(known.st_size, known.st_mtime_ns)
        for each in found
        if each.is_file() and (known := each.stat())
    }


def _copy_files(staged: Staged, folder: Path) -> None:
    # Without the modes of the staged files, which nobody else can read.
    for file in staged.files:
        target = folder / staged.name(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _keep_mode(path: Path, new: Path) -> None:
    """Let those open what is new that could open the earlier copy."""
    if path.exists():
        shutil.copymode(path, new)


def _heal(path: Path, old: Path) -> None:
    """Put back what a process that was killed between two renames has left aside."""
    if old.exists() and not path.exists():
        old.rename(path)
    _remove(old)


def _remove(path: Path) -> None:
    """Remove a file or a folder, also one that its owner has made read-only. Raises DiskError."""
    try:
        if not path.is_dir():
            path.unlink(missing_ok=True)
            return
        path.chmod(path.stat().st_mode | S_IRWXU)
        for above, names, _ in os.walk(path):
            for inner in (
                Path(above, name) for name in names if not Path(above, name).is_symlink()
            ):
                inner.chmod(inner.stat().st_mode | S_IRWXU)
        shutil.rmtree(path)
    except OSError as problem:
        message = f"{path} cannot be removed: {problem.strerror}"
        raise DiskError(message, hint="remove it yourself: it holds an earlier copy") from problem


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
    own = {*manifest["files"], COPY_MANIFEST}
    for name in list_files(destination):
        if name not in own and Path(name).name not in LITTER:
            message = f"{destination.said.to} holds {name}, which enrich did not write"
            raise ProjectError(message, hint=OTHERS_HINT)
