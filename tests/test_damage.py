"""Damaged files: every message names the file and the way out, and nothing is made worse."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from shutil import copytree, rmtree
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from click.testing import CliRunner
from folders import needs_duckdb_2, opened, plants, settings, write

from enrich import cli
from enrich.errors import Damaged, DatabaseError, EnrichError
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from enrich.project import Project

FIRST, BLOCK = 12_288, 262_144
"""Where the blocks of a DuckDB file begin, and how long they are."""
COMMANDS: tuple[Callable[[Project], Any], ...] = (
    lambda project: project.status(),
    lambda project: project.plan(full_refresh=True),
    lambda project: project.failures("kinds"),
    lambda project: project.history("kinds", "1"),
    lambda project: project.cost(),
    lambda project: project.sql("FROM kinds"),
    lambda project: project.sql("SELECT count(tail) FROM ledger.requests"),
    lambda project: project.run(full_refresh=True),
)
RUN: Callable[[Project], Any] = lambda project: project.run()  # noqa: E731
WAY = {"ledger": "enrich ledger import", "warehouse": "move the warehouse away"}


@pytest.fixture
def server() -> Iterator[Rehearsal]:
    with Rehearsal(api_key="sk-rehearsal-secret") as running:
        yield running


def ran(root: Path, server: Rehearsal) -> Path:
    plants(root, server)
    opened(root).run()
    return root


def checked(problem: EnrichError, path: Path) -> None:
    """The message names this file and no other, and the hint the way out for it."""
    name = path.stem
    other = "warehouse.duckdb" if name == "ledger" else "ledger.duckdb"
    assert path.name in problem.message
    assert other not in problem.message
    assert WAY[name] in problem.hint
    for word in ("checksum", "block", "Corrupt", "enrich sql runs"):
        assert word not in problem.message + problem.hint


@pytest.mark.parametrize("name", ["ledger", "warehouse"])
@pytest.mark.few(0)
def test_a_bit_that_flips_anywhere(tmp_path: Path, server: Rehearsal, name: str) -> None:
    """In each header and each block: a command does what it does, or names the file and what to
    do; `ledger check` finds whatever stops any of them."""
    root = ran(tmp_path / "p", server)
    size = (root / f"{name}.duckdb").stat().st_size
    dice = random.Random(7)
    places = [0, 8, 12, 20, 100, 4096, 4104, 4120, 8192, 8200, 8216]
    # Of every second block its checksum, or a byte of what that is over, in turn.
    blocks = enumerate(range(FIRST, size, 2 * BLOCK))
    places += [block + (3 if number % 2 else dice.randrange(8, BLOCK)) for number, block in blocks]
    copy, found = tmp_path / "copy", 0
    for place in places:
        rmtree(copy, ignore_errors=True)
        copytree(root, copy)
        path = copy / f"{name}.duckdb"
        content = bytearray(path.read_bytes())
        content[place] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
        clean = True
        try:
            clean = not any(part.faults for part in opened(copy).ledger_check())
        except Damaged as problem:
            checked(problem, path)
            clean = False
        assert clean or name == "ledger"
        for command in COMMANDS:
            try:
                command(opened(copy))
            except EnrichError as problem:
                checked(problem, path)
                found += 1
                assert name == "warehouse" or not clean, (place, COMMANDS.index(command))
                break
    assert found > len(places) // 4


def broken(path: Path, how: str, other: Path) -> None:
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("id,name\n1,ash\n" * 1000)
    elif how == "short text":
        path.write_text("x")
    elif how == "zeros":
        path.write_bytes(bytes(len(content)))
    elif how == "half":
        path.write_bytes(content[: len(content) // 2])
    elif how == "header":
        path.write_bytes(content[:5000])
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "log":
        path.with_name(f"{path.name}.wal").write_bytes(b"not a log" * 100)
    else:
        path.with_name(f"{path.name}.wal").write_bytes(other.read_bytes())


@pytest.mark.parametrize("name", ["ledger", "warehouse"])
@pytest.mark.parametrize(
    "how",
    ["empty", "text", "short text", "zeros", "half", "header", "folder", "log", "other log"],
)
@pytest.mark.few(6)
def test_something_else_in_its_place(
    tmp_path: Path, server: Rehearsal, how: str, name: str
) -> None:
    """Refused by its name, never taken for a new one, and left as it is; nothing is asked."""
    root = ran(tmp_path / "p", server)
    path = root / f"{name}.duckdb"
    code = (
        "import duckdb, os, sys\n"
        "c = duckdb.connect(sys.argv[1])\n"
        "c.execute('CREATE TABLE other AS SELECT 1 AS a')\n"
        "os._exit(0)"
    )
    another = tmp_path / "another.duckdb"
    subprocess.run([sys.executable, "-c", code, str(another)], check=True)
    broken(path, how, another.with_name("another.duckdb.wal"))
    before = path.read_bytes() if path.is_file() else None
    billed, told = server.bill.total, 0
    for command in (*COMMANDS[:-1], RUN):
        try:
            command(opened(root))
        except EnrichError as problem:
            assert path.name in problem.message
            assert "enrich sql runs" not in problem.hint
            told += 1
            if how != "folder":
                checked(problem, path)
    assert server.bill.total == billed
    assert told or how in ("log", "half")
    if told and how != "half":  # what is left of a half may be enough for a command that writes
        assert (path.read_bytes() if path.is_file() else None) == before


def test_the_way_out_is_a_way_out(tmp_path: Path, server: Rehearsal) -> None:
    """A damaged warehouse is moved away, a damaged ledger imported: nothing is asked again."""
    root = ran(tmp_path / "p", server)
    opened(root).ledger_export(tmp_path / "copy")
    billed = server.bill.total
    rows = opened(root).sql("FROM kinds ORDER BY id").rows
    for name in ("warehouse", "ledger"):
        path = root / f"{name}.duckdb"
        path.write_bytes(path.read_bytes()[:100_000])
        with pytest.raises(Damaged) as damaged:
            opened(root).run()
        checked(damaged.value, path)
        if name == "warehouse":
            path.replace(root / "moved")
        else:
            opened(root).ledger_import(tmp_path / "copy", replace=True)
        opened(root).run()
        assert opened(root).sql("FROM kinds ORDER BY id").rows == rows
    assert server.bill.total == billed


def test_debug_and_check_name_it(tmp_path: Path, server: Rehearsal) -> None:
    root = ran(tmp_path, server)
    path = root / "ledger.duckdb"
    path.write_bytes(path.read_bytes()[:5000])
    finding = next(each for each in opened(root).debug() if each.what == "ledger")
    assert (finding.verdict, path.name in finding.detail) == ("fail", True)
    for words in (("ledger", "check"), ("debug",), ("status",), ("run",)):
        result = CliRunner().invoke(cli.main, ["--project", str(root), *words])
        assert (result.exit_code, "enrich ledger import" in result.output) == (1, True)


@pytest.mark.skipif(os.name != "posix", reason="a mode is POSIX's")
def test_modes_follow_the_umask(tmp_path: Path, server: Rehearsal) -> None:
    """The warehouse is for whom the umask says, the ledger is nobody else's, whichever comes
    first."""
    before = os.umask(0o027)
    try:
        root = plants(tmp_path / "seeded", server)
        opened(root).seed()
        other = plants(tmp_path / "run", server)
        opened(other).cost()
        for each in (root, other):
            opened(each).run()
            assert (each / "warehouse.duckdb").stat().st_mode & 0o777 == 0o640
            assert (each / "ledger.duckdb").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("warehouse.duckdb", "v1.5.0"),
        ({"path": "data.duckdb"}, "v1.5.0"),
        ({"storage_version": 1.2}, "v1.2.0"),
        ({"storage_version": "v1.4.1"}, "v1.4.0"),
        ({"storage_version": "latest"}, "v2.0.0"),
    ],
)
@pytest.mark.few(2)
def test_older_programs_open_the_warehouse(
    tmp_path: Path, server: Rehearsal, said: Any, version: str
) -> None:
    """It is made for DuckDB 1.5, or as project.yml says, and stays so however often it is
    written."""
    if version == "v2.0.0":
        needs_duckdb_2("the storage version v2.0.0 is that of DuckDB 2")
    root = plants(tmp_path, server)
    text = settings(server)[:-1] + f', "warehouse": {duckdb_json(said)}}}'
    write(root, {"project.yml": text})
    for _ in range(2):
        opened(root).run(full_refresh=True)
    found = opened(root).sql("SELECT tags FROM duckdb_databases() WHERE database_name='warehouse'")
    assert found.rows[0][0]["storage_version"] == f"{version}+"
    path = next(path for path in root.glob("*.duckdb") if path.name != "ledger.duckdb")
    if version != "v2.0.0":  # DuckDB 1.5 reads the versions 64 to 68
        assert int.from_bytes(path.read_bytes()[12:20], "little") <= 68


def duckdb_json(value: Any) -> str:
    import json

    return json.dumps(value)


def test_a_warehouse_that_is_there_stays_as_it_is(tmp_path: Path, server: Rehearsal) -> None:
    root = plants(tmp_path, server)
    tags = "SELECT tags FROM duckdb_databases() WHERE database_name = 'warehouse'"
    with duckdb.connect(str(root / "warehouse.duckdb")) as other:
        made = other.execute(tags).fetchone()
    opened(root).run()
    assert made is not None
    assert opened(root).sql(tags).rows[0][0]["storage_version"] == made[0]["storage_version"]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("{storage: v1.5.0}", "'storage'"),
        ("{storage_version: new}", "'new'"),
        ("{storage_version: v9.9.9}", "'v9.9.9'"),
    ],
)
def test_an_unknown_storage_version_is_refused(tmp_path: Path, said: str, named: str) -> None:
    write(tmp_path, {"project.yml": f"warehouse: {said}\n", "seeds/a.csv": "a\n1\n"})
    with pytest.raises(EnrichError, match=named) as refused:
        opened(tmp_path).seed()
    assert "project.yml" in refused.value.message
    assert not isinstance(refused.value, Damaged)
    assert not list(tmp_path.glob("warehouse.duckdb*"))


def test_an_attached_database_that_is_damaged(tmp_path: Path, server: Rehearsal) -> None:
    """It is the user's own: it is named, and nothing is said of ledgers and warehouses."""
    root = plants(tmp_path, server)
    write(root, {"shop.duckdb": "no database", "models/kinds.sql": "SELECT 1 AS id FROM shop.t"})
    write(root, {"project.yml": settings(server)[:-1] + ', "attach": {"shop": "shop.duckdb"}}'})
    with pytest.raises(DatabaseError, match="shop") as refused:
        opened(root).run()
    assert "ledger" not in refused.value.hint
