"""Security: a model is a SELECT and only a SELECT, and reads only what it may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from click.testing import CliRunner, Result
from folders import needs_duckdb_2, opened, plants, write

from enrich.cli import main
from enrich.manifest import guard
from enrich.manifest.guard import read_functions
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[Rehearsal]:
    with Rehearsal() as listening:
        yield listening


def run(root: Path) -> Result:
    return CliRunner().invoke(main, ["--project", str(root), "run"])


STATEMENTS = {
    "two": "SELECT 1 AS id, 'a' AS name, 'b' AS note; DROP TABLE plants",
    "drop": "DROP TABLE plants",
    "copy": "COPY plants TO 'stolen.csv'",
    "attach": "ATTACH 'other.db'",
    "pragma": "PRAGMA version",
    "set": "SET threads = 1",
    "install": "INSTALL httpfs",
    "call": "CALL dbgen(sf = 1)",
    "insert": "WITH x AS (INSERT INTO plants VALUES (9, 'x', 'y') RETURNING *) SELECT * FROM x",
    "delete": "WITH x AS (DELETE FROM plants RETURNING *) SELECT * FROM x",
    "update": "WITH x AS (UPDATE plants SET name = 'x' RETURNING *) SELECT * FROM x",
    "copy in with": "WITH x AS (COPY plants TO 'stolen.csv') SELECT * FROM plants",
    "into": "SELECT * INTO stolen FROM plants",
    "explain": "EXPLAIN ANALYZE DELETE FROM plants",
}


@pytest.mark.parametrize("sql", STATEMENTS.values(), ids=STATEMENTS)
def test_a_model_that_is_more_than_a_select_is_refused(
    tmp_path: Path, server: Rehearsal, sql: str
) -> None:
    """Whatever it is, DuckDB does not see it, and the table it aimed at is as it was."""
    root = plants(tmp_path, server)
    opened(root).seed()
    write(root, {"models/kinds.sql": sql})
    result = run(root)
    assert result.exit_code == 1, result.output
    assert "models/kinds.sql" in result.stderr
    assert "\n\nhint: " in result.stderr
    assert "Traceback" not in result.output
    assert not list(root.rglob("stolen*"))
    assert opened(root).sql("SELECT count(*), max(name) FROM plants").rows == ((4, "dogwood"),)


KEYWORDS = {"show"}
"""What DuckDB does not parse as a function at all."""


@pytest.mark.parametrize(
    "name", sorted({n for n, why in read_functions().items() if why} - KEYWORDS)
)
def test_functions_that_do_more_than_read_are_refused(
    tmp_path: Path, server: Rehearsal, name: str
) -> None:
    """In a SELECT, quoted or not, in a template and in a CHECK."""
    root = plants(tmp_path, server)
    write(root, {"models/kinds.sql": f"SELECT id, name, note,\n{name.upper()}('x') FROM plants"})
    assert f"models/kinds.sql:2: {name}()" in run(root).stderr
    write(root, {"models/kinds.sql": f'SELECT * FROM plants, main."{name}" (1)'})
    assert f"models/kinds.sql:1: {name}()" in run(root).stderr


def test_templates_and_checks_are_guarded_too(tmp_path: Path, server: Rehearsal) -> None:
    """The prompt file is SQL as well."""
    root = plants(tmp_path, server)
    prompt = "---\nkey: id\noutput: line VARCHAR {check}\n---\nuser:\n{{{{ {value} }}}}\n"
    for check, value in (("", "nextval('s')"), ("CHECK (setval('s', 1) = 1)", "name")):
        write(root, {"models/kinds.prompt.md": prompt.format(check=check, value=value)})
        result = run(root)
        assert result.exit_code == 1
        assert "val() changes something" in result.stderr


def test_every_function_of_this_duckdb_is_listed() -> None:
    """A newer DuckDB may bring others: scripts/list_functions.py lists them, for people to read."""
    needs_duckdb_2("what DuckDB 1.5 has besides is refused, as everything that is not listed")
    with duckdb.connect() as connection:
        names = connection.execute(
            "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_name <> ''"
        ).fetchall()
    assert {name for (name,) in names} - read_functions().keys() == set()


def test_each_verdict_is_one_of_a_few() -> None:
    """What may be called computes, tells or reads; what may not is refused for a reason."""
    text = Path(guard.__file__).with_name("functions.tsv").read_text(encoding="utf-8")
    verdicts = {tuple(line.split("\t")[1:]) for line in text.splitlines()}
    assert verdicts == {
        ("allowed", "computes"),
        ("allowed", "makes rows"),
        ("allowed", "tells what there is"),
        ("allowed", "reads files, where they may be read"),
        ("refused", "runs SQL that enrich cannot see"),
        ("refused", "changes something"),
        ("refused", "reads raw memory"),
        ("refused", "tells secrets"),
        ("refused", "talks to another system"),
        ("refused", "waits"),
        ("refused", "opens a database"),
    }


def outside(root: Path) -> Path:
    """A file beside the project, and a link to it inside."""
    secret = root.parent / f"{root.name}-beside.csv"
    secret.write_text("id,name,note\n1,secret,x\n")
    (root / "link.csv").symlink_to(secret)
    return secret


def test_files_outside_the_project_are_not_read(tmp_path: Path, server: Rehearsal) -> None:
    """Neither by path, nor through a link, nor by a way round, nor from the web."""
    root = plants(tmp_path, server)
    secret = outside(root)
    for path in (secret, "link.csv", f"../{secret.name}", f"seeds/../../{secret.name}"):
        write(root, {"models/kinds.sql": f"SELECT * FROM '{path}'"})
        result = run(root)
        assert result.exit_code == 1
        assert "is outside the project" in result.stderr
        assert "external_access" in result.stderr
    write(root, {"models/kinds.sql": "SELECT * FROM 'https://example.invalid/x.csv'"})
    assert run(root).exit_code == 1
    write(root, {"models/kinds.sql": "SELECT * FROM 'seeds/plants.csv'"})
    assert run(root).exit_code == 0


@pytest.mark.parametrize("allowed", [True, "beside"])
def test_project_yml_can_allow_it(tmp_path: Path, server: Rehearsal, allowed: bool | str) -> None:
    """`external_access: true` for any file, or the files and folders by name."""
    root = plants(tmp_path, server)
    secret = outside(root)
    settings = json.loads((root / "project.yml").read_text())
    settings["external_access"] = allowed if allowed is True else [f"../{secret.name}"]
    write(root, {"project.yml": json.dumps(settings)})
    write(root, {"models/kinds.sql": f"SELECT * FROM '{secret}'"})
    assert run(root).exit_code == 0
    write(root, {"models/kinds.sql": f"SELECT * FROM '{root.parent}/other.csv'"})
    said = run(root).stderr
    assert ("is outside" in said) is (allowed is not True), said


def test_sql_is_the_users_own(tmp_path: Path, server: Rehearsal) -> None:
    """What is typed into `enrich sql` may read and write any file."""
    root = plants(tmp_path / "project", server)
    target = tmp_path / "out.csv"
    opened(root).sql(f"COPY (SELECT 1 AS one) TO '{target}'")
    assert opened(root).sql(f"SELECT one FROM '{target}'").rows == ((1,),)


MACROS = {
    "CREATE MACRO f(x) AS nextval(x)": "SELECT id, name, f('s') AS note FROM plants",
    "CREATE MACRO t() AS TABLE FROM query('SELECT 1')": "SELECT * FROM t()",
    "CREATE MACRO g(x) AS f(x); CREATE MACRO f(x) AS setval(x, 1)": "SELECT id, name, g('s') "
    "FROM plants",
}


@pytest.mark.parametrize("prepare", MACROS)
def test_a_macro_is_no_way_round(tmp_path: Path, server: Rehearsal, prepare: str) -> None:
    """What a macro of the user's own calls, the model calls."""
    if "setval" in prepare:
        needs_duckdb_2("DuckDB 1.5 has no setval()")
    root = plants(tmp_path, server)
    opened(root).sql("CREATE SEQUENCE s")
    for each in reversed(prepare.split("; ")):
        opened(root).sql(each)
    write(root, {"models/kinds.sql": MACROS[prepare]})
    result = run(root)
    assert result.exit_code == 1
    assert "macro " in result.stderr, result.stderr
    assert opened(root).sql("SELECT last_value FROM duckdb_sequences()").rows == ((None,),)


WAYS = {
    "template": ("{{ name }} {{ nextval('s') }}", ""),
    "template, spaced": ("{{ name }} {{ nextval\u200b('s') }}", ""),
    "template, commented": ("{{ name }} {{ nextval/**/('s') }}", ""),
    "check": ("{{ name }}", "CHECK (setval('s', 1) = 1)"),
    "check, spaced": ("{{ name }}", "CHECK (setval\u2060('s', 1) = 1)"),
    "two expressions": ("{{ name, id }}", ""),
    "closing": ("{{ name) FROM plants; DROP TABLE plants; SELECT (1 }}", ""),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_expression_is_judged_as_duckdb_reads_it(
    tmp_path: Path, server: Rehearsal, way: str
) -> None:
    """White space and comments that two parsers read differently open no door."""
    text, check = WAYS[way]
    root = plants(tmp_path, server)
    opened(root).sql("CREATE SEQUENCE s")
    prompt = f"---\nkey: id\noutput: line VARCHAR {check}\n---\nuser:\n{text}\n"
    write(root, {"models/kinds.prompt.md": prompt})
    result = run(root)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert opened(root).sql("SELECT last_value FROM duckdb_sequences()").rows == ((None,),)


@pytest.mark.parametrize(
    "macro",
    [
        "sha256(x) AS 'aaaa'",
        "to_json(x) AS '{}'",
        "Concat(x) AS 'x'",
        "unnest(x) AS TABLE SELECT 1",
    ],
)
def test_a_macro_cannot_change_enrichs_own_sql(
    tmp_path: Path, server: Rehearsal, macro: str
) -> None:
    """Called like a function of DuckDB, it would give three rows one answer: it is refused."""
    root = plants(tmp_path, server)
    opened(root).sql(f"CREATE MACRO {macro}")
    batches = len(server.batches)
    result = run(root)
    assert result.exit_code == 1
    assert "hides DuckDB's own function" in result.stderr
    assert "DROP MACRO" in result.stderr
    assert len(server.batches) == batches


LINKS = {
    "seeds": "a folder",
    "models": "a folder",
    "tests": "a folder",
    ".enrich": "a folder",
    "warehouse.duckdb": "a file",
    "ledger.duckdb": "a file",
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_out_of_the_project_grants_nothing(
    tmp_path: Path, server: Rehearsal, name: str
) -> None:
    """Unless `external_access` names where it leads: then it is meant."""
    root = plants(tmp_path / "project", server)
    target = tmp_path / "elsewhere" / name
    target.parent.mkdir()
    if (root / name).exists():
        (root / name).rename(target)
    elif LINKS[name] == "a folder":
        target.mkdir()
    (root / name).symlink_to(target)
    result = run(root)
    assert result.exit_code == 1
    assert f"{name} is a link that leads out of the project" in result.stderr
    assert "external_access" in result.stderr
    known = json.loads((root / "project.yml").read_text())
    where = target if target.exists() else target.parent
    write(root, {"project.yml": json.dumps(known | {"external_access": [str(where)]})})
    assert run(root).exit_code == 0
    (root / name).unlink()
    (root / name).symlink_to(root / name)
    assert run(root).exit_code == 1


def test_a_path_that_project_yml_puts_elsewhere_is_meant(tmp_path: Path, server: Rehearsal) -> None:
    root = plants(tmp_path / "project", server)
    known = json.loads((root / "project.yml").read_text())
    write(root, {"project.yml": json.dumps(known | {"warehouse": str(tmp_path / "w.duckdb")})})
    assert run(root).exit_code == 0


def test_a_picture_that_cannot_be_taken_costs_its_row(tmp_path: Path, server: Rehearsal) -> None:
    """A link in a circle, and one of 300 MB: errors of their rows, and the others are asked."""
    root = plants(tmp_path, server)
    (root / "loop.png").symlink_to(root / "loop.png")
    with (root / "huge.png").open("wb") as huge:
        huge.write(b"\x89PNG\r\n\x1a\n")
        huge.truncate(300_000_000)
    (root / "good.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    select = "SELECT unnest(['loop.png', 'huge.png', 'good.png']) AS id\n"
    prompt = "---\nkey: id\noutput: line VARCHAR\n---\nuser:\n![]({{ id }}) {{ id }}\n"
    write(root, {"models/kinds.sql": select, "models/kinds.prompt.md": prompt})
    assert run(root).exit_code == 3
    rows = dict(opened(root).sql("SELECT id, coalesce(error, outcome) FROM enrich.kinds").rows)
    assert rows["good.png"] == "ok"
    assert "more than a request may contain" in rows["huge.png"]
    assert "cannot be read" in rows["loop.png"]
