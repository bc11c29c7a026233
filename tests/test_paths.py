"""Paths: a project is the same project from whatever folder it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from enrich.cli import main
from enrich.manifest.located import locate_paths
from enrich.project import Project

if TYPE_CHECKING:
    from pathlib import Path

READS = {
    "literal": "SELECT * FROM 'data/films.csv'",
    "identifier": 'SELECT * FROM "data/films.csv" AS f',
    "reader": "SELECT * FROM read_csv('data/films.csv')",
    "list": "SELECT * FROM read_csv(['data/films.csv'], header = true)",
    "listed": "SELECT * FROM read_csv(['data/films.csv']::VARCHAR[])",
    "pattern": "SELECT * FROM read_csv('data/f*.csv')",
    "dollars": "SELECT * FROM read_csv($$data/films.csv$$)",
    "escape": "SELECT * FROM read_csv(e'data/films\\x2ecsv')",
    "cte": "WITH é AS (FROM 'data/films.csv') SELECT * FROM é",
    "subquery": "SELECT 'é' AS e, (SELECT any_value(title) FROM 'data/films.csv') AS title",
    "text": "SELECT content AS title FROM read_text('data/title.txt')",
    "glob": "SELECT content AS title FROM read_text((SELECT file FROM glob('data/t*.txt')))",
    "computed": "SELECT * FROM read_csv('data/' || 'films.csv')",
}


def write(folder: Path, title: str) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "films.csv").write_text(f"id,title\n1,{title}\n")
    (folder / "data" / "title.txt").write_text(title)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project that reads its own files, in a folder whose name is a pattern to DuckDB."""
    root = tmp_path / "my [films]* here"
    write(root, "Heat")
    (root / "models").mkdir()
    (root / "project.yml").write_text("name: paths\n")
    for name, sql in READS.items():
        if name != "glob":
            (root / "models" / f"{name}.sql").write_text(f"-- materialized: table\n{sql}\n")
    return root


@pytest.mark.parametrize("where", ["the project", "a folder of it", "elsewhere"])
def test_a_model_reads_the_same_files_from_every_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folders = {"the project": root, "a folder of it": root / "models", "elsewhere": tmp_path / "x"}
    if where == "elsewhere":
        folders[where].mkdir()
    monkeypatch.chdir(folders[where])
    project = Project(root)
    project.run()
    for name in project.models:
        assert project.sql(f"SELECT title FROM {name}").rows == (("Heat",),), name


@pytest.mark.few(0)
def test_a_file_of_that_name_in_the_current_folder_is_not_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "notebooks", "Ronin")
    monkeypatch.chdir(tmp_path / "notebooks")
    (root / "models" / "computed.sql").unlink()
    project = Project(root)
    project.run()
    for name in project.models:
        assert project.sql(f"SELECT title FROM {name}").rows == (("Heat",),), name


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '/data/films.csv'",
        "SELECT * FROM 's3://bucket/films.parquet'",
        "SELECT * FROM read_csv('https://example.com/films.csv')",
        "SELECT * FROM '~/films.csv'",
        "SELECT * FROM films",
        'SELECT * FROM "odd.name"',
        "SELECT 'data/films.csv' AS path",
        'SELECT * FROM main."films.csv"',
    ],
)
def test_what_is_no_relative_path_stays_as_it_is(sql: str, tmp_path: Path) -> None:
    assert locate_paths(sql, tmp_path) == sql


@pytest.mark.parametrize("sql", ["DESCRIBE 'a.csv'", 'DESCRIBE "a.csv"', 'FROM "a.csv"'])
def test_a_file_is_found_however_it_is_quoted(sql: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    assert locate_paths(sql, tmp_path) == f"{sql.split(maxsplit=1)[0]} '{tmp_path}/a.csv'"


@pytest.mark.parametrize(
    "sql",
    [
        'WITH "a.csv" AS (SELECT 1 AS id) FROM "a.csv"',
        'FROM "b.csv"',
        'DESCRIBE "b.csv"',
        "FROM read_csv((SELECT count(*) FROM range(999999999999)))",
    ],
)
def test_a_query_or_a_table_may_be_called_like_a_file(sql: str, tmp_path: Path) -> None:
    """And a query inside an argument is not run to see what it would name."""
    (tmp_path / "a.csv").touch()
    assert locate_paths(sql, tmp_path) == sql


def test_commands_find_the_project_around_the_current_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root / "models")
    done = CliRunner().invoke(main, ["run", "literal"])
    assert done.exit_code == 0, done.stderr
    assert (root / "warehouse.duckdb").exists()


@pytest.mark.parametrize("place", ["before", "after", "variable", "both"])
def test_the_project_is_named_before_or_after_the_command(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    named = ["--project", str(root)]
    words = {
        "before": [*named, "list"],
        "after": ["list", *named],
        "variable": ["list"],
        "both": ["--project", "nowhere", "list", *named],
    }[place]
    environment = {"ENRICH_PROJECT": str(root)} if place == "variable" else {}
    done = CliRunner().invoke(main, words, env=environment)
    assert done.exit_code == 0, done.stderr
    assert "literal" in done.stdout


def test_quiet_says_nothing_of_what_goes_well(root: Path) -> None:
    done = CliRunner().invoke(main, ["run", "literal", "-q", "--project", str(root)])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "literal" in done.stdout


def test_a_file_in_from_keeps_its_alias(tmp_path: Path) -> None:
    """DuckDB counts the alias as a part of the table's name."""
    sql = "SELECT x.a FROM 'a.csv' AS x, \"b.csv\" b JOIN 'a.csv' USING (a)"
    (tmp_path / "b.csv").touch()
    whole = sql.replace("'a.csv'", f"'{tmp_path}/a.csv'").replace('"b.csv"', f"'{tmp_path}/b.csv'")
    assert locate_paths(sql, tmp_path) == whole
