"""Copies of the ledger: checked, exported and imported whole, or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from click.testing import CliRunner
from folders import PROMPT, Ears, opened, plants, settings, write

from enrich import cli
from enrich.db.migration import read_migrations
from enrich.errors import (
    Damaged,
    DatabaseError,
    DiskError,
    EnrichError,
    Locked,
    ProjectError,
)
from enrich.ledger.export import read_manifest
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = {
    "h": "170141183460469231731687303715884105727::HUGEINT",
    "u": "340282366920938463463374607431768211455::UHUGEINT",
    "t": "TIMESTAMP_NS '2024-01-05 10:00:00.123456789'",
    "s": "TIMESTAMP_S '2024-01-05 10:00:00'",
    "z": "TIMESTAMPTZ '2024-01-05 10:00:00+02'",
    "tz": "TIMETZ '10:00:00+02'",
    "i": "INTERVAL 14 MONTHS",
    "e": "'it''s'::ENUM('it''s', 'b')",
    "b": "'\\xAA'::BLOB",
    "bits": "'0101'::BIT",
    "d": "1.50::DECIMAL(38, 2)",
    "g": "uuid()",
    "day": "DATE '2024-01-05'",
    "text": "'a, \"b\"'",
}


@pytest.fixture
def server() -> Iterator[Rehearsal]:
    faults = Faults(http_500=0.3, dropped=0.2, malformed=0.2)
    with Rehearsal(api_key="sk-rehearsal-secret", faults=faults) as running:
        yield running


def tables(root: Path) -> dict[str, list[Any]]:
    """Every row of every table of a ledger."""
    with duckdb.connect(str(root / "ledger.duckdb"), read_only=True) as connection:
        names = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL"
        ).fetchall()
        return {
            f"{schema}.{name}": connection.execute(f'FROM "{schema}"."{name}"').fetchall()
            for schema, name in names
        }


def run(*words: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def test_a_round_trip_is_equal_and_asks_nothing(tmp_path: Path, server: Rehearsal) -> None:
    """Every table is as it was, the warehouse can be deleted, and nothing is paid twice."""
    root = plants(tmp_path / "p", server)
    many = "id,name,note\n" + "".join(f"{n},tree {n},\n" for n in range(60))
    write(root, {"seeds/plants.csv": many})
    opened(root).preview("kinds", limit=2)
    opened(root).run()
    made = opened(root).ledger_export(tmp_path / "copies" / "one")
    before, billed = tables(root), server.bill.total
    assert made.rows == sum(len(rows) for rows in before.values())
    for name in ("ledger.duckdb", "warehouse.duckdb"):
        (root / name).unlink()
    assert opened(root).ledger_import(tmp_path / "copies" / "one") is None
    assert tables(root) == before
    opened(root).run()
    assert server.bill.total == billed
    assert not any(part.faults for part in opened(root).ledger_check())


def test_any_key_survives(tmp_path: Path, server: Rehearsal) -> None:
    """Also what Parquet has no type for."""
    columns = ", ".join(f"{value} AS {name}" for name, value in KEYS.items())
    root = plants(tmp_path, server)
    write(root, {"models/kinds.sql": f"SELECT {columns}, 'ash' AS name, NULL AS note"})
    keys = ", ".join(KEYS)
    write(root, {"models/kinds.prompt.md": PROMPT.replace("key: id", f"key: [{keys}]")})
    opened(root).run()
    kinds = "SELECT typeof(key), CAST(key AS VARCHAR) FROM inputs.kinds"
    found = []
    for again in (False, True):
        if again:
            opened(root).ledger_export(tmp_path / "copy")
            opened(root).ledger_import(tmp_path / "copy", replace=True)
        with duckdb.connect(str(root / "ledger.duckdb"), read_only=True) as connection:
            found.append(connection.execute(kinds).fetchall())
    assert found[0] == found[1]
    assert len(found[0]) == 1


def test_any_duckdb_reads_an_export(tmp_path: Path, server: Rehearsal) -> None:
    """It is Parquet, and nobody else's to read; no key of a provider is in it."""
    root = plants(tmp_path / "p", server)
    opened(root).run()
    folder = tmp_path / "copy"
    code, _, said = run("--project", root, "ledger", "export", folder)
    assert (code, "exported" in said) == (0, True)
    with duckdb.connect() as connection:
        query = f"SELECT count(*) FROM '{folder}/responses.parquet'"
        rows = connection.execute(query).fetchall()
    assert rows[0][0] >= 4
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
        assert path.is_dir() or b"sk-rehearsal" not in path.read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["tables"]["responses"]["rows"] == rows[0][0]


def test_a_folder_that_is_there_is_not_written_into(tmp_path: Path, server: Rehearsal) -> None:
    root = plants(tmp_path / "p", server)
    with pytest.raises(ProjectError, match="there is no ledger"):
        opened(root).ledger_export(tmp_path / "copy")
    opened(root).run()
    write(tmp_path / "full", {"mine.txt": "x"})
    write(tmp_path, {"file": "x"})
    for name in ("full", "file"):
        with pytest.raises(DiskError, match="already exists"):
            opened(root).ledger_export(tmp_path / name)
    (tmp_path / "empty").mkdir()
    opened(root).ledger_export(tmp_path / "empty")
    with pytest.raises(DiskError, match="cannot be written"):
        opened(root).ledger_export(tmp_path / "file" / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full", "p"]


KILLED = """
import os, signal, sys
from enrich import Project
from enrich.ledger import export, restore
from pathlib import Path
left = int(sys.argv[1])
def step(function):
    def counted(*words, **more):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*words, **more)
    return counted
for name in ("describe_file", "sync_to_disk", "_remove_folder"):
    setattr(export, name, step(getattr(export, name)))
for name in ("describe_file", "sync_to_disk", "_give_second_name", "_fill_tables"):
    setattr(restore, name, step(getattr(restore, name)))
for name in ("rename", "replace", "unlink", "write_text"):
    setattr(Path, name, step(getattr(Path, name)))
getattr(Project(sys.argv[2]), sys.argv[3])(sys.argv[4], **eval(sys.argv[5]))
"""


def killed(root: Path, method: str, folder: Path, more: str) -> Iterator[int]:
    """Do something again and again, each time killed three steps later; gives each step."""
    if sys.platform == "win32":
        pytest.skip("needs SIGKILL")
    for step in range(0, 200, 3):
        command = [sys.executable, "-c", KILLED, str(step), str(root), method, str(folder), more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        yield step
        if done.returncode == 0:
            return
    raise AssertionError("it never came to its end")


@pytest.mark.few(0)
def test_an_export_that_is_killed_is_not_there(tmp_path: Path, server: Rehearsal) -> None:
    """Before its last step there is no folder, after it a whole one; the next one clears up."""
    root = plants(tmp_path / "p", server)
    opened(root).run()
    folder, steps = tmp_path / "copy", 0
    for step in killed(root, "ledger_export", folder, "{}"):
        steps = step
        if folder.exists():
            read_manifest(folder)
            assert opened(tmp_path / "p").ledger_import(folder, replace=True)
            break
    assert steps > 20
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.few(0)
def test_an_import_that_is_killed_leaves_a_ledger(tmp_path: Path, server: Rehearsal) -> None:
    """The old one or the new one, at every step: an empty one would pay for everything again."""
    root = plants(tmp_path / "p", server)
    opened(root).run()
    folder = tmp_path / "copy"
    opened(root).ledger_export(folder)
    before = tables(root)
    for _ in killed(root, "ledger_import", folder, "{'replace': True}"):
        assert tables(root) == before
    asides = [path for path in root.iterdir() if path.name.startswith("ledger.duckdb.2")]
    assert asides
    billed = server.bill.total
    opened(root).run()
    assert server.bill.total == billed


@pytest.mark.few(0)
def test_a_ledger_that_holds_answers_is_replaced_only_if_asked(
    tmp_path: Path, server: Rehearsal
) -> None:
    """And then it is kept beside the new one, whole."""
    root = plants(tmp_path / "p", server)
    opened(root).run()
    opened(root).ledger_export(tmp_path / "copy")
    opened(root).run(full_refresh=True)
    after = tables(root)
    with pytest.raises(ProjectError, match="is not replaced") as refused:
        opened(root).ledger_import(tmp_path / "copy")
    assert "--replace" in refused.value.hint
    code, _, said = run("--project", root, "ledger", "import", tmp_path / "copy", "--replace")
    aside = next(path for path in root.iterdir() if path.name.startswith("ledger.duckdb.2"))
    assert (code, aside.name in said, "may be asked again" in said) == (0, True, True)
    assert tables(root) != after
    aside.replace(root / "ledger.duckdb")
    assert tables(root) == after


@pytest.mark.parametrize(
    "damage", ["manifest", "cut", "json", "less", "missing", "flip", "swap", "newer"]
)
@pytest.mark.few(3)
def test_an_export_that_is_not_whole_is_refused(
    tmp_path: Path, server: Rehearsal, damage: str
) -> None:
    """In one sentence that names the file; the ledger stays as it is."""
    root = plants(tmp_path / "p", server)
    opened(root).run()
    folder = tmp_path / "copy"
    opened(root).ledger_export(folder)
    before = tables(root)
    manifest, file = folder / "manifest.json", folder / "responses.parquet"
    if damage == "manifest":
        manifest.unlink()
    elif damage == "cut":
        manifest.write_bytes(manifest.read_bytes()[:-40])
    elif damage == "json":
        manifest.write_text('{"format": 1, "tables": [1]}')
    elif damage == "less":
        said = json.loads(manifest.read_text())
        del said["tables"]["responses"]
        manifest.write_text(json.dumps(said))
    elif damage == "missing":
        file.unlink()
    elif damage == "flip":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "swap":
        file.write_bytes((folder / "requests.parquet").read_bytes())
    else:
        manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(DiskError) as refused:
        opened(root).ledger_import(folder, replace=True)
    names = {"newer": "newer enrich", "less": "does not name responses"}
    names |= dict.fromkeys(("manifest", "cut", "json"), "manifest.json")
    assert names.get(damage, "responses.parquet") in refused.value.message
    assert tables(root) == before
    assert not list(root.glob("ledger.duckdb.*"))


def test_check_says_what_belongs_to_nothing(tmp_path: Path, server: Rehearsal) -> None:
    root = plants(tmp_path, server)
    opened(root).run()
    assert run("--project", root, "ledger", "check")[0] == 0
    with duckdb.connect(str(root / "ledger.duckdb")) as connection:
        connection.execute("DELETE FROM runs")
        connection.execute("DELETE FROM requests WHERE rowid = 0")
    code, out, said = run("--project", root, "ledger", "check")
    assert code == 1
    assert "belong to no run" in out
    assert "belong to no request" in out
    assert str(root / "ledger.duckdb") in said
    code, out, _ = run("--project", root, "ledger", "check", "--json")
    assert (code, {each["table"] for each in json.loads(out)} >= {"runs", "inputs.kinds"}) == (
        1,
        True,
    )


@pytest.mark.parametrize(
    ("table", "column", "told"),
    [("requests", "tail", "lack a value"), ("responses", "content", "left out")],
)
@pytest.mark.few(0)
def test_what_can_be_read_is_copied(tmp_path: Path, table: str, column: str, told: str) -> None:
    """Of a damaged table all but the rows near the damage; an answer is worth more than the words
    of its request. What is lost is said, and nothing else is asked again."""
    rows = 30_000
    with Rehearsal(api_key="sk-rehearsal-secret") as server:
        root = plants(tmp_path / "p", server)
        many = "id,name,note\n" + "".join(f"{n},tree {n},\n" for n in range(rows))
        write(root, {"seeds/plants.csv": many})
        opened(root).run()
        path = root / "ledger.duckdb"
        found = f"""SELECT max(block_id) FROM pragma_storage_info('{table}')
            WHERE column_name = '{column}' AND segment_type = 'VARCHAR'"""
        with duckdb.connect(str(path), read_only=True) as connection:
            (block,) = connection.execute(found).fetchall()[0]
        content = bytearray(path.read_bytes())
        content[12288 + 262144 * int(block) + 3000] ^= 1
        path.write_bytes(content)
        with pytest.raises(Damaged, match=r"ledger\.duckdb is damaged"):
            opened(root).ledger_export(tmp_path / "copy")
        code, out, said = run("--project", root, "ledger", "check")
        assert (code, "cannot be read" in out, "--skip-damaged" in said) == (1, True, True)
        salvage = ("ledger", "export", tmp_path / "copy", "--skip-damaged")
        code, _, said = run("--project", root, *salvage)
        assert (code, told in said) == (3, True)
        opened(root).ledger_import(tmp_path / "copy", replace=True)
        kept = len(tables(root)["main.responses"])
        assert kept == rows if table == "requests" else 0 < kept < rows
        billed = server.bill.total
        opened(root).run()
        assert server.bill.total - billed == rows - kept


def test_a_ledger_of_an_earlier_enrich_is_checked_and_copied(
    tmp_path: Path, server: Rehearsal
) -> None:
    """What it lacks is no damage."""
    root = plants(tmp_path / "p", server)
    opened(root).run()
    with duckdb.connect(str(root / "ledger.duckdb")) as connection:
        connection.execute("ALTER TABLE runs DROP COLUMN stopped")
        connection.execute("DROP TABLE unused_files")
    assert not any(part.faults for part in opened(root).ledger_check())
    opened(root).ledger_export(tmp_path / "copy")
    opened(root).ledger_import(tmp_path / "copy", replace=True)
    billed = server.bill.total
    opened(root).run()
    assert server.bill.total == billed


def test_a_ledger_of_a_newer_enrich_is_left_as_it_is(tmp_path: Path, server: Rehearsal) -> None:
    """Whatever only reads refuses it as well: it may mean something else by then."""
    root = plants(tmp_path / "p", server)
    opened(root).run()
    with duckdb.connect(str(root / "ledger.duckdb")) as connection:
        connection.execute("UPDATE identity SET version = version + 1")
    before = (root / "ledger.duckdb").read_bytes()
    for method in ("run", "status", "plan", "ledger_check", "cost"):
        with pytest.raises(DatabaseError, match="was written by a newer enrich"):
            getattr(opened(root), method)()
    with pytest.raises(DatabaseError, match="was written by a newer enrich"):
        opened(root).sql("FROM kinds")
    assert (root / "ledger.duckdb").read_bytes() == before


def test_a_ledger_without_a_version_is_migrated_once(tmp_path: Path, server: Rehearsal) -> None:
    root = plants(tmp_path / "p", server)
    (first,) = opened(root).run()
    billed = server.bill.total
    with duckdb.connect(str(root / "ledger.duckdb")) as connection:
        connection.execute("ALTER TABLE identity DROP COLUMN version")
    (state,) = opened(root).run()
    with duckdb.connect(str(root / "ledger.duckdb"), read_only=True) as connection:
        found = connection.execute("SELECT version FROM identity").fetchall()
    assert (state.ok, server.bill.total) == (first.ok, billed)
    assert found == [(max(read_migrations()),)]


def test_a_ledger_of_long_ago_is_migrated_with_its_answers(
    tmp_path: Path, server: Rehearsal
) -> None:
    """Columns and tables that came later are made, and their figures counted; nothing is asked."""
    root = plants(tmp_path / "p", server)
    (first,) = opened(root).run()
    billed = server.bill.total
    later = {
        "identity": ("version",),
        "batches": ("part", "output_tokens", "input_tokens", "cost", "outcomes", "read_number"),
        "runs": ("stopped", "held", "limits", "invocation", "since"),
        "prompts": ("params", "variables"),
        "requests": ("bytes",),
    }
    with duckdb.connect(str(root / "ledger.duckdb")) as connection:
        query = "SELECT sum(input_tokens) FROM batches"
        tokens = connection.execute(query).fetchall()
        for table, columns in later.items():
            for column in columns:
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        for table in ("unused_files", "waiting", "evaluations"):
            connection.execute(f"DROP TABLE {table}")
    assert opened(root).run()[0].ok == first.ok
    assert server.bill.total == billed
    with duckdb.connect(str(root / "ledger.duckdb"), read_only=True) as connection:
        assert connection.execute(query).fetchall() == tokens


def test_a_held_ledger_is_waited_for(tmp_path: Path, server: Rehearsal) -> None:
    root = plants(tmp_path / "p", server)
    opened(root).run()
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"
    command = [sys.executable, "-c", code, str(root / "ledger.duckdb")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        project = opened(root)
        object.__setattr__(project.files, "lock_timeout", 0.0)
        for method in (project.ledger_check, lambda: project.ledger_export(tmp_path / "copy")):
            with pytest.raises(Locked):
                method()
        holder.communicate("\n")
    assert not (tmp_path / "copy").exists()


def backed_up(root: Path, server: Rehearsal, **said: Any) -> None:
    config = json.loads(settings(server))
    write(root, {"project.yml": json.dumps(config | {"backup": {"to": "copies", **said}})})


@pytest.mark.few(0)
def test_a_backup_after_each_run_that_changed_something(tmp_path: Path, server: Rehearsal) -> None:
    """Below the project, as many as are to be kept; one that cannot be made is said."""
    root = plants(tmp_path, server)
    backed_up(root, server, keep=2)
    opened(root).run()
    opened(root).run()
    opened(root).run()
    assert len(list((root / "copies").iterdir())) <= 2
    last = opened(root).ledger_export(tmp_path / "last")
    newest = sorted((root / "copies").iterdir())[-1]
    assert read_manifest(newest).state == last.state
    before = {path.name for path in (root / "copies").iterdir()}
    opened(root).status()
    assert {path.name for path in (root / "copies").iterdir()} == before
    for _ in range(3):
        opened(root).run(full_refresh=True)
    assert len(list((root / "copies").iterdir())) == 2
    write(root, {"project.yml": settings(server)[:-1] + ', "backup": "project.yml/x"}'})
    ears = Ears()
    opened(root, ears).run(full_refresh=True)
    assert any("could not be backed up" in sentence for sentence in ears.said)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("3", "must name a folder"),
        ("{to: x, kep: 2}", "'kep'"),
        ("{to: x, keep: -1}", "must have a whole number"),
    ],
)
def test_a_wrong_backup_is_refused(tmp_path: Path, said: str, named: str) -> None:
    write(tmp_path, {"project.yml": f"backup: {said}\n"})
    with pytest.raises(ProjectError, match=named):
        opened(tmp_path)


@pytest.mark.few(0)
def test_debug_says_how_old_the_last_export_is(tmp_path: Path, server: Rehearsal) -> None:
    def exported() -> Any:
        return next((f for f in opened(root).debug() if f.what == "export"), None)

    root = plants(tmp_path / "p", server)
    assert exported() is None
    opened(root).run()
    assert (exported().verdict, "only copy" in exported().detail) == ("warn", True)
    opened(root).ledger_export(tmp_path / "copy")
    assert exported().verdict == "ok"
    assert "0 minutes old; the ledger has not changed since" in exported().detail
    opened(root).run(full_refresh=True)
    assert "the ledger has changed since" in exported().detail
    (tmp_path / "copy" / "manifest.json").unlink()
    assert exported().verdict == "warn"
    backed_up(root, server)
    opened(root).run(full_refresh=True)
    assert "copies" in exported().detail


def test_no_error_is_a_traceback(tmp_path: Path, server: Rehearsal) -> None:
    """Whatever stands where an export should be."""
    root = plants(tmp_path / "p", server)
    opened(root).run()
    write(tmp_path, {"text": "x", "folder/manifest.json": "[]", "odd/manifest.json/x": ""})
    for name in ("text", "folder", "odd", "absent"):
        with pytest.raises(EnrichError):
            opened(root).ledger_import(tmp_path / name, replace=True)


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_ledger_that_is_a_link_stays_one(tmp_path: Path, server: Rehearsal) -> None:
    root = plants(tmp_path / "p", server)
    allowed = {"external_access": [str(tmp_path)]}
    write(root, {"project.yml": json.dumps(json.loads(settings(server)) | allowed)})
    (tmp_path / "far").mkdir()
    (root / "ledger.duckdb").symlink_to(tmp_path / "far" / "ledger.duckdb")
    opened(root).run()
    before = tables(root)
    opened(root).ledger_export(tmp_path / "copy")
    opened(root).ledger_import(tmp_path / "copy", replace=True)
    assert (root / "ledger.duckdb").is_symlink()
    assert tables(root) == before
    assert len(list((tmp_path / "far").iterdir())) == 2
