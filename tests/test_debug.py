"""Debug: says what would go wrong, before it does; and never a secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import PROMPT, opened, plants, write

from enrich import cli
from enrich.rehearsal import Quirks, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path


def found(root: Path) -> dict[str, Any]:
    return {each.what: each for each in opened(root).debug()}


def test_all_is_well(tmp_path: Path) -> None:
    """Versions, files, models, the provider and its llm; nothing is sent or billed."""
    with Rehearsal(api_key="sk-rehearsal-secret") as server:
        root = plants(tmp_path, server)
        result = CliRunner().invoke(cli.main, ["--project", str(root), "debug", "--json"])
        assert result.exit_code == 0, result.stdout
        whats = {each["what"]: each["verdict"] for each in json.loads(result.stdout)}
        for what in ("python", "duckdb", "project.yml", "warehouse", "ledger", "models"):
            assert whats[what] == "ok"
        assert whats["provider api"] == whats["model kinds"] == "ok"
        assert (server.bill.total, server.batches) == (0, [])


def test_providers(tmp_path: Path) -> None:
    """A wrong key, an llm that is not there, a server that is down; the key is never shown."""
    with Rehearsal(api_key="another") as server:
        root = plants(tmp_path, server)
        wrong = found(root)["provider api"]
        assert (wrong.verdict, "sk-rehearsal-secret" in str(wrong)) == ("fail", False)
    down = found(root)["provider api"]
    assert down.verdict == "fail"
    assert "cannot be reached" in down.detail
    with Rehearsal(unknown_llms=["gpt-4o-mini"]) as server:
        plants(root, server)
        none = found(root)["provider api"]
        assert (none.verdict, none.detail) == ("fail", "has no llm 'gpt-4o-mini'")


def test_models_that_cannot_run(tmp_path: Path) -> None:
    """Each by its name, with its file: a wrong column, a model that others come before."""
    with Rehearsal(quirks=Quirks()) as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                "models/after.sql": "SELECT * FROM kinds\n",
                "models/wrong.sql": "SELECT nothing FROM plants\n",
                "models/asking.sql": "SELECT id, name FROM plants\n",
                "models/asking.prompt.md": PROMPT,
            },
        )
        findings = found(root)
        assert findings["model kinds"].verdict == "ok"
        assert findings["model after"].verdict == "warn"
        assert findings["model after"].hint == "enrich run +after"
        assert findings["model wrong"].verdict == "fail"
        assert "models/wrong.sql" in findings["model wrong"].detail
        assert "models/asking.prompt.md" in findings["model asking"].detail
        write(root, {"models/asking.prompt.md": "nothing\n"})
        findings = found(root)
        assert findings["model asking"].verdict == "fail"
        assert findings["model kinds"].verdict == "ok"
        result = CliRunner().invoke(cli.main, ["--project", str(root), "debug"])
        assert (result.exit_code, "asking.prompt.md" in result.stdout) == (1, True)


@pytest.mark.skipif(os.name != "posix", reason="locks are the system's")
def test_a_held_warehouse(tmp_path: Path) -> None:
    """Who holds it is named, and nothing waits for it."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        command = [sys.executable, "-c", code, str(root / "warehouse.duckdb")]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            finding = found(root)["warehouse"]
            assert (finding.verdict, str(holder.pid) in finding.detail) == ("warn", True)
            holder.communicate("\n")
        assert found(root)["warehouse"].verdict == "ok"


def test_a_broken_project_is_an_error_below_the_versions(tmp_path: Path) -> None:
    """What is known is shown all the same."""
    write(tmp_path, {"project.yml": "budgt: 5\n"})
    result = CliRunner().invoke(cli.main, ["--project", str(tmp_path), "debug"])
    assert result.exit_code == 1
    assert "duckdb" in result.stdout
    assert "did you mean 'budget'" in result.stderr


def test_a_circle_fails_and_the_rest_is_checked(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/a.sql": "FROM b", "models/b.sql": "FROM a"})
        found = list(opened(root).debug())
        (circle,) = [each for each in found if each.verdict == "fail"]
        assert "in a circle" in circle.detail
        assert any(each.what == "provider api" and each.verdict == "ok" for each in found)
