"""Reviews: people's verdicts are kept as lines, become labels, and say how good a table is."""

from __future__ import annotations

import json
import os
from collections import Counter
from decimal import Decimal
from itertools import combinations
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import PROMPT, Ears, opened, plants, write
from hypothesis import given
from hypothesis import strategies as st

from enrich import cli
from enrich.errors import DiskError, EnrichError, InputError, ModelError, ProjectError
from enrich.manifest.examples import Example, escape_json, escape_text, write_sections
from enrich.manifest.reviews import (
    Verdict,
    append_verdict,
    find_review_file,
    list_sampled,
    list_standing,
    read_verdicts,
)
from enrich.pipeline.flow import Flow
from enrich.pipeline.likelihood import Z_95, compute_kappa, count_more, estimate_share
from enrich.pipeline.review import summarize_reviews, summarize_verdicts
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from enrich.project import Project

GOOD = {"kind": "tree", "tags": ["tall", "old"], "height": 2.5, "line": "an ash"}


def said(key: Any = 1, verdict: str = "right", values: Any = None, **more: Any) -> Verdict:
    """A verdict on the plant `key`."""
    known = (GOOD if values is None else values) if verdict in ("right", "corrected") else {}
    usual = {"fingerprint": "f", "queue": "random", "blind": False, "by": "ada", "at": "2026-01-02"}
    given: dict[str, Any] = {"key": {"id": key}, "verdict": verdict, "values": known}
    return Verdict(**{**given, **usual, **more})


def review(root: Path, *verdicts: Verdict, model: str = "kinds") -> None:
    for verdict in verdicts:
        append_verdict(root, model, verdict)


def answers(project: Project) -> dict[int, dict[str, Any]]:
    """The published answers by key, as JSON holds them."""
    found = project.sql("FROM kinds ORDER BY id")
    rows = [dict(zip(found.columns, row, strict=True)) for row in found]
    return {row.pop("id"): row for row in rows}


def command(root: Path, *words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli.main, ["--project", str(root), *words])


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A project whose plants have been answered."""
    with Rehearsal() as server:
        yield answered(tmp_path, server)


def answered(root: Path, server: Rehearsal) -> Path:
    plants(root, server)
    opened(root).run()
    return root


VERDICTS = st.builds(
    said,
    key=st.one_of(st.integers(1, 2), st.sampled_from(["1", 1.0, True, "a\nb\u2028"])),
    verdict=st.sampled_from(["right", "corrected", "unsure", "undone"]),
    by=st.sampled_from(["ada", "ben"]),
    queue=st.sampled_from(["random", "filter"]),
    fingerprint=st.text(max_size=3),
)


@given(verdicts=st.lists(VERDICTS, max_size=12), torn=st.lists(st.integers(0, 12), max_size=3))
def test_lines_come_back(
    tmp_path_factory: pytest.TempPathFactory, verdicts: list[Verdict], torn: list[int]
) -> None:
    """What was written is read in the same order, whatever crashes left between the lines."""
    folder = tmp_path_factory.mktemp("reviews")
    for number, verdict in enumerate(verdicts):
        append_verdict(folder, "m", verdict)
        if number in torn:
            with find_review_file(folder, "m").open("ab") as file:
                file.write('{"key": {"id": "\u00e9'.encode()[:-1])
    assert read_verdicts(folder, "m") == tuple(verdicts)


@given(verdicts=st.lists(VERDICTS, max_size=14))
def test_what_stands(verdicts: list[Verdict]) -> None:
    """The last verdict of each reviewer on each key; `undone` brings back the one before."""
    left = list(verdicts)
    while any(each.verdict == "undone" for each in left):
        undone = [each.verdict for each in left].index("undone")
        mine = [
            n
            for n in range(undone)
            if left[n].by == left[undone].by and repr(left[n].key) == repr(left[undone].key)
        ]
        for number in (undone, *mine[-1:]):
            del left[number]
    left = [each for each in left if each.verdict != "undone"]
    last = {(each.by, repr(each.key)): each for each in left}
    standing = list_standing(verdicts)
    assert {(each.by, repr(each.key)): each for each in standing} == last
    assert [each for each in left if any(each is one for one in standing)] == list(standing)
    random = {repr(each.key) for each in left if each.queue == "random"}
    assert {repr(key) for key in list_sampled(verdicts)} == random


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "it is not JSON"),
        ("[1]", "it is not an object"),
        ("[" * 100_000, "not"),
        ('{"key": {}}', "it has no 'verdict'"),
        ('{"key": 1}', "'key' cannot be 1"),
        (b"\xff{}", "it is not JSON"),
        ("<<<<<<< HEAD", "it is not JSON"),
    ],
)
def test_a_line_that_is_no_verdict(tmp_path: Path, line: str | bytes, words: str) -> None:
    """File, line and what is wrong; the last one, if it is not finished, is what a crash left."""
    review(tmp_path, said(1))
    path = find_review_file(tmp_path, "kinds")
    raw = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(path.read_bytes() + raw)
    assert len(read_verdicts(tmp_path, "kinds")) == 1
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(InputError, match=r"reviews/kinds\.jsonl:2 is not a verdict: .*") as problem:
        read_verdicts(tmp_path, "kinds")
    assert words in problem.value.message
    assert "git" in problem.value.hint


def test_a_last_line_without_its_newline_counts(tmp_path: Path) -> None:
    """An editor may have taken it away."""
    review(tmp_path, said(1))
    path = find_review_file(tmp_path, "kinds")
    path.write_bytes(path.read_bytes().rstrip())
    review(tmp_path, said(2))
    assert [each.key["id"] for each in read_verdicts(tmp_path, "kinds")] == [1, 2]


def test_what_json_cannot_hold_is_not_written(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf"), Decimal("NaN")):
        with pytest.raises(InputError, match="NaN"):
            append_verdict(tmp_path, "m", said(values={"height": value}))
    assert not find_review_file(tmp_path, "m").exists()


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_not_followed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither a folder that leads out of the project, nor a file."""
    outside = tmp_path_factory.mktemp("outside")
    (root / "reviews").mkdir()
    (root / "reviews" / "kinds.jsonl").symlink_to(outside / "profile")
    with pytest.raises(DiskError, match="is a link"):
        review(root, said())
    assert not (outside / "profile").exists()
    (root / "reviews" / "kinds.jsonl").unlink()
    (root / "reviews").rmdir()
    (root / "reviews").symlink_to(outside)
    with pytest.raises(ProjectError, match="reviews is a link that leads out of the project"):
        opened(root)


def test_reviews_become_tables(root: Path) -> None:
    """One row for each key, as the last reviewer left it, with the model's types; and all verdicts
    that stand. They are loaded again when the file changes."""
    project = opened(root)
    review(
        root,
        said(1, "corrected", GOOD | {"kind": "shrub"}),
        said("1", "right", by="ben", queue="filter", blind=True, at="2026-01-02T03:04:05+01:00"),
        said(2, "unsure"),
        said(3, "right"),
        said(3, "undone"),
    )
    ears = Ears()
    assert opened(root, ears).seed() == ("kinds_review",)
    assert opened(root, ears).seed() == ()
    table = project.sql("FROM kinds_review")
    assert table.rows == ((1, "tree", ["tall", "old"], 2.5, "an ash"),)
    kinds = "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{}' AND {}"
    main = "schema_name = 'main' ORDER BY column_index"
    first, second = (project.sql(kinds.format(n, main)).rows for n in ("kinds", "kinds_review"))
    assert first == second
    every = project.sql(
        "SELECT id, review_verdict, fingerprint, queue, blind, reviewer, reviewed_at::VARCHAR "
        "FROM enrich.kinds_review"
    )
    assert every.rows == (
        (1, "corrected", "f", "random", False, "ada", "2026-01-02 00:00:00"),
        (1, "right", "f", "filter", True, "ben", "2026-01-02 02:04:05"),
        (2, "unsure", "f", "random", False, "ada", "2026-01-02 00:00:00"),
    )
    review(root, said(2, "right"))
    opened(root).evaluate("kinds", "kinds_review")
    assert len(project.sql("FROM kinds_review")) == 2


def test_values_that_no_longer_fit_are_null(root: Path) -> None:
    """Each column by itself; the rest of the row stays, and the table follows the prompt."""
    review(root, said(1, "corrected", GOOD | {"height": "2.5"}), said(2, "right", {"kind": "tree"}))
    opened(root).seed()
    rows = "SELECT * EXCLUDE (tags) FROM kinds_review"
    assert opened(root).sql(rows).rows == (
        (1, "tree", 2.5, "an ash"),
        (2, "tree", None, None),
    )
    changed = PROMPT.replace("'tree', 'shrub'", "'plant', 'shrub'").replace("DOUBLE", "INTEGER")
    write(root, {"models/kinds.prompt.md": changed.replace("line   VARCHAR", "verse  VARCHAR")})
    opened(root).seed()
    assert opened(root).sql("SELECT * EXCLUDE (tags) FROM kinds_review").rows == (
        (1, None, None, None),
        (2, None, None, None),
    )


@pytest.mark.few(0)
def test_a_bad_file_stops_only_what_reads_it(root: Path) -> None:
    """It is said once; models that do not read the reviews run, and the others say why not."""
    write(root, {"models/judged.sql": "SELECT count(*) AS n FROM kinds_review\n"})
    review(root, said(1))
    opened(root).run()
    with find_review_file(root, "kinds").open("a") as file:
        file.write("oops\n")
    ears = Ears()
    with pytest.raises(EnrichError, match=r"reviews/kinds.jsonl:2 is not a verdict"):
        opened(root, ears).run()
    assert sum("kinds.jsonl:2" in sentence for sentence in ears.said) >= 1
    assert [state.model for state in opened(root).run("kinds")] == ["kinds"]
    for labels in ("kinds_review", "main.kinds_review", '"KINDS_REVIEW"'):
        with pytest.raises(EnrichError, match=r"reviews/kinds.jsonl:2 is not a verdict"):
            opened(root).evaluate("kinds", labels)


@pytest.mark.few(0)
def test_tables_of_others_are_left_alone(root: Path) -> None:
    """A table of the user's, a seed, a model: one sentence, and it stays what it is."""
    review(root, said(1))
    opened(root).sql("CREATE TABLE kinds_review AS SELECT 1 AS id, 'tree' AS kind")
    with pytest.raises(ProjectError, match="table 'kinds_review': enrich did not create it"):
        opened(root).seed()
    with pytest.raises(ProjectError, match="table 'kinds_review'"):
        opened(root).evaluate("kinds", "kinds_review")
    opened(root).sql("DROP TABLE kinds_review")
    opened(root).seed()
    for name, text in {
        "models/kinds_review.sql": "SELECT id, 'tree' AS kind FROM plants\n",
        "seeds/kinds_review.csv": "id,kind\n1,tree\n",
    }.items():
        write(root, {name: text})
        ears = Ears()
        opened(root, ears).run()
        (sentence,) = (each for each in ears.said if "is already called" in each)
        assert sentence.startswith("reviews/kinds.jsonl is not loaded: a ")
        assert opened(root).evaluate("kinds", "kinds_review").reviews is None
        (root / name).unlink()
        opened(root).sql(
            "DROP VIEW kinds_review" if "models" in name else "DROP TABLE kinds_review"
        )
    ears = Ears()
    review(root, said(1), model="knids")
    opened(root, ears).seed()
    assert "reviews/knids.jsonl is not loaded: no model with a prompt is 'knids'" in ears.said


def test_reviews_of_a_model_that_has_not_been_run(tmp_path: Path) -> None:
    """After a checkout there is no ledger: nothing is said until somebody asks for the table."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        review(root, said(1))
        ears = Ears()
        opened(root, ears).run()
        assert not any("review" in sentence for sentence in ears.said)
        assert opened(root).seed() == ("kinds_review",)
        with pytest.raises(ProjectError, match="has not been run yet"):
            write(root, {"models/new.sql": "FROM plants"})
            write(root, {"models/new.prompt.md": PROMPT})
            opened(root).evaluate("new", "new_review")


@given(data=st.data())
def test_the_interval_solves_the_equation(data: st.DataObject) -> None:
    """Its ends are where the distance from the sample is what chance explains, found by bisection;
    `more` is the first number of rows that halves it."""
    rows = data.draw(st.integers(2, 400))
    reviewed = data.draw(st.integers(1, rows))
    right = data.draw(st.integers(0, reviewed))

    def brute(size: int) -> tuple[float, float]:
        if size == rows:
            return right / reviewed, right / reviewed
        deviation = (rows - size) / (rows - 1) / size
        seen, ends = right / reviewed, []
        for outer in (0.0, 1.0):
            inside, outside = seen, outer
            for _ in range(80):
                middle = (inside + outside) / 2
                far = (seen - middle) ** 2 > Z_95**2 * middle * (1 - middle) * deviation
                inside, outside = (inside, middle) if far else (middle, outside)
            ends.append((inside + outside) / 2)
        return ends[0], ends[1]

    low, high = estimate_share(right, reviewed, rows)
    assert (low, high) == pytest.approx(brute(reviewed), abs=1e-9)
    assert 0 <= low <= right / reviewed <= high <= 1
    more = count_more(right, reviewed, rows)
    goal = (high - low) / 2 + 1e-9
    widths = {size: brute(size)[1] - brute(size)[0] for size in {reviewed + more, rows}}
    assert widths[reviewed + more] <= goal
    if more:
        before = brute(reviewed + more - 1)
        assert before[1] - before[0] > goal - 2e-9
    assert (more == 0) == (reviewed == rows)


CELLS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["tree", "shrub"]),
        "tags": st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3),
        "height": st.sampled_from([None, 1.5, 2]),
        "line": st.sampled_from(["x", "X", "x "]),
    }
)
JUDGED = st.lists(
    st.builds(
        said,
        key=st.integers(1, 6),
        verdict=st.sampled_from(["right", "corrected", "corrected", "unsure", "undone"]),
        values=CELLS,
        by=st.sampled_from(["ada", "ben", "eve"]),
        queue=st.sampled_from(["random", "random", "filter"]),
    ),
    max_size=16,
)


def plain(value: Any) -> Any:
    return frozenset(value) if isinstance(value, list) else value


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with Rehearsal() as server:
        root = answered(tmp_path_factory.mktemp("shared"), server)
        opened(root).sql(
            "UPDATE kinds SET kind = 'tree', tags = ['b', 'a', 'b'], height = 1.5, line = 'x'"
        )
        yield opened(root)


@given(verdicts=JUDGED)
@pytest.mark.few(0)
def test_the_summary_is_what_python_makes_of_it(shared: Project, verdicts: list[Verdict]) -> None:
    """Counts, shares and kappa are those of plain Python."""
    published = {"kind": "tree", "tags": frozenset("ab"), "height": 1.5, "line": "x"}
    with shared.files.open_both(warehouse="read", ledger="read") as database:
        found = summarize_verdicts(database, shared.models["kinds"], verdicts)
    standing = list_standing(verdicts)
    assert found.verdicts == Counter(each.verdict for each in standing)
    assert found.reviewers == Counter(each.by for each in standing)
    valued = [each for each in standing if each.values]
    truth = {each.key["id"]: each.values for each in valued}
    sampled = {key["id"] for key in list_sampled(verdicts)} & set(truth) & {1, 2, 3, 4}
    right: dict[str | None, int] = {
        name: sum(plain(truth[key][name]) == cell for key in sampled)
        for name, cell in published.items()
    }
    whole = sum(
        all(plain(truth[key][name]) == cell for name, cell in published.items()) for key in sampled
    )
    right[None] = whole
    expected = right if sampled else {}
    assert {each.column: each.right for each in found.likely} == expected
    assert {each.reviewed for each in found.likely} <= {len(sampled)}
    pairs = {(each.column, each.reviewer, each.other): each for each in found.pairs}
    for one, two in combinations(("ada", "ben", "eve"), 2):
        mine, theirs = (
            {each.key["id"]: each.values for each in valued if each.by == by} for by in (one, two)
        )
        both = mine.keys() & theirs.keys()
        for name in published:
            if not both:
                assert (name, one, two) not in pairs
                continue
            labels = [(plain(mine[key][name]), plain(theirs[key][name])) for key in both]
            agreed = sum(a == b for a, b in labels) / len(both)
            first, second = (Counter(side) for side in zip(*labels, strict=True))
            chance = sum(first[label] * second[label] for label in first) / len(both) ** 2
            pair = pairs[name, one, two]
            assert pair.rows == len(both)
            assert pair.agreement == pytest.approx(agreed)
            if chance == 1:
                assert pair.kappa is None
            else:
                assert pair.kappa == pytest.approx((agreed - chance) / (1 - chance))


def test_a_replaced_verdict_stays_in_the_sample(root: Path) -> None:
    """A row that was chosen at random and looked at again still counts, with what was said last."""
    cells = {key: dict(values) for key, values in answers(opened(root)).items()}
    review(root, said(1, "right", cells[1]), said(2, "right", cells[2]))
    wrong = cells[1] | {"line": "no"}
    review(root, said(1, "corrected", wrong, queue="filter"), said(3, "right", queue="filter"))
    found = summarize_reviews(Flow(workspace=opened(root).workspace), "kinds")
    shares = {each.column: (each.right, each.reviewed, each.share) for each in found.likely}
    assert shares["line"] == shares[None] == (1, 2, 0.5)
    assert shares["kind"] == (2, 2, 1.0)
    assert found.rows == 4
    assert all(0 < each.more <= 2 for each in found.likely)


@pytest.mark.few(0)
def test_evaluate_says_how_good_the_table_is(root: Path) -> None:
    """In sentences and in JSON; nothing changes for other labels."""
    words = ("evaluate", "kinds", "--labels", "kinds_review")
    cells = answers(opened(root))
    review(root, said(1, "right", cells[1], queue="filter"))
    assert "has been reviewed at random" in command(root, *words).stdout
    review(root, *(said(key, "right", cells[key]) for key in (1, 2)))
    review(root, said(1, "corrected", cells[1] | {"line": "no"}, by="ben"))
    result = command(root, *words)
    assert result.exit_code == 0, result.stderr
    assert 'From 2 randomly reviewed rows, 44 % to 100 % of the cells of "kind" are right' in (
        result.stdout
    )
    assert "are right in every column (50 % in the sample); 2 more rows would" in result.stdout
    assert 'ada and ben agree about "line" in 0 % of the row that both' in result.stdout
    assert "(kappa is not defined, because both said the same about every row)" in result.stdout
    found = json.loads(command(root, *words, "--json").stdout)
    assert found["reviews"]["verdicts"] == {"right": 2, "corrected": 1}
    assert found["reviews"]["reviewers"] == {"ada": 2, "ben": 1}
    assert [each["column"] for each in found["reviews"]["likely"]] == [*GOOD, None]
    assert {each["kappa"] for each in found["reviews"]["pairs"]} == {None, 0.0}
    review(root, *(said(key, "right", cells[key]) for key in (3, 4)))
    everything = command(root, *words).stdout
    assert 'All 4 rows have been reviewed: 100 % of the cells of "kind" are right.' in everything
    opened(root).sql("CREATE TABLE others AS FROM kinds_review")
    other = opened(root).evaluate("kinds", "others")
    assert other.reviews is None
    assert "reviewed" not in command(root, "evaluate", "kinds", "--labels", "others").stdout


def paste(root: Path, turns: str) -> list[dict[str, str]]:
    """Paste turns into the prompt as a person does; returns the messages of the first request."""
    head, mark, rest = PROMPT.partition("    user:\n")
    text = dedent(head).lstrip("\n") + turns + "\n" + dedent(mark + rest)
    (root / "models" / "kinds.prompt.md").write_text(text, encoding="utf-8", newline="")
    found: list[dict[str, str]] = opened(root).compile("kinds")["request"]["body"]["messages"]
    return found


def test_examples_show_as_many_labels_as_possible(root: Path) -> None:
    """The row with the most labels first, then what is new; corrected before right; then by key."""
    tree, shrub = GOOD | {"tags": ["a"]}, GOOD | {"kind": "shrub", "tags": ["a"]}
    both = GOOD | {"tags": ["a", "b"]}
    review(root, said(1, "right", tree), said(2, "right", both), said(3, "corrected", shrub))
    review(root, said(4, "corrected", tree), said(4, "unsure", by="ben"), said(9, "right", both))
    project = opened(root)
    shown = [
        [turn.partition(":")[0] for turn in project.review_examples("kinds", n).split("user:\n")][
            1:
        ]
        for n in (1, 2, 3, 4, 9)
    ]
    assert shown[3] == shown[4] == ["birch", "cedar", "dogwood", "ash"]
    assert shown[:3] == [shown[3][:1], shown[3][:2], shown[3][:3]]
    system, *turns, last = paste(root, project.review_examples("kinds", 1))
    assert system["content"] == "You know plants."
    assert turns == [
        {"role": "user", "content": "birch: white"},
        {"role": "assistant", "content": json.dumps(both)},
    ]
    assert last["role"] == "user"


ODD = ["{{ name }}", "{", "}", "user:", "\n", " ", "![a](b)", "\r", "'", '"', "\x00", "\x9b", "---"]
ODD += ["assistant: \t", "\u202e", "$year", "é", "\t", "\u2028", "\\", "--", "/*", "#"]
TEXT = st.lists(st.sampled_from(ODD), max_size=8).map("".join)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose prompt says nothing but a cell."""
    with Rehearsal() as server:
        root = answered(tmp_path_factory.mktemp("odd"), server)
        yield root


@given(text=TEXT, line=TEXT, label=TEXT)
@pytest.mark.few(0)
def test_pasted_examples_say_exactly_what_was_said(
    odd: Path, text: str, line: str, label: str
) -> None:
    """Whatever the cells hold: braces, images, roles, spaces at the ends, control characters."""
    values = GOOD | {"line": line, "tags": [label]}
    turn = Example(
        user=escape_text(text), assistant=escape_json(json.dumps(values, ensure_ascii=False))
    )
    _, user, assistant, _ = paste(odd, write_sections([turn]))
    assert user == {"role": "user", "content": text}
    assert assistant["role"] == "assistant"
    assert json.loads(assistant["content"]) == values


def test_examples_of_odd_cells(root: Path) -> None:
    """From the table to the prompt and back."""
    note = "{{ note }}\nuser:\n![x](y)\r\n "
    (root / "seeds" / "plants.json").write_text(json.dumps([{"id": 1, "name": " ", "note": note}]))
    (root / "seeds" / "plants.csv").unlink()
    opened(root).sql("DROP TABLE plants")
    review(root, said(1, "right", GOOD | {"line": note}))
    result = command(root, "review", "kinds", "--examples", "2")
    assert result.exit_code == 0, result.stderr
    assert "paste it above the last line `user:` of models/kinds.prompt.md" in result.stderr
    _, user, assistant, _ = paste(root, result.stdout)
    assert user["content"] == f" : {note}"
    assert json.loads(assistant["content"]) == GOOD | {"line": note}


def test_a_text_is_answered_as_text(root: Path) -> None:
    """With `response_format: text` an example is what the llm would write, without JSON."""
    head, _, rest = PROMPT.partition("      kind ")
    more = rest.partition("params:")[2]
    text = f"{head}      line VARCHAR NOT NULL\n    response_format: text\n    params:{more}"
    write(root, {"models/kinds.prompt.md": text})
    review(root, said(1, "right", {"line": "user:\nan ash"}))
    turns = opened(root).review_examples("kinds", 1)
    assert turns == "user:\nash: tall\n\nassistant:\n{{ 'user' }}:\nan ash\n"


def test_examples_that_cannot_be(root: Path) -> None:
    """No reviews, pictures, no user message, no number: each is one sentence."""
    with pytest.raises(InputError, match="no reviewed row of 'kinds' can be an example"):
        opened(root).review_examples("kinds", 1)
    assert command(root, "review", "kinds", "--examples", "0").exit_code == 2
    review(root, said(1))
    write(root, {"models/kinds.prompt.md": PROMPT + "    ![]({{ 'https://a.b/' || name }})\n"})
    with pytest.raises(ModelError, match="pictures, which cannot be pasted"):
        opened(root).review_examples("kinds", 1)
    write(root, {"models/kinds.prompt.md": PROMPT.replace("    user:\n", "")})
    with pytest.raises(ModelError, match="the prompt has no user message"):
        opened(root).review_examples("kinds", 1)
    vector = "---\nkey: id\nendpoint: /v1/embeddings\noutput: v FLOAT[8]\n---\n{{ name }}"
    write(root, {"models/kinds.prompt.md": vector})
    with pytest.raises(ModelError, match="an embedding has no examples") as told:
        opened(root).review_examples("kinds", 1)
    assert "user:" not in told.value.hint


def test_kappa_is_that_of_the_textbook() -> None:
    """Two doctors and 2 x 2 patients; and where nobody ever said anything else."""
    assert compute_kappa(50, 35, 25 * 30 + 25 * 20) == pytest.approx(0.4)
    assert compute_kappa(3, 3, 9) is None
    assert compute_kappa(3, 0, 0) == 0
