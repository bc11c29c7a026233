"""The repository's own files: workflows, forms and notes of releases agree with the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import release_notes
import yaml

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SYSTEMS = {"ubuntu-latest", "macos-latest", "windows-latest"}
FILES = sorted(GITHUB.rglob("*.yml"))
FORMS = ("bug.yml", "feature.yml")


def loaded(path: Path) -> dict[str, Any]:
    """A YAML file, which must be a mapping."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def jobs(name: str) -> dict[str, Any]:
    """The jobs of a workflow."""
    found: dict[str, Any] = loaded(GITHUB / "workflows" / name)["jobs"]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_yaml(path: Path) -> None:
    """What GitHub reads can be read."""
    assert loaded(path)


def test_every_version_of_python_is_tested() -> None:
    """The matrix holds the versions that the package names, from the one it requires on."""
    named = [word.rpartition(" ")[2] for word in PROJECT["classifiers"] if "Python :: 3." in word]
    matrix = jobs("ci.yml")["test"]["strategy"]["matrix"]
    assert matrix["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"
    assert set(matrix["os"]) == SYSTEMS


def test_the_wheel_is_tried_everywhere() -> None:
    """It is built, installed and used on each system, and before each release."""
    assert set(jobs("ci.yml")["wheel"]["strategy"]["matrix"]["os"]) == SYSTEMS
    for job in (jobs("ci.yml")["wheel"], jobs("release.yml")["build"]):
        runs = [step.get("run", "") for step in job["steps"]]
        assert "uv build" in runs
        assert any("scripts/smoke_wheel.py dist" in run for run in runs)


def test_a_release_follows_its_checks() -> None:
    """The tag is checked first; PyPI trusts the workflow without a token, and GitHub comes last."""
    found = jobs("release.yml")
    assert any(
        "scripts/release_notes.py" in step.get("run", "") for step in found["build"]["steps"]
    )
    assert (found["pypi"]["needs"], found["github"]["needs"]) == ("build", "pypi")
    assert found["pypi"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in (GITHUB / "workflows" / "release.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_workflows_run_scripts_that_are_there(name: str) -> None:
    """Each script that a workflow names is in the repository."""
    text = (GITHUB / "workflows" / name).read_text(encoding="utf-8")
    for script in re.findall(r"scripts/\w+\.py", text):
        assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("name", FORMS)
def test_a_form_asks_each_question_once(name: str) -> None:
    """A form has what GitHub demands of one, and warns of keys."""
    path = GITHUB / "ISSUE_TEMPLATE" / name
    form = loaded(path)
    assert {"name", "description", "body"} <= form.keys()
    questions = [part for part in form["body"] if part["type"] != "markdown"]
    ids = [question["id"] for question in questions]
    assert len(set(ids)) == len(ids)
    assert all(question["attributes"] for question in questions)
    assert "API keys" in path.read_text(encoding="utf-8")


def test_the_form_for_bugs_asks_for_versions_and_findings() -> None:
    """What `enrich --version` and `enrich debug` print is asked for."""
    text = (GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text(encoding="utf-8")
    assert "`enrich --version`" in text
    assert "`enrich debug`" in text


def test_the_notes_of_a_release_are_its_section() -> None:
    """From the heading of the version to the next one."""
    log = "# Changelog\n\n## 2.0 - soon\n\n* New.\n\n### Fixed\n\n* Old.\n\n## 1.0\n\n* First.\n"
    assert release_notes.notes("v2.0", version="2.0", changelog=log) == (
        "* New.\n\n### Fixed\n\n* Old.\n"
    )
    assert release_notes.notes("v1.0", version="1.0", changelog=log) == "* First.\n"


@pytest.mark.parametrize(
    ("tag", "words"), [("v1.1", "the tag is v1.1"), ("v3.0", "CHANGELOG.md says nothing of 3.0")]
)
def test_a_release_that_does_not_fit_is_refused(tag: str, words: str) -> None:
    """Another tag than the version, and a version without a section."""
    version = "1.0" if tag == "v1.1" else "3.0"
    with pytest.raises(ValueError, match=words):
        release_notes.notes(tag, version=version, changelog="# Changelog\n\n## 1.0\n\n* First.\n")


def test_this_version_has_notes() -> None:
    """CHANGELOG.md has a section for the version of the package."""
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = PROJECT["version"]
    assert release_notes.notes(f"v{version}", version=version, changelog=log)


def test_the_lock_of_the_environment_names_no_index() -> None:
    """It pins whatever pyproject.toml asks for, by name and version alone."""
    lines = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+( ; .+)?", line) for line in pinned)
    names = {line.partition("==")[0] for line in pinned}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"]]
    for group in project["dependency-groups"].values():
        wanted += [word for word in group if not word.startswith("enrich[")]
    for word in wanted:
        assert re.split(r"[\[>=<;]", word)[0].lower() in names, word
