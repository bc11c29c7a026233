"""A folder that cannot be written: whatever only reads works, and nothing else begins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from folders import opened, plants, write
from test_lakes import CHANGED, SEED, copying

from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator

READING = {
    "list": 0,
    "graph": 0,
    "plan": 0,
    "status": 0,
    "compile kinds": 0,
    "failures kinds": 0,
    "history kinds --key 1": 0,
    "cost": 0,
    "debug": 0,
    "test": 0,
    "ledger check": 0,
    "ledger vacuum --dry-run": 0,
    "sql FROM\tkinds --json": 0,
}
WRITING = (
    "run",
    "seed",
    "cancel",
    "preview kinds",
    "compare kinds",
    "evaluate kinds --labels plants",
    "ledger import COPY --replace",
    "ledger vacuum",
    "sql CREATE\tTABLE\tx\tAS\tSELECT\t1",
)
UNPRIVILEGED = """
import ctypes, os, sys
if os.geteuid() == 0:  # permissions stop root only without these
    for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def unprivileged(*words: str) -> subprocess.CompletedProcess[str]:
    """A Python that permissions stop, also where root runs the tests."""
    command = [sys.executable, "-c", UNPRIVILEGED, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def permissions_stop_nobody() -> bool:
    """Whether a folder without the right to write can be written all the same."""
    if sys.platform == "win32":
        return True
    if sys.platform != "linux" and os.geteuid() == 0:
        return True
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o500)
        code = "import sys; open(sys.argv[1] + '/x', 'w')"
        return unprivileged("-c", code, folder).returncode == 0


pytestmark = pytest.mark.skipif(permissions_stop_nobody(), reason="permissions stop nobody here")


@pytest.fixture
def server() -> Iterator[Rehearsal]:
    with Rehearsal(api_key="sk-rehearsal-secret") as running:
        yield running


def sealed(root: Path, *, writable: bool = False) -> None:
    """Take away, or give back, the right to write to a folder and all that is in it."""
    for path in (root, *root.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | 0o200 if writable else mode & ~0o222)


def contents(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


SEVERAL = """
import json, sys
from click.testing import CliRunner
from enrich.cli import main
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(main, words)
    failed = done.exception is not None and not isinstance(done.exception, SystemExit)
    print(json.dumps([done.exit_code, done.stdout, done.stderr + "Traceback" * failed]))
"""


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def enrich(root: Path, copy: Path, *commands: str) -> list[Done]:
    """Several commands, one after another, in one process that permissions stop."""
    given = [
        [w.replace("\t", " ").replace("COPY", str(copy)) for w in words.split(" ")]
        for words in commands
    ]
    listed = json.dumps([["--project", str(root), *words] for words in given])
    done = unprivileged("-c", SEVERAL, listed)
    assert done.returncode == 0, done.stderr
    return [Done(*json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.few(0)
def test_reading_commands(tmp_path: Path, server: Rehearsal) -> None:
    """They show what they show elsewhere; not a byte changes, and nothing is asked or paid."""
    root = plants(tmp_path / "p", server)
    write(root, {"tests/any.sql": "SELECT id FROM kinds WHERE id < 0"})
    opened(root).run()
    opened(root).ledger_export(tmp_path / "copy")
    write(root, {"seeds/plants.csv": "id,name,note\n1,ash,\n5,elm,\n"})
    before, billed = contents(root), server.bill.total
    usual = opened(root).sql("FROM kinds").rows
    sealed(root)
    try:
        copy = tmp_path / "copy"
        for (words, code), done in zip(READING.items(), enrich(root, copy, *READING), strict=True):
            assert done.returncode == code, (words, done.stderr)
            if words.startswith("sql"):
                assert len(done.stdout.splitlines()) == len(usual)
            if words == "plan":
                assert "1 new" in done.stdout
        for words, done in zip(WRITING, enrich(root, copy, *WRITING), strict=True):
            assert (done.returncode, "Traceback" in done.stderr) == (1, False), words
            assert "cannot be written" in done.stderr or "read-only" in done.stderr, words
        (done,) = enrich(root, copy, "ledger export COPY2")
        assert (done.returncode, (tmp_path / "copy2").exists()) == (0, True)
    finally:
        sealed(root, writable=True)
    assert contents(root) == before
    assert server.bill.total == billed


def test_a_project_that_was_never_run(tmp_path: Path, server: Rehearsal) -> None:
    """Its plan is what it would be elsewhere."""
    root = plants(tmp_path / "p", server)
    names = {path.name for path in root.iterdir()}
    sealed(root)
    try:
        words = ("list", "graph", "plan", "status", "debug", "cost", "compile kinds", "run")
        *read, run = enrich(root, tmp_path, *words)
        for done in read:
            assert done.returncode == 0, (words, done.stderr)
        assert (run.returncode, "cannot be written" in run.stderr) == (1, True)
    finally:
        sealed(root, writable=True)
    assert {path.name for path in root.iterdir()} == names


@pytest.mark.few(0)
def test_batches_under_way_are_left_alone(tmp_path: Path, server: Rehearsal) -> None:
    """Who cannot keep an answer does not fetch it, and sends nothing that was planned."""
    root = plants(tmp_path / "p", server)
    opened(root).run(detach=True)
    sent, before = len(server.batches), contents(root)
    sealed(root)
    try:
        status, plan = enrich(root, tmp_path, "status", "plan")
        assert (status.returncode, "nothing is fetched" in status.stderr) == (4, True)
        assert plan.returncode == 0
    finally:
        sealed(root, writable=True)
    assert (len(server.batches), contents(root)) == (sent, before)
    opened(root).run()
    assert len(opened(root).sql("FROM kinds").rows) == 4


@pytest.mark.few(0)
def test_one_file_that_cannot_be_written(tmp_path: Path, server: Rehearsal) -> None:
    """Wrong permissions of the ledger or the warehouse alone: nothing is begun on a copy."""
    root = plants(tmp_path / "p", server)
    opened(root).run()
    for name in ("ledger.duckdb", "warehouse.duckdb"):
        (root / name).chmod(0o400)
        run, plan = enrich(root, tmp_path, "run --full-refresh", "plan")
        assert (run.returncode, "cannot be written" in run.stderr) == (1, True)
        assert plan.returncode == 0
        (root / name).chmod(0o000)
        for done in enrich(root, tmp_path, "run", "plan", "status", "ledger check"):
            if done.returncode:
                assert name in done.stderr or "cannot be written" in done.stderr
                assert "Traceback" not in done.stderr
        (root / name).chmod(0o600)
    assert server.bill.total == 4


def test_a_copy_that_was_made_read_only_is_replaced(tmp_path: Path) -> None:
    """It stays read-only, and nothing of the earlier one is left beside it."""
    root = copying(tmp_path, {"to": "out/trees", "partition_by": ["id"]})
    for seed in (SEED, CHANGED, SEED):
        write(root, {"seeds/plants.csv": seed})
        (done,) = enrich(root, tmp_path, "run")
        assert done.returncode == 0, done.stderr
        assert "rows copied to out/trees" in done.stderr
        for path in (root / "out/trees", *(root / "out/trees").glob("id=*")):
            path.chmod(0o555)
    assert [path.name for path in (root / "out").iterdir()] == ["trees"]
    assert (root / "out/trees").stat().st_mode & 0o777 == 0o555
    (root / "out/trees").chmod(0o755)
