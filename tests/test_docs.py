"""The docs: whatever can be named is named there, and what they show runs."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from enrich import cli, errors
from enrich.compiler.tables import PROVENANCE
from enrich.manifest.config import KEYS, RETRYABLE
from enrich.manifest.prompt import KEYS as PROMPT_KEYS
from enrich.providers.local import LOCAL_KEYS
from enrich.providers.openai import OPENAI_KEYS
from enrich.providers.opening import LIMIT_KEYS
from enrich.rehearsal import Faults

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = {
    **{name: each for name, each in cli.main.commands.items() if not isinstance(each, click.Group)},
    **{
        f"{group.name} {name}": each
        for group in cli.main.commands.values()
        if isinstance(group, click.Group)
        for name, each in group.commands.items()
    },
}
WORDS = (*KEYS, *PROMPT_KEYS, *OPENAI_KEYS, *LOCAL_KEYS, *LIMIT_KEYS, *PROVENANCE, *RETRYABLE)


@pytest.mark.parametrize("word", sorted(set(WORDS)))
def test_every_setting_column_and_outcome_is_documented(word: str) -> None:
    """Each key of project.yml, prompts and providers, and each column, stands in the reference."""
    assert f"`{word}`" in REFERENCE


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    """Each command with its options stands in the reference, and its help has an example."""
    command = COMMANDS[name]
    assert f"| `{name}" in REFERENCE
    for option in command.params:
        if isinstance(option, click.Option):
            assert f"`{option.opts[0]}`" in REFERENCE, option.opts
    assert command.help
    assert re.search(r"Example:\s+enrich ", command.help)


def test_every_fault_is_documented() -> None:
    """Each fault of a rehearsal stands in the reference."""
    for field in fields(Faults):
        assert f"`{field.name}`" in REFERENCE


def test_every_error_is_documented() -> None:
    """Each class of the tree of errors stands in the reference, and in the tree's drawing."""
    names = [name for name, kind in vars(errors).items() if isinstance(kind, type)]
    for name in (name for name in names if issubclass(getattr(errors, name), errors.EnrichError)):
        assert name in REFERENCE
        assert name in (errors.__doc__ or "")


def test_links_lead_somewhere() -> None:
    """Each relative link of the docs is a file of the repository, each anchor a heading."""
    for page in (ROOT / "README.md", ROOT / "docs" / "reference.md", ROOT / "ARCHITECTURE.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in target or "{{" in target:
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path) if path else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


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
