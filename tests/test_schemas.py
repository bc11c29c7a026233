"""The schemas for editors: they know what the code knows, and refuse what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import write_schemas
import yaml
from folders import write
from jsonschema import Draft202012Validator

from enrich.errors import EnrichError
from enrich.manifest import config, prompt
from enrich.manifest.data_test_types import DATA_TEST_TYPES
from enrich.manifest.declared_tests import ITEM_SETTINGS
from enrich.providers import anthropic, gemini, local, mistral, openai, opening, registry
from enrich.providers.ray.settings import RAY_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent
PROJECTS = sorted(
    [
        ROOT / "project.yml",
        ROOT / "enrich" / "manifest" / "starter" / "project.yml",
        *ROOT.glob("enrich/manifest/recipes/*/project.yml"),
        *ROOT.glob("examples/*/project.yml"),
        *ROOT.glob("golden/*/project.yml"),
    ]
)
PROMPTS = sorted(
    [
        *ROOT.glob("models/*.prompt.md"),
        *ROOT.glob("enrich/manifest/starter/models/*.prompt.md"),
        *ROOT.glob("enrich/manifest/recipes/*/models/*.prompt.md"),
        *ROOT.glob("examples/*/models/*.prompt.md"),
        *ROOT.glob("golden/*/*.prompt.md"),
    ]
)
WHOLE = {"key": "id", "output": "summary VARCHAR"}
BODY = "\n---\nuser:\n{{ text }} as JSON\n"


def shown(path: Path) -> str:
    """A file as a test is called by it."""
    return path.relative_to(ROOT).as_posix()


def schema(name: str) -> dict[str, Any]:
    """A schema as the package has it."""
    path = ROOT / "enrich" / "manifest" / "schemas" / f"{name}.schema.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


VALIDATORS = {name: Draft202012Validator(schema(name)) for name in ("project", "prompt")}


def fits(name: str, value: object) -> bool:
    """Whether a schema takes this."""
    return VALIDATORS[name].is_valid(value)


def parts(value: object) -> Iterator[Mapping[str, Any]]:
    """Every mapping in a schema."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from parts(each)


@pytest.mark.parametrize("name", VALIDATORS)
def test_a_schema_is_one_and_is_up_to_date(name: str) -> None:
    """It is a schema of the draft that it names, and what the script writes today."""
    Draft202012Validator.check_schema(schema(name))
    assert write_schemas.schemas()[f"{name}.schema.json"] == schema(name)


def test_every_key_is_known_and_no_other() -> None:
    """The keys of each mapping are those that the code reads by."""
    project, front = schema("project"), schema("prompt")
    assert set(project["properties"]) == set(config.PROJECT_KEYS)
    assert set(front["properties"]) == set(prompt.PROMPT_KEYS)
    common = {"type", *opening.LIMIT_KEYS}
    own = {
        "local": local.LOCAL_KEYS,
        "openai": openai.OPENAI_KEYS,
        "anthropic": anthropic.ANTHROPIC_KEYS,
        "mistral": mistral.MISTRAL_KEYS,
        "gemini": gemini.GEMINI_KEYS,
        "ray": RAY_KEYS,
    }
    assert set(project["$defs"]) == set(own) <= set(registry.BUILT_IN)
    for name, keys in own.items():
        assert set(project["$defs"][name]["properties"]) == {*common, *keys}
    kinds = {*DATA_TEST_TYPES._fields, *ITEM_SETTINGS}
    assert any(set(part.get("properties", ())) == kinds for part in parts(front))


@pytest.mark.parametrize("name", VALIDATORS)
def test_every_key_has_a_sentence(name: str) -> None:
    """An editor shows one sentence for each key."""
    for key, value in schema(name)["properties"].items():
        assert value["description"].endswith("."), key
        assert "\n" not in value["description"], key


@pytest.mark.parametrize("path", PROJECTS, ids=shown)
def test_a_good_project_fits(path: Path) -> None:
    """Every project.yml of the repository is one."""
    errors = VALIDATORS["project"].iter_errors(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert [error.message for error in errors] == []


@pytest.mark.parametrize("path", PROMPTS, ids=shown)
def test_a_good_prompt_fits(path: Path) -> None:
    """The front matter of every prompt of the repository is one."""
    front = path.read_text(encoding="utf-8").split("---\n")[1]
    errors = VALIDATORS["prompt"].iter_errors(yaml.safe_load(front))
    assert [error.message for error in errors] == []


def project_is_read(root: Path, settings: object) -> bool:
    """Whether the code takes this project.yml, its providers included."""
    write(root, {"project.yml": json.dumps(settings)})
    try:
        found = config.Config.from_folder(root)
        for name, own in found.providers.items():
            registry.open_provider(name, own, root=root, work=root, environment={})
    except EnrichError:
        return False
    return True


def prompt_is_read(settings: object) -> bool:
    """Whether the code takes this front matter."""
    try:
        prompt.Prompt.parse(f"---\n{json.dumps(settings)}{BODY}", source="a.prompt.md", values={})
    except EnrichError:
        return False
    return True


@pytest.mark.parametrize(
    "settings",
    [
        {"provder": "local"},
        {"name": True},
        {"max_attempts": 0},
        {"max_attempts": "three"},
        {"max_attempts": 2.5},
        {"retry": ["eror"]},
        {"retry": "ok"},
        {"lock_timeout": -1},
        {"lock_timeout": "long"},
        {"budget": {"week": 5}},
        {"budget": -1},
        {"budget": "five"},
        {"params": [1]},
        {"params": "temperature"},
        {"tests": []},
        {"tests": {"path": "tests"}},
        {"warehouse": {"file": "a.duckdb"}},
        {"warehouse": {"storage_version": "newest"}},
        {"seeds": {"folder": "seeds"}},
        {"seeds": {"tables": {"movies": ";"}}},
        {"vars": {"a-b": 1}},
        {"vars": [1]},
        {"attach": {"shop": {"path": "a", "type": "oracle"}}},
        {"attach": {"shop": {"type": "duckdb"}}},
        {"attach": {"a b": "a.duckdb"}},
        {"sources": {"a": {"path": "a.csv", "delim": ";"}}},
        {"sources": {"a": {"path": "a.xyz", "format": "xyz"}}},
        {"sources": {"a": {"format": "csv"}}},
        {"publish": {"format": "csv"}},
        {"publish": {"to": "out", "formt": "csv"}},
        {"publish": {"to": "out", "format": "xml"}},
        {"publish": ["out"]},
        {"attach": {"lake": {"path": "a", "type": "ducklake", "data_path": 7}}},
        {"backup": {"keep": 3}},
        {"backup": {"to": "a", "keep": -1}},
        {"backup": {"to": "a", "days": 3}},
        {"backup": 7},
        {"providers": ["openai"]},
        {"providers": {"openai": "gpt-4o"}},
        {"providers": {"openai": {"lllm": "gpt-4o"}}},
        {"providers": {"mine": {"type": "openai", "slots": 4}}},
        {"providers": {"mine": {"slots": 4}}},
        {"providers": {"local": {"llm": "gpt-4o"}}},
        {"providers": {"mine": {"type": "local", "slots": "four"}}},
        {"providers": {"openai": {"prices": {"a": {"input": 1}}}}},
        {"providers": {"openai": {"batch_discount": 2}}},
        {"providers": {"openai": {"timeout": "long"}}},
        {"providers": {"openai": {"headers": "X-Team: a"}}},
        {"providers": {"openai": {"max_requests": 0}}},
    ],
    ids=json.dumps,
)
def test_a_bad_project_is_refused_by_both(settings: object, tmp_path: Path) -> None:
    """What the code refuses, an editor underlines."""
    assert not project_is_read(tmp_path, settings)
    assert not fits("project", settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"name": 2024, "max_attempts": None, "retry": [], "params": None},
        {"budget": {"run": 5, "model": 2.5, "month": 100}, "tests": ["tests", "checks"]},
        {"warehouse": {"path": "a.duckdb", "storage_version": 1.5}, "memory_limit": "1GB"},
        {"warehouse": {"storage_version": "v1.2.0"}, "external_access": False},
        {"seeds": {"path": "s", "tables": {"m": {"delim": ";", "types": {"id": "VARCHAR"}}}}},
        {"vars": {"year": 1990, "names": ["a"], "deep": {"a": 1}, "none": None}},
        {"attach": {"shop": "a.duckdb", "crm": {"path": "${CRM}"}}},
        {"attach": {"lake": {"path": "a", "type": "ducklake", "data_path": "b"}}},
        {"publish": "out"},
        {"publish": False},
        {"publish": {"to": "s3://a/b", "format": "parquet", "partition_by": ["c"]}},
        {"sources": {"a": "a/*.csv", "b": ["a.csv"], "c": {"path": "x", "format": "csv"}}},
        {"backup": {"to": "a", "keep": 0}},
        {
            "providers": {
                "local": None,
                "azure": {"azure_endpoint": "https://a.example", "llm": "x"},
            }
        },
        {"providers": {"mine": {"type": "local", "slots": 2, "max_batches": 1}}},
        {"providers": {"a": {"prices": {"x": "gpt-4o", "y": {"input": 1, "output": 2}}}}},
    ],
    ids=json.dumps,
)
def test_a_good_project_is_taken_by_both(settings: object, tmp_path: Path) -> None:
    """What the code reads, an editor does not underline."""
    assert project_is_read(tmp_path, settings)
    assert fits("project", settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"output": "summary VARCHAR"},
        {"key": "id"},
        {"key": "id", "output": ""},
        WHOLE | {"keys": "id"},
        WHOLE | {"key": []},
        WHOLE | {"key": {"a": 1}},
        WHOLE | {"endpoint": "/v1/audio"},
        WHOLE | {"response_format": "xml"},
        WHOLE | {"params": {"messages": []}},
        WHOLE | {"params": 1},
        WHOLE | {"on_change": "never"},
        WHOLE | {"on_change": {"sample": 0}},
        WHOLE | {"on_change": None},
        WHOLE | {"retry": ["lost"]},
        WHOLE | {"max_attempts": "3"},
        WHOLE | {"budget": {"model": 1}},
        WHOLE | {"tags": {"a": 1}},
        WHOLE | {"description": ["a"]},
        WHOLE | {"tests": 5},
        WHOLE | {"tests": [{"uniqe": "summary"}]},
        WHOLE | {"tests": [{"unique": "summary", "not_null": "summary"}]},
        WHOLE | {"tests": [{"severity": "warn"}]},
        WHOLE | {"tests": [{"min_ok": 98}]},
        WHOLE | {"tests": [{"min_ok": 0.9, "severity": "info"}]},
        WHOLE | {"tests": [{"relationships": {"id": "movies"}}]},
        WHOLE | {"tests": [{"relationships": {}}]},
        WHOLE | {"tests": [{"accepted_values": {"summary": "a"}}]},
        WHOLE | {"tests": [{"drift": {"moved": 0.1}}]},
        WHOLE | {"tests": [{"drift": {"changed": 2}}]},
        WHOLE | {"tests": [{"min_ok": 1, "name": "not a name"}]},
    ],
    ids=json.dumps,
)
def test_a_bad_prompt_is_refused_by_both(settings: object) -> None:
    """What the code refuses, an editor underlines."""
    assert not prompt_is_read(settings)
    assert not fits("prompt", settings)


@pytest.mark.parametrize(
    "settings",
    [
        WHOLE,
        WHOLE | {"key": ["id", "day"], "tags": "a", "params": None, "llm": None},
        WHOLE | {"on_change": {"sample": 5}, "retry": [], "budget": 1.5},
        WHOLE | {"endpoint": "/v1/responses", "response_format": "json_object"},
        WHOLE
        | {"tests": ["len(summary) < 5", {"check": "id > 0", "name": "n", "severity": "warn"}]},
        WHOLE | {"tests": {"unique": ["id", "summary"], "min_ok": 1}},
        WHOLE | {"tests": [{"drift": {"changed": 0.1, "lost": 1}}, {"not_null": "summary"}]},
        WHOLE | {"tests": [{"relationships": {"id": "crm.main.movies.id"}}]},
    ],
    ids=json.dumps,
)
def test_a_good_prompt_is_taken_by_both(settings: object) -> None:
    """What the code reads, an editor does not underline."""
    assert prompt_is_read(settings)
    assert fits("prompt", settings)
