"""A new project: the files `enrich init` makes."""

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
    """Make a working project in `folder`; gives the paths made. Nothing there is overwritten."""
    root = Path(folder)
    for name in STARTER_FILES:
        if (root / name).exists():
            hint = "choose an empty folder, or work on with what is there: enrich run"
            raise ProjectError(f"{root / name} exists already", hint=hint)
    template = files("enrich.manifest") / "starter"
    try:
        for name in STARTER_FILES:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            source = name.replace("/", "_").removeprefix(".")
            path.write_text((template / source).read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as problem:
        message = f"{problem.filename} cannot be written: {problem.strerror}"
        raise DiskError(message, hint="make room, or see who may write there") from problem
    return tuple(str(root / name) for name in STARTER_FILES)
