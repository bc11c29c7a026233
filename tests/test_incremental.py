"""Only what has changed is done again: rows are recognized, and tables are mended, not remade."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from folders import PROMPT, SEED, opened, plants, write

from enrich.compiler.tables import render_settled_rows
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.results import Rows

TABLES = ("kinds", "enrich.kinds", "enrich.kinds_history")
FAULTY = Faults(off_check=0.15, http_400=0.1, truncated=0.1, dropped=0.05)


def seed(rows: dict[int, str]) -> dict[str, str]:
    lines = "".join(f"{key},plant {key},{note}\n" for key, note in rows.items())
    return {"seeds/plants.csv": f"id,name,note\n{lines}"}


def fetch(root: Path) -> list[Rows]:
    """The three tables, each in the same order."""
    return [opened(root).sql(f"SELECT * FROM {table} ORDER BY ALL") for table in TABLES]


def remake(root: Path) -> list[Rows]:
    """The three tables, made anew from the ledger."""
    for table in TABLES:
        opened(root).sql(f"DROP TABLE {table}")
    opened(root).run()
    return fetch(root)


def change_rows(rows: dict[int, str], dice: Random, turn: int) -> dict[int, str]:
    """A few rows are added, changed, removed or brought back."""
    rows = dict(rows)
    for _ in range(dice.randint(1, 6)):
        key = dice.randint(1, 60)
        if key in rows and dice.random() < 0.4:
            del rows[key]
        else:
            rows[key] = dice.choice(["tall", "white", f"seen in turn {turn}"])
    return rows


@pytest.mark.parametrize("number", range(3))
@pytest.mark.few(1)
def test_mended_tables_are_those_that_would_be_made_anew(tmp_path: Path, number: int) -> None:
    """Whatever rows come, go, change and fail, and whatever happens to the prompt."""
    dice = Random(number)
    rows = dict.fromkeys(range(1, 41), "tall")
    with Rehearsal(faults=FAULTY, seed=3) as server:
        root = plants(tmp_path, server)
        write(root, seed(rows))
        opened(root).run()
        for turn in range(3):
            rows = change_rows(rows, dice, turn)
            write(root, seed(rows))
            if turn == 1:
                write(root, {"models/kinds.prompt.md": PROMPT.replace("know", "love")})
            opened(root).run(retry=turn == 0, full_refresh=turn == 2)
            mended = fetch(root)
            assert mended == remake(root), f"turn {turn}"
            assert len(mended[1]) == len(rows)


@pytest.mark.parametrize("pieces", [2, 7, 256])
def test_rows_find_their_answers_in_any_number_of_pieces(tmp_path: Path, pieces: int) -> None:
    """Also rows without an answer, and those that cannot be sent."""
    rows = dict.fromkeys(range(1, 41), "tall")
    with Rehearsal(faults=FAULTY, seed=3) as server:
        root = plants(tmp_path, server)
        write(root, seed(rows))
        opened(root).run()
    with opened(root).files.open_ledger() as database, database.roll_back():
        unsendable = "fingerprint = NULL, error = 'it is too large'"
        database.execute(f"UPDATE ledger.inputs.kinds SET {unsendable} WHERE key.id = 1")
        found = []
        for many in (1, pieces):
            for statement in render_settled_rows("kinds", pieces=many):
                database.execute(statement)
            found.append(database.execute("FROM temp._enrich_settled ORDER BY key"))
    assert len(found[0]) == len(rows)
    assert found[0] == found[1]


def test_rows_that_have_not_changed_stay_where_they_are(tmp_path: Path) -> None:
    """One changed row of twenty is written again, behind all others, which keep their order."""
    order = "SELECT id FROM kinds ORDER BY rowid"
    rows = dict.fromkeys(range(1, 21), "tall")
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, seed(rows))
        opened(root).run()
        before = opened(root).sql(order).rows
        write(root, seed(rows | {7: "white"}))
        opened(root).run()
        after = opened(root).sql(order).rows
        assert after == (*(row for row in before if row != (7,)), (7,))
        assert server.bill.total == 21
        history = opened(root).sql("SELECT id FROM enrich.kinds_history")
    assert history.rows == ((7,),)


def test_columns_may_be_named_like_those_of_the_history(tmp_path: Path) -> None:
    """A table of which one row has changed is mended all the same."""
    rows = dict.fromkeys(range(1, 21), "tall")
    prompt = PROMPT.replace("key: id", "key: [id, from_at]").replace("line  ", "prompt")
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        select = "SELECT id, name, note, 1 AS from_at FROM plants\n"
        write(root, seed(rows) | {"models/kinds.sql": select, "models/kinds.prompt.md": prompt})
        opened(root).run()
        write(root, seed(rows | {7: "white"}))
        opened(root).run()
        assert fetch(root) == remake(root)
        assert server.bill.total == 21


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE kinds SET line = 'mine' WHERE id = 3",
        "ALTER TABLE kinds RENAME COLUMN kind TO sort",
        "ALTER TABLE kinds RENAME COLUMN id TO number",
        "ALTER TABLE kinds ALTER COLUMN id TYPE SMALLINT",
        "ALTER TABLE enrich.kinds DROP COLUMN cost",
        "ALTER TABLE enrich.kinds_history RENAME COLUMN raw TO said",
        "DELETE FROM enrich.kinds_history",
    ],
)
def test_a_table_that_somebody_changed_is_made_anew(tmp_path: Path, change: str) -> None:
    """By a run in which nothing else has changed, and also where a few rows have."""
    rows = dict.fromkeys(range(1, 21), "tall")
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, seed(rows))
        opened(root).run()
        write(root, seed(rows | {5: "small"}))
        opened(root).run()
        for later in (rows | {5: "small"}, rows | {7: "white"}):
            opened(root).sql(change)
            write(root, seed(later))
            opened(root).run()
            assert fetch(root) == remake(root)


def test_a_failing_test_leaves_a_mended_table_as_it_was(tmp_path: Path) -> None:
    """The mending is rolled back with all of it."""
    rows = dict.fromkeys(range(1, 21), "tall")
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, seed(rows))
        opened(root).run()
        before = fetch(root)
        write(
            root,
            {
                "tests/no_white.sql": "SELECT * FROM kinds JOIN plants USING (id) "
                "WHERE note = 'white'"
            },
        )
        write(root, seed(rows | {7: "white"}))
        assert opened(root).run()[0].held_back == ("no_white",)
        assert fetch(root) == before


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE ledger.inputs.kinds SET mark = mark + 1",  # as if another DuckDB had hashed
        "UPDATE ledger.inputs.kinds SET mark = NULL",
        "ALTER TABLE ledger.inputs.kinds DROP COLUMN mark",  # a ledger of an earlier enrich
    ],
)
def test_rows_are_recognized_without_their_marks(tmp_path: Path, spoil: str) -> None:
    """By their fingerprints: nothing is asked again, and the marks are there afterwards."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        project = opened(root)
        with project.files.open_ledger() as ledger:
            (marks,) = ledger.execute("SELECT list(mark ORDER BY key) FROM ledger.inputs.kinds")
            ledger.execute(spoil)
        opened(root).run()
        with project.files.open_ledger() as ledger:
            found = ledger.execute("SELECT list(mark ORDER BY key) FROM ledger.inputs.kinds")
        assert found == [marks]
        assert None not in marks[0]
        assert server.bill.total == 4


def test_a_row_that_changes_and_one_that_stays_are_told_apart(tmp_path: Path) -> None:
    """A plan counts the rows that it did not look at as answered, and says what has changed."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        write(root, {"seeds/plants.csv": SEED.replace("white", "black")})
        (plan,) = opened(root).plan()
    assert (plan.rows, plan.states, plan.reasons) == (4, {"answered": 3}, {"input changed": 1})
    assert plan.gone == 0
