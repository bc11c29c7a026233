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
from enrich.db.database import Database
from enrich.db.extensions import load_extension
from enrich.errors import DatabaseError
from enrich.manifest.settings import YamlSettings
from enrich.manifest.sources import read_attached, resolve_address
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enrich.db.attached import AttachedDatabase

SEED = "id,name,note\n1,ash,tall\n2,birch,white\n3,cedar,\n4,dogwood,\n"


@pytest.fixture
def server() -> Iterator[Rehearsal]:
    with Rehearsal() as server:
        yield server


def publishing(root: Path, server: Rehearsal, place: Any, **more: Any) -> Path:
    """A project whose model `kinds` has a copy; `more` are settings of project.yml."""
    plants(root, server)
    said = json.loads(settings(server)) | more
    front = f"---\npublish: {json.dumps(place)}\n"
    prompt = "\n".join(line.removeprefix("    ") for line in PROMPT.splitlines()).lstrip("\n")
    write(root, {"project.yml": json.dumps(said)})
    path = root / "models/kinds.prompt.md"
    path.write_text(prompt.replace("---\n", front, 1) if place else prompt, encoding="utf-8")
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
def test_a_table_is_kept_in_another_database(tmp_path: Path, server: Rehearsal, kind: str) -> None:
    """In one transaction each time, and only the rows that differ."""
    known = resolve_address(read_one(LAKES[kind]), {}, tmp_path)
    needs_extension(*known.extensions)
    root = publishing(tmp_path, server, "lake", attach={"lake": LAKES[kind]})
    if kind == "duckdb":
        duckdb.connect(str(root / "lake.duckdb")).close()
    first = run(root)
    assert first.exit_code == 0, first.output
    assert "kinds: 4 rows copied to lake.main.kinds" in first.output
    write(root, {"seeds/plants.csv": SEED.replace("4,dogwood,", "4,dogwood,red\n5,elm,")})
    assert "5 rows copied" in run(root).output
    assert look(known, "SELECT id, line FROM lake.main.kinds ORDER BY id") == list(
        opened(root).sql("SELECT id, line FROM kinds ORDER BY id").rows
    )
    (books,) = look(known, "SELECT table_name, model, row_count FROM lake.main.enrich_copies")
    assert books == ("kinds", "kinds", 5)
    if known.type == "ducklake":
        ((last,),) = look(known, "SELECT max(snapshot_id) FROM lake.snapshots()")
        changes = f"lake.table_changes('kinds', {last}, {last})"
        kept = look(known, f"SELECT DISTINCT id FROM {changes} ORDER BY id")
        assert kept == [(4,), (5,)]


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


def test_a_place_that_cannot_be_written(tmp_path: Path, server: Rehearsal) -> None:
    """The table is published all the same. The copy is behind, and made up for by the next command,
    which asks nothing again."""
    root = publishing(tmp_path, server, {"to": "out/kinds"})
    (root / "out").write_text("in the way")
    first = run(root)
    assert first.exit_code == 1
    assert "kinds is published, but its copy is behind: out/kinds cannot be written" in first.output
    assert "Traceback" not in first.output
    assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((4,),)
    (state,) = json.loads(run(root, "status", "--json").stdout)
    assert state["copy"]["behind"]
    assert "cannot be written" in state["copy"]["problem"]
    assert "behind its table" in run(root, "plan").output
    assert "out/kinds cannot be written" in run(root, "debug").output
    (root / "out").unlink()
    asked = len(server.batches)
    second = run(root, "status")
    assert second.exit_code == 0, second.output
    assert "4 rows copied to out/kinds" in second.output
    assert len(server.batches) == asked
    (state,) = json.loads(run(root, "status", "--json").stdout)
    assert not state["copy"]["behind"]
    assert state["copy"]["copied_at"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, server: Rehearsal) -> None:
    root = publishing(tmp_path, server, "seeds")
    result = run(root)
    assert result.exit_code == 1
    assert "seeds holds files that enrich did not write" in result.output
    assert (root / "seeds/plants.csv").read_text() == SEED
    (root / "mine.parquet").write_text("mine")
    result = run(publishing(tmp_path, server, "mine.parquet"))
    assert "mine.parquet exists, and enrich did not write it" in result.output
    assert (root / "mine.parquet").read_text() == "mine"


def test_a_lost_copy_is_written_again(tmp_path: Path, server: Rehearsal) -> None:
    """Also one of which a process that was killed left only the old half of the exchange."""
    root = publishing(tmp_path, server, "out/kinds")
    run(root)
    shutil.rmtree(root / "out/kinds")
    assert "4 rows copied" in run(root, "status").output
    (root / "out/kinds").rename(root / "out/.kinds.old")
    (root / "out/.kinds.new").mkdir()
    assert "4 rows copied" in run(root, "status").output
    assert [path.name for path in (root / "out").iterdir()] == ["kinds"]


def test_plain_models_have_copies_too(tmp_path: Path, server: Rehearsal) -> None:
    """By a comment, or by project.yml, which leaves out views and what says so."""
    root = publishing(tmp_path / "p", server, None, publish={"to": "../lake"})
    write(
        root,
        {
            "models/tall.sql": "-- materialized: table\nSELECT id, 'x' AS x FROM plants",
            "models/kept.sql": "-- materialized: table\n-- publish: false\nSELECT 1 AS one",
            "models/seen.sql": "SELECT 1 AS one",
            "models/said.sql": "-- publish: {to: out/said.csv}\nSELECT 2 AS two",
        },
    )
    result = run(root)
    assert result.exit_code == 0, result.output
    assert {path.name for path in (root.parent / "lake").iterdir()} == {"kinds", "tall"}
    assert (root / "out/said.csv").read_text() == "two\n2\n"
    # Where project.yml has tables copied to, no SELECT may read.
    write(root, {"models/seen.sql": "SELECT * FROM '../lake/tall/data_0.parquet'"})
    assert "is outside the project" in run(root, "run", "seen").output


def test_a_database_for_copies_is_not_read(tmp_path: Path, server: Rehearsal) -> None:
    """The extension that writes to it is never near a SELECT of a model's."""
    root = publishing(tmp_path, server, None, attach={"lake": LAKES["ducklake"]})
    write(root, {"models/kinds.sql": "SELECT id, name, note FROM lake.main.plants"})
    result = run(root)
    assert result.exit_code == 1
    assert "models do not read the database 'lake'" in result.output
    assert "external_access: true" in result.output


WRONG: dict[str, tuple[Any, str]] = {
    "no place": ({"format": "csv"}, "'publish' must say where to"),
    "key": ({"to": "out", "partitoned_by": ["kind"]}, "did you mean 'partition_by'?"),
    "format": ({"to": "out", "format": "parket"}, "did you mean 'parquet'?"),
    "divided file": ({"to": "out/a.parquet", "partition_by": ["kind"]}, "nothing else"),
    "column": ({"to": "out", "partition_by": ["kid"]}, "did you mean 'kind'?"),
    "web": ("https://example.org/x", "nothing can be published to https://"),
    "outside": ("../out", "../out is outside the project"),
    "itself": (".", "holds the project itself"),
    "long": ("lake.a.b.c", "names no table"),
    "type": ("crm", "no table can be copied to a database of type mysql"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_told(tmp_path: Path, server: Rehearsal, name: str) -> None:
    said, words = WRONG[name]
    known = {"lake": LAKES["duckdb"], "crm": {"type": "mysql", "path": "x"}}
    more = {"attach": known, "external_access": True} if name in ("long", "type") else {}
    result = run(publishing(tmp_path, server, said, **more))
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output


def test_an_extension_that_is_not_installed() -> None:
    """It is not fetched from the network either."""
    with duckdb.connect() as connection, pytest.raises(DatabaseError) as refused:
        load_extension(Database(connection=connection), "no_such_thing")
    assert "'no_such_thing' is not installed" in refused.value.message
    assert "INSTALL no_such_thing" in refused.value.hint


def test_a_password_is_never_shown(tmp_path: Path, server: Rehearsal) -> None:
    """Nor kept, if the database cannot be reached."""
    needs_extension("postgres_scanner")
    known = {"type": "postgres", "path": "host=127.0.0.1 port=1 password=${CRM_PASSWORD}"}
    root = publishing(tmp_path, server, "crm", attach={"crm": known})
    ears = Ears()
    project = enrich.Project(root, talk=ears, environment={"CRM_PASSWORD": "hush-hush-1234"})
    result = project.run()
    assert [problem for problem in result.problems if "crm" in problem.message]
    assert any("its copy is behind" in sentence for sentence in ears.said)
    written = [path for path in (root / ".enrich").rglob("*") if path.is_file()]
    assert not [path for path in written if b"hush-hush" in path.read_bytes()]
    assert "hush-hush" not in " ".join(ears.said)
    ears.said.clear()
    enrich.Project(root, talk=ears, environment={}).status()
    assert any("needs the environment variable CRM_PASSWORD" in said for said in ears.said)
