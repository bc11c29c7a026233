"""The docs: what can be named is named there, links lead somewhere, generated parts are true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path

import click
import pytest

from enrich import cli, errors
from enrich.compiler.tables import PROVENANCE_COLUMNS
from enrich.manifest.config import PROJECT_KEYS, RETRYABLE_OUTCOMES
from enrich.manifest.data_test_types import DATA_TEST_TYPES, DRIFTS
from enrich.manifest.families import FAMILIES
from enrich.manifest.prompt import PROMPT_KEYS
from enrich.providers.local import LOCAL_KEYS
from enrich.providers.openai import OPENAI_KEYS
from enrich.providers.opening import LIMIT_KEYS
from enrich.providers.ray.settings import RAY_KEYS
from enrich.rehearsal import Faults

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = (
    *(ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY")),
    *DOCS,
)
REFERENCE = "\n".join(path.read_text(encoding="utf-8") for path in DOCS)
COMMANDS = {
    **{name: each for name, each in cli.main.commands.items() if not isinstance(each, click.Group)},
    **{
        f"{group.name} {name}": each
        for group in cli.main.commands.values()
        if isinstance(group, click.Group)
        for name, each in group.commands.items()
    },
}
WORDS = (
    *(
        *PROJECT_KEYS,
        *PROMPT_KEYS,
        *OPENAI_KEYS,
        *LOCAL_KEYS,
        *RAY_KEYS,
        *LIMIT_KEYS,
        *PROVENANCE_COLUMNS,
        *RETRYABLE_OUTCOMES,
    ),
    *(*DATA_TEST_TYPES._fields, *DRIFTS._fields),
)
WIDEST = 120
"""Columns of a line of README."""


def named(path: Path) -> str:
    """A page as tests call it."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("word", sorted(set(WORDS)))
def test_every_setting_column_and_outcome_is_documented(word: str) -> None:
    """Each key of project.yml, prompts and providers, each column, test and outcome is in docs/."""
    assert f"`{word}`" in REFERENCE


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    """Each command with its options is in the page of commands, and its help has an example."""
    command = COMMANDS[name]
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## enrich {name}\n")[2].partition("\n## ")[0]
    assert section
    for option in command.params:
        if isinstance(option, click.Option):
            assert f"`{option.opts[0]}`" in (page if option.hidden else section), option.opts
    assert command.help
    assert re.search(r"Example:\s+enrich ", command.help)


def test_every_type_of_column_and_of_test_is_documented() -> None:
    """Each has its row in the reference, by the names that people write."""
    for name in DATA_TEST_TYPES._fields:
        assert f"| `{name}` |" in REFERENCE
    for name in DRIFTS._fields:
        assert f"`{name}`" in REFERENCE
    rows = re.search(r"^\| type \|.*?\n\n", REFERENCE, re.DOTALL | re.MULTILINE)
    assert rows
    for family in FAMILIES:
        for word in re.findall(r"[A-Z]{3,}", family.written):
            assert word in rows[0]


def test_every_fault_is_documented() -> None:
    """Each fault of a rehearsal is in docs/."""
    for field in fields(Faults):
        assert f"`{field.name}`" in REFERENCE


def test_every_error_is_documented() -> None:
    """Each class of the tree of errors is in docs/, and in the tree's drawing."""
    names = [name for name, kind in vars(errors).items() if isinstance(kind, type)]
    for name in (name for name in names if issubclass(getattr(errors, name), errors.EnrichError)):
        assert f"`{name}`" in REFERENCE
        assert name in (errors.__doc__ or "")


def test_generated_pages_are_as_the_code_is() -> None:
    """`scripts/write_reference.py` would change nothing."""
    script = ROOT / "scripts" / "write_reference.py"
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, str(script), "--check"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def without_code(text: str) -> str:
    """A page without its blocks and spans of code, which hold no links."""
    return re.sub(
        r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    )


@cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return frozenset(
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
    )


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link is a file of the repository, each anchor a heading."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.resolve()), target


@pytest.mark.parametrize("page", DOCS, ids=named)
def test_every_page_can_be_found(page: Path) -> None:
    """The start page links to every other one, and the site lists it."""
    start = ROOT / "docs" / "index.md"
    name = page.relative_to(start.parent).as_posix()
    site = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    assert page == start or f"]({name})" in start.read_text(encoding="utf-8")
    assert page == start or f'"{name.removesuffix(".md")}"' in site


def test_readme_is_one_page() -> None:
    """README can be read in two minutes: what is longer is in docs/."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > WIDEST] == []


def test_every_dependency_has_a_reason() -> None:
    """ARCHITECTURE.md says why each dependency is there."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    table = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Dependencies")[1]
    for requirement in (*project["dependencies"], *extras):
        name = re.match(r"[\w-]+", requirement)
        assert name
        assert f"| {name[0]} " in table, name[0]
