"""Compare: two answers to each row of a sample, side by side, and never paid twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from folders import PROMPT, opened, plants, write

from enrich import cli
from enrich.errors import EnrichError, InputError, OverBudget
from enrich.rehearsal import Faults, Rehearsal, answer

if TYPE_CHECKING:
    from pathlib import Path


def change(root: Path, **more: str) -> None:
    text = PROMPT.replace("You know", more.pop("say", "You love"))
    for old, new in more.items():
        text = text.replace(old, new)
    write(root, {"models/kinds.prompt.md": text})


def test_the_same_prompt_agrees_and_asks_nothing(tmp_path: Path) -> None:
    """Compared with itself everything agrees, at no cost."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        found = opened(root).compare("kinds")
        assert [(each.column, each.share, each.changed) for each in found.agreement] == [
            (column, 1.0, 0) for column in ("kind", "tags", "height", "line")
        ]
        assert (found.rows, found.both, found.asked, found.spent, found.diff) == (4, 4, 0, 0, "")
        assert found.was.cost == found.now.cost
        assert (found.differences, server.bill.total) == ((), 4)


CELLS = "SELECT id, (kind, list_sort(tags), height, line) FROM kinds"


@pytest.mark.few(0)
def test_a_changed_prompt_beside_what_is_published(tmp_path: Path) -> None:
    """Agreement, differences, tokens and cost are those of the answers; a run after it pays for the
    other rows only, and nothing was published meanwhile."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, llm="gpt-4o-mini")
        opened(root).run()
        was = dict(opened(root).sql(CELLS).rows)
        before = opened(root).sql("FROM kinds ORDER BY id").rows
        change(root)
        found = opened(root).compare("kinds", limit=3)
        assert (found.rows, found.asked, server.bill.total) == (3, 3, 7)
        assert opened(root).sql("FROM kinds ORDER BY id").rows == before
        assert "-You know plants." in found.diff
        assert found.diff.startswith("--- published")
        opened(root).run()
        assert server.bill.total == 8
        now = dict(opened(root).sql(CELLS).rows)
        keys = {int(each.key) for each in found.differences}
        for place, each in enumerate(found.agreement):
            listed = {int(d.key) for d in found.differences if d.column == each.column}
            sample = keys | {key for key in was if was[key] == now[key]}
            assert each.changed == len(listed)
            assert listed == {k for k in sample & keys if was[k][place] != now[k][place]}
            assert each.share == pytest.approx(1 - len(listed) / 3)
        query = "SELECT sum(input_tokens), sum(output_tokens) FROM enrich.kinds"
        tokens = opened(root).sql(f"{query} WHERE id IN ({','.join(map(str, keys))})").rows[0]
        if len(keys) == 3:
            assert tokens == (found.now.input_tokens, found.now.output_tokens)


def test_the_sample_is_the_same_each_time(tmp_path: Path) -> None:
    """So a second comparison costs nothing, and a larger one only what is new."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        change(root)
        first = opened(root).compare("kinds", limit=2)
        again = opened(root).compare("kinds", limit=2)
        assert (first.asked, again.asked, again.differences) == (2, 0, first.differences)
        assert opened(root).compare("kinds", limit=3).asked == 1
        assert opened(root).compare("kinds", limit=3, where="id = 1").rows == 1


@pytest.mark.few(0)
def test_two_llms(tmp_path: Path) -> None:
    """The working prompt is asked of both; what one of them answered already is not asked again."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, llm="gpt-4o-mini")
        opened(root).run()
        found = opened(root).compare("kinds", llm="gpt-4o", limit=4)
        assert (found.was.name, found.now.name) == ("gpt-4o-mini", "gpt-4o")
        assert (found.asked, server.bill.total) == (4, 8)
        assert found.was.cost is not None and found.now.cost is not None
        assert found.now.cost > found.was.cost
        body = opened(root).compile("kinds")["request"]["body"]
        line = next(d for d in found.differences if (d.key, d.column) == ("1", "line"))
        assert line.was == json.loads(answer(body))["line"]
        assert line.now == json.loads(answer(body | {"model": "gpt-4o"}))["line"]
        opened(root).run()
        assert server.bill.total == 8


def test_columns_that_only_one_side_has_are_left_out(tmp_path: Path) -> None:
    """What both have is compared, by name."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        change(root, **{"height DOUBLE": "wood BOOLEAN"})
        found = opened(root).compare("kinds")
        assert [each.column for each in found.agreement] == ["kind", "tags", "line"]
        assert (found.only_was, found.only_now) == (("height",), ("wood",))


@pytest.mark.few(0)
def test_a_request_that_rows_share_counts_once(tmp_path: Path) -> None:
    """Tokens and cost are those of requests; a sample without rows is an error."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, llm="gpt-4o-mini")
        text = PROMPT.replace(
            "{{ name }}: {{ coalesce(note, 'nothing') }}", "{{ 'x' || name[:0] }}"
        )
        write(root, {"models/kinds.prompt.md": text})
        opened(root).run()
        assert server.bill.total == 1
        found = opened(root).compare("kinds")
        (tokens,) = opened(root).sql("SELECT input_tokens FROM ledger.batches").rows
        assert (found.rows, found.was.input_tokens, found.now.input_tokens) == (4, *tokens, *tokens)
        with pytest.raises(InputError, match="has no row to compare"):
            opened(root).compare("kinds", where="false")


def test_rows_without_an_answer_are_told(tmp_path: Path) -> None:
    """An outcome that is not ok stands for the whole row, and counts in no column."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
    with Rehearsal(faults=Faults(refused=1)) as server:
        plants(root, server)
        change(root)
        found = opened(root).compare("kinds")
        assert (found.rows, found.both) == (4, 0)
        assert {d.column for d in found.differences} == {""}
        assert all("refused" in (d.now or "") for d in found.differences)
        assert {each.share for each in found.agreement} == {None}
        result = CliRunner().invoke(cli.main, ["--project", str(root), "compare", "kinds"])
        assert result.exit_code == 0, result.stderr


def test_nothing_published_and_over_budget(tmp_path: Path) -> None:
    """Both are said in words, and nothing is spent."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, llm="gpt-4o-mini")
        with pytest.raises(InputError, match="'kinds' has not been published yet"):
            opened(root).compare("kinds")
        opened(root).run()
        known = json.loads((root / "project.yml").read_text())
        (root / "project.yml").write_text(json.dumps(known | {"budget": 0.0}))
        change(root)
        with pytest.raises(OverBudget):
            opened(root).compare("kinds")
        write(root, {"models/plain.sql": "SELECT 1 AS one\n"})
        with pytest.raises(EnrichError, match="has no prompt"):
            opened(root).compare("plain")
        assert server.bill.total == 4


@pytest.mark.few(0)
def test_the_command(tmp_path: Path) -> None:
    """A table of agreement, the cells that differ, tokens and cost; JSON for machines."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, llm="gpt-4o-mini")
        opened(root).run()
        change(root)
        run = CliRunner(env={"COLUMNS": "160"})
        result = run.invoke(cli.main, ["--project", str(root), "compare", "kinds", "-n", "2"])
        assert result.exit_code == 0, result.stderr
        for words in ("agreement", "gpt-4o-mini, published", "gpt-4o-mini, working prompt", "USD"):
            assert words in result.stdout
        assert "2 of 2 rows have both answers; 2 asked now" in result.stderr
        result = run.invoke(cli.main, ["--project", str(root), "compare", "kinds", "--json"])
        assert json.loads(result.stdout)["rows"] == 4
