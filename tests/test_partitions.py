"""Runs that are limited to partitions: rows of others are neither asked nor missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from folders import PROMPT, opened, plants, write

from enrich import cli
from enrich.errors import InputError
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
            ("name = 'plant 1'", "", "must name partitions by their column 'day'"),
            ("day", "", "is not a condition"),
            ("day = '2026-11-01'; DROP TABLE plants", "", "--where"),
            ("", "yesterday", "--since must name partitions"),
        ):
            with pytest.raises(InputError, match=words):
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
