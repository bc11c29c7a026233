"""Scaffold: the files of a new project, as `enrich init` creates them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from enrich.errors import DiskError, ProjectError
from enrich.manifest.config import PROJECT_FILE

STARTER_FILES = (
    PROJECT_FILE,
    ".gitignore",
    "seeds/tickets.csv",
    "models/tickets_triage.sql",
    "models/tickets_triage.prompt.md",
)


def create_project(folder: str) -> tuple[str, ...]:
    """Creates a working project in `folder` and returns the paths of its files.

    Raises ProjectError if one of them exists already, and DiskError.
    """
    root = Path(folder)
    # Checked before the first file is written, so that a refusal leaves no part of a project.
    for name in STARTER_FILES:
        if (root / name).exists():
            hint = "choose an empty folder, or use the project that is there: enrich run"
            raise ProjectError(f"{root / name} already exists", hint=hint)
    template = files("enrich.manifest") / "starter"
    try:
        for name in STARTER_FILES:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            # The package has no subfolders for these and no file called `.gitignore`, which git
            # would obey in this repository too.
            source = name.replace("/", "_").removeprefix(".")
            path.write_text((template / source).read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as problem:
        message = f"{problem.filename} cannot be written: {problem.strerror}"
        raise DiskError(message, hint="free disk space, or check the permissions") from problem
    return tuple(str(root / name) for name in STARTER_FILES)
