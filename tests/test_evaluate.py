"""Evaluate: every figure is what plain Python makes of the same answers and labels."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import PROMPT, opened, plants, write
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich import cli
from enrich.errors import EnrichError, InputError
from enrich.rehearsal import Rehearsal
from enrich.view.site import build_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enrich.db.files import DatabaseFiles

LABELS = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, max_size=3).map(sorted)
TEXTS = st.lists(
    st.tuples(st.text("aÀ b!Ö-", max_size=5), st.text("AÀ b.o", max_size=5)), min_size=1
)
ROWS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseFiles]:
    """The files of a project in whose ledger one version is known."""
    with Rehearsal() as server:
        root = plants(tmp_path_factory.mktemp("scores"), server)
        opened(root).run()
        yield opened(root).files


def figures(files: DatabaseFiles, rows: list[Any], script: str) -> dict[Any, tuple[Any, ...]]:
    """The figures of (said, expected) rows, by average and label."""
    with files.open_ledger() as database, database.roll_back():
        (prompt,) = database.fetch_one("SELECT prompt FROM ledger.prompts")
        database.execute("DELETE FROM ledger.evaluations")
        database.execute(
            "CREATE OR REPLACE TEMP TABLE _enrich_scored (prompt VARCHAR, line BIGINT, "
            "answered BOOLEAN, said VARCHAR[], expected VARCHAR[])"
        )
        for line, (said, expected) in enumerate(rows):
            database.execute(
                "INSERT INTO temp._enrich_scored VALUES ($prompt, $line, true, $said, $expected)",
                prompt=prompt,
                line=line,
                said=said,
                expected=expected,
            )
        database.call(script, model="m", labels="l", column="c")
        found = database.execute(
            'SELECT average, label, "rows", accuracy, "precision", recall, f1, exact, normalized '
            "FROM ledger.evaluations"
        )
    return {(average, label): tuple(rest) for average, label, *rest in found}


def expected_of(rows: list[Any]) -> dict[Any, tuple[Any, ...]]:
    """The same by the textbook."""
    labels = sorted({label for said, right in rows for label in (*said, *right)})
    hits = {x: sum(x in said and x in right for said, right in rows) for x in labels}
    said_so = {x: sum(x in said for said, _ in rows) for x in labels}
    is_so = {x: sum(x in right for _, right in rows) for x in labels}
    accuracy = sum(set(said) == set(right) for said, right in rows) / len(rows)

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    each = {
        x: (
            share(hits[x], said_so[x]),
            share(hits[x], is_so[x]),
            2 * hits[x] / (said_so[x] + is_so[x]),
        )
        for x in labels
    }
    found: dict[Any, tuple[Any, ...]] = {
        (None, x): (is_so[x], None, *each[x], None, None) for x in labels
    }
    if not labels:
        found[None, None] = (len(rows), accuracy, None, None, None, None, None)
        return found
    macro = [sum(figure[n] or 0 for figure in each.values()) / len(labels) for n in range(3)]
    total = sum(hits.values()), sum(said_so.values()), sum(is_so.values())
    micro = (
        share(total[0], total[1]),
        share(total[0], total[2]),
        2 * total[0] / (total[1] + total[2]),
    )
    found["macro", None] = (len(rows), accuracy, *macro, None, None)
    found["micro", None] = (len(rows), accuracy, *micro, None, None)
    return found


@settings(deadline=None)
@given(rows=ROWS)
def test_labels_are_scored_by_the_textbook(ledger: DatabaseFiles, rows: list[Any]) -> None:
    """Accuracy, precision, recall and F1: of each label, macro and micro."""
    found, right = figures(ledger, rows, "score_labels"), expected_of(rows)
    assert found.keys() == right.keys()
    for name, values in right.items():
        assert found[name] == pytest.approx(values), name


@settings(deadline=None)
@given(rows=TEXTS)
def test_texts_match_exactly_or_normalized(
    ledger: DatabaseFiles, rows: list[tuple[str, str]]
) -> None:
    """Normalized means without case, accents, punctuation and spaces around."""

    def plain(text: str) -> str:
        folded = unicodedata.normalize("NFD", text.lower())
        kept = "".join(c if c.isalnum() else " " for c in folded if not unicodedata.combining(c))
        return " ".join(kept.split())

    (found,) = figures(ledger, [([a], [b]) for a, b in rows], "score_text").values()
    assert found[-2] == pytest.approx(sum(a == b for a, b in rows) / len(rows))
    assert found[-1] == pytest.approx(sum(plain(a) == plain(b) for a, b in rows) / len(rows))


def labelled(root: Path, server: Rehearsal) -> Path:
    """Plants with a plain model of labels: the answers themselves, but for two of them."""
    plants(root, server)
    write(
        root,
        {
            "models/truth.sql": "SELECT CAST(id AS VARCHAR) AS id, CASE WHEN id = 1 THEN "
            "CASE kind WHEN 'tree' THEN 'shrub' ELSE 'tree' END ELSE upper(kind) END AS kind, "
            "array_to_string(list_transform(tags, lambda tag: upper(tag)), ', ') AS tags, "
            "height, CASE WHEN id = 2 THEN 'else' ELSE ' ' || upper(line) || '!' END AS line "
            "FROM kinds WHERE id < 4\n"
        },
    )
    opened(root).run()
    return root


def test_published_answers_against_a_table(tmp_path: Path) -> None:
    """ENUMs and lists by label, whatever their case and even as text, texts, numbers; the key may
    have another type; rows without a label do not count."""
    with Rehearsal() as server:
        root = labelled(tmp_path, server)
        found = opened(root).evaluate("kinds", "truth")
        named = [dict(zip(found.figures.columns, row, strict=True)) for row in found.figures]
        by = {(row["column"], row["average"]): row for row in named}
        assert by["kind", "macro"]["accuracy"] == pytest.approx(2 / 3)
        assert by["tags", "micro"]["f1"] == 1
        assert (by["line", None]["exact"], by["line", None]["normalized"]) == (
            0,
            pytest.approx(2 / 3),
        )
        assert {row["rows"] for row in named} <= {1, 2, 3}
        assert by["kind", "macro"]["answered"] == 3
        told = opened(root).sql("SELECT count(*) FROM enrich.evaluations").rows[0][0]
        assert told == len(found.figures) + len(found.labels)
        again = opened(root).evaluate("kinds", "truth")
        assert again.figures.rows == found.figures.rows
        assert opened(root).sql("SELECT count(*) FROM enrich.evaluations").rows[0][0] == told


def test_values_compare_as_what_they_are(tmp_path: Path) -> None:
    """A label of another type, a list as text, a key that is a DOUBLE: equal is equal."""
    output = """day DATE NOT NULL, n INTEGER NOT NULL, dec DECIMAL(8, 2) NOT NULL,
      nums INTEGER[] NOT NULL, yes BOOLEAN NOT NULL"""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        start, end = PROMPT.index("kind   ENUM"), PROMPT.index("    params:")
        write(root, {"models/kinds.prompt.md": f"{PROMPT[:start]}{output}\n{PROMPT[end:]}"})
        opened(root).run()
        opened(root).sql(
            "CREATE TABLE same AS SELECT id::DOUBLE AS id, day::TIMESTAMP AS day, n::DOUBLE AS n, "
            "dec::DOUBLE AS dec, array_to_string(nums, ', ') AS nums, yes::VARCHAR AS yes "
            "FROM kinds"
        )
        found = opened(root).evaluate("kinds", "same")
        named = [dict(zip(found.figures.columns, row, strict=True)) for row in found.figures]
        assert {(row["column"], row["rows"], row["accuracy"]) for row in named} == {
            (column, 4, 1.0) for column in ("day", "n", "dec", "nums", "yes")
        }
        opened(root).sql('CREATE TABLE "odd.name" AS SELECT id, n + 1 AS n FROM kinds')
        figures = opened(root).evaluate("kinds", '"odd.name"').figures
        assert figures.rows[0][figures.columns.index("accuracy")] == 0


@pytest.mark.few(0)
def test_progress_is_visible(tmp_path: Path) -> None:
    """Each version keeps its figures; the latest is shown label by label."""
    with Rehearsal() as server:
        root = labelled(tmp_path, server)
        opened(root).evaluate("kinds", "truth", columns={"kind": "kind"})
        opened(root).sql("CREATE TABLE fixed AS FROM truth")
        first = opened(root).evaluate("kinds", "fixed")
        write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You love")})
        opened(root).run()
        second = opened(root).evaluate("kinds", "fixed")
        versions = [row[0] for row in second.figures]
        assert len(set(versions)) == 2
        assert second.prompt != first.prompt
        assert [r for r in second.figures.rows if r[0] == first.prompt] == list(first.figures.rows)


def test_columns_that_are_gone_are_not_shown(tmp_path: Path) -> None:
    """Only what is compared now has figures, in the command and on the page; the table of all
    figures keeps the others."""
    with Rehearsal() as server:
        root = labelled(tmp_path, server)
        opened(root).sql("CREATE TABLE fixed AS SELECT * RENAME (height AS tall) FROM truth")
        (root / "models/truth.sql").unlink()
        first = opened(root).evaluate("kinds", "fixed", columns={"height": "tall"})
        assert {row[2] for row in first.figures} == {"kind", "tags", "line", "height"}
        second = opened(root).evaluate("kinds", "fixed")
        assert {row[2] for row in second.figures} == {"kind", "tags", "line"}
        write(root, {"models/kinds.prompt.md": PROMPT.replace("line   VARCHAR", "text VARCHAR")})
        opened(root).run()
        third = opened(root).evaluate("kinds", "fixed")
        assert {row[2] for row in third.figures} == {"kind", "tags"}
        assert {row[0] for row in third.labels} == {"kind", "tags"}
        kept = opened(root).sql('SELECT DISTINCT "column" FROM enrich.evaluations').rows
        assert len(kept) == 4
        with opened(root).files.open_both() as database:
            (shown,) = build_site(database, opened(root).graph)["models"]
        assert {row["column"] for row in shown["evaluations"]} == {"kind", "tags", "height"}


@pytest.mark.parametrize(
    ("labels", "columns", "said"),
    [
        ("absent", {}, "the labels 'absent' cannot be read"),
        ("twice", {}, "more than one row for the key 1"),
        ("keyless", {}, "has no column 'id'"),
        ("empty", {}, "has a label in 'empty'"),
        ("other", {}, "--column kind="),
        ("truth", {"knid": "kind"}, "did you mean 'kind'"),
        ("truth", {"kind": "knid"}, "did you mean 'kind'"),
    ],
)
@pytest.mark.few(3)
def test_labels_that_do_not_fit(
    tmp_path: Path, labels: str, columns: dict[str, str], said: str
) -> None:
    """In words, with the nearest that would."""
    with Rehearsal() as server:
        root = labelled(tmp_path, server)
        for table, query in {
            "twice": "SELECT 1 AS id, 'tree' AS kind FROM range(2)",
            "keyless": "SELECT 'tree' AS kind",
            "empty": "SELECT 99 AS id, 'tree' AS kind",
            "other": "SELECT 1 AS id, 'tree' AS sort",
        }.items():
            opened(root).sql(f"CREATE TABLE {table} AS {query}")
        with pytest.raises(EnrichError) as problem:
            opened(root).evaluate("kinds", labels, columns=columns)
        assert said in f"{problem.value.message} {problem.value.hint}"


def test_the_command(tmp_path: Path) -> None:
    """A table of figures and one by label; JSON for machines."""
    with Rehearsal() as server:
        root = labelled(tmp_path, server)
        run = CliRunner(env={"COLUMNS": "160"})
        words = ["--project", str(root), "evaluate", "kinds", "--labels", "truth"]
        result = run.invoke(cli.main, [*words, "--column", "kind=kind"])
        assert result.exit_code == 0, result.stderr
        for word in ("accuracy", "precision", "recall", "f1", "normalized", "label by label"):
            assert word in result.stdout
        found = json.loads(run.invoke(cli.main, [*words, "--json"]).stdout)
        assert {"figures", "labels", "prompt"} == set(found)
        assert run.invoke(cli.main, [*words, "--column", "kind"]).exit_code == 2


def test_a_plain_model_is_scored_beside_an_llm(tmp_path: Path) -> None:
    """A rule in SQL has a key by a comment, and a version for each text of it; few texts are
    labels, and a list is compared with a list."""
    write(
        tmp_path,
        {
            "project.yml": "name: t\n",
            "seeds/films.csv": "id,title\n1,War\n2,Love\n3,More war\n4,Rain\n",
            "seeds/labels.csv": "id,genre,tags\n"
            "1,war,war; sad\n2,romance,love\n3,drama,war\n4,drama,\n",
            "models/rules.sql": """
                -- key: id
                SELECT id, CASE WHEN title ILIKE '%war%' THEN 'war' WHEN title = 'Love'
                    THEN 'romance' ELSE 'drama' END AS genre, [lower(title)] AS tags, 1.5 AS score
                FROM films
                """,
        },
    )
    opened(tmp_path).run()
    found = opened(tmp_path).evaluate("rules", "labels")
    at = {name: place for place, name in enumerate(found.figures.columns)}
    rows = {(row[at["column"]], row[at["average"]]): row for row in found.figures.rows}
    assert rows["genre", "micro"][at["accuracy"]] == 0.75
    assert rows["genre", "micro"][at["llm"]] == "sql"
    assert rows["tags", "micro"][at["rows"]] == 3
    assert {row[0] for row in found.labels.rows} >= {"genre"}
    rules = (tmp_path / "models/rules.sql").read_text()
    write(tmp_path, {"models/rules.sql": rules.replace("'%war%'", "'war%'")})
    opened(tmp_path).run()
    figures = opened(tmp_path).evaluate("rules", "labels").figures
    shares = [row[at["accuracy"]] for row in figures.rows if row[at["average"]] == "micro"]
    assert len([share for share in shares if share in (0.75, 1.0)]) >= 2


def test_a_plain_model_without_a_key_says_how_to_name_it(tmp_path: Path) -> None:
    files = {"project.yml": "name: t\n", "models/rules.sql": "SELECT 1 AS id, 'a' AS kind"}
    write(tmp_path, {**files, "seeds/labels.csv": "id,kind\n1,a\n"})
    opened(tmp_path).run()
    with pytest.raises(InputError, match="'rules' has no key") as caught:
        opened(tmp_path).evaluate("rules", "labels")
    assert "-- key: id" in caught.value.hint
    write(tmp_path, {"models/rules.sql": "-- key: nr\nSELECT 1 AS id, 'a' AS kind"})
    opened(tmp_path).run()
    with pytest.raises(InputError, match="has no column 'nr'"):
        opened(tmp_path).evaluate("rules", "labels")
