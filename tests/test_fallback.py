"""Fallbacks: what one llm fails with is asked of the next, once, within the budget."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import PROMPT, Ears, opened, plants, settings, write
from test_crash import CREATE, FETCH, UPLOAD, killed

from enrich import cli
from enrich.errors import ModelError, ProjectError
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.ledger.state import State
    from enrich.rehearsal import Step
    from enrich.rehearsal.settings import Rewrite

SMALL, LARGE, HUGE = "gpt-4o-mini", "gpt-4o", "gpt-4.1"
ROWS = "id,name,note\n" + "".join(f"{n},plant {n},note {n}\n" for n in range(1, 21))


def spoils(hard: dict[str, set[int]], asked: Counter[tuple[str, int]]) -> Rewrite:
    """Each llm answers these rows with something that does not fit; counts who was asked what."""

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        body = line["response"]["body"]
        llm, row = body["model"], int(line["custom_id"])
        asked[llm, row] += 1
        if row in hard.get(llm, ()):
            body["choices"][0]["message"]["content"] = '{"kind": "fern"}'
        return line

    return rewrite


def chained(root: Path, server: Rehearsal, llms: list[str] | str, **more: Any) -> Path:
    """20 plants that these llms are asked about, each once."""
    plants(root, server)
    write(root, {"seeds/plants.csv": ROWS, "project.yml": settings(server, **more)})
    change(root, llms)
    return root


def change(root: Path, llms: list[str] | str, front: str = "max_attempts: 1") -> None:
    words = json.dumps(llms)
    start = f"key: id\n    llm: {words}\n    {front}"
    write(root, {"models/kinds.prompt.md": PROMPT.replace("key: id", start, 1)})


def one(root: Path, **options: Any) -> State:
    (state,) = opened(root).run(**options)
    return state


def respondents(root: Path) -> dict[tuple[str, str], int]:
    """How many rows have which outcome by which llm, as `enrich.kinds` says."""
    found = opened(root).sql("SELECT outcome, llm, count(*) FROM enrich.kinds GROUP BY ALL").rows
    return {(outcome, llm): many for outcome, llm, many in found}


def by_llm(asked: Counter[tuple[str, int]]) -> dict[str, int]:
    return dict(Counter(llm for llm, _ in asked.elements()))


@pytest.mark.few(0)
def test_rows_that_fail_are_asked_of_the_next(tmp_path: Path) -> None:
    """Three llms: each is asked what the ones before it have failed with, the outcome is the last
    one's, and all of it is one run. Another one asks nothing; `--retry` starts over with what no
    llm has answered. `history`, `failures` and the costs know who was asked."""
    asked: Counter[tuple[str, int]] = Counter()
    hard = {SMALL: {1, 2, 3, 4, 5, 6}, LARGE: {1, 2, 3}, HUGE: {1}}
    with Rehearsal(rewrite=spoils(hard, asked)) as server:
        root = chained(tmp_path, server, [SMALL, LARGE, HUGE])
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert (state.ok, state.failed, state.pending) == (19, 1, 0)
        assert state.llm == f"{SMALL}, {LARGE}, {HUGE}"
        assert set(asked) == {
            *((SMALL, n) for n in range(1, 21)),
            *((LARGE, n) for n in range(1, 7)),
            *((HUGE, n) for n in range(1, 4)),
        }
        assert set(asked.values()) == {1}
        assert respondents(root) == {
            ("ok", SMALL): 14,
            ("ok", LARGE): 3,
            ("ok", HUGE): 2,
            ("invalid", HUGE): 1,
        }
        project = opened(root)
        assert project.sql("SELECT count(*) FROM kinds").rows == ((19,),)
        life = project.history("kinds", "2")
        at = {name: place for place, name in enumerate(life.columns)}
        said = [(row[at["llm"]], row[at["outcome"]], row[at["run"]]) for row in life.rows]
        assert said == [(SMALL, "invalid", 1), (LARGE, "invalid", 1), (HUGE, "ok", 1)]
        assert [row[0] for row in project.failures("kinds").rows.rows] == [1]
        costs = project.sql("SELECT llm, sum(requests) FROM enrich.costs GROUP BY ALL").rows
        assert dict(costs) == {SMALL: 20, LARGE: 6, HUGE: 3}
        assert (ears.seen[-1].total, ears.seen[-1].failed) == (20, 1)
        before = server.bill.total
        assert one(root).ok == 19
        (plan,) = project.plan()
        assert (plan.states, plan.reasons) == ({"answered": 19, "given up": 1}, {})
        assert not plan.changed
        assert server.bill.total == before
        hard[HUGE] = set()
        assert one(root, retry=True).ok == 20
        assert by_llm(asked) == {SMALL: 21, LARGE: 7, HUGE: 4}


def test_a_fallback_can_be_added_and_removed(tmp_path: Path) -> None:
    """It is asked only what the first has failed with; without it, its answers are kept as stale
    ones, and with it again they count again. Nothing is asked twice."""
    asked: Counter[tuple[str, int]] = Counter()
    with Rehearsal(rewrite=spoils({SMALL: {1, 2, 3}}, asked)) as server:
        root = chained(tmp_path, server, SMALL)
        assert one(root).ok == 17
        change(root, [SMALL, LARGE])
        (plan,) = opened(root).plan()
        assert plan.reasons == {f"failed with {SMALL}": 3}
        assert (plan.states, plan.changed, plan.requests) == ({"answered": 17}, (), 3)
        assert f"3 requests to {LARGE} (api) in 1 batch" in str(plan)
        ((now),) = plan.notes
        assert now.startswith(f"3 with which {SMALL} has failed are asked of {LARGE} now, for ")
        assert one(root).ok == 20
        assert by_llm(asked) == {SMALL: 20, LARGE: 3}
        change(root, SMALL)
        state = one(root)
        assert (state.ok, state.stale) == (17, 3)
        change(root, [SMALL, LARGE])
        assert one(root).ok == 20
        # One in between is not asked what a later one has answered.
        change(root, [SMALL, HUGE, LARGE])
        state = one(root)
        assert (state.ok, state.stale) == (20, 0)
        assert by_llm(asked) == {SMALL: 20, LARGE: 3}
        # The other way around, the llm that is asked first has changed for 17 of the rows.
        change(root, [LARGE, SMALL])
        assert opened(root).plan()[0].reasons == {"llm changed": 17}
        assert one(root).ok == 20
        assert by_llm(asked) == {SMALL: 20, LARGE: 20}
        # Other parameters, for rows of which some were asked of the fallback: no llm has changed.
        change(root, [SMALL, LARGE])
        one(root)
        change(root, [SMALL, LARGE], "params: {temperature: 1}\n    max_attempts: 1")
        text = (root / "models/kinds.prompt.md").read_text(encoding="utf-8")
        text = text.replace("params: {temperature: 0}\n", "")
        (root / "models/kinds.prompt.md").write_text(text, encoding="utf-8")
        assert opened(root).plan()[0].reasons == {"parameters changed": 20}


@pytest.mark.few(0)
def test_a_plan_says_what_the_fallback_may_be_asked(tmp_path: Path) -> None:
    """Without answers, at most everything; with some, the share that has failed so far."""
    with Rehearsal(rewrite=spoils({SMALL: {1, 2, 3, 4, 5}}, Counter())) as server:
        root = chained(tmp_path, server, [SMALL, LARGE])
        (plan,) = opened(root).plan()
        (fallback,) = plan.fallbacks
        assert (fallback.llm, fallback.requests, fallback.most) == (LARGE, 0, 20)
        assert fallback.expected is None
        assert plan.estimate is not None
        assert (fallback.more.usd or 0) > (plan.estimate.usd or 0) * 5
        ((said),) = plan.notes
        assert "how many is not known yet, at most 20, which would cost" in said
        one(root)
        more = "".join(f"{n},plant {n},note {n}\n" for n in range(21, 61))
        write(root, {"seeds/plants.csv": ROWS + more})
        shown = CliRunner().invoke(cli.main, ["--project", str(root), "plan", "--json"])
        (found,) = json.loads(shown.stdout)
        assert found["reasons"] == {"new": 40}
        assert (found["fallbacks"][0]["expected"], found["fallbacks"][0]["most"]) == (10, 40)
        ((said),) = found["notes"]
        assert said.startswith(
            f"rows with which {SMALL} fails are then asked of {LARGE}: about 10 of 40"
        )


@pytest.mark.few(0)
def test_a_budget_covers_the_fallback(tmp_path: Path) -> None:
    """What it does not pay for is held, and a run with more money asks exactly that. With a budget,
    the price of every llm has to be known before anything is sent."""
    asked: Counter[tuple[str, int]] = Counter()
    hard = {SMALL: set(range(1, 11))}
    with Rehearsal(rewrite=spoils(hard, asked)) as server:
        root = chained(tmp_path, server, [SMALL, "gpt-nobody-knows"])
        with pytest.raises(ProjectError, match="price of gpt-nobody-knows is not known"):
            one(root, max_cost=1)
        assert not server.batches
        change(root, SMALL)
        one(root)
        change(root, [SMALL, LARGE])
        # A token of the one costs 16.7 times as much as a token of the other.
        ((each,),) = opened(root).sql("SELECT avg(cost) FROM enrich.kinds").rows
        state = one(root, max_cost=each * 16.7 * 5)
        few = by_llm(asked)[LARGE]
        assert 0 < few < 10
        assert (state.ok, state.pending) == (10 + few, 10 - few)
        assert "for a run" in (state.held[0].held or "")
        assert one(root).ok == 20
        assert by_llm(asked) == {SMALL: 20, LARGE: 10}
        # A run whose budget is used up by the first llm.
        write(root, {"seeds/plants.csv": ROWS.replace("plant", "shrub")})
        (plan,) = opened(root).plan()
        assert plan.estimate is not None
        state = one(root, max_cost=(plan.estimate.usd or 0) * 1.1)
        assert (state.ok, state.pending) == (10, 10)
        assert by_llm(asked) == {SMALL: 40, LARGE: 10}
        assert one(root).ok == 20
        assert by_llm(asked) == {SMALL: 40, LARGE: 20}


@pytest.mark.parametrize(
    ("route", "steps"),
    [
        (UPLOAD, ["ok", "hang"]),
        (CREATE, ["ok", "hang"]),
        (CREATE, ["ok", "stall"]),
        (FETCH, ["ok", "hang"]),
    ],
)
@pytest.mark.few(0)
def test_killed_at_the_second_llm(tmp_path: Path, route: str, steps: list[Step]) -> None:
    """The next run goes on with it: both are asked each of their rows once."""
    asked: Counter[tuple[str, int]] = Counter()
    with Rehearsal(rewrite=spoils({SMALL: {1, 2}}, asked), hang=60) as server:
        root = chained(tmp_path, server, [SMALL, LARGE])
        server.script(route, steps)
        killed(root, server, route, 2)
        server.script(route, [], replace=True)
        assert one(root).ok == 20
        assert server.bill.total == 22
        assert not server.bill.repeated


@pytest.mark.few(0)
def test_attempts_are_counted_for_each_llm(tmp_path: Path) -> None:
    """A row moves on once its attempts are used up. Rows with equal requests move together, and a
    full refresh starts over with the first llm."""
    asked: Counter[tuple[str, int]] = Counter()
    hard = {SMALL: {1, 2}, LARGE: {1}}
    with Rehearsal(rewrite=spoils(hard, asked)) as server:
        root = chained(tmp_path, server, [SMALL, LARGE])
        change(root, [SMALL, LARGE], "max_attempts: 2")
        write(root, {"seeds/plants.csv": ROWS + "21,plant 1,note 1\n22,plant 2,note 2\n"})
        state = one(root)
        assert (state.ok, state.failed) == (20, 2)
        assert asked[SMALL, 1] == asked[SMALL, 2] == asked[LARGE, 1] == 2
        assert by_llm(asked) == {SMALL: 22, LARGE: 3}
        assert respondents(root) == {("ok", SMALL): 18, ("ok", LARGE): 2, ("invalid", LARGE): 2}
        hard.clear()
        assert one(root, full_refresh=True).ok == 22
        assert by_llm(asked) == {SMALL: 42, LARGE: 3}
        assert respondents(root) == {("ok", SMALL): 22}


@pytest.mark.few(0)
def test_an_llm_that_fails_with_everything(tmp_path: Path) -> None:
    """All of it is asked of the next; but while more of its batches wait, the run is stopped."""
    asked: Counter[tuple[str, int]] = Counter()
    with Rehearsal(rewrite=spoils({SMALL: set(range(1, 21))}, asked)) as server:
        root = chained(tmp_path / "one", server, [SMALL, LARGE])
        assert one(root).ok == 20
        assert by_llm(asked) == {SMALL: 20, LARGE: 20}
        asked.clear()
        root = chained(tmp_path / "many", server, [SMALL, LARGE], max_requests=10)
        state = one(root)
        assert (state.ok, state.failed, state.pending) == (0, 10, 10)
        assert "10 of the first 10 answers are invalid" in state.stopped
        assert one(root, retry=True).ok == 20
        assert by_llm(asked)[LARGE] == 20


def test_a_check_that_is_loosened_goes_back_to_the_first(tmp_path: Path) -> None:
    """An answer that is paid for is used as soon as the output accepts it, whoever gave it."""

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        body = line["response"]["body"]
        tags = ["a"] * (5 if body["model"] == SMALL and int(line["custom_id"]) < 4 else 2)
        answer = {"kind": "tree", "tags": tags, "height": None, "line": body["model"]}
        body["choices"][0]["message"]["content"] = json.dumps(answer)
        return line

    with Rehearsal(rewrite=rewrite) as server:
        root = chained(tmp_path, server, [SMALL, LARGE])
        text = (root / "models/kinds.prompt.md").read_text(encoding="utf-8")
        text = text.replace("BETWEEN 1 AND 3", "<> 5")
        (root / "models/kinds.prompt.md").write_text(text, encoding="utf-8")
        assert one(root).ok == 20
        assert respondents(root) == {("ok", SMALL): 17, ("ok", LARGE): 3}
        billed = server.bill.total
        for check, expected in (
            ("<> 6", {("ok", SMALL): 20}),
            ("NOT IN (5, 7)", {("ok", SMALL): 17, ("ok", LARGE): 3}),
        ):
            (root / "models/kinds.prompt.md").write_text(
                text.replace("<> 5", check), encoding="utf-8"
            )
            assert one(root).ok == 20
            assert respondents(root) == expected
        assert server.bill.total == billed


@pytest.mark.few(0)
def test_a_fallback_with_on_change(tmp_path: Path) -> None:
    """A changed prompt keeps the answers of both llms, and asks what is new, of both if need be."""
    asked: Counter[tuple[str, int]] = Counter()
    with Rehearsal(rewrite=spoils({SMALL: {1, 2, 21}}, asked)) as server:
        root = chained(tmp_path, server, [SMALL, LARGE])
        front = "on_change: new\n    max_attempts: 1"
        change(root, [SMALL, LARGE], front)
        assert one(root).ok == 20
        text = (root / "models/kinds.prompt.md").read_text(encoding="utf-8")
        new = text.replace("You know plants", "You know all plants")
        (root / "models/kinds.prompt.md").write_text(new, encoding="utf-8")
        write(root, {"seeds/plants.csv": ROWS + "21,plant 21,note\n"})
        (plan,) = opened(root).plan()
        assert (plan.states, plan.reasons) == ({"kept": 20}, {"new": 1})
        assert one(root).ok == 21
        assert by_llm(asked) == {SMALL: 21, LARGE: 3}
        (plan,) = opened(root).plan()
        assert (plan.states, plan.reasons) == ({"kept": 20, "answered": 1}, {})


@pytest.mark.parametrize("llms", [[SMALL, SMALL], [SMALL, ""], []])
def test_llms_that_are_no_chain(tmp_path: Path, llms: list[str]) -> None:
    with Rehearsal() as server:
        root = chained(tmp_path, server, llms)
        with pytest.raises(ModelError, match="llm"):
            opened(root).plan()


def test_an_answer_of_a_refresh_stays(tmp_path: Path) -> None:
    """The first llm fails in a refresh; its older answer does not come back with the next run."""
    asked: Counter[tuple[str, int]] = Counter()
    hard: dict[str, set[int]] = {SMALL: set()}
    with Rehearsal(rewrite=spoils(hard, asked)) as server:
        root = chained(tmp_path, server, [SMALL, LARGE])
        opened(root).run()
        hard[SMALL].add(3)
        opened(root).run(full_refresh=True)
        before = respondents(root)
        assert before == {("ok", SMALL): 19, ("ok", LARGE): 1}
        opened(root).run()
        assert respondents(root) == before
        assert sum(asked.values()) == 41
