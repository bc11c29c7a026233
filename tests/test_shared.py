"""Models that ask the same share their requests: each is sent once, and all have its answer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from folders import PROMPT, SEED, Ears, opened, plants, write
from test_fallback import by_llm, spoils

from enrich.rehearsal import Faults, Rehearsal
from enrich.report.plans import print_plans

if TYPE_CHECKING:
    from pathlib import Path

PRICED: dict[str, Any] = {"prices": {"gpt-4o-mini": {"input": 1, "output": 4}}}


def twins(
    root: Path, server: Rehearsal, *, one: str = PROMPT, other: str = PROMPT, **more: Any
) -> Path:
    """A project with two models that ask the same: `kinds`, and `same`, with one row less."""
    plants(root, server, **more)
    write(
        root,
        {
            "models/kinds.prompt.md": one,
            "models/same.sql": "SELECT id, name, note FROM plants WHERE id > 1\n",
            "models/same.prompt.md": other,
        },
    )
    return root


def test_plans_count_a_shared_request_once(tmp_path: Path) -> None:
    """The plans of several models say what a run of them sends, in the same words."""
    with Rehearsal() as server:
        root = twins(tmp_path, server)
        kinds, same = opened(root).plan()
        assert (kinds.requests, same.requests, same.batches) == (4, 0, 0)
        assert (same.states, same.shared_with, same.settled) == ({"shared": 3}, ("kinds",), False)
        assert str(same) == "same: 3 rows: 3 asked by kinds, nothing to ask"
        assert [each.requests for each in opened(root).plan("same")] == [3]
        assert {model.name for model in opened(root).select("changed:")} == {"kinds", "same"}
        ears = Ears()
        opened(root, ears).run()
        assert {str(kinds), str(same)} <= {*ears.said}
        assert server.bill.requests.total() == 4
        assert not [each for each in (root / ".enrich").iterdir() if each.name.startswith("plan-")]


def test_plans_of_shared_requests_follow_the_budget(tmp_path: Path) -> None:
    """What the budget pays for is asked by the first model, also if a few requests go first."""
    with Rehearsal() as server:
        root = twins(tmp_path, server, **PRICED)
        kinds, same = opened(root).plan(max_cost=0.0008)
        assert (kinds.requests, kinds.paid, same.states, same.requests, same.paid) == (
            4,
            2,
            {"shared": 1},
            2,
            0,
        )
        kinds, same = opened(root).plan(max_cost=1)
        assert (kinds.requests, kinds.first, same.requests) == (4, 3, 0)
        ears = Ears()
        states = opened(root, ears).run(max_cost=1)
        assert {str(kinds), str(same)} <= {*ears.said}
        assert ([each.ok for each in states], server.bill.requests.total()) == ([4, 3], 4)


def test_the_total_of_plans_leaves_out_what_no_budget_pays_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each model asks for what the one before it cannot pay: that is not two times as much."""
    with Rehearsal() as server:
        root = twins(tmp_path, server, **PRICED)
        print_plans(opened(root).plan(max_cost=0.0008), usual="api")
        assert "in total: 2 requests within budget, about $0.0007" in capsys.readouterr().out
        print_plans(opened(root).plan(max_cost=1), usual="api")
        assert "in total:" not in capsys.readouterr().out


def test_models_that_wait_for_others_are_planned_after_them(tmp_path: Path) -> None:
    """As a run starts them: what reads another model asks what is left."""
    with Rehearsal() as server:
        root = twins(tmp_path, server)
        write(root, {"models/few.sql": "SELECT id, name, note FROM plants WHERE id < 3\n"})
        write(root, {"models/kinds.sql": "SELECT * FROM few UNION SELECT * FROM plants\n"})
        plans = {plan.model: plan for plan in opened(root).plan()}
        assert {name: plan.requests for name, plan in plans.items()} == {
            "few": 0,
            "kinds": 1,
            "same": 3,
        }
        ears = Ears()
        opened(root, ears).run()
        assert {str(plans[name]) for name in ("kinds", "same")} <= {*ears.said}
        assert server.bill.requests.total() == 4


CHEAP = PROMPT.replace("key: id", "key: id\n    max_attempts: 1")
STRICT = CHEAP.replace("line   VARCHAR NOT NULL", "line   VARCHAR NOT NULL CHECK (line = '')")


def asked(server: Rehearsal) -> int:
    """How many requests the server has been sent."""
    return sum(batch["request_counts"]["total"] for batch in server.batches)


def test_a_model_retries_what_another_one_has_failed_with(tmp_path: Path) -> None:
    """It has attempts left where the model that sent the request has none, and uses them in the
    same run: all in all as many as the greater limit says."""
    with Rehearsal(faults=Faults(http_500=1.0)) as server:
        root = twins(tmp_path, server, one=CHEAP)
        kinds, same = opened(root).run()
        assert (kinds.failed, same.failed, same.busy) == (4, 3, False)
        assert asked(server) == 4 + 3 + 3
        tried = opened(root).sql("SELECT max(attempt) FROM enrich.same").rows
        assert tried == ((3,),)


def test_retry_counts_what_another_model_has_tried(tmp_path: Path) -> None:
    """With --retry, the attempts of all models of the command are counted together."""
    with Rehearsal(faults=Faults(http_500=1.0)) as server:
        root = twins(tmp_path, server, one=CHEAP)
        opened(root).run()
        before = asked(server)
        opened(root).run(retry=True)
        assert asked(server) - before == 4 + 3 + 3


def test_a_model_falls_back_where_another_one_only_fails(tmp_path: Path) -> None:
    """The llms that only one of two models has are asked in the run in which the first has failed
    for both."""
    falls = CHEAP.replace("key: id", "key: id\n    llm: [gpt-4o-mini, gpt-4o]")
    counts: Counter[tuple[str, int]] = Counter()
    with Rehearsal(rewrite=spoils({"gpt-4o-mini": {1, 2, 3, 4}}, counts)) as server:
        root = twins(tmp_path, server, one=CHEAP, other=falls)
        kinds, same = opened(root).run()
        assert (kinds.failed, same.ok, same.failed) == (4, 3, 0)
        assert by_llm(counts) == {"gpt-4o-mini": 4, "gpt-4o": 3}


def start_both(root: Path, server: Rehearsal, *, sent: bool) -> None:
    """Start both models; the batch that they share is sent, or its upload has failed so far."""
    server.script("POST /v1/files", [] if sent else [500] * 9)
    states = opened(root).run(detach=True)
    assert [each.busy for each in states] == [True, True]
    assert len(server.batches) == sent
    server.script("POST /v1/files", [], replace=True)


@pytest.mark.parametrize("sent", [False, True])
def test_a_model_asks_itself_what_another_one_no_longer_asks(tmp_path: Path, sent: bool) -> None:
    """If one of two models is cancelled, the other one goes on and asks what is left, once."""
    with Rehearsal() as server:
        root = twins(tmp_path, server)
        start_both(root, server, sent=sent)
        opened(root).cancel("kinds")
        ears = Ears()
        project = opened(root, ears)
        while any(state.busy for state in project.status()):
            pass
        kinds, same = project.status()
        assert (kinds.pending + kinds.failed > 0, same.ok, same.pending) == (True, 3, 0)
        assert server.bill.requests.most_common(1)[0][1] == 1
        assert len(opened(root).sql("FROM same")) == 3


@pytest.mark.parametrize("names", [(), ("same",), ("same", "kinds")])
@pytest.mark.parametrize("sent", [False, True])
def test_a_cancelled_model_does_not_ask_what_it_shares(
    tmp_path: Path, names: tuple[str, ...], sent: bool
) -> None:
    """If the model that waits is cancelled, or both are, nothing is asked for it."""
    with Rehearsal() as server:
        root = twins(tmp_path, server)
        start_both(root, server, sent=sent)
        opened(root).cancel(*names)
        while any(state.busy for state in opened(root).status()):
            pass
        assert len(server.batches) == (sent or names == ("same",))


def test_a_changed_prompt_leaves_what_others_wait_for_to_them(tmp_path: Path) -> None:
    """What the old prompt had planned is withdrawn; a model that still asks it sends it itself."""
    with Rehearsal() as server:
        root = twins(tmp_path, server)
        start_both(root, server, sent=False)
        write(root, {"models/kinds.prompt.md": PROMPT.replace("know", "love")})
        ears = Ears()
        opened(root, ears).run("kinds")
        assert "same: 3 requests left to another model are asked now" in ears.said
        while any(state.busy for state in opened(root).status()):
            pass
        assert [state.ok for state in opened(root).status()] == [4, 3]
        assert asked(server) == 4 + 3


def test_a_run_waits_for_what_another_command_has_asked(tmp_path: Path) -> None:
    """It ends once its rows are answered, not before."""
    with Rehearsal() as server:
        root = twins(tmp_path, server)
        opened(root).run("kinds", detach=True)
        (state,) = opened(root).run("same")
        assert (state.ok, state.busy, state.requests, asked(server)) == (3, False, 0, 4)


def test_what_waits_for_an_answer_is_shown(tmp_path: Path) -> None:
    """A model that waits for another one's batch is in progress; a budget has no part in it."""
    with Rehearsal() as server:
        root = twins(tmp_path, server)
        start_both(root, server, sent=True)
        (batch,) = next(state for state in opened(root).status() if state.model == "same").batches
        assert (batch.shared, batch.sent, batch.requests, batch.reserved) == (True, False, 3, 0)
        (plan,) = opened(root).plan("same")
        assert (plan.states, plan.shared_with) == ({"shared": 3}, ("kinds",))


MANY = "id,name,note\n" + "".join(f"{n},plant {n},note {n}\n" for n in range(1, 21))
PICKY = PROMPT.replace("line   VARCHAR NOT NULL", "line   VARCHAR NOT NULL CHECK (line = '')")


@pytest.mark.parametrize("picky", ["kinds", "same"])
def test_nearly_all_failing_alike_is_each_models_own(tmp_path: Path, picky: str) -> None:
    """A model whose CHECK no answer passes is stopped, whoever has sent its requests; one without
    that CHECK goes on, and asks what the other one no longer does."""
    prompts = {picky: PICKY, "kinds same".replace(picky, "").strip(): PROMPT}
    with Rehearsal() as server:
        root = twins(
            tmp_path,
            server,
            one=prompts["kinds"],
            other=prompts["same"],
            max_requests=10,
            **PRICED,
        )
        write(root, {"seeds/plants.csv": MANY})
        for state in opened(root).run():
            rows = state.rows
            if state.model == picky:
                assert "are invalid" in state.stopped
                assert (state.ok, state.busy) == (0, False)
            else:
                assert (state.stopped, state.ok, state.busy) == ("", rows, False)
        assert asked(server) == 20


def test_earlier_answers_are_judged_by_those_who_asked(tmp_path: Path) -> None:
    """What a row was answered before stays its answer, history and what it keeps, whatever another
    model that asks the same now makes of it."""
    loved, broken = PROMPT.replace("know", "love"), {"gpt-4o-mini": {1, 2, 3, 4}}
    hard: dict[str, set[int]] = {}
    with Rehearsal(rewrite=spoils(hard, Counter())) as server:
        root = twins(tmp_path, server, other=STRICT)
        opened(root).run("kinds")
        before = opened(root).sql("FROM kinds ORDER BY id").rows
        hard.update(broken)
        write(root, {"models/kinds.prompt.md": loved})
        opened(root).run("kinds")
        (same,) = opened(root).run("same")
        assert (same.ok, same.failed) == (0, 3)
        (kinds,) = opened(root).run("kinds", retry=True)
        assert (kinds.failed, kinds.stale) == (4, 4)
        assert opened(root).sql("FROM kinds ORDER BY id").rows == before
        opened(root).run("same")
        life = opened(root).history("kinds", "2")
        place = life.columns.index("outcome")
        assert life.rows[0][place] == "ok"
        write(root, {"seeds/plants.csv": SEED + "5,elm,\n"})
        opened(root).run("same")
        keeps = loved.replace("key: id", "key: id\n    on_change: new")
        write(root, {"models/kinds.prompt.md": keeps})
        (plan,) = opened(root).plan("kinds")
        assert (plan.states, plan.to_ask) == ({"kept": 4}, 1)
