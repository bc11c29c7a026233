"""docs/extending.md is done as it says: its diffs apply, mypy takes them, and their tests pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
Hunk = tuple[str, str, str]
"""The file of a change, its text before and after."""


def hunks(section: str) -> list[Hunk]:
    """The changes that a section of the page shows, in order."""
    found = []
    for block in re.findall(r"^```diff\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL):
        head, *changes = block.split("@@\n")
        for change in changes:
            lines = [(line[:1] or " ", line[1:]) for line in change.splitlines()]
            before, after = (
                "".join(f"{text}\n" for mark, text in lines if mark in (" ", side)) for side in "-+"
            )
            found.append((head.removeprefix("--- ").strip(), before, after))
    return found


def copy(root: Path, changes: list[Hunk]) -> Path:
    """A copy of the package and its tests with these changes, each at the one place it fits."""
    for folder in ("enrich", "tests", "scripts"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, root / folder, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", root)
    for file, before, after in changes:
        text = (root / file).read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{file}: {before}"
        (root / file).write_text(text.replace(before, after), encoding="utf-8")
    return root


def child(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What Python does in the copy, whose `enrich` it finds first."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def tried(root: Path, file: str, tests: str) -> subprocess.CompletedProcess[str]:
    """What came of some tests of a file in the copy."""
    options = ["-n", "0", "--thorough", "-p", "no:cacheprovider", "-k", tests]
    return child(root, "-m", "pytest", *options, f"tests/{file}")


def complaints(root: Path) -> str:
    """What mypy says of the copy's tables; it does not look at what they import."""
    files = [f"enrich/manifest/{name}.py" for name in ("column_type", "families", "settings")]
    files += [f"enrich/manifest/{name}.py" for name in ("data_test", "data_test_types")]
    files += ["enrich/manifest/variables.py", "enrich/db/quote.py", "enrich/errors.py"]
    options = ["--strict", "--follow-imports=skip", "--ignore-missing-imports", "--config-file="]
    return child(root, "-m", "mypy", *options, *files).stdout


@pytest.mark.parametrize(
    ("section", "file", "tests"),
    [
        ("An output type", "test_types.py", "INTERVAL or cannot_hold or every_type"),
        ("A type of data test", "test_audit.py", "each_kind_of_test"),
    ],
)
@pytest.mark.few(0)
def test_what_the_page_shows_works(section: str, file: str, tests: str, tmp_path: Path) -> None:
    """The diffs change one file of the product and one of its tests, which pass."""
    changes = hunks(section)
    assert len({path for path, _, _ in changes if path.startswith("enrich/")}) == 1
    assert {path for path, _, _ in changes if path.startswith("tests/")} == {f"tests/{file}"}
    root = copy(tmp_path, changes)
    assert complaints(root).startswith("Success")
    ran = tried(root, file, tests)
    assert ran.returncode == 0, ran.stdout
    # With the tests alone the same run fails, for it is the page's entry that they test.
    bare = copy(tmp_path / "bare", [change for change in changes if change[0] == f"tests/{file}"])
    ran = tried(bare, file, tests)
    assert ran.returncode == 1, ran.stdout


def test_editors_learn_of_a_new_test(tmp_path: Path) -> None:
    """The script that the page names writes the test's setting into their schema."""
    root = copy(tmp_path, hunks("A type of data test"))
    ran = child(root, "scripts/write_schemas.py")
    assert ran.returncode == 0, ran.stderr
    schema = root / "enrich" / "manifest" / "schemas" / "prompt.schema.json"
    assert '"not_constant"' in schema.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("section", "left_out", "said"),
    [
        ("An output type", "    interval: TypeFamily", 'Unexpected keyword argument "interval"'),
        (
            "An output type",
            "    interval=IntervalFamily(",
            'Missing positional argument "interval"',
        ),
        ("A type of data test", "    not_constant: ", 'Unexpected keyword argument "not_constant"'),
        ("A type of data test", "    not_constant=", 'Missing positional argument "not_constant"'),
    ],
)
def test_half_a_type_is_a_type_error(
    section: str, left_out: str, said: str, tmp_path: Path
) -> None:
    """An entry without its field, and a field without its entry."""
    changes = [change for change in hunks(section) if left_out not in change[2]]
    assert len(changes) == len(hunks(section)) - 1
    assert said in complaints(copy(tmp_path, changes))


@pytest.mark.parametrize(
    ("section", "line", "said"),
    [
        ("An output type", '        measure="value",\n', 'Missing named argument "measure"'),
        ("An output type", "        tokens=6,\n", 'Missing named argument "tokens"'),
        ("A type of data test", "    def render_failures(", "Cannot instantiate abstract class"),
        ("A type of data test", "    def parse(", 'expected "DataTestType"'),
        ("A type of data test", "    def render_schema(", 'expected "DataTestType"'),
    ],
)
def test_an_entry_that_says_too_little_is_a_type_error(
    section: str, line: str, said: str, tmp_path: Path
) -> None:
    """A field of the table that every type needs, a method that every test needs."""
    other = line.replace("def ", "def not_") if "def " in line else ""
    changes = [(file, old, new.replace(line, other)) for file, old, new in hunks(section)]
    assert changes != hunks(section)
    assert said in complaints(copy(tmp_path, changes))
