"""Money: what fails alike is paid once, budgets feel their way, and usage is read to the letter."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import Ears, opened, plants, write

from enrich.cli import main
from enrich.rehearsal import Faults, Quirks, Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

CREATE = "POST /v1/batches"


def enrich(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--project", str(root), *words])


def forest(root: Path, server: Rehearsal, *, count: int = 60, **more: Any) -> Path:
    """The project of plants with more of them."""
    plants(root, server, **more)
    lines = "".join(f"{number},plant {number},\n" for number in range(count))
    write(root, {"seeds/plants.csv": f"id,name,note\n{lines}"})
    return root


@pytest.mark.parametrize("fault", ["truncated", "malformed", "off_schema", "refused", "http_400"])
@pytest.mark.few(2)
def test_a_systematic_failure_is_paid_once(tmp_path: Path, fault: str) -> None:
    """The first batch of a version goes alone; all of it fails alike, so the rest is not sent."""
    with Rehearsal(faults=Faults(**{fault: 1.0})) as server:
        root = forest(tmp_path, server, max_requests=20)
        found = enrich(root, "run")
        assert found.exit_code == 3, found.output
        assert "20 of the first 20 answers are" in found.output
        assert len(server.batches) == 1
        assert enrich(root, "run").exit_code == 3
        assert enrich(root, "status").exit_code == 3
        assert len(server.batches) == 1


def test_a_systematic_failure_can_be_sent_all_the_same(tmp_path: Path) -> None:
    """`--retry` asks again what failed, and what was not sent."""
    broken = [True]

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        if broken[0]:
            line["response"]["body"]["choices"][0]["message"]["content"] = "not JSON"
        return line

    with Rehearsal(rewrite=rewrite) as server:
        root = forest(tmp_path, server, max_requests=20)
        (state,) = opened(root).run()
        assert (state.failed, state.pending) == (20, 40)
        broken[0] = False
        (state,) = opened(root).run(retry=True)
        assert (state.ok, state.stopped, server.bill.total) == (60, "", 80)


def test_a_few_failures_stop_nothing(tmp_path: Path) -> None:
    """Half of the answers are truncated: all rows are asked."""
    with Rehearsal(faults=Faults(truncated=0.5), seed=3) as server:
        (state,) = opened(forest(tmp_path, server, max_requests=20)).run()
        assert state.ok + state.failed == 60
        assert not state.stopped


def test_a_model_after_one_that_failed_alike_is_not_run(tmp_path: Path) -> None:
    with Rehearsal(faults=Faults(malformed=1.0)) as server:
        root = forest(tmp_path, server)
        write(
            root,
            {
                "models/moods.sql": "SELECT id, kind FROM kinds\n",
                "models/moods.prompt.md": "---\nkey: id\noutput: mood VARCHAR\n---\n"
                "user:\n{{ kind }}\n",
            },
        )
        ears = Ears()
        opened(root, ears).run()
        assert len(server.batches) == 1
        assert any("moods" in said and "kinds" in said for said in ears.said)


@pytest.mark.parametrize("status", [422, None])
def test_the_same_reason_twice_is_not_asked_a_third_time(
    tmp_path: Path, status: int | None
) -> None:
    """What lies in the request fails again; a refusal with a status is not even asked twice."""

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        error = {"code": "invalid_value", "message": "no"}
        if status is None:
            return line | {"response": None, "error": error}
        return line | {"response": {"status_code": status, "body": {"error": error}}}

    with Rehearsal(rewrite=rewrite) as server:
        (state,) = opened(plants(tmp_path, server)).run()
        assert state.failed == 4
        assert len(server.batches) == (2 if status is None else 1)


@pytest.mark.few(0)
def test_what_passes_is_asked_up_to_max_attempts(tmp_path: Path) -> None:
    """The same 500 twice says nothing about the third time."""
    with Rehearsal(faults=Faults(http_500=1.0)) as server:
        (state,) = opened(plants(tmp_path, server)).run()
        assert (state.failed, len(server.batches)) == (4, 3)


def test_a_budget_without_answers_feels_its_way(tmp_path: Path) -> None:
    """Reasoning that no estimate knew of costs a few requests, not ten times the budget."""
    with Rehearsal(quirks=Quirks(reasoning=2000)) as server:
        root = forest(tmp_path, server)
        planned = enrich(root, "plan", "--max-cost", "0.008")
        assert "are sent first, to see what they cost" in planned.output
        ears = Ears()
        (state,) = opened(root, ears).run(max_cost=0.008)
        billed = server.bill.usage
        cost = (billed.input * 0.075 + (billed.output + billed.hidden) * 0.3) / 1e6
        assert state.held
        assert 0.004 < cost < 0.0088
        assert any(
            said.startswith("spent $0.00") and "of the budget of $0.008" in said
            for said in ears.said
        )
        (spent,) = opened(root).sql("SELECT sum(cost) FROM enrich.costs").rows[0]
        assert spent == pytest.approx(cost)


def test_an_overspend_is_said(tmp_path: Path) -> None:
    """A budget that the first requests alone go beyond."""
    with Rehearsal(quirks=Quirks(reasoning=100_000)) as server:
        ears = Ears()
        opened(forest(tmp_path, server), ears).run(max_cost=0.008)
        assert any("because answers took more tokens than estimated" in said for said in ears.said)
        assert server.bill.total == 3


USAGES: dict[str, tuple[object, tuple[int | None, int | None, int | None]]] = {
    "as usual": ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, (10, None, 5)),
    "hidden reasoning": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 300},
        (10, None, 290),
    ),
    "no total": ({"prompt_tokens": 10, "completion_tokens": 5}, (10, None, 5)),
    "a small total": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 1},
        (10, None, 5),
    ),
    "negative": (
        {"prompt_tokens": -10, "completion_tokens": -5, "total_tokens": -15},
        (None, None, None),
    ),
    "cached": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 8},
        },
        (10, 8, 5),
    ),
    "more cached than there are": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 80},
        },
        (10, 10, 5),
    ),
    "negative cached": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": -8},
        },
        (10, None, 5),
    ),
    "no output": ({"prompt_tokens": 10, "total_tokens": 30}, (10, None, 20)),
    "words": ({"prompt_tokens": "ten", "completion_tokens": 5}, (None, None, 5)),
    "none": (None, (None, None, None)),
}


def used(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(line: dict[str, Any]) -> dict[str, Any]:
        line["response"]["body"]["usage"] = deepcopy(USAGES[name][0])
        return line

    return change


def test_usage_is_read_to_the_letter(tmp_path: Path) -> None:
    """Tokens that only the total tells of are output; negative ones tell nothing."""
    names = list(USAGES)
    with Rehearsal(rewrite=lambda line: used(names[int(line["custom_id"])])(line)) as server:
        root = forest(tmp_path, server, count=len(names))
        opened(root).run()
        rows = opened(root).sql(
            "SELECT custom_id, input_tokens, cached_tokens, output_tokens FROM ledger.responses"
        )
    found = {names[int(row[0])]: tuple(row[1:]) for row in rows}
    assert found == {name: tokens for name, (_, tokens) in USAGES.items()}
