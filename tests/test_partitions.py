"""Runs that are limited to partitions: rows of others are neither asked nor missed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from folders import PROMPT, opened, plants, write

from enrich import cli
from enrich.errors import EnrichError, InputError
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

DAILY = PROMPT.replace("key: id", "key: id\n    partition_by: day")
LIST = "SELECT list(id ORDER BY id) FROM kinds"


def garden(root: Path, server: Rehearsal, prompt: str = DAILY) -> Path:
    """Two rows of each of three days."""
    plants(root, server)
    write(
        root,
        {
            "models/kinds.sql": "SELECT id, name, note, CAST(seen AS DATE) AS day FROM plants\n",
            "models/kinds.prompt.md": prompt,
        },
    )
    return fill(root, {key: f"2026-11-0{(key + 1) // 2}" for key in range(1, 7)})


def fill(root: Path, days: dict[int, str], note: str = "tall") -> Path:
    lines = "".join(f"{key},plant {key},{note},{day}\n" for key, day in days.items())
    write(root, {"seeds/plants.csv": f"id,name,note,seen\n{lines}"})
    return root


def count(root: Path) -> list[int]:
    (found,) = opened(root).sql(LIST).rows
    return list(found[0] or [])


def test_a_limited_run_works_on_its_partitions_alone(tmp_path: Path) -> None:
    """Day by day, and what has changed in other days waits until they are named."""
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        (plan,) = opened(root).plan(where="day = '2026-11-01'")
        assert (plan.rows, plan.requests) == (2, 2)
        opened(root).run(where="day = '2026-11-01'")
        assert count(root) == [1, 2]
        opened(root).run(since="2026-11-03")
        assert count(root) == [1, 2, 5, 6]
        (state,) = opened(root).status()
        assert (state.rows, state.outcomes) == (4, {"ok": 4})

        # Row 1 is gone, row 3 is new to the table, all have other cells; only day 2 is looked at.
        fill(root, {key: f"2026-11-0{(key + 1) // 2}" for key in range(2, 7)}, note="small")
        opened(root).run(where="day = '2026-11-02'")
        assert count(root) == [1, 2, 3, 4, 5, 6]
        assert server.bill.total == 6
        (plan,) = opened(root).plan(where="day = '2026-11-01'")
        assert (plan.reasons, plan.gone) == ({"input changed": 1}, 1)
        opened(root).run(where="day = '2026-11-01'")
        assert count(root) == [2, 3, 4, 5, 6]
        opened(root).run()
        assert server.bill.total == 9


def test_a_row_that_moves_to_another_partition_leaves_its_own(tmp_path: Path) -> None:
    """Whether its cells have changed as well or not, and nobody is asked twice."""
    days = {key: f"2026-11-0{(key + 1) // 2}" for key in range(1, 7)}
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        opened(root).run()
        fill(root, days | {1: "2026-11-03"})
        opened(root).run(since="2026-11-03")
        assert server.bill.total == 6
        fill(root, {key: day for key, day in days.items() if key != 1})
        opened(root).run(where="day = '2026-11-01'")  # not there any more
        assert count(root) == [1, 2, 3, 4, 5, 6]
        opened(root).run(where="day = '2026-11-03'")
        assert count(root) == [2, 3, 4, 5, 6]


def test_partitions_may_be_added_later(tmp_path: Path) -> None:
    """Nothing is asked again; a run of the whole model finds out which row is where."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, PROMPT)
        opened(root).run()
        write(root, {"models/kinds.prompt.md": DAILY})
        opened(root).run()
        fill(root, {key: f"2026-11-0{(key + 1) // 2}" for key in range(1, 6)})
        opened(root).run(since="2026-11-03")
        assert count(root) == [1, 2, 3, 4, 5]
        assert server.bill.total == 6


def test_only_the_partitions_column_can_be_named(tmp_path: Path) -> None:
    """Each mistake is one sentence."""
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        for where, since, words in (
            ("name = 'plant 1'", None, "must name partitions by their column 'day'"),
            ("day", None, "is not one condition"),
            ("day = '2026-11-01'; DROP TABLE plants", None, "--where"),
            ("day > 'abc'", None, "--where must name partitions by their column 'day'"),
            ("count(*) > 1", None, "must name partitions"),
            ("row_number() OVER () = 1", None, "must name partitions"),
            ("COLUMNS(*) IS NOT NULL", None, "is not one condition"),
            ("random() < 0.5", None, r"--where calls random\(\), which gives another value"),
            (None, "yesterday", "--since must name partitions"),
            (None, "", "--since is empty"),
            (" ", None, "--where is empty"),
        ):
            with pytest.raises(EnrichError, match=words):
                opened(root).plan(where=where, since=since)
        write(root, {"models/kinds.prompt.md": DAILY.replace("day", "dya")})
        with pytest.raises(InputError, match="partition_by 'dya' is not a column"):
            opened(root).plan()
        write(root, {"models/kinds.prompt.md": PROMPT})
        found = CliRunner().invoke(
            cli.main, ["--project", str(root), "run", "--since", "2026-11-01"]
        )
        assert found.exit_code == 1
        assert "--since needs partitions, and kinds has none" in found.stderr
        assert "partition_by" in found.stderr
        assert server.bill.total == 0


def test_a_queued_model_keeps_its_partitions(tmp_path: Path) -> None:
    """A model that waits for another one is limited as its command was."""
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        write(
            root,
            {
                "models/more.sql": "SELECT id, kind, day FROM kinds JOIN (SELECT id, CAST(seen AS "
                "DATE) AS day FROM plants) USING (id)\n",
                "models/more.prompt.md": "---\nkey: id\npartition_by: day\noutput: word VARCHAR\n"
                "---\nuser:\n{{ kind }}\n",
            },
        )
        opened(root).run("kinds")
        opened(root).run(where="day = '2026-11-02'")
        assert opened(root).sql("SELECT id FROM more ORDER BY id").rows == ((3,), (4,))


def test_a_changed_output_leaves_other_partitions_as_they_are(tmp_path: Path) -> None:
    """Their answers are judged by what they were asked for, and are not asked about again."""
    longer = DAILY.replace("line   VARCHAR", "extra INTEGER NOT NULL, line VARCHAR")
    prompts = (longer, longer.replace("key: id", "key: id\n    on_change: new"))
    assert longer != DAILY
    for number, prompt in enumerate(prompts):
        with Rehearsal() as server:
            root = garden(tmp_path / str(number), server)
            opened(root).run()
            write(root, {"models/kinds.prompt.md": prompt})
            opened(root).run(since="2026-11-03")
            assert count(root) == [1, 2, 3, 4, 5, 6]
            asked = server.bill.total
            assert asked == (8 if number == 0 else 6)
            (plan,) = opened(root).plan()
            assert plan.to_ask == (4 if number == 0 else 0)


def test_a_changed_key_needs_a_whole_run(tmp_path: Path) -> None:
    """A limited run would forget all rows of other partitions."""
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        opened(root).run()
        query = "SELECT id::SMALLINT AS id, name, note, CAST(seen AS DATE) AS day FROM plants\n"
        write(root, {"models/kinds.sql": query})
        with pytest.raises(InputError, match="the key of 'kinds' has changed"):
            opened(root).run(since="2026-11-03")
        assert count(root) == [1, 2, 3, 4, 5, 6]
        opened(root).run()
        assert count(root) == [1, 2, 3, 4, 5, 6]


def test_partitions_of_another_column_are_not_mistaken(tmp_path: Path) -> None:
    """The value of one column may be that of another one."""
    rows = "SELECT id, name, note, day(CAST(seen AS DATE)) AS day, (7 - id) // 2 AS part"
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        write(root, {"models/kinds.sql": f"{rows} FROM plants\n"})
        opened(root).run()
        write(root, {"models/kinds.prompt.md": DAILY.replace("by: day", "by: part")})
        (plan,) = opened(root).plan(where="part = 1")
        assert (plan.rows, plan.to_ask, plan.gone) == (2, 0, 0)
        opened(root).run(where="part = 1")
        assert count(root) == [1, 2, 3, 4, 5, 6]
        opened(root).run()
        opened(root).run(where="part = 1")
        assert count(root) == [1, 2, 3, 4, 5, 6]


def test_the_partition_of_null_is_one_like_others(tmp_path: Path) -> None:
    """A row that has left it is gone, and the figures add up."""
    days = {1: "", 2: "", 3: "2026-11-02"}
    with Rehearsal() as server:
        root = fill(garden(tmp_path, server), days)
        opened(root).run()
        fill(root, {2: "", 3: "2026-11-02"})
        (plan,) = opened(root).plan(where="day IS NULL")
        assert (plan.rows, plan.gone) == (1, 1)
        opened(root).run(where="day IS NULL")
        assert count(root) == [2, 3]
        fill(root, {3: "2026-11-02"})
        opened(root).run(where="day IS NULL")
        assert count(root) == [3]


def test_a_sample_is_one_of_all_partitions(tmp_path: Path) -> None:
    """Day by day, no more rows are asked again than by a whole run."""
    sampled = DAILY.replace("key: id", "key: id\n    on_change: {sample: 2}")
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        opened(root).run()
        write(root, {"models/kinds.prompt.md": sampled.replace("You know", "You love")})
        for day in (1, 2, 3):
            opened(root).run(where=f"day = '2026-11-0{day}'")
        assert server.bill.total == 8


@pytest.mark.parametrize("number", range(6))
@pytest.mark.few(1)
def test_days_that_are_run_one_by_one_make_the_same_table(tmp_path: Path, number: int) -> None:
    """Whatever rows come, go, change or move, and whatever happens to the prompt: nobody is asked
    twice, and a run of the whole model has nothing left to do."""
    dice = Random(number)
    whens = ("2026-11-01", "2026-11-02", "")
    rows = {key: (f"plant {key}", dice.choice(whens)) for key in range(1, 9)}
    prompts = (DAILY, DAILY.replace("know", "love"), DAILY.replace("height DOUBLE", "height INT"))
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        for turn in range(4):
            for _ in range(dice.randint(1, 4)):
                rows[dice.randint(1, 10)] = (f"{turn} {dice.randint(1, 9)}", dice.choice(whens))
            rows.pop(dice.choice(list(rows)))
            lines = "".join(f"{key},{name},tall,{day}\n" for key, (name, day) in rows.items())
            write(root, {"seeds/plants.csv": f"id,name,note,seen\n{lines}"})
            write(root, {"models/kinds.prompt.md": dice.choice(prompts)})
            day = dice.choice(whens)
            opened(root).run(where=f"day = '{day}'" if day else "day IS NULL")
        for day in whens:
            opened(root).run(where=f"day = '{day}'" if day else "day IS NULL")
        (plan,) = opened(root).plan()
        assert (plan.to_ask, plan.gone, plan.rows) == (0, 0, len(rows))
        assert count(root) == sorted(rows)
        assert server.bill.repeated == {}


def test_a_refresh_of_one_partition_is_none_of_the_others(tmp_path: Path) -> None:
    """What a budget has held of it does not make the next run ask everything again."""
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        opened(root).run()
        day = "day = '2026-11-01'"
        opened(root).run(where=day, full_refresh=True, max_cost=0)
        for since in (None, "2026-11-02"):
            (plan,) = opened(root).plan(since=since)
            assert plan.to_ask == 0
        (plan,) = opened(root).plan(where=day)
        assert plan.to_ask == 2
        opened(root).run()
        assert server.bill.total == 6
