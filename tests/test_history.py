"""What was before: earlier answers with their prompts and times, a row's life, and what failed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from folders import PROMPT, SEED, opened, plants, write

from enrich import cli
from enrich.errors import EnrichError
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

HELD = "SELECT id, line, prompt, from_at, until_at FROM enrich.kinds_history ORDER BY id, from_at"


def change(root: Path, verb: str) -> None:
    write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", f"You {verb}")})


def lines(root: Path) -> dict[int, str]:
    return dict(opened(root).sql("SELECT id, line FROM kinds").rows)


def test_the_first_answers_have_no_history(tmp_path: Path) -> None:
    """The table is there, with the key's and the output's columns, and empty."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
    found = opened(root).sql("FROM enrich.kinds_history")
    assert found.rows == ()
    assert found.columns[:5] == ("id", "kind", "tags", "height", "line")
    assert found.columns[5:] == ("prompt", "llm", "fingerprint", "from_at", "until_at", "raw")


@pytest.mark.few(0)
def test_earlier_answers_are_kept_with_their_prompt_and_time(tmp_path: Path) -> None:
    """Each change of prompt moves the answers into the history; times of a row never overlap, and
    going back to a prompt brings its answers back."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        shown, versions = [], []
        for verb in ("know", "love", "know"):
            change(root, verb)
            opened(root).run()
            shown.append(lines(root))
            versions.append(
                opened(root).sql("SELECT any_value(prompt) FROM enrich.kinds").rows[0][0]
            )
        assert shown[0] == shown[2]
        assert server.bill.total == 8
        rows = opened(root).sql(HELD).rows
        assert [(row[0], row[1], row[2]) for row in rows] == [
            (key, shown[at][key], versions[at]) for key in range(1, 5) for at in (0, 1)
        ]
        for first, second in zip(rows[::2], rows[1::2], strict=True):
            assert first[3] < first[4] == second[3] < second[4]
        life = opened(root).history("kinds", "1")
        at = life.columns.index("until_at")
        assert [row[at] is None for row in life] == [False, False, True]
        texts = dict(opened(root).sql("SELECT prompt, text FROM enrich.prompts").rows)
        assert "You love plants." in texts[versions[1]]


@pytest.mark.few(0)
def test_a_full_refresh_and_a_row_that_is_gone_are_history(tmp_path: Path) -> None:
    """The answer before a refresh, and the last one of a row that left."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        opened(root).run(full_refresh=True)
        assert len(opened(root).sql(HELD)) == 4
        write(root, {"seeds/plants.csv": SEED.replace("4,dogwood,\n", "")})
        opened(root).run()
        held = opened(root).sql(
            "SELECT id, count(*) FROM enrich.kinds_history GROUP BY id ORDER BY id"
        )
        assert held.rows == ((1, 1), (2, 1), (3, 1), (4, 2))
        started = "SELECT started_at FROM ledger.runs ORDER BY run"
        opened_at = [when for (when,) in opened(root).sql(started)]
        write(root, {"seeds/plants.csv": SEED})
        opened(root).run()
        assert server.bill.total == 8
        assert len(opened(root).sql("FROM enrich.kinds")) == 4
        gone = opened(root).sql(HELD).rows[-1]
        assert (gone[0], gone[4]) == (4, opened_at[2])
        life = opened(root).history("kinds", "4")
        rows = [dict(zip(life.columns, row, strict=True)) for row in life]
        assert [row["run"] for row in rows] == [1, 1, 4]
        assert [row["until_at"] is None for row in rows] == [False, False, True]
        assert rows[1]["until_at"] < rows[2]["from_at"]


def test_answers_of_another_output_keep_what_fits(tmp_path: Path) -> None:
    """Columns that an earlier answer lacks are NULL; the answer as it came is beside them."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        before = lines(root)
        text = PROMPT.replace("line   VARCHAR NOT NULL", "line   VARCHAR NOT NULL, wood BOOLEAN")
        write(root, {"models/kinds.prompt.md": text})
        opened(root).run()
        rows = opened(root).sql("SELECT id, line, wood, raw FROM enrich.kinds_history").rows
        assert {row[0]: row[1] for row in rows} == before
        assert {row[2] for row in rows} == {None}
        assert all(json.loads(row[3])["line"] == before[row[0]] for row in rows)


@pytest.mark.few(0)
def test_the_life_of_a_row(tmp_path: Path) -> None:
    """What it asked and when, what came back, what it cost, and which answer holds."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        change(root, "love")
        opened(root).run()
        found = opened(root).history("kinds", "2")
        rows = [dict(zip(found.columns, row, strict=True)) for row in found]
        assert [(row["run"], row["outcome"]) for row in rows] == [(1, "ok"), (2, "ok")]
        assert rows[0]["until_at"] == rows[1]["from_at"]
        assert rows[1]["until_at"] is None
        assert json.loads(rows[1]["answer"])["line"] == lines(root)[2]
        assert rows[0]["prompt"] != rows[1]["prompt"]
        assert all(row["cost"] > 0 and row["batch"].startswith("kinds-") for row in rows)
        run = CliRunner(env={"COLUMNS": "160"})
        result = run.invoke(cli.main, ["--project", str(root), "history", "kinds", "--key", "2"])
        assert (result.exit_code, "and is the current answer" in result.stdout) == (0, True)
        with pytest.raises(EnrichError, match="no row of 'kinds' ever had the key 9"):
            opened(root).history("kinds", "9")
        with pytest.raises(EnrichError, match="no row of 'kinds' ever had the key ash"):
            opened(root).history("kinds", "ash")
        with pytest.raises(EnrichError, match="has 1 column") as problem:
            opened(root).history("kinds", "1", "2")
        assert "--key ID" in problem.value.hint


def test_a_row_that_waits_has_a_life_too(tmp_path: Path) -> None:
    """Asked and not answered yet."""
    with Rehearsal(faults=Faults(batch_stuck=1)) as server:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)
        found = opened(root).history("kinds", "1")
        assert [row[found.columns.index("outcome")] for row in found] == ["pending"]


def test_keys_of_several_columns(tmp_path: Path) -> None:
    """Each by its own `--key`, whatever text it is."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                "models/kinds.sql": "SELECT 'it''s \"' || name AS name, DATE '2020-02-01' + "
                "id::INTEGER AS day, note FROM plants\n",
                "models/kinds.prompt.md": PROMPT.replace("key: id", "key: [name, day]"),
            },
        )
        opened(root).run()
        assert len(opened(root).history("kinds", "it's \"ash", "2020-02-02")) == 1


@pytest.mark.few(0)
def test_failures_show_what_was_asked_and_what_came_back(tmp_path: Path) -> None:
    """Outcome, reason, key, input and raw answer; counted by kind; `--retry` asks them again."""
    with Rehearsal(faults=Faults(refused=1)) as server:
        root = plants(tmp_path, server)
        opened(root).run()
        found = opened(root).failures("kinds", limit=3)
        assert (len(found), len(found.rows)) == (4, 3)
        row = dict(zip(found.rows.columns, found.rows.rows[0], strict=True))
        assert (row["id"], row["outcome"], row["input"]) == (1, "refused", "ash: tall")
        assert "I'm sorry" in row["error"] and "I'm sorry" in row["answer"]
        assert found.counts.rows[0][0] == "refused"
        run = CliRunner(env={"COLUMNS": "160"})
        result = run.invoke(cli.main, ["--project", str(root), "failures", "kinds", "--json"])
        assert result.exit_code == 3
        assert len([json.loads(line) for line in result.stdout.splitlines()]) == 4
        shown = run.invoke(cli.main, ["--project", str(root), "failures", "kinds"]).stdout
        assert "input: ash: tall" in shown
    with Rehearsal() as server:
        write(root, {"project.yml": (root / "project.yml").read_text()})
        plants(root, server)
        result = run.invoke(cli.main, ["--project", str(root), "failures", "kinds", "--retry"])
        assert result.exit_code == 0, result.stderr
        assert len(opened(root).failures("kinds")) == 0


def test_pictures_are_shortened_and_what_cannot_be_asked_is_listed(tmp_path: Path) -> None:
    """A row without a request has a reason and no input; a `data:` URL is not printed."""
    png = bytes.fromhex("89504e470d0a1a0a") + b"0" * 400
    with Rehearsal(faults=Faults(refused=1)) as server:
        root = plants(tmp_path, server)
        (root / "seeds" / "a.png").write_bytes(png)
        write(
            root,
            {
                "models/kinds.sql": "SELECT id, name, note, CASE WHEN id = 1 THEN 'seeds/a.png' "
                "ELSE 'absent.png' END AS picture FROM plants WHERE id < 3\n",
                "models/kinds.prompt.md": PROMPT.rstrip() + "\n\n    ![]({{ picture }})\n",
            },
        )
        opened(root).run()
        found = opened(root).failures("kinds")
        rows = [dict(zip(found.rows.columns, row, strict=True)) for row in found.rows]
        assert [(row["id"], row["outcome"]) for row in rows] == [(2, "error"), (1, "refused")]
        assert (rows[0]["input"], rows[0]["answer"]) == (None, None)
        assert "absent.png" in rows[0]["error"]
        assert "data:image/..." in rows[1]["input"]
        assert len(rows[1]["input"]) < 300


def test_a_table_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    """Not even where the history of a model would stand."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).sql("CREATE SCHEMA IF NOT EXISTS enrich")
        opened(root).sql("CREATE TABLE enrich.kinds_history (x INTEGER)")
        with pytest.raises(EnrichError, match=r"has a table 'enrich\.kinds_history'"):
            opened(root).run()
        opened(root).sql("DROP TABLE enrich.kinds_history")
        assert server.bill.total == 0
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (4, 4)
