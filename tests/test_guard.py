"""Security: a model is a SELECT and only a SELECT, and reads only what it may."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import duckdb
import pytest
from click.testing import CliRunner, Result
from folders import opened, plants, write

from enrich.cli import main
from enrich.guard import REFUSED
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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


@pytest.mark.parametrize("name", REFUSED)
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


HARMLESS = {
    *("current_connection_id", "current_query", "current_query_id", "current_transaction_id"),
    *("currval", "error", "gen_random_uuid", "random", "setseed", "stats", "uuid", "uuidv4"),
    *("uuidv7", "vector_type"),
    *("generate_series", "glob", "icu_calendar_names", "json_each", "json_tree", "parquet_scan"),
    *("pg_timezone_names", "range", "repeat", "repeat_row", "sniff_csv", "summary"),
    *("test_all_types", "test_vector_types", "unnest"),
}
READING = ("duckdb_", "read_", "parquet_", "pragma_")


def test_every_function_of_this_duckdb_is_known() -> None:
    """A new DuckDB may bring new functions that write: each is refused, or known to be harmless."""
    with duckdb.connect() as connection:
        names = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE internal "
            "AND (function_type = 'table' OR has_side_effects OR stability = 'VOLATILE')"
        ).fetchall()
    unknown = {
        name
        for (name,) in names
        if name not in REFUSED and name not in HARMLESS and not name.startswith(READING)
    }
    assert unknown == set()


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
        assert "lies outside the project" in result.stderr
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
    assert ("lies outside" in said) is (allowed is not True), said


def test_sql_is_the_users_own(tmp_path: Path, server: Rehearsal) -> None:
    """What is typed into `enrich sql` may read and write any file."""
    root = plants(tmp_path / "project", server)
    target = tmp_path / "out.csv"
    opened(root).sql(f"COPY (SELECT 1 AS one) TO '{target}'")
    assert opened(root).sql(f"SELECT one FROM '{target}'").rows == ((1,),)
