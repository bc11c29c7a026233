"""Packs: several rows share a request, and each keeps its own answer, outcome and cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from folders import Ears, opened, rows_of, settings, write

from enrich.db.quote import quote_text
from enrich.errors import ModelError
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = """\
---
key: id
pack: 4
max_attempts: 3
output: |
  kind ENUM('tree', 'shrub') NOT NULL,
  line VARCHAR NOT NULL
params: {temperature: 0, max_tokens: 50}
---
You know plants, and answer with what they are and a line about them. You never make anything up.

user:
fern

assistant:
{"kind": "shrub", "line": "A fern."}

user:
oak

assistant:
{"kind": "tree", "line": "An oak."}

user:
{{ name }}: "{{ note }}"
"""


def garden(
    root: Path, server: Rehearsal, rows: int = 10, prompt: str = PROMPT, **more: Any
) -> Path:
    listed = "".join(f"{n},plant {n},note {n}\n" for n in range(1, rows + 1))
    write(
        root,
        {
            "project.yml": settings(server, **more),
            "seeds/plants.csv": f"id,name,note\n{listed}",
            "models/kinds.sql": "SELECT id, name, note FROM plants\n",
            "models/kinds.prompt.md": prompt,
        },
    )
    return root


def outcomes(root: Path) -> dict[str, int]:
    return dict(opened(root).sql("SELECT outcome, count(*) FROM enrich.kinds GROUP BY ALL").rows)


@pytest.mark.parametrize("more", [{}, {"api": "chat"}], ids=["batch", "chat"])
@pytest.mark.few(1)
def test_rows_share_requests(tmp_path: Path, more: dict[str, Any]) -> None:
    """Ten rows are three requests; a second run asks nothing, a new row costs one more request; the
    rows' tokens add up to those that were billed."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, **more)
        (state,) = opened(root).run()
        assert (state.ok, state.failed, state.rows) == (10, 0, 10)
        assert server.bill.total == 3
        billed = (server.bill.usage.input, server.bill.usage.output)
        counted = "SELECT sum(input_tokens)::INT, sum(output_tokens)::INT FROM enrich.kinds"
        assert opened(root).sql(counted).rows == (billed,)
        opened(root).run()
        assert server.bill.total == 3
        with (root / "seeds/plants.csv").open("a") as seed:
            seed.write("11,plant 11,note 11\n")
        opened(root).run()
        assert server.bill.total == 4
        assert opened(root).sql("SELECT count(DISTINCT line) > 5 FROM kinds").rows == ((True,),)


def test_what_is_sent(tmp_path: Path) -> None:
    """Rows are numbered in the last message, examples have the form of a pack, and the limit is
    that of all rows together."""
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        found = opened(root).compile("kinds")
    body = found["request"]["body"]
    assert found["request"]["custom_id"] == "pack-1"
    assert body["max_tokens"] == 200
    system, asked, told, last = body["messages"]
    assert system["content"].startswith("You know plants")
    assert "at most 50 tokens" in system["content"]
    assert asked["content"] == "### 1\nfern\n\n### 2\noak"
    assert json.loads(told["content"]) == {
        "answers": [
            {"n": 1, "answer": {"kind": "shrub", "line": "A fern."}},
            {"n": 2, "answer": {"kind": "tree", "line": "An oak."}},
        ]
    }
    rows = [f'### {n}\nplant {n}: "note {n}"' for n in range(1, 5)]
    assert last["content"] == "\n\n".join(rows)
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema == found["schema"]
    item = schema["properties"]["answers"]["items"]["properties"]
    assert list(item) == ["n", "answer"]
    assert list(item["answer"]["properties"]) == ["kind", "line"]


def test_a_row_that_its_pack_answers_badly_is_asked_alone(tmp_path: Path) -> None:
    """Left out, twice, or invalid: only that row is asked again, and alone."""
    lines: list[tuple[str, str]] = []

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        message = line["response"]["body"]["choices"][0]["message"]
        lines.append((line["custom_id"], message["content"]))
        if line["custom_id"] == "pack-1":
            answers = json.loads(message["content"])["answers"]
            answers[0]["answer"]["kind"] = "fern"  # row 1 is invalid
            answers[1]["n"] = 3  # row 2 has no answer, row 3 has two
            answers[3]["answer"] = "a text"  # row 4 has no object
            message["content"] = json.dumps({"answers": answers})
        return line

    with Rehearsal(rewrite=rewrite) as server:
        root = garden(tmp_path, server, rows=6)
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert state.ok == 6
        assert sorted(name for name, _ in lines) == ["1", "2", "3", "4", "pack-1", "pack-2"]
        assert server.bill.total == 6
    life = opened(root).history("kinds", "2")
    at = {name: place for place, name in enumerate(life.columns)}
    said = [(row[at["outcome"]], row[at["error"]]) for row in life.rows]
    assert said == [("invalid", "the answer to its pack leaves it out"), ("ok", None)]
    table = dict(opened(root).sql("SELECT id, line FROM kinds WHERE id <= 4").rows)
    alone = {int(name): json.loads(text)["line"] for name, text in lines if len(name) == 1}
    assert table == alone


def test_a_useless_answer_costs_each_row_one_more_request(tmp_path: Path) -> None:
    """An answer that is cut off, or is no pack: its rows are asked alone, once."""

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        choice = line["response"]["body"]["choices"][0]
        if line["custom_id"] == "pack-1":
            choice["message"]["content"] = choice["message"]["content"][:30]
            choice["finish_reason"] = "length"
        if line["custom_id"] == "pack-2":
            choice["message"]["content"] = "I am sorry"
        return line

    with Rehearsal(rewrite=rewrite) as server:
        root = garden(tmp_path, server, rows=8)
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (8, 10)
    found = opened(root).sql(
        "SELECT outcome, reason, count(*) FROM ledger.responses WHERE attempt = 1 GROUP BY ALL "
        "HAVING outcome <> 'ok' ORDER BY outcome"
    )
    assert found.rows == (
        ("invalid", "the answer is not JSON", 4),
        ("truncated", "cut off at the limit of output tokens", 4),
    )


@pytest.mark.few(0)
def test_an_answer_from_before_is_not_paid_for_again(tmp_path: Path) -> None:
    """Rows that were answered alone keep that answer when `pack` is set; the size of a pack decides
    nothing about an answer."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, prompt=PROMPT.replace("pack: 4\n", ""))
        opened(root).run()
        assert server.bill.total == 10
        write(root, {"models/kinds.prompt.md": PROMPT})
        (plan,) = opened(root).plan()
        assert (plan.to_ask, plan.states) == (0, {"answered": 10})
        assert opened(root).run()[0].ok == 10
        assert server.bill.total == 10
        with (root / "seeds/plants.csv").open("a") as seed:
            seed.write("11,a,b\n12,c,d\n")
        opened(root).run()
        assert server.bill.total == 11
        write(root, {"models/kinds.prompt.md": PROMPT.replace("pack: 4", "pack: 7")})
        assert opened(root).plan()[0].to_ask == 0


def test_what_a_refresh_packs_stays(tmp_path: Path) -> None:
    """The older answers of rows alone do not come back with the next run, nor do those of a pack
    whose row is answered alone in the refresh."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, prompt=PROMPT.replace("pack: 4\n", ""))
        opened(root).run()
        write(root, {"models/kinds.prompt.md": PROMPT})
        opened(root).run()
        assert server.bill.total == 10
        opened(root).run(full_refresh=True)
        assert server.bill.total == 13
        before = rows_of(root)
        opened(root).run()
        assert (rows_of(root), server.bill.total) == (before, 13)


def test_the_plan_says_what_it_saves(tmp_path: Path) -> None:
    prices = {"gpt-4o-mini": {"input": 1.0, "output": 1.0}}
    with Rehearsal() as server:
        root = garden(tmp_path, server, rows=400, prices=prices)
        (plan,) = opened(root).plan()
        assert plan.estimate is not None
        assert plan.alone is not None
        assert plan.estimate.input.likely < 0.6 * plan.alone.input.likely
        assert plan.estimate.output.likely == plan.alone.output.likely
        assert plan.estimate.usd is not None
        assert plan.alone.usd is not None
        assert plan.estimate.usd < plan.alone.usd
        (state,) = opened(root).run()
        assert state.ok == 400
        assert server.bill.total == 100
        off = server.bill.usage.input / plan.estimate.input.likely
        assert 0.5 < off < 2


@pytest.mark.few(0)
def test_the_bytes_of_a_pack_are_limited(tmp_path: Path) -> None:
    """Long rows make smaller packs, and so do answers that would be too long together."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, rows=8)
        write(
            root,
            {"models/kinds.sql": "SELECT id, repeat(name, 6000) AS name, note FROM plants"},
        )
        opened(root).run()
        assert server.bill.total == 4
    with Rehearsal() as server:
        root = garden(tmp_path / "two", server, prompt=PROMPT.replace("50}", "8000}"))
        assert opened(root).compile("kinds")["request"]["body"]["max_tokens"] == 16000
        opened(root).run()
        assert server.bill.total == 5


@pytest.mark.few(0)
def test_faults_leave_one_outcome_for_each_row(tmp_path: Path) -> None:
    """With faults of every kind, all rows are answered in the end, and what the ledger counts is
    what was billed."""
    faults = Faults(
        dropped=0.05,
        doubled=0.05,
        http_500=0.05,
        truncated=0.05,
        malformed=0.05,
        off_schema=0.1,
        left_out=0.1,
        bad_byte=0.05,
        batch_expired=0.1,
    )
    with Rehearsal(faults=faults, seed=2) as server:
        root = garden(
            tmp_path, server, rows=80, prompt=PROMPT.replace("max_attempts: 3", "max_attempts: 9")
        )
        for _ in range(8):
            if opened(root).run(retry=True)[0].ok == 80:
                break
        assert outcomes(root) == {"ok": 80}
        tokens = "SELECT sum(input_tokens)::INT FROM ledger.batches"
        lost = server.bill.usage.input - opened(root).sql(tokens).rows[0][0]
        assert 0 <= lost < 0.15 * server.bill.usage.input  # what was dropped has no tokens
    twice = (
        "SELECT count(*) FROM (SELECT batch, custom_id FROM ledger.responses "
        "GROUP BY ALL HAVING count(*) > 1)"
    )
    assert opened(root).sql(twice).rows == ((0,),)


def test_compare_asks_alone(tmp_path: Path) -> None:
    """What packs have changed: a sample is asked row by row, and paid for once."""
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        opened(root).run()
        assert server.bill.total == 3
        found = opened(root).compare("kinds", limit=5, alone=True)
        assert (found.both, found.asked, server.bill.total) == (5, 5, 8)
        assert found.now.name == "gpt-4o-mini, each row alone"
        assert opened(root).compare("kinds", limit=5).asked == 0
        assert opened(root).compare("kinds", limit=5, alone=True).asked == 0


def test_a_preview_is_one_pack(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = garden(tmp_path, server)
        preview = opened(root).preview("kinds", limit=3)
        assert [row.outcome for row in preview.rows] == ["ok"] * 3
        assert server.bill.total == 1


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("pack: 4", "pack: 1000", "cannot be 1000"),
        ("pack: 4", "pack: many", "pack"),
        ("pack: 4", "pack: 4\nresponse_format: json_object", "needs response_format: json_schema"),
        ("fern", "{{ note }}", "needs the row in the last message"),
        ("{{ name }}:", "![]({{ name }})", "does not apply to images"),
    ],
)
def test_mistakes_are_refused(tmp_path: Path, was: str, now: str, said: str) -> None:
    prompt = PROMPT.replace(was, now, 1).replace("You know plants", "You know JSON")
    with Rehearsal() as server, pytest.raises(ModelError, match=said):
        opened(garden(tmp_path, server, prompt=prompt)).plan()


def test_a_row_cannot_pass_for_another(tmp_path: Path) -> None:
    """Quotes, newlines and backslashes arrive as they are; only a line that looks like the number
    of a row is marked."""
    texts = ["### 2\nfern", 'a "b" \\ c\n### 3 d', "\u2028 \U0001f600\ttab", "x\n#### 4\n ### 5"]
    with Rehearsal() as server:
        root = garden(
            tmp_path, server, prompt=PROMPT.replace('{{ name }}: "{{ note }}"', "{{ t }}")
        )
        rows = ", ".join(f"({n}, {quote_text(text)})" for n, text in enumerate(texts, 1))
        write(root, {"models/kinds.sql": f"SELECT * FROM (VALUES {rows}) AS rows(id, t)"})
        body = opened(root).compile("kinds")["request"]["body"]
        marked = [texts[0].replace("### 2", "#### 2"), texts[1].replace("### 3", "#### 3")]
        said = [*marked, *texts[2:]]
        assert body["messages"][-1]["content"] == "\n\n".join(
            f"### {n}\n{text}" for n, text in enumerate(said, 1)
        )
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (4, 1)


@pytest.mark.few(0)
def test_a_plan_counts_whole_lines(tmp_path: Path) -> None:
    """One row of a pack of a hundred takes all that its pack shares; a budget knows that before it
    is spent, and batches are as large as planned."""
    prices = {"gpt-4o-mini": {"input": 100.0, "output": 100.0}}
    long = PROMPT.replace("pack: 4", "pack: 100").replace(
        "You know", f"{'All about. ' * 1000}You know"
    )
    with Rehearsal() as server:
        root = garden(tmp_path, server, rows=1, prompt=long, prices=prices)
        (plan,) = opened(root).plan()
        opened(root).run()
        assert plan.estimate is not None
        assert 0.7 < server.bill.usage.input / plan.estimate.input.likely < 1.4
    with Rehearsal() as server:
        root = garden(tmp_path / "two", server, rows=30, prompt=long, prices=prices)
        opened(root).run(max_cost=0.05)
        assert server.bill.total == 0
        opened(root).run(max_cost=3)
        assert server.bill.total == 1
    with Rehearsal() as server:
        small = {"max_bytes": 30_000}
        root = garden(tmp_path / "three", server, rows=250, prompt=long, **small)
        (plan,) = opened(root).plan()
        (state,) = opened(root).run()
        assert (state.ok, len(server.batches)) == (250, plan.batches)


def test_an_llm_that_counts_otherwise_is_not_trusted(tmp_path: Path) -> None:
    """From 0, in halves, or too far: then nobody knows whose the other answers are."""
    shifts: dict[str, Any] = {"pack-1": -1, "pack-2": 0.5, "pack-3": 4}

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        message = line["response"]["body"]["choices"][0]["message"]
        if shift := shifts.get(line["custom_id"]):
            answers = json.loads(message["content"])["answers"]
            for each in answers[:1] if shift == 4 else answers:
                each["n"] += shift
            message["content"] = json.dumps({"answers": answers})
        return line

    with Rehearsal(rewrite=rewrite) as server:
        root = garden(tmp_path, server, rows=12)
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (12, 15)
    left = "SELECT count(*) FROM ledger.responses WHERE reason LIKE '%leaves it out'"
    assert opened(root).sql(left).rows == ((12,),)


@pytest.mark.few(0)
def test_what_is_in_flight_alone_is_not_packed(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = garden(tmp_path, server, prompt=PROMPT.replace("pack: 4\n", ""))
        opened(root).run(detach=True)
        write(root, {"models/kinds.prompt.md": PROMPT})
        assert opened(root).plan()[0].states == {"in progress": 10}
        opened(root).run()
        assert server.bill.total == 10
