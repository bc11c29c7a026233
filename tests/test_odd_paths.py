"""Paths: whatever a folder or a file is called, every command does what it does elsewhere."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import opened, plants, settings, write

from enrich import cli
from enrich.cli.journal import LOG_FILE
from enrich.db.alias import Aliases, list_logs
from enrich.errors import DatabaseError
from enrich.manifest.config import Config
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")

NAMES = (
    "what?",
    "a*b",
    "[!a]",
    "a[b",
    "a\\b",
    "a\\*b?c[d]\\",
    "{a,b}",
    "it's",
    'say "so"',
    "a b",
    "a#b",
    "100%20",
    "kleiner Bär",
    "line\nbreak",
    "year=2024",
    "$year",
    "a;b",
    "~",
    "-x",
)
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURES = ("p.png", "p[1].png", "p?.png", "p*.png", "p\\q.png", "{p,q}.png", "it's.png", "é x.png")


@pytest.fixture
def server() -> Iterator[Rehearsal]:
    with Rehearsal(api_key="sk-rehearsal-secret") as running:
        yield running


def odd(root: Path, server: Rehearsal) -> Path:
    """A project with seeds, sources, pictures, tests and plain models; beside it a folder that a
    pattern would find as well."""
    plants(root, server)
    config = json.loads(settings(server)) | {
        "sources": {"every": "data/*.csv", "one": "data/one.csv"},
        "backup": {"to": "copies?", "keep": 1},
    }
    (root / "pictures").mkdir()
    for name in PICTURES:
        (root / "pictures" / name).write_bytes(PNG)
    write(
        root,
        {
            "project.yml": json.dumps(config),
            "data/one.csv": "a,b\n1,2\n",
            "data/two.csv": "a,b\n3,4\n",
            "models/plain.sql": "-- materialized: table\nSELECT * FROM every\n",
            "models/read.sql": "SELECT a FROM read_csv('data/one.csv')\n",
            "seeds/shown.csv": "id,picture\n"
            + "".join(f'{n},"pictures/{name}"\n' for n, name in enumerate(PICTURES)),
            "models/seen.sql": "SELECT id, picture FROM shown",
            "models/seen.prompt.md": """
                ---
                key: id
                output: kind VARCHAR NOT NULL
                tests:
                  - {unique: kind, severity: warn}
                ---
                user:
                ![]({{ picture }})
            """,
        },
    )
    other = root.parent / "abxyz12345"
    write(other, {"data/other.csv": "a,b\n5,6\n", "seeds/plants.csv": "id\n1\n"})
    return root


def command(root: Path, *words: str) -> Any:
    """A command that prints JSON."""
    before = os.getcwd()  # noqa: PTH109
    try:
        result = CliRunner().invoke(cli.main, ["--project", str(root), *words])
    finally:
        os.chdir(before)
    assert result.exit_code in (0, 3), (words, result.output)
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)
    return result.stdout


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.few(3)
def test_a_run_in_any_folder(tmp_path: Path, server: Rehearsal, name: str) -> None:
    """Seeds, sources, pictures, tests: as anywhere else."""
    root = odd(tmp_path / name, server)
    states = {each["model"]: each for each in json.loads(command(root, "run", "--json"))}
    assert states["kinds"]["outcomes"] == {"ok": 4}
    assert states["seen"]["outcomes"] == {"ok": len(PICTURES)}
    rows = command(root, "sql", "SELECT a FROM plain UNION ALL FROM read ORDER BY a", "--json")
    assert [json.loads(line)["a"] for line in rows.splitlines()] == [1, 1, 3]


@pytest.mark.parametrize("name", ["a\\*b?c[d]\\", "line\nbreak", "-x"])
@pytest.mark.few(1)
def test_a_project_in_any_folder(tmp_path: Path, server: Rehearsal, name: str) -> None:
    """Each command, and copies of the ledger: as anywhere else."""
    root = odd(tmp_path / name, server)
    for words in (("seed",), ("list",), ("graph",), ("plan",), ("compile", "kinds"), ("debug",)):
        command(root, *words)
    command(root, "preview", "kinds", "-n", "2")
    states = {each["model"]: each for each in json.loads(command(root, "run", "--json"))}
    assert states["kinds"]["outcomes"] == {"ok": 4}
    assert states["seen"]["outcomes"] == {"ok": len(PICTURES)}
    saved = json.loads(command(root, "ledger", "vacuum", "--json"))[0]["saved"]
    assert saved > 0
    for words in (("status",), ("failures", "seen"), ("test",), ("cost",), ("ledger", "check")):
        command(root, *words)
    command(root, "history", "kinds", "--key", "1")
    command(root, "compare", "kinds", "-n", "2")
    command(root, "evaluate", "kinds", "--labels", "plants", "--column", "line=name")
    rows = command(root, "sql", "SELECT a FROM plain UNION ALL FROM read ORDER BY a", "--json")
    assert [json.loads(line)["a"] for line in rows.splitlines()] == [1, 1, 3]
    columns = command(root, "sql", "SELECT * FROM plants LIMIT 1", "--json")
    assert list(json.loads(columns)) == ["id", "name", "note"]
    assert list(json.loads(command(root, "sql", "FROM one", "--json"))) == ["a", "b"]
    billed = server.bill.total
    copy = root / "a copy [of] it? \\"
    opened(root).ledger_export(copy)
    (root / "warehouse.duckdb").unlink()
    opened(root).ledger_import(copy, replace=True)
    command(root, "run")
    assert server.bill.total == billed
    assert len(list((root / "copies?").iterdir())) == 1
    files = {path.name for path in root.iterdir()}
    assert {"ledger.duckdb", "warehouse.duckdb", "project.yml"} <= files


def test_files_of_any_name(tmp_path: Path, server: Rehearsal) -> None:
    """Databases and folders that project.yml names so."""
    root = plants(tmp_path, server)
    config = json.loads(settings(server)) | {
        "warehouse": "data [1]/ware?house*.duckdb",
        "ledger": "data [1]/le\\dger.duckdb",
        "seeds": "se*ds",
    }
    write(root, {"project.yml": json.dumps(config)})
    (root / "seeds").rename(root / "se*ds")
    (root / "data [1]").mkdir()
    opened(root).run()
    billed = server.bill.total
    assert len(opened(root).sql("FROM kinds").rows) == 4
    assert sorted(path.name for path in (root / "data [1]").iterdir()) == [
        "le\\dger.duckdb",
        "ware?house*.duckdb",
    ]
    opened(root).run()
    assert server.bill.total == billed


def test_the_log_of_a_folder_with_a_question_mark(tmp_path: Path, server: Rehearsal) -> None:
    """DuckDB keeps it beside the folder; what a killed process left in it is not lost."""
    import subprocess
    import sys

    root = plants(tmp_path / "what?", server)
    opened(root).run()
    assert list_logs(root / "ledger.duckdb")[0] == tmp_path / "what.wal?" / "ledger.duckdb"
    code = (
        "import os, sys; from enrich import Project\n"
        "with Project(sys.argv[1]).files.open_ledger() as database:\n"
        "    database.execute('CREATE TABLE ledger.mine AS SELECT 42 AS a')\n"
        "    os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], check=True)
    assert (tmp_path / "what.wal?" / "ledger.duckdb").stat().st_size
    assert opened(root).sql("FROM ledger.mine").rows == ((42,),)


def test_a_folder_opens_no_other(tmp_path: Path, server: Rehearsal) -> None:
    """Neither what a pattern in its name would find, nor what stands behind its backslash."""
    write(tmp_path, {"ab/secret.csv": "a\n1\n", "x/y/secret.csv": "a\n1\n", "secret.csv": "a\n1\n"})
    for name in ("a*", "a?", "[a]b", "x\\y"):
        root = plants(tmp_path / name, server)
        write(root, {"data/one.csv": "a\n1\n"})
        write(root, {"project.yml": settings(server)[:-1] + ', "sources": {"o": "data/*.csv"}}'})
        for path in ("ab/secret.csv", "x/y/secret.csv", "secret.csv"):
            query = f"SELECT a AS id, '' AS name, '' AS note FROM read_csv('{tmp_path}/{path}')"
            write(root, {"models/kinds.sql": query})
            with pytest.raises(Exception, match="is outside the project"):
                opened(root).run()


def test_a_source_reaches_its_files_and_no_more(tmp_path: Path) -> None:
    root = tmp_path / "a[b]"
    sources = {"wild": "data/x*/y.csv", "one": "data/one.csv", "all": "*.csv", "far": "/f/[a].csv"}
    write(root, {"project.yml": json.dumps({"sources": sources})})
    found = {each.name: each.reach for each in Config.from_folder(root).sources}
    assert [str(found[name][0]) for name in sources] == [
        str(root / "data"),
        str(root / "data/one.csv"),
        str(root),
        "/f",
    ]


def test_aliases_are_made_where_they_are_needed(tmp_path: Path) -> None:
    aliases = Aliases()
    assert aliases.alias_file(tmp_path / "plain.csv") == str(tmp_path / "plain.csv")
    for name in ("a?", "b\\", "c=1"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, {"x.csv": name})
        found = aliases.alias_file(tmp_path / name / "x.csv")
        assert found == aliases.alias_file(tmp_path / name / "x.csv")
        assert not set(found) & set("?*[\\=")
        with open(found, encoding="utf-8") as file:  # noqa: PTH123
            assert file.read() == name


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    write(tmp_path, {"project.yml": "warehouse: 'no?/w.duckdb'\n", "seeds/a.csv": "a\n1\n"})
    with pytest.raises(Exception, match="no") as refused:
        opened(tmp_path).seed()
    assert not isinstance(refused.value, (DatabaseError, OSError)) or refused.value.args


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_log_that_takes_nothing_fails_no_command(tmp_path: Path) -> None:
    """A disk that is full when the log is closed."""
    write(tmp_path, {"project.yml": "name: t\n", "models/one.sql": "SELECT 1 AS id"})
    (tmp_path / ".enrich").mkdir()
    (tmp_path / ".enrich" / LOG_FILE).symlink_to("/dev/full")
    found = CliRunner().invoke(cli.main, ["--project", str(tmp_path), "run"])
    assert (found.exit_code, found.exception) == (0, None)
