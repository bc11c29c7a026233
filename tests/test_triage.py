"""Triage: labels answer what is clear, and the llm is asked about the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from folders import opened, rows_of, settings, write

from enrich.errors import EnrichError
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = """\
---
key: id
triage: {labels: plants_labels, neighbors: 3}
output: |
  kind ENUM('tree', 'shrub', 'herb') NOT NULL,
  tall BOOLEAN
---
You know plants.

user:
{{ name }}
"""
# The direction of a row is its id in degrees.
SELECT = """
SELECT id, name, [cos(radians(id)), sin(radians(id))]::FLOAT[2] AS vector FROM plants
"""
LABELS = "id,kind,tall\n0,tree,true\n1,tree,true\n2,tree,true\n88,shrub,\n89,shrub,\n90,shrub,\n"


def garden(root: Path, server: Rehearsal, prompt: str = PROMPT, labels: str = LABELS) -> Path:
    ids = [0, 1, 2, 5, 10, 45, 80, 85, 88, 89, 90, 200]
    listed = "".join(f"{n},plant {n}\n" for n in ids)
    write(
        root,
        {
            "project.yml": settings(server),
            "seeds/plants.csv": f"id,name\n{listed}",
            "seeds/plants_labels.csv": labels,
            "models/kinds.sql": SELECT,
            "models/kinds.prompt.md": prompt,
        },
    )
    return root


@pytest.mark.few(0)
def test_what_is_clear_is_answered_by_labels(tmp_path: Path) -> None:
    """Four rows lie among labels of one kind; one lies between two kinds, one is far from all, and
    labeled rows are asked, so that labels can judge the llm. The plan says how often labels agree
    with each other; a second run asks nothing."""
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        (plan,) = opened(root).plan()
        assert (plan.rows, plan.requests, plan.states) == (12, 8, {"triaged": 4})
        assert plan.notes[0] == (
            "4 rows are answered by labels; of 6 labeled rows, 6 are clear by the others' labels, "
            "and 100% (likely 61% to 100%) of these get their own label"
        )
        assert opened(root).sql("SELECT count(*) FROM ledger.responses").rows == ((0,),)
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (12, 8)
        found = opened(root).sql(
            "SELECT id, kind::VARCHAR, tall, llm, copied_from, cost FROM kinds "
            "JOIN enrich.kinds USING (id) WHERE llm = 'triage' ORDER BY id"
        )
        assert [row[:4] for row in found.rows] == [
            (5, "tree", True, "triage"),
            (10, "tree", True, "triage"),
            (80, "shrub", None, "triage"),
            (85, "shrub", None, "triage"),
        ]
        assert [row[4] for row in found.rows] == ["2", "2", "88", "88"]
        assert {row[5] for row in found.rows} == {0}
        (plan,) = opened(root).plan()
        assert (plan.requests, plan.settled) == (0, True)
        opened(root).run()
        assert server.bill.total == 8
        assert not any(part.faults for part in opened(root).ledger_check())


@pytest.mark.few(0)
def test_labels_that_change_decide_anew(tmp_path: Path) -> None:
    """A row whose labels say something else gets that answer, at no cost; one that is not clear any
    more is asked. Without triage, all of them are; what the llm has answered stays."""
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        opened(root).run()
        write(root, {"seeds/plants_labels.csv": LABELS.replace("tree", "herb")})
        opened(root).run()
        kinds = "SELECT DISTINCT kind::VARCHAR FROM kinds WHERE id IN (5, 10)"
        assert opened(root).sql(kinds).rows == (("herb",),)
        assert server.bill.total == 8
        write(root, {"models/kinds.prompt.md": PROMPT.replace("neighbors: 3", "at: 0.995")})
        opened(root).run()
        assert server.bill.total == 10
        lines = [line for line in PROMPT.splitlines() if "triage" not in line]
        write(root, {"models/kinds.prompt.md": "\n".join(lines)})
        opened(root).run()
        assert server.bill.total == 12
        write(root, {"models/kinds.prompt.md": PROMPT})
        assert opened(root).plan()[0].states == {"answered": 12}


def test_a_full_refresh_asks_the_rest_again(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        opened(root).run()
        opened(root).run(full_refresh=True)
        assert server.bill.total == 16
        llms = "SELECT count(*) FROM enrich.kinds WHERE llm = 'triage'"
        assert opened(root).sql(llms).rows == ((4,),)


def test_what_labels_answer_in_a_refresh_stays(tmp_path: Path) -> None:
    """The older answers of the llm do not come back with the next run, unless the labels go."""
    triage = "triage: {labels: plants_labels, neighbors: 3}\n"
    with Rehearsal() as server:
        root = garden(tmp_path, server, PROMPT.replace(triage, ""))
        opened(root).run()
        first = rows_of(root)
        write(root, {"models/kinds.prompt.md": PROMPT})
        opened(root).run()
        assert rows_of(root) == first
        opened(root).run(full_refresh=True)
        before = rows_of(root)
        assert server.bill.total == 12 + 8
        opened(root).run()
        assert (rows_of(root), server.bill.total) == (before, 20)
        assert opened(root).plan()[0].settled
        write(root, {"seeds/plants_labels.csv": LABELS.partition("88")[0]})
        assert opened(root).plan()[0].states == {"answered": 10, "triaged": 2}


def test_triage_and_dedupe_together(tmp_path: Path) -> None:
    """What labels do not answer is copied where it can be."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, PROMPT.replace("key: id", "key: id\ndedupe: 0.99"))
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (12, 4)
        found = opened(root).compare("kinds", limit=20, alone=True)
        assert (found.rows, found.asked) == (8, 8)


def test_labels_that_are_no_answers_do_not_count(tmp_path: Path) -> None:
    """A label outside the ENUM, and NULL where the output needs a value."""
    with Rehearsal() as server:
        labels = LABELS.replace("shrub", "fern").replace("90,fern", "90,")
        root = garden(tmp_path, server, labels=labels)
        (plan,) = opened(root).plan()
        assert "of 3 labeled rows" in plan.notes[0]


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("plants_labels", "nothing", "cannot be read"),
        ("neighbors: 3", "neighbors: 0", "cannot have 0 neighbors"),
        ("neighbors: 3", "margin: 2", "cannot be 2"),
        ("neighbors: 3", "near: 3", "has no setting 'near'"),
        ("labels: plants_labels", "at: 0.5", "names no table of labels"),
        ("labels: plants_labels", "labels: ''", "names no table of labels"),
        ("tall BOOLEAN", "tall BOOLEAN, line VARCHAR", r"cannot answer with texts \(line\)"),
        ("tall BOOLEAN", "height INTEGER", "have no column 'height'"),
    ],
)
def test_mistakes_are_refused(tmp_path: Path, was: str, now: str, said: str) -> None:
    with Rehearsal() as server:
        root = garden(tmp_path, server, PROMPT.replace(was, now))
        with pytest.raises(EnrichError, match=said) as caught:
            opened(root).plan()
    assert caught.value.hint


def test_two_labels_for_a_row_are_refused(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = garden(tmp_path, server, labels=f"{LABELS}0,shrub,\n")
        with pytest.raises(EnrichError, match="more than one row for the key"):
            opened(root).plan()


def test_a_model_may_be_the_labels(tmp_path: Path) -> None:
    """It runs first, and a model cannot be its own labels."""
    with Rehearsal() as server:
        prompt = PROMPT.replace("plants_labels", "zz_labels")
        root = garden(tmp_path, server, prompt)
        write(root, {"models/zz_labels.sql": "SELECT * FROM plants_labels WHERE id < 50"})
        assert [model.name for model in opened(root).select()] == ["zz_labels", "kinds"]
        opened(root).run()
        (plan,) = opened(root).plan("kinds")
        assert "of 3 labeled rows" in plan.notes[0]
        write(root, {"models/kinds.prompt.md": PROMPT.replace("plants_labels", "kinds")})
        with pytest.raises(EnrichError, match="kinds"):
            opened(root).plan("kinds")


@pytest.mark.few(0)
def test_the_answer_of_a_fallback_stays(tmp_path: Path) -> None:
    def rewrite(line: dict[str, object]) -> dict[str, object]:
        body = line["response"]["body"]  # type: ignore[index]
        if body["model"] == "gpt-4o-mini":
            body["choices"][0]["message"]["content"] = '{"kind": "fern"}'
        return line

    front = "key: id\nllm: [gpt-4o-mini, gpt-4o]\nmax_attempts: 1"
    prompt = PROMPT.replace("key: id", front)
    lines = [line for line in prompt.splitlines() if "triage" not in line]
    with Rehearsal(rewrite=rewrite) as server:
        root = garden(tmp_path, server, "\n".join(lines))
        opened(root).run()
        write(root, {"models/kinds.prompt.md": prompt})
        assert opened(root).plan()[0].states == {"answered": 12}


def test_labels_without_a_direction_or_a_key_say_nothing(tmp_path: Path) -> None:
    """A key of another type is compared as a value, and one that is none is no label."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, labels=f"{LABELS}abc,herb,\n,herb,\n,tree,\n")
        query = SELECT.replace("FROM plants", "FROM plants WHERE id <> 0")
        zero = "UNION ALL SELECT 0, 'nothing', [0, 0]::FLOAT[2]"
        write(root, {"models/kinds.sql": f"{query} {zero}"})
        (plan,) = opened(root).plan()
        assert "of 5 labeled rows" in plan.notes[0]
        assert plan.states == {"triaged": 4}


def test_labels_keep_every_digit(tmp_path: Path) -> None:
    """JSON in a label is published as it is, also where a float could not hold its numbers."""
    exact = "[0.1234567890123456789012345]"
    labels = "id,fact\n" + "".join(f'{n},"{exact}"\n' for n in (0, 1, 2))
    front = PROMPT.partition("output:")[0]
    prompt = f"{front}output: fact JSON NOT NULL\n---\nuser:\n{{{{ name }}}}\n"
    with Rehearsal() as server:
        root = garden(tmp_path, server, prompt, labels=labels)
        opened(root).run()
        query = "SELECT DISTINCT fact::VARCHAR FROM kinds JOIN enrich.kinds USING (id)"
        assert opened(root).sql(f"{query} WHERE llm = 'triage'").rows == ((exact,),)
