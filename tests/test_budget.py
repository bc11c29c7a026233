"""Budgets and costs: no more is spent than allowed, and what was spent is known to the batch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import PROMPT, Ears, opened, plants, settings, write

from enrich import cli
from enrich.errors import EnrichError, ProjectError
from enrich.ledger.budget import BUDGET_SCOPES, Remaining, find_limits
from enrich.manifest.budget import Budget
from enrich.pricing.price import format_usd
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.ledger.state import State

ROWS = "id,name,note\n" + "".join(f"{n},plant {n},note {n}\n" for n in range(1, 41))


def budgeted(root: Path, server: Rehearsal, budget: object, **more: Any) -> Path:
    """A project of 40 plants with a budget, on a priced llm."""
    plants(root, server)
    known = json.loads(settings(server, llm="gpt-4o-mini", **more))
    write(root, {"project.yml": json.dumps(known | {"budget": budget}), "seeds/plants.csv": ROWS})
    return root


def spent(server: Rehearsal) -> float:
    """What the server would bill, in USD, at the batch price of gpt-4o-mini."""
    usage = server.bill.usage
    return (usage.input * 0.075 + usage.output * 0.3) / 1e6


def one(root: Path, **options: Any) -> State:
    (state,) = opened(root).run(**options)
    return state


@pytest.mark.few(0)
def test_as_much_is_asked_as_the_budget_pays_for(tmp_path: Path) -> None:
    """The run stops there; what was paid for is in the table; what is left is told, with its cost;
    a run with more money asks exactly that."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, 1)
        opened(root).preview("kinds", limit=20)
        paid = server.bill.total
        whole = opened(root).plan()[0].estimate
        assert whole is not None
        assert whole.usd is not None
        budget = whole.usd / 2
        state = one(root, max_cost=budget)
        assert 20 + 8 <= state.ok <= 20 + 11
        assert state.outcomes["pending"] == 40 - state.ok
        (held,) = state.batches
        assert held.held == state.held[0].held
        assert "for a run" in (held.held or "")
        assert held.requests == 40 - state.ok
        assert held.reserved == pytest.approx(whole.usd * held.requests / 20, rel=0.1)
        ((cost,),) = opened(root).sql("SELECT sum(cost) FROM ledger.batches WHERE run > 0").rows
        assert cost <= budget * 1.05
        assert one(root).ok == 40
        assert server.bill.total == paid + 20


def test_exit_code_and_words(tmp_path: Path) -> None:
    """4, and what to do next; `status` says the same and submits nothing."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, {"run": 0.0001})
        run = CliRunner().invoke(cli.main, ["--project", str(root), "run"])
        assert run.exit_code == 4
        before = len(server.batches)
        status = CliRunner().invoke(cli.main, ["--project", str(root), "status"])
        assert status.exit_code == 4
        assert len(server.batches) == before
        for said in (run.stderr, status.stderr):
            assert "the budget of $0.0001 for a run pays for no more" in said
            assert "requests are left, for about $0.0" in said
            assert "enrich run kinds" in said
        listed = json.loads(
            CliRunner().invoke(cli.main, ["--project", str(root), "status", "--json"]).stdout
        )
        assert listed[0]["batches"][0]["held"] == "the budget of $0.0001 for a run"


def test_what_waits_for_the_first_answers_is_not_out_of_budget(tmp_path: Path) -> None:
    """A few requests go first; meanwhile nobody is told to raise a budget that pays for all."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, 1)
        run = CliRunner().invoke(cli.main, ["--project", str(root), "run", "--detach"])
        assert "3 go first, to see what they cost" in run.stderr
        assert "kinds: 37 requests wait for the first answers, which show what they" in run.stderr
        assert "pays for no more" not in run.stderr
        debug = CliRunner().invoke(cli.main, ["--project", str(root), "debug"])
        assert "raise the budget" not in debug.output
        for _ in range(20):
            status = CliRunner().invoke(cli.main, ["--project", str(root), "status"])
            assert "pays for no more" not in status.stderr
            if not status.exit_code:
                break
        assert one(root).ok == 40
        assert server.bill.repeated == {}


def test_nothing_is_asked_for_nothing(tmp_path: Path) -> None:
    """--max-cost 0 sends no request at all."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, 1)
        state = one(root, max_cost=0)
        assert (state.ok, len(state.held), server.uploads) == (0, 1, [])
        (plan,) = opened(root).plan(max_cost=0)
        assert (plan.requests, plan.paid) == (40, 0)


@pytest.mark.few(0)
def test_what_is_left_of_a_wrong_estimate_is_used(tmp_path: Path) -> None:
    """The rule of thumb is far too high here; once the first batch is read, the rest is planned
    anew by what it took, and the budget that seemed to pay for some pays for all."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, 1)
        (plan,) = opened(root).plan()
        assert plan.estimate is not None
        assert plan.estimate.usd is not None
        ears = Ears()
        (state,) = opened(root, ears).run(max_cost=plan.estimate.usd * 0.7)
        assert (state.ok, state.busy) == (40, False)
        assert all(0 <= each.answered <= each.total == 40 for each in ears.seen)
        assert ears.seen[-1].answered == 40
        assert spent(server) < plan.estimate.usd * 0.7
        assert server.bill.repeated == {}


@pytest.mark.few(0)
def test_a_month_counts_all_of_it(tmp_path: Path) -> None:
    """Previews and earlier runs count; those of an earlier month do not."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, 1)
        assert one(root).ok == 40
        cost = spent(server)
        known = json.loads((root / "project.yml").read_text())
        write(root, {"project.yml": json.dumps(known | {"budget": {"month": cost * 1.5}})})
        write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You love")})
        state = one(root)
        assert 15 <= state.ok <= 22
        assert "for a month" in (state.held[0].held or "")
        with opened(root).files.open_ledger() as database:
            database.execute(
                "UPDATE ledger.batches SET submitted_at = submitted_at - INTERVAL 40 DAY, "
                "intended_at = intended_at - INTERVAL 40 DAY WHERE read_at IS NOT NULL"
            )
        assert one(root).ok == 40


def test_a_models_own_budget(tmp_path: Path) -> None:
    """A prompt's budget goes before the project's for any one model, and bears on it alone."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, {"model": 0})
        prompt = PROMPT.replace("key: id", "key: id\n    budget: 1")
        write(
            root,
            {
                "models/others.sql": "SELECT id, name, note FROM plants\n",
                "models/others.prompt.md": PROMPT,
                "models/kinds.prompt.md": prompt.replace("You know", "You love"),
            },
        )
        kinds, others = sorted(opened(root).run(), key=lambda state: state.model)
        assert (kinds.ok, others.ok) == (40, 0)
        assert others.held[0].held == "the budget of $0.00 for this model in a run"
        prompt = PROMPT.replace("key: id", "key: id\n    budget: {run: 1, month: 0}")
        write(root, {"models/others.prompt.md": prompt.replace("You know", "You hate")})
        (state,) = opened(root).run("others")
        assert state.held[0].held == "the budget of $0.00 for this model in a month"


@pytest.mark.few(0)
def test_the_models_of_one_run_share_its_budget(tmp_path: Path) -> None:
    """What the first takes the second has not; the next run has the budget anew."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, 1)
        write(
            root,
            {
                "models/others.sql": "SELECT id, name, note FROM plants\n",
                "models/others.prompt.md": PROMPT.replace("You know", "You love"),
            },
        )
        opened(root).preview("kinds", limit=10)
        opened(root).preview("others", limit=10)
        first, second = opened(root).plan()
        assert first.estimate
        assert second.estimate
        both = (first.estimate.usd or 0) + (second.estimate.usd or 0)
        first, second = opened(root).plan(max_cost=both * 0.75)
        assert first.paid == first.requests
        assert 10 <= second.paid <= 20
        kinds, others = sorted(
            opened(root).run(max_cost=both * 0.75), key=lambda state: state.model
        )
        assert kinds.ok == 40
        assert 20 <= others.ok <= 30
        kinds, others = sorted(
            opened(root).run(max_cost=both * 0.75), key=lambda state: state.model
        )
        assert (kinds.ok, others.ok) == (40, 40)


def test_what_is_held_is_in_nobodys_way(tmp_path: Path) -> None:
    """Another model that asks the same asks it; a model whose upstream is done runs, whatever is
    held elsewhere; and when money is there, what was asked meanwhile is not asked again."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, {})
        line = PROMPT.replace("{{ name }}: {{ coalesce(note, 'nothing') }}", "{{ line }}")
        write(
            root,
            {
                "models/kinds.prompt.md": PROMPT.replace("key: id", "key: id\n    budget: 0"),
                "models/zz.sql": "SELECT id, name, note FROM plants\n",
                "models/zz.prompt.md": PROMPT,
                "models/down.sql": "SELECT id, line FROM zz\n",
                "models/down.prompt.md": line,
            },
        )
        ok = {state.model: state.ok for state in opened(root).run()}
        assert ok == {"kinds": 40, "zz": 40, "down": 40}
        asked = server.bill.total
        assert asked == len(server.bill.requests)
        assert opened(root).preview("kinds", limit=3).asked == 0
        write(root, {"models/kinds.prompt.md": PROMPT})
        (state,) = opened(root).run("kinds")
        assert (state.ok, server.bill.total) == (40, asked)


@pytest.mark.few(0)
def test_rows_that_another_model_answers_are_not_waited_for(tmp_path: Path) -> None:
    """What is held turns out to be answered: the model is done, and what reads it is run."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, {})
        line = PROMPT.replace("{{ name }}: {{ coalesce(note, 'nothing') }}", "{{ line }}")
        write(
            root,
            {
                "models/kinds.prompt.md": PROMPT.replace("key: id", "key: id\n    budget: 0.0008"),
                "models/other.sql": "SELECT id, name, note FROM plants\n",
                "models/other.prompt.md": PROMPT,
                "models/after.sql": "SELECT id, line FROM kinds\n",
                "models/after.prompt.md": line,
            },
        )
        ok = {state.model: state.ok for state in opened(root).run()}
        assert ok == {"kinds": 40, "other": 40, "after": 40}
        assert server.bill.repeated == {}


@pytest.mark.few(0)
def test_a_full_refresh_goes_on_where_its_budget_ended(tmp_path: Path) -> None:
    """The next plain run asks the rows that were not refreshed, and no other; so does the plan."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, 1)
        one(root)
        refreshed = one(root, full_refresh=True, max_cost=0.0003)
        first = server.bill.total - 40
        assert 0 < first < 40
        left = sum(batch.requests for batch in refreshed.held)
        assert first + left == 40
        (plan,) = opened(root).plan()
        assert plan.reasons == {"asked again": left}
        assert one(root).ok == 40
        assert server.bill.total == 80
        assert set(server.bill.requests.values()) == {2}
        one(root)
        assert server.bill.total == 80


def spoil(line: dict[str, Any]) -> dict[str, Any]:
    """A result line whose answer is paid for and no JSON."""
    line["response"]["body"]["choices"][0]["message"]["content"] = "not JSON"
    return line


@pytest.mark.parametrize("refresh", [False, True])
def test_a_retry_goes_on_where_its_budget_ended(tmp_path: Path, refresh: bool) -> None:
    """The next plain run asks the rows that were held, and none that have been tried again; so
    does the plan."""
    fails = [not refresh]

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        return spoil(line) if fails[0] else line

    with Rehearsal(rewrite=rewrite) as server:
        root = budgeted(tmp_path, server, {})
        known = json.loads((root / "project.yml").read_text())
        write(root, {"project.yml": json.dumps(known | {"max_attempts": 1})})
        assert one(root).ok == (40 if refresh else 0)
        assert opened(root).plan()[0].requests == 0
        fails[0] = True
        how = {"full_refresh": True} if refresh else {"retry": True}
        one(root, max_cost=0.0003, **how)
        tried = server.bill.total - 40
        assert 0 < tried < 40
        (plan,) = opened(root).plan(max_cost=0)
        assert plan.requests == 40 - tried
        one(root, max_cost=0)
        fails[0] = False
        (plan,) = opened(root).plan()
        assert plan.reasons == {"asked again" if refresh else "failed before": 40 - tried}
        assert one(root).ok == (40 if refresh else 40 - tried)
        assert server.bill.total == 80
        assert (opened(root).plan()[0].requests, server.bill.total) == (0, 80)


class Meanwhile(Ears):
    """Runs the project in another command while this one waits for a server that was busy."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root, self.other = root, Ears()

    def say(self, sentence: str) -> None:
        super().say(sentence)
        if sentence.endswith("trying again"):
            opened(self.root, self.other).run(max_cost=1, detach=True)


def test_each_command_says_what_its_own_run_has_spent(tmp_path: Path) -> None:
    """Another one of the same model that starts meanwhile spends by itself."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, {}, max_requests=25)
        server.script("POST /v1/batches", ["ok", (429, {"error": {"message": "slow down"}})])
        ears = Meanwhile(root)
        (state,) = opened(root, ears).run(max_cost=1)
        assert (state.ok, server.bill.total) == (40, 40)
        costs = "SELECT run, sum(cost) FROM ledger.batches GROUP BY run ORDER BY run"
        spending = [format_usd(cost) for _, cost in opened(root).sql(costs).rows]
        of = "of the budget of $1.00 for a run"
        assert spending[0] != spending[1]
        assert ears.said[-1] == f"spent {spending[0]} {of}"


def test_a_model_that_could_not_start_has_spent_nothing(tmp_path: Path) -> None:
    """What an earlier run of it has spent is not this command's."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, {})
        one(root, max_cost=1)
        write(root, {"models/kinds.sql": "SELECT id, nme FROM plants"})
        ears = Ears()
        with pytest.raises(EnrichError, match="nme"):
            opened(root, ears).run(max_cost=1)
        assert not any("spent" in each for each in ears.said)


def test_what_is_in_flight_is_not_refreshed_twice(tmp_path: Path) -> None:
    """An answer that comes in after the refresh began is as fresh as any."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, {"run": 0.0008})
        opened(root).run(detach=True)
        state = one(root, full_refresh=True, max_cost=1)
        assert (state.ok, server.bill.total, server.bill.repeated) == (40, 40, {})


@pytest.mark.few(0)
def test_cancelled_before_it_was_sent(tmp_path: Path) -> None:
    """What a budget held and was cancelled was never asked: it is not a failure."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, 0)
        one(root)
        assert [batch.status for batch in opened(root).cancel()] == ["cancelled"]
        (plan,) = opened(root).plan(max_cost=1)
        assert plan.reasons == {"not asked yet": 40}
        assert opened(root).sql("SELECT count(*) FROM ledger.responses").rows == ((0,),)
        assert one(root, max_cost=1).ok == 40


@pytest.mark.few(0)
def test_lost_answers_count_as_estimated(tmp_path: Path) -> None:
    """A request that no file answers may have been billed: what was reserved for it stays spent."""
    with Rehearsal(faults=Faults(dropped=0.5), seed=4) as server:
        root = budgeted(tmp_path, server, 1)
        opened(root).run()
        ((cost,),) = opened(root).sql("SELECT sum(cost) FROM enrich.costs").rows
        assert cost > spent(server) * 0.9


def test_hints_name_the_provider_of_the_run(tmp_path: Path) -> None:
    """To go on with another provider than the project's, the command has to say so."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, 0)
        known = json.loads((root / "project.yml").read_text())
        known["providers"]["local"] = {}
        write(root, {"project.yml": json.dumps(known | {"provider": "local"})})
        words = ["--project", str(root), "run", "--provider", "api"]
        assert "enrich run kinds --provider api\n" in CliRunner().invoke(cli.main, words).stderr


@pytest.mark.few(0)
def test_previews_are_no_part_of_a_run(tmp_path: Path) -> None:
    """A budget for a run is for each run; what single previews took adds up in a month only."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, {"run": 0.0003, "model": 0.0003})
        for number in range(1, 12):
            assert opened(root).preview("kinds", where=f"id = {number}").asked == 1
        assert spent(server) * 2 > 0.0003  # single requests cost twice what a batch does


def test_retries_are_within_the_budget(tmp_path: Path) -> None:
    """Requests that are asked again are paid from the same budget."""
    with Rehearsal(faults=Faults(off_schema=0.5), seed=5) as server:
        root = budgeted(tmp_path, server, 1)
        opened(root).preview("kinds", limit=20)
        (plan,) = opened(root).plan()
        assert plan.estimate
        assert plan.estimate.usd
        before = spent(server)
        one(root, max_cost=plan.estimate.usd)
        ((cost,),) = opened(root).sql("SELECT sum(cost) FROM ledger.batches WHERE run > 0").rows
        assert cost <= plan.estimate.usd * 1.1
        assert spent(server) - before == pytest.approx(cost)


def test_a_budget_needs_a_price(tmp_path: Path) -> None:
    """Where nobody knows the price nothing is asked; without a budget tokens are counted."""
    with Rehearsal() as server:
        root = budgeted(tmp_path, server, 1)
        known = json.loads(settings(server, llm="some-llm"))
        write(root, {"project.yml": json.dumps(known | {"budget": 1})})
        with pytest.raises(ProjectError, match="the price of some-llm is not known") as told:
            one(root)
        assert "prices:" in told.value.hint
        assert server.bill.total == 0
        write(root, {"project.yml": json.dumps(known)})
        assert one(root).ok == 40
        result = CliRunner().invoke(cli.main, ["--project", str(root), "cost"])
        assert "unknown" in result.stdout
        assert "1 batch has no known price" in result.stderr


@pytest.mark.few(0)
def test_costs_agree_with_the_bill(tmp_path: Path) -> None:
    """Every way to add up gives what the server billed, cached tokens at their own price; a table
    of the warehouse has it by batch, and provenance by row."""
    system = "You know plants. " * 300  # long enough to be cached
    with Rehearsal(faults=Faults(off_schema=0.2, http_500=0.2), seed=2) as server:
        prices = {"mine": {"input": 2, "cached": 0.5, "output": 8}}
        root = budgeted(tmp_path, server, 9, prices=prices)
        prompt = PROMPT.replace("You know plants.", system).replace(
            "key: id", "key: id\n    llm: mine"
        )
        write(root, {"models/kinds.prompt.md": prompt})
        opened(root).run()
        usage = server.bill.usage
        assert usage.cached
        fresh = usage.input - usage.cached
        bill = (fresh * 1 + usage.cached * 0.25 + usage.output * 4) / 1e6
        project = opened(root)
        for by in ("model", "llm", "prompt", "day", "batch"):
            found = project.cost(by)
            rows = [dict(zip(found.columns, row, strict=True)) for row in found]
            assert sum(row["cost"] for row in rows) == pytest.approx(bill)
            assert sum(row["cached_tokens"] for row in rows) == usage.cached
        ((table, day),) = project.sql("SELECT sum(cost), max(day) FROM enrich.costs").rows
        assert table == pytest.approx(bill)
        assert day == datetime.now(UTC).date()
        ((ok,),) = project.sql("SELECT sum(cost) FROM enrich.kinds").rows
        assert 0 < ok <= table


def test_what_is_under_way_is_reserved(tmp_path: Path) -> None:
    """Until a batch is read, its estimate is shown beside what is known."""
    with Rehearsal(faults=Faults(batch_stuck=1)) as server:
        root = budgeted(tmp_path, server, 1)
        opened(root).run(detach=True)
        result = CliRunner().invoke(cli.main, ["--project", str(root), "cost"])
        assert "under way, about" in result.stdout
        ((cost, reserved),) = opened(root).sql("SELECT cost, reserved FROM enrich.costs").rows
        assert cost is None
        assert reserved > 0
    opened(root).cancel(forget=True)  # the server is gone: it may have run the batch
    ((given_up,),) = opened(root).sql("SELECT cost FROM ledger.batches").rows
    assert given_up == pytest.approx(reserved)


def test_nothing_spent(tmp_path: Path) -> None:
    """A fresh project says so, and where to look."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        result = CliRunner().invoke(cli.main, ["--project", str(root), "cost"])
        assert (result.exit_code, result.stdout) == (0, "")
        assert "nothing has been spent yet" in result.stderr


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ("five", "'budget' must be an amount in USD"),
        ("-1", "'budget' must be an amount in USD"),
        (".nan", "'budget' must be an amount in USD"),
        (".inf", "'budget' must be an amount in USD"),
        ("true", "'budget' must be an amount in USD"),
        ("{year: 5}", "cannot be set for a 'year'"),
        ("{month: x}", "'budget' must be an amount in USD for 'month'"),
        ("[1]", "'budget' must be an amount in USD"),
    ],
)
def test_wrong_budgets(tmp_path: Path, budget: str, words: str) -> None:
    """Refused with the line, in project.yml and in a prompt."""
    write(tmp_path, {"project.yml": f"name: x\nbudget: {budget}\n"})
    with pytest.raises(EnrichError, match=r"project\.yml:2: 'budget'") as told:
        opened(tmp_path)
    assert words in told.value.message


def test_which_budgets_bear_on_a_run() -> None:
    """The command line before the project, a model's own before the project's for any model."""
    project = Budget(run=5, model=2, month=50)
    assert find_limits(project, Budget(), None) == {"run": 5, "model": 2, "month": 50}
    own = find_limits(project, Budget(run=1, month=3), 0.5)
    assert own == {"run": 0.5, "model": 1, "month": 50, "model month": 3}
    assert set(own) == set(BUDGET_SCOPES)
    assert Remaining().pays(None)
    assert not Remaining(usd=1.0).pays(None)
