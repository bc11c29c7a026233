"""Install the wheel of a folder into a fresh environment, and use it as a newcomer would.

    python scripts/smoke_wheel.py dist

The environment has nothing of the repository in it, so a file that the wheel lacks is noticed. The
run goes to the rehearsal server that the wheel brings: it needs no key and no network.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

REHEARSED = """
import os, subprocess, sys
from enrich.rehearsal import Rehearsal
with Rehearsal() as server:
    there = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "any"}
    sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, **there}).returncode)
"""
"""Runs a command with the Batch API played beside it."""


def installed(wheel: Path, folder: Path) -> Path:
    """The folder of the programs of a new environment that holds the wheel."""
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    subprocess.run([programs / "python", *pip], check=True)
    return programs


def smoke(programs: Path, folder: Path) -> None:
    """A new project is made, listed, planned and run; raises where a command fails."""
    for words in (
        ["--version"],
        ["init", "."],
        ["init", "clusters", "--example", "clusters"],
        ["list"],
        ["plan", "--provider", "openai"],
        ["run", "--provider", "openai"],
        ["sql", "SELECT * FROM tickets_triage"],
    ):
        print("$ enrich", *words, flush=True)
        rehearsed = [str(programs / "python"), "-c", REHEARSED, str(programs / "enrich"), *words]
        subprocess.run(rehearsed, cwd=folder, check=True)


def main() -> None:
    """Smoke-test the one wheel of the folder that is named."""
    (wheel,) = Path(sys.argv[1]).resolve().glob("*.whl")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        root = Path(name)
        (root / "project").mkdir()
        smoke(installed(wheel, root / "environment"), root / "project")
    print(f"{wheel.name} works")


if __name__ == "__main__":
    main()
