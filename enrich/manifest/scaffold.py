"""Scaffold: the files of a new project, as `enrich init` creates them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from enrich.errors import DiskError, ProjectError
from enrich.manifest.config import PROJECT_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

# Not a file of the package, because git would obey it in this repository too.
GITIGNORE = ".enrich/\nwarehouse.duckdb*\nledger.duckdb*\n"


def create_project(folder: str, *, recipe: str = "") -> tuple[str, ...]:
    """Creates a working project in `folder` and returns the paths of its files.

    It is the starter, or the example project with the name `recipe`. Raises ProjectError if one of
    the files exists already, and DiskError.
    """
    root = Path(folder)
    if root.exists() and not root.is_dir():
        raise ProjectError(f"{root} is a file, not a folder", hint="name a folder, new or empty")
    texts = _read_texts(recipe)
    # Checked before the first file is written, so that a refusal leaves no part of a project.
    for name in texts:
        if (root / name).exists():
            hint = "choose an empty folder, or use the project that is there: enrich run"
            raise ProjectError(f"{root / name} already exists", hint=hint)
    try:
        for name, text in texts.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as problem:
        message = f"{problem.filename} cannot be written: {problem.strerror}"
        raise DiskError(message, hint="free disk space, or check the permissions") from problem
    return tuple(str(root / name) for name in texts)


def _read_texts(recipe: str) -> dict[str, str]:
    """Returns the texts of a new project's files by their names, project.yml first."""
    package = files("enrich.manifest")
    folder = package / "recipes" / recipe if recipe else package / "starter"
    found = {name: file.read_text(encoding="utf-8") for name, file in _list_files(folder)}
    return {PROJECT_FILE: found[PROJECT_FILE], ".gitignore": GITIGNORE, **found}


def _list_files(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yields the files of a folder and of those below it, each with its path in the folder."""
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if each.is_dir():
            yield from _list_files(each, f"{above}{each.name}/")
        else:
            yield f"{above}{each.name}", each
