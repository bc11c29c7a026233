"""Golden folders: what a model becomes, as files that people read and reviews compare.

`pytest tests/test_golden.py --update` writes them anew.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from folders import opened, write

from enrich.manifest.data_test import CandidateTable

if TYPE_CHECKING:
    from enrich.manifest.prompt import Prompt

GOLDEN = Path(__file__).parent.parent / "golden"
"""Not below tests/: the repository is a project, and SQL files there are its data tests."""
API = {"type": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-none"}
NAMES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def became(folder: Path, root: Path) -> dict[str, str]:
    """What the model of a folder becomes: the file of each name, and its text."""
    own = folder / "project.yml"
    said = yaml.safe_load(own.read_text()) if own.exists() else {}
    project = {"provider": "api", "providers": {"api": API}, **said}
    write(root, {"project.yml": json.dumps(project), "seeds/plants.csv": "id\n1\n"})
    (root / "models").mkdir()
    for ending in (".sql", ".prompt.md"):
        shutil.copy(folder / f"model{ending}", root / "models" / f"golden{ending}")
    opening = opened(root)
    found = opening.compile("golden")
    files = {
        "compiled.sql": f"{found['sql']}\n",
        "schema.json": f"{json.dumps(found['schema'], indent=2)}\n",
        "request.json": f"{json.dumps(found['request'], indent=2, ensure_ascii=False)}\n",
    }
    prompt = opening.models["golden"].prompt
    if prompt is not None and prompt.tests:
        files["tests.sql"] = failing_rows(prompt)
    return files


def failing_rows(prompt: Prompt) -> str:
    """The SELECT of each test's failing rows."""
    columns = dict.fromkeys(prompt.key, "INTEGER") | {
        column.name: column.type.sql for column in prompt.output.columns
    }
    table = CandidateTable(model="golden", columns=columns, shared=columns, key=prompt.key)
    return "\n".join(f"-- {test.name}\n{test.render_failures(table)}\n" for test in prompt.tests)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_becomes_what_stands_in_its_folder(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = GOLDEN / name
    found = became(folder, tmp_path)
    if request.config.getoption("--update"):
        for file, text in found.items():
            (folder / file).write_text(text, encoding="utf-8")
    there = {file: (folder / file).read_text(encoding="utf-8") for file in found}
    assert found == there


def test_there_are_about_twenty() -> None:
    assert len(NAMES) >= 20


def test_the_repository_is_a_project_that_loads() -> None:
    """Nothing that stands beside the example is taken for a part of it."""
    graph = opened(GOLDEN.parent).graph
    assert sorted(graph.models) == [
        "furniture_captions",
        "movies_by_category",
        "movies_categories",
        "movies_embeddings",
    ]
    assert (dict(graph.broken), graph.unread) == ({}, ())
