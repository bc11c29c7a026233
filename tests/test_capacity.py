"""Capacity: a plan on paper is proportional to its rows, and says what it rests on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import opened, plants, write
from hypothesis import given
from hypothesis.strategies import floats, integers

from enrich import cli
from enrich.errors import ProjectError
from enrich.pricing.capacity import Capacity, RowSizes, parse_capacity, project_rows
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.pipeline.plan import Plan
    from enrich.pricing.capacity import Projection

SIZES = RowSizes.of(request=900, tail=300, answer=150, ledger=None, answers=0)
RATES = floats(0.01, 10_000)
ROWS = integers(1, 10**11)


@given(rate=RATES, rows=ROWS, hours=floats(0.1, 1_000), price=floats(0, 100))
def test_nodes_are_done_in_time(rate: float, rows: int, hours: float, price: float) -> None:
    """As many nodes as are needed and no more; however many, they cost the same."""
    capacity = Capacity(rows_per_second=rate, hours=hours, usd_per_hour=price)
    found = project_rows(capacity, rows=rows, usd_per_row=0.0, sizes=SIZES)
    assert found.hours <= hours * (1 + 1e-9)
    assert found.nodes == 1 or rate * 3600 * hours * (found.nodes - 1) < rows * (1 + 1e-9)
    alone = Capacity(rows_per_second=rate, usd_per_hour=price)
    one = project_rows(alone, rows=rows, usd_per_row=0.0, sizes=SIZES)
    assert found.nodes_usd == pytest.approx(one.nodes_usd)


@given(rows=ROWS, times=integers(2, 1_000), usd=floats(0, 1))
def test_all_is_proportional(rows: int, times: int, usd: float) -> None:
    """So many times the rows take so many times the hours, USD and bytes."""
    capacity = Capacity(rows_per_second=20, nodes=3, usd_per_hour=1.5)
    one = project_rows(capacity, rows=rows, usd_per_row=usd, sizes=SIZES)
    more = project_rows(capacity, rows=rows * times, usd_per_row=usd, sizes=SIZES)
    assert more.hours == pytest.approx(one.hours * times)
    assert more.usd == pytest.approx((one.usd or 0) * times)
    for name, size in one.storage.items():
        assert more.storage[name] == pytest.approx(size * times)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rows=5", "a capacity needs rows_per_second"),
        ("rows_per_second=0", "'rows_per_second' must be a number above 0, not 0"),
        ("rows_per_second=nan", "must be a number above 0, not nan"),
        ("rows_per_second=1e-300", r"must be between 1e-06 and 1e\+15, not 1e-300"),
        ("rows_per_second=1,usd_per_hour=-1", "'usd_per_hour' must be a number above 0, not -1"),
        ("rows_per_second=1,nodes=1.5", "'nodes' must be a whole number above 0, not 1.5"),
        ("rows_per_second=1,nodes=2,hours=3", "either nodes or hours"),
        ("rows_per_seconds=1", "a capacity has no 'rows_per_seconds'"),
        ("rows_per_second", "'rows_per_second' is not KEY=NUMBER"),
        ("rows_per_second=fast", "is not KEY=NUMBER"),
        ("rows_per_second=1,rows_per_second=2", "'rows_per_second' twice"),
        ("", "'' is not KEY=NUMBER"),
    ],
)
def test_what_is_no_capacity(words: str, said: str) -> None:
    """One sentence, and a hint."""
    with pytest.raises(ProjectError, match=said) as found:
        Capacity.of(parse_capacity([words]))
    assert found.value.hint


@pytest.mark.few(0)
def test_a_plan_on_paper(tmp_path: Path) -> None:
    """By the estimate before anything is answered, by the answers afterwards, also with nothing to
    ask; a plan without it is what it was."""
    wanted: dict[str, Any] = {"rows": 1e8, "rows_per_second": 50, "hours": 24, "usd_per_hour": 2.5}
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        (before,) = opened(root).plan(capacity=wanted)
        opened(root).run()
    (after,) = opened(root).plan(capacity=wanted)
    (plain,) = opened(root).plan()
    assert plain.capacity is None
    for plan in (before, after):
        found = plan.capacity
        assert found is not None
        assert (found.rows, found.nodes) == (1e8, 24)
        assert found.nodes_usd == pytest.approx(1e8 / 50 / 3600 * 2.5)
        assert found.tokens_usd and found.tokens_usd > 0
        assert found.storage["ledger"] == found.sizes.ledger * 1e8
    assert (before.capacity and before.capacity.sizes.answers) == 0
    assert (after.capacity and after.capacity.sizes.answers) == 4
    runner = CliRunner()
    words = ["--project", str(root), "plan", "--capacity", "rows=100000000,rows_per_second=50"]
    shown = runner.invoke(cli.main, [*words, "--capacity", "hours=24,usd_per_hour=2.5"])
    assert "for 100,000,000 rows" in shown.stdout
    assert "as seen in 4 answers" in shown.stdout
    (listed,) = json.loads(runner.invoke(cli.main, [*words, "--json"]).stdout)
    assert listed["capacity"]["storage"].keys() >= {"requests", "results", "ledger", "table"}
    wrong = runner.invoke(cli.main, [*words, "--capacity", "node=3"])
    assert (wrong.exit_code, "did you mean 'nodes'?" in wrong.stderr) == (1, True)


def plan_as_many(root: Path) -> tuple[Plan, Projection]:
    """The plan of a model, for as many rows as there are."""
    (plan,) = opened(root).plan(capacity={"rows_per_second": 1.0, "usd_per_hour": 0.0})
    assert plan.capacity is not None
    return plan, plan.capacity


def read_spent(root: Path) -> float:
    """What the runs of a project have cost."""
    sql = "SELECT sum(cost) FROM enrich.costs WHERE run IS NOT NULL"
    return float(opened(root).sql(sql).rows[0][0])


def test_rows_that_share_a_request_are_not_paid_for_apart(tmp_path: Path) -> None:
    """Before they are asked and afterwards; and a few that are left over do not speak for all."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        rows = "".join(f"{number},plant {number % 2},\n" for number in range(40))
        write(root, {"seeds/plants.csv": f"id,name,note\n{rows}"})
        _, before = plan_as_many(root)
        opened(root).run()
        _, after = plan_as_many(root)
        long = "word " * 2_000
        write(root, {"seeds/plants.csv": f"id,name,note\n{rows}40,other,{long}\n"})
        odd, later = plan_as_many(root)
    assert before.storage["requests"] == pytest.approx(after.storage["requests"], rel=0.01)
    assert before.sizes.results < 100  # for twenty rows, there is one result
    assert after.tokens_usd == pytest.approx(read_spent(root))
    assert odd.to_ask == 1
    assert later.tokens_usd == pytest.approx(after.tokens_usd, rel=0.05)


def test_what_was_asked_twice_costs_twice(tmp_path: Path) -> None:
    """Retries are part of what a row takes; a preview, at another price, is not."""
    with Rehearsal(faults=Faults(off_schema=0.3)) as server:
        root = plants(tmp_path, server)
        rows = "".join(f"{number},plant {number},\n" for number in range(40))
        write(root, {"seeds/plants.csv": f"id,name,note\n{rows}"})
        opened(root).preview("kinds", limit=2)
        opened(root).run(retry=True)
        _, found = plan_as_many(root)
        assert server.bill.total > 44
    spent = read_spent(root)
    # The run asks for what the preview has not answered: 38 rows, or up to 40.
    assert found.tokens_usd is not None
    assert spent * 0.999 < found.tokens_usd < spent * 1.001 * 40 / 38


def test_a_price_that_was_not_known_then(tmp_path: Path) -> None:
    """What the answers took costs what it costs now."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, llm="nobody-sells-this")
        opened(root).run()
        _, unknown = plan_as_many(root)
        prices = {"nobody-sells-this": {"input": 1.0, "output": 2.0}}
        plants(root, server, llm="nobody-sells-this", prices=prices)
        plan, known = plan_as_many(root)
    assert plan.to_ask == 0
    assert unknown.tokens_usd is None
    assert known.tokens_usd and known.tokens_usd > 0
