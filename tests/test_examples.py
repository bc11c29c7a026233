"""The examples: their READMEs' commands work, and every table comes out whole and as declared."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from folders import opened

from enrich.cli import main
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from enrich.project import Project

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/project.yml"))
LEFT_BEHIND = shutil.ignore_patterns(".enrich", "*.duckdb*", "backups")
"""What a person who tried an example in place has left there."""
FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(name: str) -> list[list[str]]:
    """The enrich commands that an example's README shows, each as its words."""
    text = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    lines = "".join(FENCE.findall(text)).splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("enrich ")]


def copied(name: str, root: Path) -> Path:
    """A copy of an example, which polls without a pause."""
    shutil.copytree(EXAMPLES / name, root / name, ignore=LEFT_BEHIND)
    settings = root / name / "project.yml"
    said = settings.read_text(encoding="utf-8")
    hurried = said.replace("    llm: gpt-4o-mini\n", "    llm: gpt-4o-mini\n    poll_seconds: 0\n")
    assert hurried != said
    settings.write_text(hurried, encoding="utf-8")
    return root / name


def enrich(words: list[str], server: Rehearsal) -> Result:
    """One command in the current folder, with the provider where the README says that it is."""
    there = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "any"}
    return CliRunner().invoke(main, words, env=there)


def check_tables(project: Project) -> None:
    """Each enrichment's rows are ok, and its columns have the types that the prompt declares."""
    for model in project.models.values():
        described = project.sql(f"SELECT column_name, column_type FROM (DESCRIBE {model.name})")
        types = dict(described.rows)
        assert project.sql(f"SELECT count(*) FROM {model.name}").rows[0][0] > 0, model.name
        if model.prompt is None:
            continue
        declared = {column.name: column.type.sql for column in model.prompt.output.columns}
        casts = ", ".join(f"CAST(NULL AS {sql}) AS {name}" for name, sql in declared.items())
        wanted = project.sql(f"SELECT column_name, column_type FROM (DESCRIBE SELECT {casts})")
        assert {name: types[name] for name in declared} == dict(wanted.rows)
        outcomes = project.sql(f"SELECT DISTINCT outcome FROM enrich.{model.name}").rows
        assert outcomes == (("ok",),), model.name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.few(1)
def test_the_commands_of_a_readme_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command of an example's README ends with 0, and its tables are whole."""
    root = copied(name, tmp_path)
    monkeypatch.chdir(root)
    with Rehearsal() as server:
        for words in commands(name):
            result = enrich(words, server)
            assert result.exit_code == 0, (words, result.output)
    check_tables(opened(root))


@pytest.mark.parametrize("name", NAMES)
def test_a_readme_shows_what_every_project_needs(name: str) -> None:
    """It is short, and plans, runs, tests and looks at the result."""
    shown = {words[0] for words in commands(name)}
    assert {"plan", "run", "test"} <= shown
    assert shown & {"sql", "evaluate"}
    assert len((EXAMPLES / name / "README.md").read_text(encoding="utf-8").splitlines()) <= 40


@pytest.mark.few(0)
def test_a_second_run_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs an example again pays for nothing."""
    monkeypatch.chdir(copied("tickets", tmp_path))
    with Rehearsal() as server:
        assert enrich(["run"], server).exit_code == 0
        billed = server.bill.total
        assert enrich(["run"], server).exit_code == 0
        assert server.bill.total == billed > 0


def test_the_examples_are_small_and_are_listed() -> None:
    """A clone stays light, and the index names every example."""
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert len(NAMES) >= 4
    for name in NAMES:
        assert f"[{name}]({name}/)" in index
        files = (path for path in (EXAMPLES / name).rglob("*") if path.is_file())
        own = (path for path in files if ".enrich" not in path.parts and path.suffix != ".duckdb")
        assert sum(path.stat().st_size for path in own) < 300_000
