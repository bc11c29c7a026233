"""Strays: a file that stands for nothing is said, and answers are not replaced by a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from folders import Ears, opened, plants, write

from enrich.errors import EnrichError, ModelError, ProjectError
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

MISNAMED = (
    "kinds.promt.md",
    "kinds.prompt.MD",
    "kinds_prompt.md",
    "kinds.md",
    "kinds.prompt.txt",
    "kinds.prompt",
    "Kinds.prompt.md",
    "kind.prompt.md",
    "kinds.prompt.md.txt",
)


@pytest.mark.parametrize("name", MISNAMED)
def test_a_misnamed_prompt_makes_no_view(tmp_path: Path, name: str) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        prompt = root / "models" / "kinds.prompt.md"
        prompt.rename(root / "models" / name)
        with pytest.raises(EnrichError) as refused:
            opened(root).run("kinds")
        assert name in refused.value.message
        assert "kinds.prompt.md" in refused.value.hint or "kind.sql" in refused.value.hint
        assert not opened(root).sql("SELECT * FROM duckdb_views() WHERE NOT internal").rows


@pytest.mark.parametrize("name", MISNAMED)
def test_published_answers_stay_when_their_prompt_is_misnamed(tmp_path: Path, name: str) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        before = opened(root).sql("SELECT * FROM kinds ORDER BY id").rows
        (root / "models" / "kinds.prompt.md").rename(root / "models" / name)
        with pytest.raises(EnrichError):
            opened(root).run()
        assert opened(root).sql("SELECT * FROM kinds ORDER BY id").rows == before


def test_answers_are_not_replaced_by_a_plain_model(tmp_path: Path) -> None:
    """Without its prompt the model is plain: only --full-refresh makes its table anew."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        before = opened(root).sql("SELECT * FROM kinds ORDER BY id").rows
        (root / "models" / "kinds.prompt.md").unlink()
        with pytest.raises(ProjectError, match="holds answers") as refused:
            opened(root).run()
        assert "--full-refresh" in refused.value.hint
        opened(root).status()
        assert opened(root).sql("SELECT * FROM kinds ORDER BY id").rows == before
        (state,) = opened(root).run(full_refresh=True)
        assert state.kind == "view"
        assert opened(root).sql("SELECT * FROM kinds").columns == ("id", "name", "note")


@pytest.mark.parametrize("kind", ["view", "table"])
def test_a_plain_model_may_become_another(tmp_path: Path, kind: str) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        other = {"view": "table", "table": "view"}[kind]
        write(root, {"models/few.sql": f"-- materialized: {kind}\nSELECT 1 AS id\n"})
        opened(root).run("few")
        write(root, {"models/few.sql": f"-- materialized: {other}\nSELECT 2 AS id\n"})
        opened(root).run("few")
        assert opened(root).sql("SELECT * FROM few").rows == ((2,),)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("models/kind.SQL", "models/kind.SQL is not read"),
        ("models/schema.yml", "models/schema.yml is not read: a model is NAME.sql"),
        ("models/more/kinds.sq", "did you mean 'kinds.sql'?"),
        ("tests/early.sql.txt", "tests/early.sql.txt is not read: a test is NAME.sql"),
        ("tests/early.SQL", "tests/early.SQL is not read"),
    ],
)
def test_what_is_not_read_is_said_once(tmp_path: Path, name: str, words: str) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {name: "SELECT 1 AS id\n"})
        ears = Ears()
        opened(root, ears).run()
        assert [words in sentence for sentence in ears.said].count(True) == 1


def test_notes_beside_models_are_nobodys_business(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        notes = ("README.md", ".DS_Store", "kinds.sql~", "kinds.sql.bak", ".git/x", "test_x.py")
        for note in notes[:-1]:
            write(root, {f"models/{note}": "x"})
        write(root, {f"tests/{notes[-1]}": "x"})
        ears = Ears()
        opened(root, ears).run()
        assert not [sentence for sentence in ears.said if "not read" in sentence]


def test_many_files_are_not_all_named(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {f"models/pictures/{number}.png": "x" for number in range(9)})
        ears = Ears()
        opened(root, ears).run()
        assert "and 4 more files are not read" in ears.said


def test_a_prompt_that_could_belong_to_nobody_is_an_error_of_its_own(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        text = (root / "models" / "kinds.prompt.md").read_text()
        write(root, {"models/others.prompt.md": text})
        with pytest.raises(ModelError, match=r"there is no others\.sql"):
            opened(root).run()
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((4,),)
