"""One model's fault stops that model and what depends on it, and names it; the others are run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from folders import opened, plants, write

from enrich.cli import main
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def enrich(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--project", str(root), *words])


GOOD = "---\nkey: id\noutput: mood VARCHAR NOT NULL\n---\nuser:\n{{ name }}?\n"
FAULTS: dict[str, tuple[dict[str, str], str]] = {
    "unknown column": (
        {"models/bad.sql": "SELECT id, nmae AS name FROM plants\n"},
        "models/bad.sql:1",
    ),
    "unknown table": ({"models/bad.sql": "SELECT * FROM plnats\n"}, "models/bad.sql:1"),
    "unparsable": ({"models/bad.sql": "SELECT id,\n FORM plants WHERE\n"}, "models/bad.sql:2"),
    "two statements": ({"models/bad.sql": "SELECT 1; SELECT 2\n"}, "models/bad.sql: it contains 2"),
    "front matter": ({"models/bad.prompt.md": "key: id\n"}, "models/bad.prompt.md"),
    "unknown key": (
        {"models/bad.prompt.md": GOOD.replace("key: id", "key: idd")},
        "did you mean 'id'",
    ),
    "key is not unique": ({"models/bad.sql": "SELECT 1 AS id, name FROM plants\n"}, "not unique"),
    "template": ({"models/bad.prompt.md": GOOD.replace("name", "nmae")}, "models/bad.prompt.md:6"),
    "provider": (
        {"models/bad.prompt.md": GOOD.replace("key: id", "key: id\nprovider: apx")},
        "apx",
    ),
    "no eyes": (
        {
            "models/bad.prompt.md": GOOD.replace("key: id", "key: id\nprovider: local").replace(
                "{{ name }}?", "![]({{ name }})"
            )
        },
        "bad failed: ",
    ),
    "prompt alone": ({"models/lonely.prompt.md": GOOD}, "there is no lonely.sql"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.few(2)
def test_one_fault_stops_one_model(tmp_path: Path, fault: str) -> None:
    """`run` and `plan` go on with the others, say which it is, and end with 1."""
    files, words = FAULTS[fault]
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        text = (
            (root / "project.yml")
            .read_text()
            .replace('"providers": {', '"providers": {"local": {}, ')
        )
        write(
            root,
            {
                "project.yml": text,
                "models/bad.sql": "SELECT id, name FROM plants\n",
                "models/bad.prompt.md": GOOD,
                "models/after.sql": "SELECT * FROM bad\n",
                **files,
            },
        )
        planned = enrich(root, "plan")
        code = 0 if fault == "no eyes" else 1  # a plan may be made before there are any
        assert (planned.exit_code, "kinds" in planned.stdout) == (code, True), planned.output
        found = enrich(root, "run")
        assert found.exit_code == 1, found.output
        assert words in found.output, found.output
        assert "Traceback" not in found.output
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((4,),)
        if fault != "prompt alone":
            views = opened(root).sql(
                "SELECT view_name FROM duckdb_views() WHERE view_name = 'after'"
            )
            assert len(views) == 0
        assert enrich(root, "run", "kinds").exit_code == 0
        if fault != "key is not unique":  # which only the rows tell
            assert enrich(root, "debug").exit_code == 1
