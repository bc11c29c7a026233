"""A folder that cannot be written: whatever only reads works, and nothing else begins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from folders import opened, plants, write

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
    if os.name != "posix" or (sys.platform != "linux" and os.geteuid() == 0):
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


def enrich(root: Path, words: str, copy: Path) -> subprocess.CompletedProcess[str]:
    given = [word.replace("\t", " ").replace("COPY", str(copy)) for word in words.split(" ")]
    return unprivileged("-m", "enrich", "--project", str(root), *given)


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
        for words, code in READING.items():
            done = enrich(root, words, tmp_path / "copy")
            assert done.returncode == code, (words, done.stderr)
            if words.startswith("sql"):
                assert len(done.stdout.splitlines()) == len(usual)
            if words == "plan":
                assert "1 new" in done.stdout
        for words in WRITING:
            done = enrich(root, words, tmp_path / "copy")
            assert (done.returncode, "Traceback" in done.stderr) == (1, False), words
            assert "cannot be written" in done.stderr or "read-only" in done.stderr, words
        done = enrich(root, "ledger export COPY2", tmp_path / "copy")
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
        for words in ("list", "graph", "plan", "status", "debug", "cost", "compile kinds"):
            done = enrich(root, words, tmp_path)
            assert done.returncode == 0, (words, done.stderr)
        done = enrich(root, "run", tmp_path)
        assert (done.returncode, "cannot be written" in done.stderr) == (1, True)
    finally:
        sealed(root, writable=True)
    assert {path.name for path in root.iterdir()} == names


def test_batches_under_way_are_left_alone(tmp_path: Path, server: Rehearsal) -> None:
    """Who cannot keep an answer does not fetch it, and sends nothing that was planned."""
    root = plants(tmp_path / "p", server)
    opened(root).run(detach=True)
    sent, before = len(server.batches), contents(root)
    sealed(root)
    try:
        done = enrich(root, "status", tmp_path)
        assert (done.returncode, "nothing is fetched" in done.stderr) == (4, True)
        assert enrich(root, "plan", tmp_path).returncode == 0
    finally:
        sealed(root, writable=True)
    assert (len(server.batches), contents(root)) == (sent, before)
    opened(root).run()
    assert len(opened(root).sql("FROM kinds").rows) == 4


def test_one_file_that_cannot_be_written(tmp_path: Path, server: Rehearsal) -> None:
    """Wrong permissions of the ledger or the warehouse alone: nothing is begun on a copy."""
    root = plants(tmp_path / "p", server)
    opened(root).run()
    for name in ("ledger.duckdb", "warehouse.duckdb"):
        (root / name).chmod(0o400)
        done = enrich(root, "run --full-refresh", tmp_path)
        assert (done.returncode, "cannot be written" in done.stderr) == (1, True)
        assert enrich(root, "plan", tmp_path).returncode == 0
        (root / name).chmod(0o000)
        for words in ("run", "plan", "status", "ledger check"):
            done = enrich(root, words, tmp_path)
            if done.returncode:
                assert name in done.stderr or "cannot be written" in done.stderr
                assert "Traceback" not in done.stderr
        (root / name).chmod(0o600)
    assert server.bill.total == 4
