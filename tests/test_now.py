"""Now: previews, runs that are due, and budgets that are kept while a batch runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from folders import Ears, opened, plants, settings, write

from enrich import cli
from enrich.pipeline.listener import Progress
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.rehearsal import Step

CHAT = "POST /v1/chat/completions"


def be_due(root: Path) -> None:
    """Make it ten hours later."""
    with opened(root).files.open_ledger() as database:
        database.execute("UPDATE ledger.runs SET due_at = due_at - INTERVAL 10 HOUR")


@pytest.mark.few(0)
def test_what_is_left_when_a_run_is_due_is_answered_at_once(tmp_path: Path) -> None:
    """The batch is cancelled first, and only what it has not answered is asked again: nothing is
    paid twice, and no row needs an attempt of its own for it."""
    with Rehearsal(faults=Faults(batch_stuck=1)) as server:
        root = plants(tmp_path, server)
        write(
            root, {"project.yml": json.dumps({**json.loads(settings(server)), "max_attempts": 1})}
        )
        opened(root).run(detach=True, by=datetime.now(UTC) + timedelta(hours=9))
        assert opened(root).status()[0].batches[0].status == "in_progress"
        be_due(root)
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert (state.ok, state.provider) == (4, "api:now")
        assert (server.bill.total, server.bill.repeated) == (4, {})
        assert [batch["status"] for batch in server.batches] == ["cancelled"]
        assert [said for said in ears.said if "its time has come" in said]
        providers = opened(root).sql("SELECT DISTINCT provider FROM enrich.costs ORDER BY 1").rows
        assert providers == (("api",), ("api:now",))


def test_a_detached_run_is_due_for_whoever_comes_next(tmp_path: Path) -> None:
    """The ledger knows when; a batch that was not sent by then is not sent."""
    with Rehearsal(faults=Faults(batch_stuck=1)) as server:
        root = plants(tmp_path, server)
        write(root, {"project.yml": settings(server, max_requests=2)})
        opened(root).run(detach=True, by=datetime.now(UTC) + timedelta(hours=9))
        be_due(root)
        while any(batch for state in opened(root).status() for batch in state.batches):
            pass
        (state,) = opened(root).status()
        assert (state.ok, server.bill.total) == (4, 4)
        assert [batch["status"] for batch in server.batches] == ["cancelled"]


def test_a_time_is_one_of_today_or_tomorrow(tmp_path: Path) -> None:
    """What it may cost is said before; what is no time, or past, is refused."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, llm="gpt-4o-mini")
        base = ["--project", str(root), "plan", "--by"]
        for word in ("00:00", "23:59"):
            shown = CliRunner().invoke(cli.main, [*base, word])
            assert f"{word} is answered at once, for about $0." in shown.stdout
        for word in ("noon", "2020-01-01 12:00"):
            refused = CliRunner().invoke(cli.main, [*base, word])
            assert (refused.exit_code, word in refused.stderr) == (2, True)


def dear(server: Rehearsal, tokens: int, many: int) -> None:
    """The next answers take far more tokens than those before."""
    message = {
        "role": "assistant",
        "content": json.dumps({"kind": "tree", "tags": ["a"], "height": 1, "line": "A tree."}),
    }
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": tokens, "total_tokens": 100 + tokens}
    body = {"object": "chat.completion", "model": "gpt-4o-mini", "choices": [choice]}
    steps: list[Step] = [(200, body | {"usage": usage})] * many
    server.script(CHAT, steps)


@pytest.mark.few(0)
def test_a_budget_is_kept_while_a_batch_runs(tmp_path: Path) -> None:
    """Answers that take more than estimated end the batch where its budget does; what it answered
    is kept, the rest is held, and a larger budget asks for that alone."""
    rows, tokens, most = 120, 10_000, 0.3  # USD: 50 such answers
    with Rehearsal(api="chat") as server:
        root = plants(tmp_path, server, llm="gpt-4o-mini")
        listed = "".join(f"{number},plant {number},\n" for number in range(rows))
        write(root, {"seeds/plants.csv": f"id,name,note\n{listed}"})
        opened(root).preview("kinds", limit=5)  # so that there is something to estimate from
        asked = server.sends(CHAT)
        dear(server, tokens, rows)
        ears = Ears()
        (state,) = opened(root, ears).run(max_cost=most)
        sent = server.sends(CHAT) - asked
        assert 20 < sent < 60
        assert state.ok == 5 + sent
        assert state.held
        ((spent,),) = opened(root).sql("SELECT sum(cost) FROM ledger.batches WHERE run > 0").rows
        assert 0.5 * most < spent <= 1.1 * most
        assert [said for said in ears.said if "the budget was used up" in said]
        (state,) = opened(root).run(max_cost=10)
        assert (state.ok, server.sends(CHAT)) == (rows, rows)


def test_progress_says_how_fast_and_how_long() -> None:
    """As far as it is known."""
    found = Progress(model="m", total=300, answered=100, tokens=50_000, rate=2.5, state="running")
    assert str(found) == (
        "m: 100 of 300 answered, 2.5 rows/s, 1,250 tokens/s, 0:01:20 left (running)"
    )
    assert Progress(model="m", total=3, answered=3, rate=2.5).speed == ""
