"""Preview: a few rows answered now; what it paid for is never paid for again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from folders import PROMPT, keep_all, opened, plants, settings, write

from enrich import cli
from enrich.errors import EnrichError, OverBudget, ProjectError, ProviderError
from enrich.rehearsal import Faults, Rehearsal, answer

if TYPE_CHECKING:
    from pathlib import Path


def test_rows_are_shown_beside_their_answers(tmp_path: Path) -> None:
    """The first rows of the SELECT, each with the answer to its own request, through the
    synchronous endpoint and no batch."""
    with Rehearsal() as server:
        project = opened(plants(tmp_path, server))
        found = project.preview("kinds", limit=2)
        first = json.loads(answer(project.compile("kinds")["request"]["body"]))
        assert found.rows[0].inputs == {"id": 1, "name": "ash", "note": "tall"}
        assert found.rows[0].answer == first
        assert [row.outcome for row in found.rows] == ["ok", "ok"]
        assert (found.asked, server.bill.total, server.batches) == (2, 2, [])


@pytest.mark.few(0)
def test_a_run_does_not_pay_for_them_again(tmp_path: Path) -> None:
    """The answers are in the ledger: the run asks the others, and the table has all."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        found = opened(root).preview("kinds", limit=3)
        (state,) = opened(root).run()
        assert (state.requests, state.ok, server.bill.total) == (1, 4, 4)
        lines = opened(root).sql("SELECT line FROM kinds ORDER BY id LIMIT 3").rows
        assert [line for (line,) in lines] == [
            row.answer["line"] for row in found.rows if row.answer
        ]
        again = opened(root).preview("kinds", limit=4)
        assert (again.asked, again.cost, server.bill.total) == (0, 0, 4)
        assert [row.answer for row in again.rows[:3]] == [row.answer for row in found.rows]


def test_a_preview_publishes_nothing(tmp_path: Path) -> None:
    """The table stays as it is until a run."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        before = opened(root).sql("SELECT * FROM kinds ORDER BY id").rows
        write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You love")})
        assert opened(root).preview("kinds", limit=2).asked == 2
        (state,) = opened(root).status()
        assert opened(root).sql("SELECT * FROM kinds ORDER BY id").rows == before
        assert (state.run, state.ok) == (1, 4)


def test_what_is_asked_already_is_not_asked_now(tmp_path: Path) -> None:
    """Rows of a batch under way are shown as pending, and paid for once."""
    with Rehearsal(faults=Faults(batch_stuck=1)) as server:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)
        found = opened(root).preview("kinds")
        assert {row.outcome for row in found.rows} == {"pending"}
        assert "already asked" in (found.rows[0].error or "")
        assert (found.asked, server.bill.total) == (0, 0)


def test_where_picks_rows(tmp_path: Path) -> None:
    """A SQL condition on the SELECT's columns; a wrong one is an error and costs nothing."""
    with Rehearsal() as server:
        project = opened(plants(tmp_path, server))
        found = project.preview("kinds", where="name LIKE '%r%' -- a comment")
        assert [row.inputs["name"] for row in found.rows] == ["birch", "cedar"]
        with pytest.raises(EnrichError, match=r"--where: .*colour"):
            project.preview("kinds", where="colour = 'red'")
        with pytest.raises(EnrichError, match=r"--where: .*'ash'"):
            project.preview("kinds", where="name::INTEGER = 1")
        assert len(project.preview("kinds", where=" ", limit=1).rows) == 1
        assert project.preview("kinds", where="false").rows == ()
        assert server.bill.total == 3


@pytest.mark.parametrize(
    "where",
    [
        "true) UNION SELECT 1, 'x', 'y' -- ",
        "(SELECT count(*) FROM glob('/etc/*')) > 0 OR getenv('HOME') = ''",
        "1; DROP TABLE plants",
        "(INSERT INTO plants VALUES (1, '', '')) IS NULL",
    ],
)
def test_where_is_a_condition_and_nothing_else(tmp_path: Path, where: str) -> None:
    """What is more than a condition is refused before DuckDB sees it."""
    with Rehearsal() as server:
        project = opened(plants(tmp_path, server))
        with pytest.raises(EnrichError):
            project.preview("kinds", where=where)
        assert server.bill.total == 0
        assert project.sql("SELECT count(*) FROM plants").rows == ((4,),)


def test_what_is_wrong_with_a_row_is_shown(tmp_path: Path) -> None:
    """A row that fails has its outcome and its reason; what is wrong with every row is one error,
    and costs nothing."""
    with Rehearsal(faults=Faults(off_schema=1)) as server:
        project = opened(plants(tmp_path, server))
        found = project.preview("kinds", limit=1)
        assert found.rows[0].outcome == "invalid"
        assert found.rows[0].error
        assert found.rows[0].raw
        assert found.rows[0].answer is None
    with Rehearsal(faults=Faults(http_400=1)) as server:
        root = plants(tmp_path / "other", server)
        with pytest.raises(ProviderError, match="answered 400"):
            opened(root).preview("kinds", limit=3)
        assert server.bill.total == 0


def test_a_refusal_of_all_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """A wrong key: one sentence, nothing in the ledger, and the next preview asks."""
    with Rehearsal(api_key="sk-right") as server:
        root = plants(tmp_path, server)
        with pytest.raises(ProviderError, match="401"):
            opened(root).preview("kinds")
        assert opened(root).sql("SELECT count(*) FROM ledger.batches").rows == ((0,),)
        write(root, {"project.yml": settings(server, api_key="sk-right")})
        assert opened(root).preview("kinds").asked == 4


def test_answers_that_were_lost_on_the_way_are_asked_again(tmp_path: Path) -> None:
    """One call of several breaks off: its row says so, the others have their answers, and the run
    asks that row alone."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        server.script("POST /v1/chat/completions", ["reset"])
        found = opened(root).preview("kinds")
        assert sorted(row.outcome for row in found.rows) == ["missing", "ok", "ok", "ok"]
        (state,) = opened(root).run()
        assert (state.requests, state.ok) == (1, 4)


def test_a_preview_that_was_killed_keeps_what_came_in(tmp_path: Path) -> None:
    """With its worker, in the middle of a line: whoever is next has the rest of it answered."""
    with Rehearsal() as server:
        root = keep_all(plants(tmp_path, server))
        opened(root).preview("kinds")
        left(root)
        (results,) = root.glob(".enrich/chat/*/*/output.jsonl")
        lines = results.read_text().splitlines(keepends=True)
        results.write_text("".join(lines[:2]) + lines[2][:30])
        kept = results.with_name("state.json")
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"status": "in_progress"}))
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (4, 6)


def test_a_preview_that_was_left_asks_nothing_else(tmp_path: Path) -> None:
    """Rows that were cancelled, or that no run ever asked, are not asked by reading it."""
    with Rehearsal(faults=Faults(batch_stuck=1)) as server:
        root = keep_all(plants(tmp_path, server))
        opened(root).run(detach=True)
        opened(root).cancel()
        opened(root).status()
        write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You love")})
        opened(root).preview("kinds", limit=1)
        left(root)
        for _ in range(3):
            opened(root).status()
        assert (len(server.batches), server.bill.total) == (1, 1)


@pytest.mark.few(0)
def test_a_first_preview_that_was_left(tmp_path: Path) -> None:
    """Of a model that was never run: `status` reads what came in, `plan` and `run` count on it."""
    with Rehearsal() as server:
        root = keep_all(plants(tmp_path, server))
        opened(root).preview("kinds", limit=2)
        left(root)
        assert opened(root).status() == ()
        left(root)
        (plan,) = opened(root).plan()
        assert (plan.states, plan.reasons) == ({"answered": 2}, {"new": 2})
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (4, 4)


def left(root: Path) -> None:
    """Make the ledger as it was just before the preview was read."""
    with opened(root).files.open_ledger() as database:
        database.execute("DELETE FROM ledger.responses")
        database.execute(
            "UPDATE ledger.batches SET status = 'in_progress', ended_at = NULL, read_at = NULL, "
            "read_number = NULL, outcomes = NULL, result_files = NULL WHERE run = 0"
        )


def test_a_budget_bears_on_previews(tmp_path: Path) -> None:
    """Above it nothing is asked, with exit code 4; its cost is the price of single requests."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, llm="gpt-4o-mini")
        found = opened(root).preview("kinds", limit=4)
        usage = server.bill.usage
        assert found.cost == pytest.approx((usage.input * 0.15 + usage.output * 0.6) / 1e6)
        tight = json.loads(settings(server, llm="gpt-4o-mini")) | {"budget": {"month": found.cost}}
        write(root, {"project.yml": json.dumps(tight)})
        write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You love")})
        with pytest.raises(OverBudget, match=r"the budget of \$0.0\d+ for a month"):
            opened(root).preview("kinds")
        result = CliRunner().invoke(cli.main, ["--project", str(root), "preview", "kinds"])
        assert (result.exit_code, server.bill.total) == (4, 4)


def test_a_model_without_prompt_has_no_preview(tmp_path: Path) -> None:
    """It asks nobody anything."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/plain.sql": "SELECT 1 AS one\n"})
        with pytest.raises(ProjectError, match="'plain' has no prompt"):
            opened(root).preview("plain")


def test_the_same_on_the_command_line(tmp_path: Path) -> None:
    """Inputs beside outputs; as JSON one object a row; 3 where a row is not ok."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        run = ["--project", str(root), "preview", "kinds", "-n", "2"]
        shown = CliRunner().invoke(cli.main, run)
        assert shown.exit_code == 0
        for words in ("name: ash", "line: ", "name: birch"):
            assert words in shown.stdout
        assert "asking 2 of gpt-4o-mini (api) now, for about $0.00" in shown.stderr
        assert "2 asked now" in shown.stderr
        again = CliRunner().invoke(cli.main, [*run, "--json"])
        rows = [json.loads(line) for line in again.stdout.splitlines()]
        assert [row["inputs"]["id"] for row in rows] == [1, 2]
        assert rows[0]["answer"]["line"]
        assert "nothing was asked" not in again.stdout
        server.script("POST /v1/chat/completions", ["reset"])
        assert CliRunner().invoke(cli.main, [*run[:-1], "4"]).exit_code == 3


CHAT = "POST /v1/chat/completions"


def test_calls_refused_alike_use_up_no_attempt(tmp_path: Path) -> None:
    """What lies in the request as such is said once, and is as if nothing had been asked."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        server.script(CHAT, [(400, "unsupported_parameter")] * 4)
        with pytest.raises(ProviderError, match="answered 400"):
            opened(root).preview("kinds")
        assert opened(root).sql("SELECT count(*) FROM ledger.responses").rows == ((0,),)
        (state,) = opened(root).run()
        assert state.ok == 4


def test_a_call_refused_for_its_own_row_is_an_outcome(tmp_path: Path) -> None:
    """Others were answered: the refused one is a row that failed."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        server.script(CHAT, ["ok", (400, "invalid_image_url")])
        found = opened(root).preview("kinds")
        assert sorted(row.outcome for row in found.rows) == ["error", "ok", "ok", "ok"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_provider_is_asked_again(tmp_path: Path, status: int) -> None:
    """As soon as it says, and no call is paid twice."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        server.script(CHAT, [status] * 6)
        found = opened(root).preview("kinds")
        assert [row.outcome for row in found.rows] == ["ok"] * 4
        assert (server.bill.total, server.sends(CHAT)) == (4, 10)


def test_a_lost_answer_may_have_been_billed(tmp_path: Path) -> None:
    """It is not asked again by itself, and stands in the books as estimated."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        server.script(CHAT, ["lost"])
        found = opened(root).preview("kinds")
        (lost,) = [row for row in found.rows if row.outcome != "ok"]
        assert "may have been billed" in (lost.error or "")
        assert server.bill.total == 4
        (cost,) = opened(root).sql("SELECT cost FROM ledger.batches").rows[0]
        usage = server.bill.usage
        assert cost > (usage.input * 0.15 + usage.output * 0.6) / 1e6 * 3 / 4


def test_no_row_is_no_table(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        words = ["--project", str(root), "preview", "kinds", "--where", "id = 99"]
        result = CliRunner().invoke(cli.main, words)
        assert result.stdout == ""
        assert "no row of kinds matches" in result.stderr
        assert not server.bill.total


def test_what_is_planned_has_not_been_asked(tmp_path: Path) -> None:
    """A batch that could not be sent is not running anywhere."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        server.script("POST /v1/files", [503] * 50)
        opened(root).run(detach=True)
        planned = opened(root).preview("kinds")
        assert {row.error for row in planned.rows if row.outcome == "pending"} == {
            "planned, but not sent yet: enrich run sends it, and enrich cancel drops it"
        }
