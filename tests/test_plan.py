"""Plan: what a run would do is known beforehand, row by row, and nothing is spent by asking."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from click.testing import CliRunner
from folders import PROMPT, SEED, Ears, opened, plants, rows_of, settings, write
from hypothesis import given
from hypothesis.strategies import floats, integers, lists

from enrich import cli
from enrich.db.database import Database
from enrich.errors import ModelError
from enrich.ledger.budget import Remaining
from enrich.pipeline.portion import (
    Cut,
    Portion,
    Spending,
    count_affordable,
    cut_batches,
    group_cuts,
)
from enrich.pricing.estimate import TokenRate
from enrich.pricing.price import Price
from enrich.providers import Limits
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.pipeline.plan import Plan

KEEPING = PROMPT.replace("key: id", "key: id\n    on_change: new")
MORE = SEED + "".join(f"{n},plant {n},note {n}\n" for n in range(5, 41))


PICTURE = "---\nkey: id\noutput: color VARCHAR\n---\nuser:\n![]({{ name || '.png' }})\n"


def only(root: Path, **options: Any) -> Plan:
    """The one plan of a project with one model."""
    (plan,) = opened(root).plan("kinds", **options)
    return plan


def counted(plan: Plan) -> int:
    """The rows of all states and reasons."""
    return sum(plan.states.values()) + plan.to_ask


def answers(root: Path) -> dict[int, tuple[str, str]]:
    """Each row's answer, and the first letters of the version that gave it."""
    rows = opened(root).sql("SELECT id, line, prompt FROM kinds JOIN enrich.kinds USING (id)")
    return {row[0]: (row[1], row[2]) for row in rows}


def test_a_plan_spends_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    """The server is only asked, once, whether it has batches, which decides the price; the ledger
    is as it was, whatever is planned."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        plan = only(root)
        assert (plan.rows, plan.reasons, plan.requests, plan.batches) == (4, {"new": 4}, 4, 1)
        only(root)
        assert [call.path for call in server.log] == ["/v1/batches?limit=1"]
        for table in ("runs", "batches", "requests", "prompts"):
            assert opened(root).sql(f"SELECT count(*) FROM ledger.{table}").rows == ((0,),)


def test_a_run_does_what_its_plan_says(tmp_path: Path) -> None:
    """The same requests and bytes; afterwards everything is answered."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        plan = only(root)
        ears = Ears()
        opened(root, ears).run()
        assert str(plan) == ears.said[0].replace("loaded plants into warehouse.duckdb", str(plan))
        ((size,),) = opened(root).sql("SELECT sum(bytes) FROM ledger.batches").rows
        assert plan.bytes == size == sum(file["bytes"] for file in server.uploads)
        after = only(root)
        assert (after.states, after.to_ask, after.settled) == ({"answered": 4}, 0, True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("You know", "You love"), "prompt"),
        (("temperature: 0", "temperature: 1"), "parameters"),
        (("'shrub'", "'bush'"), "output"),
        (("key: id", "llm: gpt-4.1\n    key: id"), "llm"),
        (("key: id", "endpoint: /v1/responses\n    key: id"), "provider"),
    ],
)
@pytest.mark.few(2)
def test_rows_are_asked_for_what_changed(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    """Each part of a version is told apart, and the diff shows it."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        write(root, {"models/kinds.prompt.md": PROMPT.replace(*change)})
        plan = only(root)
        assert plan.reasons == {f"{reason} changed": 4}
        assert plan.changed == (reason,)
        assert "\n+" in plan.diff
        opened(root).run()
        write(root, {"models/kinds.prompt.md": PROMPT})
        back = only(root)
        assert (back.reasons, back.states, back.settled) == ({}, {"answered": 4}, False)


def test_several_changes_are_named_together(tmp_path: Path) -> None:
    """A row is counted once, with every part of its version that changed."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        changed = PROMPT.replace("You know", "You love").replace("temperature: 0", "seed: 1")
        write(root, {"models/kinds.prompt.md": changed})
        assert only(root).reasons == {"parameters, prompt changed": 4}


def test_changed_rows_are_told_from_a_changed_prompt(tmp_path: Path) -> None:
    """A row whose cells changed is asked for that, also when the prompt changed as well."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        seed = "id,name,note\n1,ash,tall\n2,birch,grey\n4,dogwood,\n5,elm,\n"
        write(root, {"seeds/plants.csv": seed})
        plan = only(root)
        assert plan.reasons == {"new": 1, "input changed": 1}
        assert (plan.states, plan.gone) == ({"answered": 2}, 1)
        write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You love")})
        plan = only(root)
        assert plan.reasons == {"new": 1, "input changed": 1, "prompt changed": 2}
        assert counted(plan) == plan.rows == 4


@pytest.mark.few(0)
def test_an_earlier_prompt_that_fails_now_stops_nothing(tmp_path: Path) -> None:
    """It cannot read a cell as it is now: the rows count as changed, and are asked."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        number = PROMPT.replace("coalesce(note, 'nothing')", "CAST(note AS INTEGER)")
        write(
            root,
            {
                "seeds/plants.csv": "id,name,note\n1,ash,11\n2,birch,12\n",
                "models/kinds.sql": "SELECT id, name, note::VARCHAR AS note FROM plants\n",
                "models/kinds.prompt.md": number,
            },
        )
        opened(root).run()
        write(
            root,
            {
                "seeds/plants.csv": "id,name,note\n1,ash,tall\n2,birch,12\n",
                "models/kinds.prompt.md": PROMPT.replace("You know", "You love"),
            },
        )
        assert only(root).reasons == {"input changed": 2}
        (state,) = opened(root).run()
        assert state.ok == 2


@pytest.mark.parametrize("name", ["snapshot", "known", "moved", "rows", "was", "todo"])
@pytest.mark.few(2)
def test_tables_may_be_called_as_enrich_calls_its_own(tmp_path: Path, name: str) -> None:
    """A model reads its own table, also while its earlier version is looked at."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                f"seeds/{name}.csv": SEED,
                "models/kinds.sql": f"SELECT id, name, note FROM {name}\n",
            },
        )
        opened(root).run()
        write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You love")})
        assert only(root).reasons == {"prompt changed": 4}


def test_a_key_of_another_type_is_said_so(tmp_path: Path) -> None:
    """All rows count as new then, and the plan says why."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        write(root, {"seeds/plants.csv": SEED + "x5,elm,\n"})
        plan = only(root)
        assert (plan.reasons, plan.states) == ({"key changed": 1}, {"answered": 4})


def test_equal_requests_are_folded(tmp_path: Path) -> None:
    """Rows that ask the same are one request."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"seeds/plants.csv": "id,name,note\n1,ash,x\n2,ash,x\n3,elm,x\n"})
        plan = only(root)
        assert (plan.to_ask, plan.requests, plan.folded) == (3, 2, 1)


def test_rows_that_failed_are_given_up_or_retried(tmp_path: Path) -> None:
    """What has no tries left is not asked, unless by --retry."""
    with Rehearsal(faults=Faults(refused=1)) as server:
        root = plants(tmp_path, server)
        opened(root).run()
        assert only(root).states == {"given up": 4}
        assert only(root, retry=True).reasons == {"failed before": 4}


def test_rows_in_flight_are_in_progress(tmp_path: Path) -> None:
    """What is asked already is not planned again."""
    with Rehearsal(faults=Faults(batch_stuck=1)) as server:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)
        plan = only(root)
        assert (plan.states, plan.to_ask, plan.settled) == ({"in progress": 4}, 0, False)


def test_rows_that_cannot_be_asked_are_counted(tmp_path: Path) -> None:
    """A request larger than a batch file is no request."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, max_bytes=2000)
        write(root, {"seeds/plants.csv": f"id,name,note\n1,ash,{'x' * 3000}\n2,birch,y\n"})
        plan = only(root)
        assert (plan.states, plan.reasons) == ({"unsendable": 1}, {"new": 1})
        (note,) = plan.notes
        assert note.startswith("1 row cannot be sent: the request has ")
        write(root, {"models/kinds.prompt.md": PICTURE})
        (note,) = only(root).notes
        assert note == "2 rows cannot be sent: for example, the image 'ash.png' does not exist"
        shown = CliRunner().invoke(cli.main, ["--project", str(root), "plan"])
        assert "unsendable  2  a note below says why" in shown.stdout


def test_a_plan_names_the_provider_and_what_it_leaves_out(tmp_path: Path) -> None:
    """What is to be typed next asks the provider that was asked, and not the default one, which
    would be asked for all rows; and a total says which models are not in it."""
    prompt = "---\nkey: id\noutput: word VARCHAR NOT NULL\n---\nuser:\n{{ id }} {{ X }}\n"
    with Rehearsal(faults=Faults(refused=1.0)) as server:
        root = plants(tmp_path, server)
        known = json.loads(settings(server))
        known["providers"]["other"] = known["providers"]["api"]
        held = PROMPT.replace("params:", "tests: [min_ok: 0.9]\n    params:")
        write(
            root,
            {
                "project.yml": json.dumps(known),
                "models/kinds.prompt.md": held,
                "models/names.sql": "SELECT id, name FROM plants\n",
                "models/names.prompt.md": prompt.replace("X", "name"),
                "models/words.sql": "SELECT id, kind FROM kinds\n",
                "models/words.prompt.md": prompt.replace("X", "kind"),
            },
        )
        opened(root).run("kinds", provider="other")
        command = ["--project", str(root), "plan", "--provider", "other"]
        shown = CliRunner().invoke(cli.main, command).stdout
        assert "`enrich run kinds --provider other` tests it again" in " ".join(shown.split())
        write(root, {"models/kinds.prompt.md": held.replace("You know", "You love")})
        shown = CliRunner().invoke(cli.main, command).stdout
        assert "in total: 8 requests, about" in shown
        assert shown.rstrip().endswith(", without words")


@pytest.mark.few(0)
def test_full_refresh_asks_all_again(tmp_path: Path) -> None:
    """Every row once more, and never more than once; the old answers are shown until then."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        assert only(root, full_refresh=True).reasons == {"asked again": 4}
        (state,) = opened(root).run(full_refresh=True)
        assert (state.ok, state.requests, server.bill.total) == (4, 4, 8)
        opened(root).run()
        assert server.bill.total == 8
        rows = opened(root).sql("SELECT DISTINCT attempt FROM enrich.kinds").rows
        assert rows == ((2,),)


@pytest.mark.few(0)
def test_full_refresh_asks_again_what_fails(tmp_path: Path) -> None:
    """Within the run its own failures are retried; what was ok stays shown."""
    with Rehearsal(faults=Faults(http_500=0.4), seed=3) as server:
        root = plants(tmp_path, server, max_requests=10)
        write(root, {"seeds/plants.csv": MORE})
        opened(root).run()
        opened(root).run(retry=True)
        before = server.bill.total
        (state,) = opened(root).run(full_refresh=True)
        assert state.ok == 40
        ((fresh,),) = opened(root).sql(
            "SELECT count(DISTINCT fingerprint) FROM ledger.responses "
            "WHERE outcome = 'ok' AND run = (SELECT max(run) FROM ledger.runs)"
        )
        assert server.bill.total - before == fresh > 30


def test_on_change_new_keeps_old_answers(tmp_path: Path) -> None:
    """A changed prompt asks only new and changed rows; the others keep their answers, marked with
    the version that gave them, through further changes and back."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/kinds.prompt.md": KEEPING})
        opened(root).run()
        first = answers(root)
        seed = "id,name,note\n1,ash,tall\n2,birch,grey\n3,cedar,\n4,dogwood,\n5,elm,\n"
        write(root, {"seeds/plants.csv": seed})
        write(root, {"models/kinds.prompt.md": KEEPING.replace("You know", "You love")})
        plan = only(root)
        assert (plan.states, plan.reasons) == ({"kept": 3}, {"input changed": 1, "new": 1})
        opened(root).run()
        assert server.bill.total == 6
        second = answers(root)
        assert {n: second[n] for n in (1, 3, 4)} == {n: first[n] for n in (1, 3, 4)}
        assert second[2][1] == second[5][1] != first[1][1]
        write(root, {"models/kinds.prompt.md": KEEPING.replace("You know", "You hate")})
        assert only(root).states == {"kept": 5}
        opened(root).run()
        assert answers(root) == second
        write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You hate")})
        assert only(root).reasons == {"prompt changed": 5}


@pytest.mark.few(0)
def test_kept_answers_are_shown_with_the_columns_they_have(tmp_path: Path) -> None:
    """A column that an earlier version did not ask for is NULL there, and the answer stays ok."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        more = PROMPT.replace("key: id", "key: id\n    on_change: new").replace(
            "line   VARCHAR NOT NULL", "line   VARCHAR NOT NULL,\n      age INTEGER NOT NULL"
        )
        write(root, {"models/kinds.prompt.md": more, "seeds/plants.csv": SEED + "5,elm,\n"})
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (5, 5)
        rows = opened(root).sql("SELECT id FROM kinds WHERE age IS NULL ORDER BY id").rows
        assert rows == ((1,), (2,), (3,), (4,))
        opened(root).run()
        assert server.bill.total == 5


@pytest.mark.few(0)
def test_going_back_shows_the_answers_to_the_prompt(tmp_path: Path) -> None:
    """Where the present prompt has an answer, maybe of a preview, no earlier one is kept."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        love = PROMPT.replace("You know", "You love")
        opened(root).run()
        first = answers(root)
        write(root, {"models/kinds.prompt.md": love})
        opened(root).run()
        write(root, {"models/kinds.prompt.md": KEEPING})
        assert only(root).states == {"answered": 4}
        opened(root).run()
        assert answers(root) == first
        write(root, {"models/kinds.prompt.md": KEEPING.replace("You know", "You hate")})
        opened(root).preview("kinds", limit=1)
        plan = only(root)
        assert plan.states == {"kept": 3, "answered": 1}
        opened(root).run()
        assert server.bill.total == 9
        assert [row[1] == first[1][1] for row in answers(root).values()].count(True) == 3


def test_answers_before_an_unanswered_prompt_are_kept(tmp_path: Path) -> None:
    """A prompt that nobody answered in between does not matter."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, llm="gpt-4o-mini")
        opened(root).run()
        first = answers(root)
        write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You love")})
        opened(root).run(max_cost=0)
        opened(root).cancel()
        write(root, {"models/kinds.prompt.md": KEEPING.replace("You know", "You love")})
        assert only(root).states == {"kept": 4}
        opened(root).run()
        assert (answers(root), server.bill.total) == (first, 4)


def test_answers_that_have_no_column_left_are_not_kept(tmp_path: Path) -> None:
    """Where nothing of an old answer could be shown, the row is asked."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        for column in ("other VARCHAR", "kind ENUM('big', 'small')", "height DATE"):
            front = f"---\nkey: id\non_change: new\noutput: {column}\n---\n"
            write(root, {"models/kinds.prompt.md": front + "user:\n{{ name }}\n"})
            assert only(root).to_ask == 4, column


@pytest.mark.few(0)
def test_on_change_sample_asks_some_again(tmp_path: Path) -> None:
    """So many rows get the new prompt's answer, always the same ones."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"seeds/plants.csv": MORE})
        opened(root).run()
        sampled = PROMPT.replace("key: id", "key: id\n    on_change: {sample: 7}").replace(
            "You know", "You love"
        )
        write(root, {"models/kinds.prompt.md": sampled})
        plan = only(root)
        assert (plan.states, plan.reasons) == ({"kept": 33}, {"prompt changed": 7})
        opened(root).run()
        assert server.bill.total == 47
        again = only(root)
        assert (again.states, again.to_ask) == ({"answered": 7, "kept": 33}, 0) or (
            again.states == {"kept": 33, "answered": 7}
        )


def test_rows_equal_to_one_of_the_sample_stay_as_they_are(tmp_path: Path) -> None:
    """Such a row keeps the earlier answer in every run, until the prompt says otherwise."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        same = "id,name,note\n" + "".join(f"{n},ash,tall\n" for n in range(6))
        write(root, {"seeds/plants.csv": same})
        opened(root).run()
        loved = PROMPT.replace("You know", "You love")
        sampled = loved.replace("key: id", "key: id\n    on_change: {sample: 2}")
        write(root, {"models/kinds.prompt.md": sampled})
        opened(root).run()
        before = rows_of(root)
        assert server.bill.total == 2
        assert opened(root).plan()[0].settled
        opened(root).run()
        assert rows_of(root) == before
        write(root, {"models/kinds.prompt.md": loved})
        opened(root).run()
        assert len(opened(root).sql("SELECT DISTINCT prompt FROM enrich.kinds").rows) == 1
        assert server.bill.total == 2


@pytest.mark.parametrize("word", ["some", "{sample: 0}", "{sample: x}", "[new]", "{new: 1}"])
def test_on_change_is_one_of_three(tmp_path: Path, word: str) -> None:
    """Anything else is refused, with the three named."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                "models/kinds.prompt.md": PROMPT.replace(
                    "key: id", f"key: id\n    on_change: {word}"
                )
            },
        )
        with pytest.raises(ModelError, match=r"kinds\.prompt\.md:3: 'on_change' ") as told:
            opened(root).plan()
        assert "new" in told.value.hint
        assert "{sample: 50}" in told.value.hint


@pytest.mark.few(0)
def test_models_that_wait_are_not_guessed_at(tmp_path: Path) -> None:
    """A model that reads another's answers, also through a view, comes after it; once these are in,
    it is planned like any other."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        prompt = "---\nkey: kind\noutput: word VARCHAR NOT NULL\n---\nuser:\n{{ kind }}\n"
        write(
            root,
            {
                "models/sorts.sql": "SELECT DISTINCT kind FROM kinds\n",
                "models/words.sql": "SELECT kind FROM sorts\n",
                "models/words.prompt.md": prompt,
            },
        )
        plans = {plan.model: plan for plan in opened(root).plan()}
        assert list(plans) == ["kinds", "sorts", "words"]
        assert plans["words"].after == plans["sorts"].after == ("kinds",)
        assert str(plans["words"]) == "words: after kinds"
        assert str(plans["sorts"]) == "sorts: a view, after kinds"
        opened(root).run("kinds")
        plans = {plan.model: plan for plan in opened(root).plan()}
        assert plans["words"].after == ()
        assert 1 <= plans["words"].rows == plans["words"].requests <= 2
        assert opened(root).sql(
            "SELECT count(*) FROM duckdb_views() WHERE view_name = 'sorts'"
        ).rows == ((0,),)
        write(root, {"seeds/plants.csv": SEED + "5,elm,\n"})
        plans = {plan.model: plan for plan in opened(root).plan()}
        assert plans["words"].after == ("kinds",)
        opened(root).run()
        assert [plan.to_ask for plan in opened(root).plan()] == [0, 0, 0]
        (root / "warehouse.duckdb").unlink()
        plans = {plan.model: plan for plan in opened(root).plan()}
        assert plans["kinds"].to_ask == 0
        assert plans["words"].after == ("kinds",)


def test_estimates_are_a_rule_of_thumb_until_answers_are_in(tmp_path: Path) -> None:
    """Before any answer the estimate says so; after a preview of 20 rows the input tokens are
    within a tenth of the bill."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, llm="gpt-4o-mini")
        write(root, {"seeds/plants.csv": MORE})
        guess = only(root).estimate
        assert guess is not None
        assert guess.answers == 0
        assert guess.cost is not None
        assert guess.cost.low < guess.cost.likely < guess.cost.high
        opened(root).preview("kinds", limit=20)
        spent = server.bill.usage
        foreseen = only(root).estimate
        assert foreseen is not None
        assert foreseen.answers == 20
        opened(root).run()
        billed = server.bill.usage.input - spent.input
        assert abs(foreseen.input.likely - billed) < 0.1 * billed
        assert foreseen.input.low < billed < foreseen.input.high


def test_the_ceiling_of_output_tokens_bounds_the_guess(tmp_path: Path) -> None:
    """No more output is foreseen than the request allows."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/kinds.prompt.md": PROMPT.replace("temperature: 0", "max_tokens: 5")})
        estimate = only(root).estimate
        assert estimate is not None
        assert estimate.output.likely == 4 * 5


@pytest.mark.few(0)
def test_prices(tmp_path: Path) -> None:
    """From the list, in a batch; from project.yml, with its discount; as another llm; unknown."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        known: dict[str, Any] = {
            "gpt-4o-mini": {},
            "a": {"prices": {"a": {"input": 1.0, "output": 2.0}}},
            "b": {"prices": {"b": {"input": 1, "output": 2, "cached": 0.5}}, "batch_discount": 0.2},
            "c": {"prices": {"c": "gpt-4o-mini"}},
            "d": {},
        }
        found = {}
        for llm, more in known.items():
            write(root, {"project.yml": settings(server, llm=llm, **more)})
            price = only(root).price
            found[llm] = price and (price.input, price.cached, price.output)
        assert found["a"] == (0.5, 0.5, 1.0)
        assert found["b"] == (0.8, 0.4, 1.6)
        assert found["c"] == found["gpt-4o-mini"] == (0.075, 0.075, 0.3)
        assert found["d"] is None
        write(root, {"project.yml": settings(server, llm="d")})
        assert "about" not in str(only(root))
        assert "an unknown price" in str(only(root))


def test_the_diff_is_in_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is gone is red and what is new green, where colours are shown."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You love")})
        shown = CliRunner().invoke(cli.main, ["--project", str(root), "plan"], color=True).stdout
    assert "\x1b[31m  -You know plants." in shown
    assert "\x1b[32m  +You love plants." in shown


def test_the_same_as_json(tmp_path: Path) -> None:
    """What machines read has every figure."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, llm="gpt-4o-mini")
        result = CliRunner().invoke(cli.main, ["--project", str(root), "plan", "--json"])
        (plan,) = json.loads(result.stdout)
        assert (plan["to_ask"], plan["reasons"], plan["requests"]) == (4, {"new": 4}, 4)
        assert plan["estimate"]["cost"]["likely"] > 0
        wide = CliRunner(env={"COLUMNS": "160"})
        text = wide.invoke(cli.main, ["--project", str(root), "plan"]).stdout
        for words in ("to ask", "4 new", "rule of thumb", "gpt-4o-mini at openai, in a batch"):
            assert words in text


@given(
    sizes=lists(integers(1, 400), max_size=60),
    most=integers(1, 20),
    size=integers(1, 1000),
    left=floats(0, 1),
)
def test_batches_keep_every_limit_and_the_budget(
    sizes: list[int], most: int, size: int, left: float
) -> None:
    """Cuts cover every request once, in order, within the limits of requests and bytes (but for
    single ones that are too large); those up to `paid` are apart, and one more would cost more."""
    rate = TokenRate(answers=1, per_byte=0.25, per_request=0, output=10)
    price = Price(input=400, cached=400, output=1000, source="")
    with duckdb.connect() as connection:
        database = Database(connection=connection)
        database.execute(
            "CREATE TEMP TABLE _enrich_todo AS "
            "SELECT unnest(range(len($sizes))) AS n, unnest($sizes::BIGINT[]) AS bytes, "
            "true AS ends",
            sizes=sizes,
        )
        spending = Spending(rate=rate, price=price, budget=Remaining(usd=left))
        portion = Portion(version_id="", requests=len(sizes), bytes=sum(sizes))
        paid = count_affordable(database, portion, spending)
        cuts = cut_batches(database, portion, Limits(requests=most, bytes=size), ends=(paid,))
    cost = [(0.25 * bytes_ * 400 + 10 * 1000) / 1e6 for bytes_ in sizes]
    assert sum(cost[:paid]) <= left + 1e-9
    assert paid == len(sizes) or sum(cost[: paid + 1]) >= left - 1e-9
    assert [each.start for each in cuts] == [
        sum(c.requests for c in cuts[:n]) for n in range(len(cuts))
    ]
    assert sum(each.requests for each in cuts) == len(sizes)
    for each in cuts:
        inside = sizes[each.start : each.start + each.requests]
        assert each.bytes == sum(inside)
        assert 1 <= each.requests <= most
        assert each.bytes <= size or each.requests == 1
        assert each.start >= paid or each.start + each.requests <= paid


@given(requests=lists(integers(1, 9), max_size=30), enough=integers(1, 30))
def test_batches_are_assigned_some_at_a_time(requests: list[int], enough: int) -> None:
    """Each of them once and in order, and no more at a time than it takes to be enough."""
    cuts = [Cut(start=0, requests=many, bytes=0) for many in requests]
    groups = [cuts[some] for some in group_cuts(cuts, enough)]
    assert [cut for group in groups for cut in group] == cuts
    for group in groups:
        rows = sum(cut.requests for cut in group)
        assert rows - group[-1].requests < enough
        assert rows >= enough or group is groups[-1]
