"""dbt's words: what people type who come from there, and what CI reads afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from folders import opened, plants, write

from enrich.cli import main
from enrich.errors import ModelError, ProjectError
from enrich.manifest.model import parse_select
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

CHAIN = {
    "models/a.sql": "SELECT 1 AS id",
    "models/more/b.sql": "-- tags: late\nSELECT * FROM a",
    "models/more/c.sql": "-- tags: late\nSELECT * FROM b",
    "models/d.sql": "SELECT * FROM c",
}
SELECTED = {
    "a+": "a b c d",
    "a+1": "a b",
    "1+c": "b c",
    "2+d": "b c d",
    "1+b+1": "a b c",
    "path:models/more": "b c",
    "path:models/more/*": "b c",
    "tag:late,+b": "b",
    "tag:late,path:models": "b c",
    "a b": "a b",
    "a,b c": "c",
}


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    write(tmp_path, {"project.yml": "name: chain\nvars: {year: 1}\n", **CHAIN})
    return tmp_path


def enrich(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--project", str(root)])


@pytest.mark.parametrize("words", SELECTED)
def test_models_are_selected_as_in_dbt(chain: Path, words: str) -> None:
    found = opened(chain).select(words)
    assert " ".join(sorted(model.name for model in found)) == SELECTED[words]
    listed = enrich(chain, "ls", "-s", words, "--json")
    assert sorted(each["model"] for each in json.loads(listed.stdout)) == SELECTED[words].split()


def test_an_unknown_path_is_named(chain: Path) -> None:
    with pytest.raises(ProjectError, match="no model is in 'models/mor'"):
        opened(chain).select("path:models/mor")


def test_what_changed_is_selected(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        assert [model.name for model in opened(root).select("changed:")] == ["kinds"]
        assert [model.name for model in opened(root).select("changed:new")] == ["kinds"]
        opened(root).run("changed:")
        assert opened(root).select("changed:") == ()
        done = enrich(root, "build", "-s", "changed:")
        assert (done.exit_code, "nothing has changed" in done.stderr) == (0, True), done.output
        assert server.bill.requests.total() == 4


def test_a_dry_run_is_the_plan(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        dry, plan = (enrich(root, *words) for words in (["run", "--dry-run"], ["plan"]))
        assert (dry.exit_code, dry.stdout) == (0, plan.stdout)
        assert server.batches == []


@pytest.mark.parametrize("fast", [True, False])
def test_after_a_failure_no_other_is_begun_where_it_must_not(chain: Path, fast: bool) -> None:
    write(chain, {"models/a.sql": "SELECT nothing", "models/z.sql": "SELECT 1 AS id"})
    done = enrich(chain, "run", *(["--fail-fast"] if fast else []))
    assert done.exit_code == 1
    made = opened(chain).sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").rows
    assert made == (() if fast else (("z",),))


@pytest.mark.parametrize("fast", [True, False])
def test_a_table_that_is_held_back_is_a_failure(tmp_path: Path, fast: bool) -> None:
    """Nothing else of the command is begun then."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        prompt = (root / "models/kinds.prompt.md").read_text()
        more = prompt.replace("key: id", "key: id\ntests:\n  - {check: id > 1}")
        write(root, {"models/other.sql": "SELECT id FROM plants", "models/kinds.prompt.md": more})
        ask = "---\nkey: id\noutput: a VARCHAR\n---\nuser:\n{{ id }} {{ kind }}\n"
        write(root, {"models/next.sql": "SELECT id, kind FROM kinds", "models/next.prompt.md": ask})
        done = enrich(root, "run", *(["--fail-fast"] if fast else []))
        assert done.exit_code == (1 if fast else 3), done.output
        assert ("is held back: the test check_id_1 fails" in done.stderr) is fast
        assert server.bill.total == 4
        assert enrich(root, "status").exit_code == 3  # nothing waits for its turn


def test_variables_are_a_mapping(chain: Path) -> None:
    write(chain, {"models/a.sql": "SELECT $year AS id"})
    assert enrich(chain, "run", "a", "--vars", "{year: 1990}").exit_code == 0
    assert opened(chain).sql("SELECT * FROM a").rows == ((1990,),)
    for wrong in ("[1]", "{yaer: 1}", "{", "{year: !!binary aGk=}"):
        done = enrich(chain, "run", "a", "--vars", wrong)
        assert (done.exit_code, done.stderr[:6]) == (1, "error:"), done.output


def test_several_models_are_compiled(chain: Path) -> None:
    enrich(chain, "run")
    found = json.loads(enrich(chain, "compile", "a+1", "--json").stdout)
    assert list(found) == ["a", "b"]
    assert list(json.loads(enrich(chain, "compile", "a", "--json").stdout)) == ["sql"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1\nFROM {{ ref('movies') }}",
        "SELECT 1\nFROM {{ source('a', 'b') }}",
        "\n{{ config(materialized='table') }}\nSELECT 1",
        "SELECT 1\n{% if x %} WHERE y {% endif %}",
        "SELECT 1\n{# a note #} FROM",
    ],
)
def test_jinja_is_answered_in_one_sentence(sql: str) -> None:
    with pytest.raises(ModelError, match=r"a\.sql:2: .* is Jinja") as refused:
        parse_select(sql, "a.sql")
    assert "name the table itself" in refused.value.hint


def test_braces_in_a_text_are_no_jinja() -> None:
    assert parse_select("SELECT '{{ ref(1) }}' AS a", "a.sql").query


def test_a_log_and_the_results_are_kept_for_ci(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        done = enrich(root, "run")
        results = json.loads((root / ".enrich" / "run_results.json").read_text())
        assert (done.exit_code, results["command"], results["exit_code"]) == (0, "run", 0)
        assert results["models"][0]["outcomes"] == {"ok": 4}
        assert (results["tests"], results["problems"]) == ([], [])
        log = (root / ".enrich" / "enrich.log").read_text()
        assert "run: kinds: 4 rows: 4 to ask (4 new)" in log
        assert (root / ".enrich" / "enrich.log").stat().st_mode & 0o077 == 0
        write(root, {"models/kinds.sql": "SELECT nothing FROM plants"})
        enrich(root, "run")
        results = json.loads((root / ".enrich" / "run_results.json").read_text())
        assert results["exit_code"] == 1
        assert "nothing" in results["problems"][0]
