"""Lakes: published tables are copied to folders and to other databases."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from click.testing import CliRunner
from folders import PROMPT, Ears, opened, plants, write

import enrich
from enrich.cli import main
from enrich.db.database import Database
from enrich.db.extensions import load_extension
from enrich.errors import DatabaseError
from enrich.manifest.settings import YamlSettings
from enrich.manifest.sources import read_attached, resolve_address
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.db.attached import AttachedDatabase

SEED = "id,name,note\n1,ash,tall\n2,birch,white\n3,cedar,\n4,dogwood,\n"
CHANGED = SEED.replace("4,dogwood,", "4,dogwood,red\n5,elm,")


def copying(root: Path, place: Any, **more: Any) -> Path:
    """A project without an llm, whose table `trees` has a copy; `more` are settings of
    project.yml."""
    said = f"-- publish: {json.dumps(place)}\n" if place else ""
    select = "SELECT id, name, note, [name] AS names FROM plants"
    write(
        root,
        {
            "project.yml": json.dumps(more),
            "seeds/plants.csv": SEED,
            "models/trees.sql": f"-- materialized: table\n-- key: id\n{said}{select}\n",
        },
    )
    return root


def publishing(root: Path, server: Rehearsal, place: Any, **more: Any) -> Path:
    """A project whose answers `kinds` have a copy; `more` are settings of project.yml."""
    plants(root, server)
    path = root / "project.yml"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    write(root, {"models/kinds.prompt.md": PROMPT})
    prompt = root / "models/kinds.prompt.md"
    front = f"---\npublish: {json.dumps(place)}\n"
    prompt.write_text(prompt.read_text().replace("---\n", front, 1))
    return root


def run(root: Path, *words: str) -> Any:
    return CliRunner().invoke(main, [*(words or ("run",)), "--project", str(root)])


def read(query: str) -> list[Any]:
    """Rows, as another program sees them."""
    with duckdb.connect() as other:
        return other.execute(query).fetchall()


@pytest.mark.few(0)
def test_answers_become_a_folder_of_partitions(tmp_path: Path) -> None:
    """Whole, with what was published; written again only if the table has changed."""
    with Rehearsal() as server:
        to = {"to": "out/kinds", "partition_by": ["kind"]}
        root = publishing(tmp_path, server, to)
        first = run(root)
        assert first.exit_code == 0, first.output
        assert "kinds: 4 rows copied to out/kinds" in first.output
        files = f"read_parquet('{root}/out/kinds/**/*.parquet', hive_partitioning = true)"
        assert read(f"SELECT count(*), count(DISTINCT id) FROM {files}") == [(4, 4)]
        kinds = opened(root).sql("SELECT DISTINCT kind FROM kinds").rows
        parts = {path.name for path in (root / "out/kinds").iterdir()}
        assert parts == {"_enrich.json", *(f"kind={kind}" for (kind,) in kinds)}
        before = (root / "out/kinds/_enrich.json").read_text()
        assert "copied" not in run(root).output
        assert (root / "out/kinds/_enrich.json").read_text() == before
        write(root, {"seeds/plants.csv": CHANGED})
        assert "5 rows copied" in run(root).output
    assert read(f"SELECT count(*) FROM {files}") == [(5,)]
    assert not list((root / "out").glob(".*"))
    assert not [path for path in (root / ".enrich/copies").iterdir() if path.is_dir()]


@pytest.mark.parametrize("place", ["out", "out/trees.csv"])
def test_a_file_that_somebody_has_changed_is_mended(tmp_path: Path, place: str) -> None:
    """Also if it has as many bytes as before. A receipt that knows only the sizes is still good."""
    root = copying(tmp_path, {"to": place, "format": "csv"})
    assert "4 rows copied" in run(root).output
    (file,) = (root / "out").glob("*.csv")
    right = file.read_text()
    file.write_text(right.replace("ash", "oak"))
    assert "4 rows copied" in run(root).output
    assert file.read_text() == right
    path = root / ".enrich/copies/trees.json"
    receipt = json.loads(path.read_text())
    sizes = {name: int(known.partition(" ")[0]) for name, known in receipt["contents"].items()}
    path.write_text(json.dumps(receipt | {"contents": sizes}))
    assert "copied" not in run(root).output


def test_a_column_may_have_any_name(tmp_path: Path) -> None:
    """A change in another column is noticed beside one named `every`."""
    root = copying(tmp_path, "out/trees.csv")
    path = root / "models/trees.sql"
    path.write_text(path.read_text().replace("name, note", "1 AS every, name, note"))
    assert "4 rows copied" in run(root).output
    write(root, {"seeds/plants.csv": SEED.replace("white", "black")})
    assert "4 rows copied" in run(root).output
    assert "black" in (root / "out/trees.csv").read_text()


@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_a_table_becomes_one_file(tmp_path: Path, form: str) -> None:
    """The ending says the format."""
    root = copying(tmp_path, f"out/trees.{form}")
    assert run(root).exit_code == 0
    write(root, {"seeds/plants.csv": CHANGED})
    assert "5 rows copied" in run(root).output
    assert read(f"SELECT count(*) FROM '{root}/out/trees.{form}'") == [(5,)]


def needs_extension(*names: str) -> None:
    """Skip the test where DuckDB's extensions are not installed."""
    for name in names:
        with duckdb.connect() as connection:
            try:
                load_extension(Database(connection=connection), name)
            except DatabaseError as problem:
                pytest.skip(f"{problem.message}: {problem.hint}")


LAKES = {
    "ducklake": {"type": "ducklake", "path": "lake.ducklake", "data_path": "lake"},
    "ducklake of sqlite": {
        "type": "ducklake",
        "path": "ducklake:sqlite:lake.sqlite",
        "data_path": "lake",
    },
    "sqlite": {"type": "sqlite", "path": "lake.sqlite"},
    "duckdb": {"type": "duckdb", "path": "lake.duckdb"},
}


@pytest.mark.parametrize("kind", LAKES)
def test_a_table_is_kept_in_another_database(tmp_path: Path, kind: str) -> None:
    """In one transaction each time, and only the rows that differ."""
    known = resolve_address(read_one(LAKES[kind]), {}, tmp_path)
    needs_extension(*known.extensions)
    root = copying(tmp_path, "lake", attach={"lake": LAKES[kind]})
    duckdb.connect(str(root / "lake.duckdb")).close()
    first = run(root)
    assert first.exit_code == 0, first.output
    assert "trees: 4 rows copied to lake.main.trees" in first.output
    write(root, {"seeds/plants.csv": CHANGED})
    assert "5 rows copied" in run(root).output
    notes = look(known, "SELECT id, note FROM lake.main.trees ORDER BY id")
    assert notes == list(opened(root).sql("SELECT id, note FROM trees ORDER BY id").rows)
    (books,) = look(known, "SELECT table_name, model, row_count FROM lake.main.enrich_copies")
    assert books == ("trees", "trees", 5)
    if known.type == "ducklake":
        ((last,),) = look(known, "SELECT max(snapshot_id) FROM lake.snapshots()")
        changes = f"lake.table_changes('trees', {last}, {last})"
        kept = look(known, f"SELECT DISTINCT id FROM {changes} ORDER BY id")
        assert kept == [(4,), (5,)]


@pytest.mark.parametrize("kind", LAKES)
def test_a_copy_equals_its_table_whatever_the_key(tmp_path: Path, kind: str) -> None:
    """Nobody has checked that of a plain model."""
    known = resolve_address(read_one(LAKES[kind]), {}, tmp_path)
    needs_extension(*known.extensions)
    root = copying(tmp_path, "lake", attach={"lake": LAKES[kind]})
    path, head = root / "models/trees.sql", "-- materialized: table\n-- publish: lake\n"
    large = "SELECT sum(id) + 10::HUGEINT ** 17 AS big, name FROM plants GROUP BY id, name"
    for key, select in (
        ("id", "SELECT id, name FROM plants"),
        ("no_column", "SELECT id AS number, name FROM plants"),
        ("big", large),
    ):
        path.write_text(f"{head}-- key: {key}\n{select}")
        for rows in ("1,a\n1,b\n2,c\n", "1,x\n1,b\n2,c\n2,c\n"):
            write(root, {"seeds/plants.csv": f"id,name\n{rows}"})
            assert run(root).exit_code == 0
            names = look(known, "SELECT name FROM lake.main.trees ORDER BY name")
            assert names == list(opened(root).sql("SELECT name FROM trees ORDER BY name").rows)


@pytest.mark.parametrize("kind", LAKES)
def test_a_table_that_somebody_has_changed_is_mended(tmp_path: Path, kind: str) -> None:
    """By the next run, if it is gone or has other rows."""
    known = resolve_address(read_one(LAKES[kind]), {}, tmp_path)
    needs_extension(*known.extensions)
    root = copying(tmp_path, "lake", attach={"lake": LAKES[kind]})
    assert "4 rows copied" in run(root).output
    for statement in ("DELETE FROM lake.main.trees WHERE id = 2", "DROP TABLE lake.main.trees"):
        with duckdb.connect() as connection:
            database = Database(connection=connection)
            known.attach(database, writable=True)
            database.execute(statement)
        assert "4 rows copied" in run(root).output
        assert look(known, "SELECT count(*) FROM lake.main.trees") == [(4,)]
    assert "copied" not in run(root).output


def test_a_ducklake_is_divided(tmp_path: Path) -> None:
    """Also for a few rows, and when that is changed."""
    known = resolve_address(read_one(LAKES["ducklake"]), {}, tmp_path)
    needs_extension(*known.extensions)
    root = copying(
        tmp_path, {"to": "lake", "partition_by": ["id"]}, attach={"lake": LAKES["ducklake"]}
    )
    path = root / "models/trees.sql"
    query = """SELECT column_name FROM ducklake_partition_column JOIN ducklake_partition_info AS
        info USING (partition_id) JOIN ducklake_column USING (column_id)
        WHERE info.end_snapshot IS NULL AND ducklake_column.table_id = info.table_id"""
    for column in ("id", "name"):
        path.write_text(path.read_text().replace('["id"]', f'["{column}"]'))
        assert "4 rows copied" in run(root).output
        with duckdb.connect(str(root / "lake.ducklake")) as catalog:
            assert catalog.execute(query).fetchall() == [(column,)]


def test_sqlite_has_plain_text(tmp_path: Path) -> None:
    """Only structs and lists become JSON, and an ENUM is none, whatever its labels are."""
    known = resolve_address(read_one(LAKES["sqlite"]), {}, tmp_path)
    needs_extension(*known.extensions)
    root = copying(tmp_path, "lake", attach={"lake": LAKES["sqlite"]})
    path = root / "models/trees.sql"
    values = "TIMESTAMP '2026-01-01 10:00:00' AS at, 'MAP(' ::ENUM ('MAP(', '[') AS odd"
    path.write_text(path.read_text().replace("SELECT id", f"SELECT {values}, id"))
    assert run(root).exit_code == 0
    with closing(sqlite3.connect(root / "lake.sqlite")) as other:
        found = other.execute("SELECT at, odd, names FROM trees WHERE id = 1").fetchall()
    assert found == [("2026-01-01 10:00:00", "MAP(", '["ash"]')]


def test_a_database_that_another_program_holds(tmp_path: Path) -> None:
    """DuckDB has no plain words for a SQLite that is locked."""
    needs_extension("sqlite_scanner")
    root = copying(tmp_path, "lake", attach={"lake": LAKES["sqlite"]})
    with closing(sqlite3.connect(root / "lake.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        # Another process, for its locks keep no other SQLite of the same process out.
        words = [sys.executable, "-m", "enrich", "run", "--project", str(root)]
        result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "behind: the database 'lake' is held by another program" in result.stderr
    assert "4 rows copied" in run(root, "status").output


@pytest.mark.few(0)
def test_a_database_that_no_model_reads_stops_nothing(tmp_path: Path) -> None:
    """Whether it is missing, damaged or held; a view that reads it is part of what reads the
    view."""
    with Rehearsal() as server:
        root = publishing(tmp_path, server, "lake", attach={"lake": LAKES["duckdb"]})
        first = run(root)
        assert first.exit_code == 0, first.output
        assert "4 rows copied to lake.main.kinds" in first.output  # and the file is created
        (root / "lake.duckdb").write_text("damaged")
        assert run(root, "sql", "SELECT 1 AS one").exit_code == 0
        write(root, {"seeds/plants.csv": CHANGED})
        second = run(root)
    assert "the database 'lake' is damaged" in second.output
    assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((5,),)
    write(
        root,
        {
            "models/seen.sql": "SELECT * FROM lake.main.kinds",
            "models/again.sql": "-- materialized: table\nSELECT * FROM seen",
        },
    )
    (root / "lake.duckdb").unlink()
    with duckdb.connect(str(root / "lake.duckdb")) as other:
        other.execute("CREATE TABLE kinds AS SELECT 1 AS mine")
    assert run(root, "run", "again", "seen").exit_code == 0
    assert opened(root).sql("FROM again").rows == ((1,),)
    (root / "lake.duckdb").unlink()
    assert "the database 'lake' does not exist" in run(root, "run", "again").output


def read_one(said: dict[str, str], name: str = "lake") -> AttachedDatabase:
    """A database as `attach:` in project.yml describes it."""
    (found,) = read_attached(
        YamlSettings(values={"attach": {name: said}}, lines={}, source="project.yml"),
        open_access=False,
    )
    return found


def look(known: AttachedDatabase, query: str) -> list[Any]:
    """Rows of an attached database, as another program sees them."""
    with duckdb.connect() as connection:
        database = Database(connection=connection)
        known.attach(database)
        return database.execute(query)


def test_a_table_with_other_columns_is_created_again(tmp_path: Path) -> None:
    """And one that enrich did not create is left alone."""
    root = copying(tmp_path, "lake.trees", attach={"lake": LAKES["duckdb"]})
    with duckdb.connect(str(root / "lake.duckdb")) as other:
        other.execute("CREATE TABLE trees AS SELECT 1 AS mine")
    result = run(root)
    assert result.exit_code == 1
    assert "lake.main.trees exists, and enrich did not create it" in result.output
    with duckdb.connect(str(root / "lake.duckdb")) as other:
        other.execute("DROP TABLE trees")
    assert "4 rows copied" in run(root, "status").output
    path = root / "models/trees.sql"
    path.write_text(path.read_text().replace("SELECT id, name", "SELECT id, 1.5 AS name"))
    assert "4 rows copied" in run(root).output
    with duckdb.connect(str(root / "lake.duckdb")) as other:
        assert other.execute("SELECT sum(name) FROM trees").fetchall() == [(6,)]


@pytest.mark.few(0)
def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """The table is published all the same. The copy is behind, and made up for by the next command,
    which asks nothing again."""
    with Rehearsal() as server:
        root = publishing(tmp_path, server, {"to": "out/kinds"})
        (root / "out").write_text("in the way")
        first = run(root)
        assert first.exit_code == 1
        assert "kinds is published, but its copy is behind: out/kinds cannot be" in first.output
        assert "Traceback" not in first.output
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((4,),)
        assert "behind its table" in run(root, "plan").output
        assert "out/kinds cannot be written" in run(root, "debug").output
        (state,) = json.loads(run(root, "status", "--json").stdout)
        assert state["copy"]["behind"]
        assert "cannot be written" in state["copy"]["problem"]
        (root / "out").unlink()
        asked = len(server.batches)
        second = run(root, "status")
        assert len(server.batches) == asked
    assert second.exit_code == 0, second.output
    assert "4 rows copied to out/kinds" in second.output
    assert "in out/kinds" in second.output
    (state,) = json.loads(run(root, "status", "--json").stdout)
    assert not state["copy"]["behind"]
    assert state["copy"]["copied_at"]


def test_files_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    """Also after a second attempt, and beside a copy of enrich's own."""
    for place in ("mine", "mine.parquet"):
        root = copying(tmp_path, place)
        write(root, {"mine/notes.txt": "mine", "mine.parquet": "mine"})
        for command in ("run", "status"):
            result = run(root, command)
            assert result.exit_code == 1
            assert "enrich did not write" in result.output
        assert (root / "mine/notes.txt").read_text() == "mine"
        assert (root / "mine.parquet").read_text() == "mine"
    root = copying(tmp_path / "p", "out/trees")
    assert run(root).exit_code == 0
    write(
        root,
        {"out/trees/notes.txt": "mine", "out/trees/.DS_Store": "", "seeds/plants.csv": CHANGED},
    )
    assert "out/trees holds notes.txt, which enrich did not write" in run(root).output
    (root / "out/trees/notes.txt").unlink()
    assert "5 rows copied" in run(root).output


def test_a_file_stays_enrichs_own(tmp_path: Path) -> None:
    """Also after its table has been published to another place for a while."""
    root = copying(tmp_path, "out/a.parquet")
    path = root / "models/trees.sql"
    for place in ("out/a.parquet", "out/b.parquet", "out/a.parquet"):
        path.write_text(re.sub(r"out/\w+.parquet", place, path.read_text()))
        assert f"4 rows copied to {place}" in run(root).output


def test_a_lost_copy_is_written_again(tmp_path: Path) -> None:
    """Also one of which a process that was killed left only the old half of the exchange."""
    root = copying(tmp_path, "out/trees")
    run(root)
    shutil.rmtree(root / "out/trees")
    assert "4 rows copied" in run(root, "status").output
    (root / "out/trees/data_0.parquet").write_text("overwritten")
    assert "4 rows copied" in run(root, "status").output
    (root / "out/trees").rename(root / "out/.trees.old")
    (root / "out/.trees.new").mkdir()
    assert "4 rows copied" in run(root, "status").output
    assert [path.name for path in (root / "out").iterdir()] == ["trees"]


@pytest.mark.skipif(sys.platform == "win32", reason="modes mean little there")
def test_others_can_read_a_folder(tmp_path: Path) -> None:
    """The modes are those of new files, or those that somebody has given the folder."""
    root = copying(tmp_path, {"to": "out/trees", "partition_by": ["id"]})
    before = os.umask(0o022)
    try:
        run(root)
        places = (root / "out/trees", root / "out/trees/id=1")
        assert [path.stat().st_mode & 0o777 for path in places] == [0o755, 0o755]
        (root / "out/trees").chmod(0o750)
        write(root, {"seeds/plants.csv": CHANGED})
        assert "5 rows copied" in run(root).output
    finally:
        os.umask(before)
    assert (root / "out/trees").stat().st_mode & 0o777 == 0o750


def test_an_empty_table_has_the_folders_of_partitions(tmp_path: Path) -> None:
    """So what is written later can be read together with it."""
    root = copying(tmp_path, {"to": "out/trees", "partition_by": ["id"]})
    write(root, {"seeds/plants.csv": SEED.partition("\n")[0] + "\n"})
    assert "0 rows copied" in run(root).output
    files = f"read_parquet('{root}/out/trees/**/*.parquet', hive_partitioning = true)"
    assert [row[0] for row in read(f"DESCRIBE FROM {files}")] == ["name", "note", "names", "id"]


@pytest.mark.parametrize("inner", ["out/trees/inner", "out/trees"])
def test_no_copy_is_inside_another(tmp_path: Path, inner: str) -> None:
    """Neither is written."""
    root = copying(tmp_path, "out/trees")
    write(root, {"models/one.sql": f"-- publish: {inner}\nSELECT 1 AS one"})
    for command in ("run", "status"):
        result = run(root, command)
        assert result.exit_code == 1
        assert "models/one.sql: " in result.output
        assert "the copy of trees" in result.output
        assert "the copy of one" in result.output
    assert not (root / "out").exists()


def test_a_lock_that_cannot_be_taken(tmp_path: Path) -> None:
    """It is not taken for an output that cannot be written."""
    root = copying(tmp_path, "out/trees")
    (root / ".enrich/copies/trees.lock").mkdir(parents=True)
    result = run(root)
    assert result.exit_code == 1
    assert "its copy is behind" in result.output
    assert "trees.lock cannot be locked" in result.output


def test_project_yml_has_all_tables_copied(tmp_path: Path) -> None:
    """But for views, unless they say so, and for what says no."""
    root = copying(tmp_path / "p", None, publish={"to": "../lake"})
    write(
        root,
        {
            "models/kept.sql": "-- materialized: table\n-- publish: false\nSELECT 1 AS one",
            "models/seen.sql": "SELECT 1 AS one",
            "models/said.sql": "-- publish: {to: out/said.csv}\nSELECT 2 AS two",
        },
    )
    result = run(root)
    assert result.exit_code == 0, result.output
    assert [path.name for path in (root.parent / "lake").iterdir()] == ["trees"]
    assert (root / "out/said.csv").read_text() == "two\n2\n"
    # Where project.yml has tables copied to, no SELECT may read.
    write(root, {"models/seen.sql": "SELECT * FROM '../lake/trees/data_0.parquet'"})
    assert "is outside the project" in run(root, "run", "seen").output


def test_a_database_for_copies_is_not_read(tmp_path: Path) -> None:
    """The extension that writes to it is never near a SELECT of a model's."""
    root = copying(tmp_path, None, attach={"lake": LAKES["ducklake"]})
    write(root, {"models/trees.sql": "SELECT id, name, note FROM lake.main.plants"})
    result = run(root)
    assert result.exit_code == 1
    assert "models do not read the database 'lake'" in result.output
    assert "external_access: true" in result.output


WRONG: dict[str, tuple[Any, str]] = {
    "no place": ({"format": "csv"}, "'publish' must say where to"),
    "key": ({"to": "out", "partitoned_by": ["id"]}, "did you mean 'partition_by'?"),
    "format": ({"to": "out", "format": "parket"}, "did you mean 'parquet'?"),
    "divided file": ({"to": "out/a.parquet", "partition_by": ["id"]}, "nothing else"),
    "column": ({"to": "out", "partition_by": ["nam"]}, "did you mean 'name'?"),
    "divided table": ({"to": "lake", "partition_by": ["id"]}, "cannot be divided"),
    "web": ("https://example.org/x", "nothing can be published to https://"),
    "no bucket": ("s3://", "'publish' names no bucket: s3://"),
    "no bucket, a folder": ("GS:///films", "'publish' names no bucket"),
    "divided twice": ({"to": "out", "partition_by": ["id", "ID"]}, "names a column twice"),
    "divided by all": (
        {"to": "out", "partition_by": ["id", "name", "note", "names"]},
        "models/trees.sql: 'publish' divides the table by all of its columns",
    ),
    "long folder": (
        {"to": "out", "partition_by": ["long"]},
        "models/trees.sql: a value of long is too long to name a folder",
    ),
    "outside": ("../out", "../out is outside the project"),
    "seeds": ("seeds/trees.csv", "seeds/trees.csv is in the project's own folder seeds"),
    "models": ("models/out", "models/out is in the project's own folder models"),
    "working files": (".enrich/out", "is in the project's own folder .enrich"),
    "odd table": ("lake.my table", "'publish' names no table: lake.my table"),
    "system": ("lake.information_schema.x", "no table can be copied to lake.information"),
    "view": ("lake.seen", "lake.main.seen exists, and enrich did not create it"),
    "itself": (".", "holds the project itself"),
    "long": ("lake.a.b.c", "names no table"),
    "type": ("crm", "no table can be copied to a database of type mysql"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_told(tmp_path: Path, name: str) -> None:
    said, words = WRONG[name]
    known = {"lake": LAKES["duckdb"], "crm": {"type": "mysql", "path": "x"}}
    more = {"attach": {"lake": known["lake"]}}
    if name == "type":
        more = {"attach": {"crm": known["crm"]}, "external_access": True}  # type: ignore[dict-item]
    root = copying(tmp_path, said, **more)
    if name == "long folder":
        path = root / "models/trees.sql"
        path.write_text(path.read_text().replace("SELECT", "SELECT repeat('x', 300) AS long,"))
    with duckdb.connect(str(root / "lake.duckdb")) as other:
        other.execute("CREATE VIEW seen AS SELECT 1 AS one")
    result = run(root)
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output


def test_a_project_without_a_bucket_makes_no_folder(tmp_path: Path) -> None:
    """`s3://NAME` without a slash would be a folder of that name."""
    root = copying(tmp_path, None, publish="s3://")
    result = run(root)
    assert result.exit_code == 1
    assert "project.yml: 'publish' names no bucket: s3://" in result.output
    assert not (root / "s3:").exists()


def test_an_extension_that_is_not_installed() -> None:
    """It is not fetched from the network either."""
    with duckdb.connect() as connection, pytest.raises(DatabaseError) as refused:
        load_extension(Database(connection=connection), "no_such_thing")
    assert "'no_such_thing' is not installed" in refused.value.message
    assert "INSTALL no_such_thing" in refused.value.hint


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    """Nor kept, if the database cannot be reached."""
    known = {"type": "postgres", "path": "host=127.0.0.1 port=1 password=${CRM_PASSWORD}"}
    root = copying(tmp_path, "crm", attach={"crm": known})
    ears = Ears()
    enrich.Project(root, talk=ears, environment={}).run()
    assert any("needs the environment variable CRM_PASSWORD" in said for said in ears.said)
    project = enrich.Project(root, talk=ears, environment={"CRM_PASSWORD": "hush-hush-1234"})
    (problem,) = project.run().problems
    assert "crm" in problem.message or "is not installed" in problem.message
    written = [path for path in (root / ".enrich").rglob("*") if path.is_file()]
    assert not [path for path in written if b"hush-hush" in path.read_bytes()]
    assert "hush-hush" not in " ".join((*ears.said, problem.message, problem.hint))


def test_a_copy_is_no_way_round_the_wall(tmp_path: Path) -> None:
    """What a table or view reads is read where models read: the other DuckDB sees files only."""
    (tmp_path / "secret.csv").write_text("word\nhush\n")
    root = copying(tmp_path / "p", None)
    opened(root).sql(f"CREATE VIEW peek AS FROM '{tmp_path / 'secret.csv'}'")
    select = "-- publish: out/trees.csv\nSELECT word FROM peek"
    for kind in ("view", "table"):
        write(root, {"models/trees.sql": f"-- materialized: {kind}\n{select}"})
        result = run(root)
        assert result.exit_code == 1
        assert "is outside the project" in result.output
    assert not (root / "out").exists()
