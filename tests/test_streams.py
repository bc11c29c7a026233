"""Output: whatever stdout and stderr are, no command ends with a traceback, and its exit code says
whether it could be printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from folders import opened, plants, write

from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = (
    "list",
    "graph",
    "graph --mermaid",
    "plan --full-refresh",
    "run --json",
    "preview kinds -n 1",
    "compare kinds -n 1",
    "evaluate kinds --labels plants --column line=name",
    "failures kinds",
    "history kinds --key 1",
    "test",
    "compile kinds",
    "status",
    "status --json",
    "cost",
    "debug",
    "debug --json",
    "ledger check",
    "ledger check --json",
    "--help",
    "--version",
)
SQL = ("sql", "SELECT 'é 😀 ' || name AS name FROM kinds JOIN plants USING (id)")
SILENT = ("failures kinds",)
"""What prints nothing on stdout here."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project that was run; its names and rows are not ASCII."""
    with Rehearsal(api_key="sk-rehearsal-secret") as server:
        root = plants(tmp_path_factory.mktemp("projet é"), server)
        write(root, {"seeds/plants.csv": "id,name,note\n1,érable 😀,grand\n2,bouleau,été\n"})
        write(
            root,
            {
                "models/voilà.sql": "SELECT 1 AS a",
                "tests/t.sql": "-- severity: warn\nSELECT 'é' FROM kinds",
            },
        )
        (root / "models/voilà.sql").rename(root / "models/voila.sql")
        opened(root).run()
        yield root


def enrich(
    root: Path,
    words: tuple[str, ...],
    *,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    **environment: str,
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "enrich", "--project", str(root), *words]
    return subprocess.run(
        command,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, "COLUMNS": "120", **environment},
        check=False,
    )


@cache
def as_usual(root: Path, words: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
    return enrich(root, words)


def quiet(said: bytes) -> None:
    for word in (b"Traceback", b"Exception ignored", b"Error:"):
        assert word not in said, said.decode(errors="replace")


ALL = [*(tuple(c.split()) for c in COMMANDS), SQL]
EACH = pytest.mark.parametrize("words", ALL, ids=" ".join)
SOME = pytest.mark.parametrize("words", [*ALL[::4], *map(tuple, map(str.split, SILENT)), SQL])
"""All commands leave by one door: some of them stand for the others where that is tried."""


@EACH
@pytest.mark.few(2)
def test_ascii(root: Path, words: tuple[str, ...]) -> None:
    """Letters that are not there are written as JSON writes them, and JSON stays JSON."""
    usual = as_usual(root, words)
    done = enrich(root, words, PYTHONIOENCODING="ascii", LC_ALL="C")
    quiet(done.stderr)
    assert done.returncode == usual.returncode
    assert done.stdout.isascii()
    if "--json" in words:
        json.loads(done.stdout)


def test_json_says_the_same_in_ascii(root: Path) -> None:
    found = [
        [json.loads(line) for line in done.stdout.splitlines()]
        for done in (
            enrich(root, (*SQL, "--json")),
            enrich(root, (*SQL, "--json"), PYTHONIOENCODING="ascii"),
        )
    ]
    assert found[0] == found[1]
    assert "😀" in str(found[0])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@SOME
@pytest.mark.few(1)
def test_a_full_disk(root: Path, words: tuple[str, ...]) -> None:
    """What was to be printed is missing: an error, with its reason. Talk may be lost."""
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = enrich(root, words, stdout=full)
        quiet(done.stderr)
        if " ".join(words) in SILENT:
            assert done.returncode == 0
        else:
            assert done.returncode == 1
            assert b"error: the output cannot be written: No space left" in done.stderr
        usual = as_usual(root, words)
        done = enrich(root, words, stderr=full)
        assert done.returncode == usual.returncode
        if words[0] in ("list", "graph", "sql", "cost"):
            assert done.stdout == usual.stdout
    finally:
        os.close(full)


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@SOME
@pytest.mark.few(1)
def test_a_closed_pipe(root: Path, words: tuple[str, ...]) -> None:
    """Nobody reads: it ends with 1, and without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = enrich(root, words, stdout=writing)
        quiet(done.stderr)
        assert done.returncode == (0 if " ".join(words) in SILENT else 1)
        usual = as_usual(root, words)
        assert enrich(root, words, stderr=writing).returncode == usual.returncode
    finally:
        os.close(writing)


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
@pytest.mark.few(0)
def test_streams_that_are_not_there(root: Path) -> None:
    """Started without them, as a service may be."""
    enrich_ = f'"{sys.executable}" -m enrich --project "{root}"'
    for words, code in (("list >&-", 1), ("list 2>&-", 0), ("list >&- 2>&-", 1), ("list <&-", 0)):
        done = subprocess.run(["sh", "-c", f"{enrich_} {words}"], capture_output=True, check=False)
        quiet(done.stderr)
        assert done.returncode == code, words


@pytest.mark.few(0)
def test_a_run_that_nobody_hears_is_a_run(root: Path) -> None:
    """All that it did is kept."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        enrich(root, ("run", "--full-refresh"), stdout=writing, stderr=writing)
    finally:
        os.close(writing)
    assert enrich(root, ("run",)).returncode == 0
    assert len(opened(root).sql("FROM kinds").rows) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="bytes in names are Linux's")
def test_a_name_that_is_no_text(tmp_path: Path, root: Path) -> None:
    """A folder whose name is not UTF-8, there or not, is an error as any other."""
    there, absent = bytes(tmp_path) + b"/\xff", bytes(tmp_path) + b"/\xfe"
    Path(os.fsdecode(there)).symlink_to(root)
    for folder, named in ((absent, b"project.yml"), (there, b"UTF-8")):
        for environment in ({}, {"PYTHONIOENCODING": "ascii"}):
            done = subprocess.run(
                [sys.executable, "-m", "enrich", "--project", folder, "plan"],
                capture_output=True,
                env={**os.environ, **environment},
                check=False,
            )
            quiet(done.stderr)
            assert (done.returncode, named in done.stderr) == (1, True)
