"""Lakes: published tables are copied to folders, to object storages and to other databases."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from click.testing import CliRunner
from folders import PROMPT, Ears, opened, plants, settings, write

import enrich
from enrich.cli import main
from enrich.errors import ModelError, ProjectError
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = "id,name,note\n1,ash,tall\n2,birch,white\n3,cedar,\n4,dogwood,\n"


@pytest.fixture
def server() -> Iterator[Rehearsal]:
    with Rehearsal() as server:
        yield server


def publishing(root: Path, server: Rehearsal, publish: Any, **more: Any) -> Path:
    """A project whose model `kinds` has a copy; `more` are settings of project.yml."""
    plants(root, server)
    said = json.loads(settings(server)) | more
    front = f"---\npublish: {json.dumps(publish)}\n"
    prompt = "\n".join(line.removeprefix("    ") for line in PROMPT.splitlines()).lstrip("\n")
    write(root, {"project.yml": json.dumps(said)})
    path = root / "models/kinds.prompt.md"
    path.write_text(prompt.replace("---\n", front, 1) if publish else prompt, encoding="utf-8")
    return root


def run(root: Path, *words: str) -> Any:
    return CliRunner().invoke(main, [*(words or ("run",)), "--project", str(root)])


def read(query: str) -> list[Any]:
    """Rows, as another program sees them."""
    with duckdb.connect() as other:
        return other.execute(query).fetchall()


def test_a_table_becomes_a_folder_of_partitions(tmp_path: Path, server: Rehearsal) -> None:
    """Whole, with what was published; written again only if the table has changed."""
    to = {"to": "out/kinds", "partition_by": ["kind"]}
    root = publishing(tmp_path, server, to)
    first = run(root)
    assert first.exit_code == 0, first.output
    assert "kinds: 4 rows copied to out/kinds" in first.output
    files = f"read_parquet('{root}/out/kinds/**/*.parquet', hive_partitioning = true)"
    assert read(f"SELECT count(*), count(DISTINCT id) FROM {files}") == [(4, 4)]
    kinds = dict(opened(root).sql("SELECT kind, count(*) FROM kinds GROUP BY ALL").rows)
    assert {path.name for path in (root / "out/kinds").iterdir()} == {
        "_enrich.json",
        *(f"kind={kind}" for kind in kinds),
    }
    before = (root / "out/kinds/_enrich.json").read_text()
    assert "copied" not in run(root).output
    assert (root / "out/kinds/_enrich.json").read_text() == before
    write(root, {"seeds/plants.csv": f"{SEED}5,elm,\n"})
    assert "5 rows copied" in run(root).output
    assert read(f"SELECT count(*) FROM {files}") == [(5,)]
    assert not list((root / "out").glob(".*"))
    assert not [path for path in (root / ".enrich/copies").iterdir() if path.is_dir()]


@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_a_table_becomes_one_file(tmp_path: Path, server: Rehearsal, form: str) -> None:
    """The ending says the format."""
    root = publishing(tmp_path, server, f"out/kinds.{form}")
    assert run(root).exit_code == 0
    assert read(f"SELECT count(*) FROM '{root}/out/kinds.{form}'") == [(4,)]
