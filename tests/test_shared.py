"""Models that ask the same share their requests: each is sent once, and all have its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from folders import PROMPT, Ears, opened, plants, write

from enrich.rehearsal import Rehearsal
from enrich.report.plans import print_plans

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

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
        print_plans(opened(root).plan(max_cost=0.0008))
        assert "in total: 2 requests within budget, about $0.0007" in capsys.readouterr().out
        print_plans(opened(root).plan(max_cost=1))
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
