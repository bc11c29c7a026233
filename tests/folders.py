"""Projects in temporary folders, for tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

import enrich

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.pipeline.listener import Progress
    from enrich.project import Project
    from enrich.rehearsal import Rehearsal

SEED = "id,name,note\n1,ash,tall\n2,birch,white\n3,cedar,\n4,dogwood,\n"
PROMPT = """
    ---
    key: id
    output: |
      kind   ENUM('tree', 'shrub') NOT NULL,  -- what it is
      tags   VARCHAR[] NOT NULL CHECK (len(tags) BETWEEN 1 AND 3),
      height DOUBLE,
      line   VARCHAR NOT NULL
    params: {temperature: 0}
    ---
    You know plants.

    user:
    {{ name }}: {{ coalesce(note, 'nothing') }}
"""


def needs_duckdb_2(why: str) -> None:
    """Skip the test on an older DuckDB, for a reason that docs/installation.md gives as well."""
    if int(duckdb.__version__.partition(".")[0]) < 2:
        pytest.skip(why)


@dataclass
class Ears:
    """Remembers what enrich says."""

    said: list[str] = field(default_factory=list)
    seen: list[Progress] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(self, progress: Progress) -> None:
        self.seen.append(progress)


def write(root: Path, files: dict[str, str]) -> None:
    """Write files below a folder; indented text is dedented."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")


def settings(server: Rehearsal, **more: Any) -> str:
    """A project.yml whose only provider is the rehearsal server, with more of its settings."""
    api = {
        "type": "openai",
        "base_url": server.base_url,
        "api_key": "sk-rehearsal-secret",
        "poll_seconds": 0,
        "lost_after": 0,
        **more,
    }
    return json.dumps({"provider": "api", "providers": {"api": api}})


def plants(root: Path, server: Rehearsal, **more: Any) -> Path:
    """A small project: a seed of plants and the model `kinds`."""
    write(
        root,
        {
            "project.yml": settings(server, **more),
            "seeds/plants.csv": SEED,
            "models/kinds.sql": "SELECT id, name, note FROM plants\n",
            "models/kinds.prompt.md": PROMPT,
        },
    )
    return root


def opened(root: Path, ears: Ears | None = None) -> Project:
    """The project in a folder, that never waits long for a lock."""
    return enrich.Project(root, talk=ears, lock_timeout=5, environment={})


def rows_of(root: Path, model: str = "kinds") -> tuple[tuple[Any, ...], ...]:
    """A model's rows with their provenance, in order, for comparing them with a later table."""
    query = f"SELECT * FROM {model} JOIN enrich.{model} USING (id) ORDER BY id"
    return tuple(opened(root).sql(query).rows)


def keep_all(root: Path) -> Path:
    """Have the files of batches kept as they are, for tests that look at them or read them anew."""
    said = json.loads((root / "project.yml").read_text(encoding="utf-8"))
    kept = json.dumps(said | {"keep_files": "all"})
    (root / "project.yml").write_text(kept, encoding="utf-8")
    return root
