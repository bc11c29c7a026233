"""Dedupe: near-duplicates share one answer, are marked, and never chained."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from folders import opened, rows_of, settings, write

from enrich.compiler import similar
from enrich.compiler.similar import Bands
from enrich.errors import EnrichError
from enrich.pipeline.dedupe import _choose_leaders
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.rehearsal.settings import Rewrite

PROMPT = """\
---
key: id
dedupe: 0.97
output: |
  kind ENUM('tree', 'shrub') NOT NULL,
  line VARCHAR NOT NULL
---
You know plants.

user:
{{ name }}
"""
# Rows 3 n, 3 n + 1 and 3 n + 2 are nearly the same; other rows are at right angles to them.
SELECT = """
SELECT id, name, list_transform(range(16), lambda i:
    CASE WHEN i = id // 3 THEN 1 WHEN i = 15 THEN (id % 3) / 20.0 ELSE 0 END)::FLOAT[16] AS vector
FROM plants
"""


def garden(root: Path, server: Rehearsal, rows: int = 9, prompt: str = PROMPT, **more: Any) -> Path:
    write(
        root,
        {
            "project.yml": settings(server, **more),
            "models/kinds.sql": SELECT,
            "models/kinds.prompt.md": prompt,
        },
    )
    fill(root, range(rows))
    return root


def fill(root: Path, ids: range | list[int]) -> None:
    listed = "".join(f"{n},plant {n}\n" for n in ids)
    write(root, {"seeds/plants.csv": f"id,name\n{listed}"})


def fails_small(tries: list[str]) -> Rewrite:
    """The small llm answers with something that does not fit; `tries` gets whoever is asked."""

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        body = line["response"]["body"]
        tries.append(body["model"])
        if body["model"] == "gpt-4o-mini":
            body["choices"][0]["message"]["content"] = '{"kind": "fern"}'
        return line

    return rewrite


def copies(root: Path) -> dict[int, str | None]:
    return dict(opened(root).sql("SELECT id, copied_from FROM enrich.kinds ORDER BY id").rows)


@pytest.mark.few(0)
def test_near_duplicates_share_an_answer(tmp_path: Path) -> None:
    """Nine rows in three groups are three requests. Copies are marked, and cost nothing; the plan
    says what that saves, and a second run asks nothing."""
    prices = {"gpt-4o-mini": {"input": 1.0, "output": 1.0}}
    with Rehearsal() as server:
        root = garden(tmp_path, server, prices=prices)
        (plan,) = opened(root).plan()
        assert (plan.requests, plan.states, plan.to_ask) == (3, {"copied": 6}, 3)
        assert plan.copied is not None
        assert plan.estimate is not None
        assert plan.copied.usd == pytest.approx(2 * (plan.estimate.usd or 0), rel=0.05)
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (9, 3)
        assert copies(root) == {n: None if n % 3 == 0 else str(n // 3 * 3) for n in range(9)}
        same = "SELECT count(DISTINCT line), count(*) FROM kinds GROUP BY id // 3"
        assert opened(root).sql(same).rows == ((1, 3),) * 3
        costs = "SELECT sum(cost), (SELECT sum(cost) FROM enrich.costs) FROM enrich.kinds"
        ((mine, all_of_them),) = opened(root).sql(costs).rows
        assert mine == pytest.approx(all_of_them)
        (plan,) = opened(root).plan()
        assert (plan.requests, plan.settled, plan.copied) == (0, True, None)
        opened(root).run()
        assert server.bill.total == 3


def test_copies_of_a_refresh_stay(tmp_path: Path) -> None:
    """Rows with an older answer of their own share the refreshed one; the next run changes nothing,
    and so it is with the answer of a fallback."""
    tries: list[str] = []
    for name, front in (("one", ""), ("two", "\nllm: [gpt-4o-mini, gpt-4o]\nmax_attempts: 1")):
        prompt = PROMPT.replace("key: id", f"key: id{front}")
        with Rehearsal(rewrite=fails_small(tries) if front else None) as server:
            root = garden(tmp_path / name, server, prompt=prompt.replace("dedupe: 0.97\n", ""))
            opened(root).run()
            write(root, {"models/kinds.prompt.md": prompt})
            opened(root).run()
            assert set(copies(root).values()) == {None}
            billed = server.bill.total
            opened(root).run(full_refresh=True)
            before = rows_of(root)
            assert [n for n, of in copies(root).items() if of is None] == [0, 3, 6]
            billed += 3 * (2 if front else 1)
            opened(root).run()
            assert rows_of(root) == before
            assert (opened(root).plan()[0].settled, server.bill.total) == (True, billed)


def test_a_copy_that_is_asked_elsewhere_stays_one(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        opened(root).run()
        before = rows_of(root)
        assert opened(root).compare("kinds", limit=9, alone=True).asked == 6
        opened(root).run()
        assert rows_of(root) == before


def test_rows_with_an_answer_lead(tmp_path: Path) -> None:
    """What has been paid for is never asked again, and never replaced by a copy; a new row is
    copied from whichever row has an answer."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, prompt=PROMPT.replace("dedupe: 0.97\n", ""))
        fill(root, [1, 2, 5])
        opened(root).run()
        assert server.bill.total == 3
        write(root, {"models/kinds.prompt.md": PROMPT})
        fill(root, range(9))
        opened(root).run()
        assert server.bill.total == 4
        found = copies(root)
        assert {n: found[n] for n in (1, 2, 5, 6)} == {1: None, 2: None, 5: None, 6: None}
        assert found[0] in ("1", "2")
        assert found[3] == found[4] == "5"
        write(root, {"models/kinds.prompt.md": PROMPT.replace("dedupe: 0.97\n", "")})
        (plan,) = opened(root).plan()
        assert plan.to_ask == 5  # each row by itself again: the copies have no answer of their own


@pytest.mark.few(0)
def test_a_leader_that_fails_is_asked_again_for_all(tmp_path: Path) -> None:
    """Retries and fallbacks move copies together with the row that they are copied from."""
    tries: list[str] = []
    prompt = PROMPT.replace("key: id", "key: id\nllm: [gpt-4o-mini, gpt-4o]\nmax_attempts: 1")
    with Rehearsal(rewrite=fails_small(tries)) as server:
        root = garden(tmp_path, server, rows=6, prompt=prompt)
        (state,) = opened(root).run()
        assert state.ok == 6
        assert sorted(tries) == ["gpt-4o"] * 2 + ["gpt-4o-mini"] * 2
        assert copies(root) == {0: None, 1: "0", 2: "0", 3: None, 4: "3", 5: "3"}
        opened(root).run()
        assert len(tries) == 4


def test_packs_hold_leaders_only(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = garden(tmp_path, server, prompt=PROMPT.replace("key: id", "key: id\npack: 2"))
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (9, 2)


@pytest.mark.few(0)
def test_compare_asks_what_was_copied(tmp_path: Path) -> None:
    """`--alone` asks the copied rows of the sample themselves."""
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        opened(root).run()
        found = opened(root).compare("kinds", limit=4, alone=True)
        assert (found.rows, found.asked, server.bill.total) == (4, 4, 7)
        assert {row.column for row in found.differences} <= {"kind", "line"}
        root = garden(tmp_path / "two", server)
        fill(root, [0, 3])
        opened(root).run()
        with pytest.raises(EnrichError, match="no published answer of 'kinds' is copied"):
            opened(root).compare("kinds", alone=True)
        assert opened(root).compare("kinds", alone=True, llm="gpt-4o").both == 2


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("0.97", "0.5", "cannot be 0.5"),
        ("0.97", "{at: 0.9, column: vector}", "has no setting 'column'"),
        ("0.97", "{at: 0.9, vector: name}", "'name' is not one"),
        ("0.97", "{vector: vector}", "cannot be None"),
    ],
)
def test_mistakes_are_refused(tmp_path: Path, was: str, now: str, said: str) -> None:
    with Rehearsal() as server:
        root = garden(tmp_path, server, prompt=PROMPT.replace(was, now))
        with pytest.raises(EnrichError, match=said) as caught:
            opened(root).plan()
    assert caught.value.hint


def test_a_select_without_vectors_is_refused(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        write(root, {"models/kinds.sql": "SELECT id, name FROM plants"})
        with pytest.raises(EnrichError, match=r"has no column FLOAT\[n\]") as caught:
            opened(root).plan()
        assert "/v1/embeddings" in caught.value.hint
        write(root, {"models/kinds.sql": f"SELECT *, vector AS other FROM ({SELECT})"})
        with pytest.raises(EnrichError, match="there are several: vector, other"):
            opened(root).plan()


class Books:
    """The part of a database that finding near-duplicates needs."""

    def __init__(self, vectors: list[list[float]]) -> None:
        self.connection = duckdb.connect()
        length = len(vectors[0])
        self.connection.execute(
            "CREATE TEMP TABLE _enrich_vectors AS SELECT rank, rank AS first, false AS fixed, "
            "false AS kept, false AS copied, NULL::VARCHAR AS was, "
            f"vector::FLOAT[{length}] AS vector FROM (SELECT unnest($ranks) AS rank, "
            "unnest($vectors) AS vector)",
            {"ranks": list(range(len(vectors))), "vectors": vectors},
        )

    def execute(self, sql: str, **values: object) -> Any:
        return self.connection.execute(sql, values)

    def fetch_one(self, sql: str, **values: object) -> tuple[Any, ...]:
        found = self.connection.execute(sql, values).fetchone()
        assert found is not None
        return found


def test_planted_duplicates_are_found_by_blocks() -> None:
    """2,400 random vectors, of which 240 have a near copy: blocks find at least 99 % of the pairs
    that comparing all of them finds, and nothing else; no row follows one that it is not similar
    to, or one that follows itself."""
    dice = random.Random(5)
    vectors = [[dice.gauss(0, 1) for _ in range(64)] for _ in range(2160)]
    vectors += [[x + dice.gauss(0, 0.2) for x in vectors[n]] for n in range(240)]
    books: Any = Books(vectors)
    books.execute(similar.render_near(similar.render_all_pairs()), at=0.97)
    (pairs,) = books.fetch_one("SELECT list((one, other)) FROM temp._enrich_near")
    assert len(pairs) > 180
    (middle,) = books.fetch_one(similar.render_middle(64), rows=2400)
    bands = Bands.choose(2400, 0.97, middle)
    books.execute(similar.render_words(middle, bands))
    books.execute(similar.render_near(similar.render_banded_pairs(bands)), at=0.97)
    (found,) = books.fetch_one("SELECT list((one, other)) FROM temp._enrich_near")
    assert set(found) <= set(pairs)
    assert len(found) >= 0.99 * len(pairs)
    _choose_leaders(books)
    (bad,) = books.fetch_one(
        "SELECT count(*) FROM temp._enrich_groups AS own "
        "JOIN temp._enrich_groups AS lead ON lead.rank = own.leader "
        "WHERE lead.leader <> lead.rank OR (own.rank <> own.leader AND NOT EXISTS ("
        "SELECT 1 FROM temp._enrich_near WHERE one = own.leader AND other = own.rank))"
    )
    assert bad == 0
    followers = books.fetch_one("SELECT count(*) FROM temp._enrich_groups WHERE leader <> rank")
    assert followers == (len(found),)


def test_a_chain_of_similar_rows_is_no_group() -> None:
    """Each step of a chain is similar to the next, its ends are not: a follower is similar to its
    leader itself."""
    steps = [[1.0, 0.2 * n] for n in range(10)]
    books: Any = Books(steps)
    books.execute(similar.render_near(similar.render_all_pairs()), at=0.97)
    _choose_leaders(books)
    groups = dict(
        books.execute("SELECT rank, leader FROM temp._enrich_groups ORDER BY rank").fetchall()
    )
    assert groups[0] == 0
    assert 2 < len(set(groups.values())) < 10
    near = {
        (one, other)
        for one, other in books.execute("SELECT one, other FROM temp._enrich_near").fetchall()
    }
    for rank, leader in groups.items():
        assert groups[leader] == leader
        assert rank == leader or tuple(sorted((rank, leader))) in near


def test_vectors_with_a_common_direction() -> None:
    """Most embeddings have one. Seen from the middle of all, near-duplicates are still near."""
    dice = random.Random(6)
    vectors = [[2.0, *(dice.gauss(0, 0.125) for _ in range(64))] for _ in range(2100)]
    vectors += [[x + dice.gauss(0, 0.04) for x in vectors[n]] for n in range(210)]
    books: Any = Books([_scale(each) for each in vectors])
    at = 0.985
    books.execute(similar.render_near(similar.render_all_pairs()), at=at)
    (pairs,) = books.fetch_one("SELECT count(*) FROM temp._enrich_near")
    (middle,) = books.fetch_one(similar.render_middle(65), rows=2310)
    assert sum(x * x for x in middle) > 0.6
    bands = Bands.choose(2310, at, middle)
    books.execute(similar.render_words(middle, bands))
    books.execute(similar.render_near(similar.render_banded_pairs(bands)), at=at)
    (found,) = books.fetch_one("SELECT count(*) FROM temp._enrich_near")
    assert found >= 0.97 * pairs > 130


def _scale(vector: list[float]) -> list[float]:
    size = sum(x * x for x in vector) ** 0.5
    return [x / size for x in vector]


def angles(root: Path, at: dict[int, str]) -> None:
    """Rows with these vectors, as SQL."""
    rows = ", ".join(f"({n}, 'plant {n}', {vector}::FLOAT[2])" for n, vector in at.items())
    write(root, {"models/kinds.sql": f"SELECT * FROM (VALUES {rows}) AS rows(id, name, vector)"})


def degrees(*at: float) -> dict[int, str]:
    return {n: f"[cos(radians({a})), sin(radians({a}))]" for n, a in enumerate(at)}


def test_a_copy_stays_with_its_row(tmp_path: Path) -> None:
    """A row follows the most similar of all that lead, and goes on following it: a second run
    changes nothing, nor does another row that leads."""
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        angles(root, degrees(0, 12, 20))
        opened(root).run()
        assert copies(root) == {0: None, 1: "2", 2: None}
        assert opened(root).plan()[0].settled
        angles(root, degrees(0, 12, 20, 13))
        opened(root).run()
        assert copies(root) == {0: None, 1: "2", 2: None, 3: "2"}
        assert server.bill.total == 2


def test_vectors_without_a_direction_are_no_duplicates(tmp_path: Path) -> None:
    """Zeros, NaN and numbers whose squares are too large are like nothing."""
    odd = ["[0, 0]", "['nan'::FLOAT, 1]", "['inf'::FLOAT, 1]", "[1e30, 1e30]", "NULL"]
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        angles(root, dict(enumerate([*odd, *degrees(0, 90, 91).values()])))
        opened(root).run()
        assert copies(root) == {**dict.fromkeys(range(7)), 7: "6"}


@pytest.mark.few(0)
def test_what_has_been_kept_or_given_by_another_llm_leads(tmp_path: Path) -> None:
    """The answer of a fallback counts, and so does one that `on_change: new` keeps."""
    tries: list[str] = []
    front = "key: id\nllm: [gpt-4o-mini, gpt-4o]\nmax_attempts: 1\non_change: new"
    prompt = PROMPT.replace("key: id", front)
    with Rehearsal(rewrite=fails_small(tries)) as server:
        root = garden(tmp_path, server, prompt=prompt)
        fill(root, [1, 4, 7])
        opened(root).run()
        assert len(tries) == 6
        fill(root, range(9))
        opened(root).run()
        assert len(tries) == 6
        before = copies(root)
        assert before == {n: None if n % 3 == 1 else str(n // 3 * 3 + 1) for n in range(9)}
        write(root, {"models/kinds.prompt.md": prompt.replace("You know", "You really know")})
        (plan,) = opened(root).plan()
        assert (plan.states, plan.to_ask) == ({"kept": 9}, 0)
        fill(root, [*range(9), 30])
        opened(root).run()
        assert len(tries) == 8
        assert copies(root) == {**before, 30: None}


def test_a_row_that_has_failed_leads_last(tmp_path: Path) -> None:
    """The next one of its group is asked by the next run."""

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        if line["custom_id"] == "0":
            line["response"]["body"]["choices"][0]["message"]["content"] = "never"
        return line

    with Rehearsal(rewrite=rewrite) as server:
        root = garden(tmp_path, server, rows=3)
        assert opened(root).run()[0].failed == 3
        assert opened(root).run()[0].ok == 3
        assert copies(root) == {0: "1", 1: None, 2: "1"}


@pytest.mark.few(0)
def test_thousands_of_rows_that_are_nearly_equal_settle(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        near = "[1, 2, 3, 4 + hash(range) % 1000 / 100000.0]::FLOAT[4] AS vector"
        query = f"SELECT range AS id, 'plant ' || range AS name, {near} FROM range(3000)"
        write(root, {"models/kinds.sql": query})
        opened(root).run()
        billed = server.bill.total
        assert billed < 10
        assert opened(root).plan()[0].settled


def test_a_run_of_one_partition_keeps_copies_of_a_fallback(tmp_path: Path) -> None:
    tries: list[str] = []
    front = "key: id\npartition_by: part\nllm: [gpt-4o-mini, gpt-4o]\nmax_attempts: 1"
    with Rehearsal(rewrite=fails_small(tries)) as server:
        root = garden(tmp_path, server, prompt=PROMPT.replace("key: id", front))
        query = SELECT.replace("SELECT id,", "SELECT id, id % 3 AS part,")
        write(root, {"models/kinds.sql": query})
        opened(root).run()
        before = rows_of(root)
        opened(root).run()
        opened(root).run(where="part = 1")
        assert (len(tries), rows_of(root)) == (6, before)


def test_a_run_of_one_partition_keeps_copies_of_others(tmp_path: Path) -> None:
    """A row whose leader is not selected is asked about only if it has changed itself."""
    daily = PROMPT.replace("key: id", "key: id\npartition_by: part")
    query = SELECT.replace("SELECT id,", "SELECT id, id % 3 AS part,")
    with Rehearsal() as server:
        root = garden(tmp_path, server, prompt=daily)
        write(root, {"models/kinds.sql": query})
        opened(root).run()
        before = copies(root)
        (plan,) = opened(root).plan(where="part = 1")
        assert (plan.states, plan.to_ask) == ({"copied": 3}, 0)
        opened(root).run(where="part = 1")
        assert (server.bill.total, copies(root)) == (3, before)
        write(root, {"seeds/plants.csv": "id,name\n0,plant 0\n1,plant one\n2,plant 2\n"})
        opened(root).run(where="part = 1")
        assert server.bill.total == 4
        assert {row: of for row, of in copies(root).items() if row < 3} == {
            0: None,
            1: None,
            2: "0",
        }
        write(root, {"models/kinds.prompt.md": daily.replace("dedupe: 0.97\n", "")})
        (plan,) = opened(root).plan(where="part = 2")
        assert plan.to_ask == 1
