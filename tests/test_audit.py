"""Tests of data: they run on the next table, and only a table that passes is published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from folders import PROMPT, Ears, opened, plants, write

from enrich import cli
from enrich.errors import ModelError
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.pipeline.test import Result

KINDS = "ENUM('tree', 'shrub')"


def prompt(*tests: str, kind: str = KINDS, say: str = "You know") -> str:
    """The prompt of `plants` with these items under `tests:`."""
    listed = "".join(f"      - {test}\n" for test in tests)
    text = PROMPT.replace(KINDS, kind).replace("You know", say)
    return text.replace(
        "    params:", f"    tests:\n{listed}    params:" if tests else "    params:"
    )


def found_by(root: Path, *tests: str, kind: str = KINDS) -> dict[str, Result]:
    """What the tests find in the published table, by name."""
    write(root, {"models/kinds.prompt.md": prompt(*tests, kind=kind)})
    return {result.test: result for result in opened(root).test("kinds")}


PASSING = (
    "unique: id",
    "unique: [kind, line, id]",
    "not_null: [kind, line]",
    "accepted_values: {kind: [tree]}",
    "accepted_values: {kind: [tree, null]}",
    "accepted_values: {id: [1, 2, 3, 4, 5]}",
    "accepted_values: {tags: ['a', 'b']}",
    "relationships: {id: plants.id}",
    "length(line) > 0",
    "count(*) = 4",
    "id IN (SELECT id FROM plants)",
    "min_ok: 1",
)
FAILING = {
    "unique: kind": ("unique_kind", 4),
    "unique: [kind, id % 2]": None,
    "accepted_values: {kind: [shrub]}": ("accepted_values_kind", 4),
    "accepted_values: {id: [1, 2]}": ("accepted_values_id", 2),
    "relationships: {id: fewer.id}": ("relationships_id", 2),
    "relationships: {tags: fewer.name}": ("relationships_tags", 4),
    "id < 3": ("check_id_3", 2),
    "count(*) > 5": ("check_count_5", 1),
    "{check: id < 3, name: early}": ("early", 2),
    "accepted_values: {kind: [shrub, null]}": ("accepted_values_kind", 4),
    "accepted_values: {kind: [null]}": ("accepted_values_kind", 4),
    "accepted_values: {kind: [shrub, 1]}": ("accepted_values_kind", 4),
    "accepted_values: {kind: [1, 2]}": ("accepted_values_kind", 4),
    "relationships: {id: absent.id}": ("relationships_id", 0),
    "nothing_like_this > 3": ("check_nothing_like_this_3", 0),
    "1 / (id - 1)::INTEGER::VARCHAR::DATE > 3": None,
}


def project(root: Path, server: Rehearsal) -> Path:
    """Plants whose kind is always `tree`, and a table that knows two of them."""
    plants(root, server)
    kind = "ENUM('tree')"
    write(root, {"models/kinds.prompt.md": prompt(kind=kind)})
    write(root, {"seeds/fewer.csv": "id,name\n1,ash\n2,birch\n"})
    opened(root).run()
    return root


@pytest.mark.few(0)
def test_each_kind_of_test_passes_and_fails(tmp_path: Path) -> None:
    """What holds passes; what does not tells how many rows, and keeps them in a table."""
    with Rehearsal() as server:
        root = project(tmp_path, server)
        values = opened(root).sql("SELECT DISTINCT unnest(tags) FROM kinds").rows
        words = json.dumps([value for (value,) in values])
        passing = [test.replace("['a', 'b']", words) for test in PASSING]
        found = found_by(root, *passing, kind="ENUM('tree')")
        assert {result.verdict for result in found.values()} == {"pass"}
        assert len(found) == len(PASSING) + 1  # not_null of two columns
        for test, expected in FAILING.items():
            if expected is None:
                continue
            name, many = expected
            (result,) = found_by(root, test, kind="ENUM('tree')").values()
            assert (result.test, result.failures, result.verdict) == (name, many, "fail"), test
            assert bool(result.error) == (many == 0)
            if many:
                assert len(opened(root).sql(f"FROM {result.table}")) == many
        assert server.bill.total == 4


def test_failing_rows_can_be_joined(tmp_path: Path) -> None:
    """They have the table's columns, and are gone once the test passes."""
    with Rehearsal() as server:
        root = project(tmp_path, server)
        (result,) = found_by(root, "id < 3", kind="ENUM('tree')").values()
        query = f"SELECT name FROM {result.table} JOIN plants USING (id) ORDER BY id"
        assert [row[0] for row in opened(root).sql(query)] == ["cedar", "dogwood"]
        assert [row[0] for row in opened(root).failing(result)] == [3, 4]
        found_by(root, "id < 5", kind="ENUM('tree')")
        left = "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'enrich_tests'"
        assert opened(root).sql(left).rows == ((0,),)


def everything(root: Path) -> list[object]:
    """All that is published of the model, and its tables' comments."""
    tables = ("kinds", "enrich.kinds", "enrich.kinds_history")
    rows = [opened(root).sql(f"SELECT * FROM {table} ORDER BY ALL").rows for table in tables]
    named = """SELECT schema_name, table_name, comment FROM duckdb_tables()
    WHERE table_name LIKE 'kinds%' AND schema_name <> 'enrich_tests' ORDER BY ALL"""
    return [*rows, opened(root).sql(named).rows]


@pytest.mark.few(0)
def test_a_failing_test_holds_the_table_back(tmp_path: Path) -> None:
    """The old table, its provenance and its history stay to the letter; the answers are kept, and
    published at no cost once the test is mended."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        before = everything(root)
        write(root, {"models/kinds.prompt.md": prompt("id < 3", say="You love")})
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert state.held_back == ("check_id_3",)
        assert (state.ok, state.published_at) == (4, None)
        assert everything(root) == before
        assert any("kinds is held back" in said for said in ears.said)
        (state,) = opened(root).status()
        assert state.held_back == ("check_id_3",)
        write(root, {"models/kinds.prompt.md": prompt("id < 5", say="You love")})
        assert [r.verdict for r in opened(root).test()] == ["pass"]
        assert everything(root) == before
        (state,) = opened(root).run()
        assert (state.held_back, state.ok, server.bill.total) == ((), 4, 8)
        assert everything(root) != before


def test_a_first_table_that_fails_is_not_there(tmp_path: Path) -> None:
    """Nothing is published, not in part, and what reads it is not run."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/kinds.prompt.md": prompt("id < 3")})
        write(root, {"models/trees.sql": "SELECT * FROM kinds WHERE kind = 'tree'\n"})
        ears = Ears()
        state, *_ = opened(root, ears).run()
        assert state.held_back == ("check_id_3",)
        listed = "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'kinds%'"
        there = opened(root).sql(f"{listed} AND schema_name IN ('main', 'enrich')")
        assert there.rows == ((0,),)
        assert any(said.startswith("skipped trees: upstream model kinds") for said in ears.said)


def test_a_warning_is_said_and_published(tmp_path: Path) -> None:
    """With severity warn the table is there; also where the test cannot be evaluated."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        tests = ("{check: id < 3, severity: warn}", "{unique: kind, severity: warn}", "id > 0")
        broken = "{relationships: {id: absent.id}, severity: warn}"
        write(root, {"models/kinds.prompt.md": prompt(*tests, broken)})
        ears = Ears()
        project = opened(root, ears)
        found = project.run()
        assert (found[0].held_back, found[0].ok) == ((), 4)
        verdicts = {result.test: result.verdict for result in found.tests}
        assert verdicts["check_id_3"] == verdicts["relationships_id"] == "warn"
        assert verdicts["check_id_0"] == "pass"
        assert any("cannot be evaluated" in said for said in ears.said)


def test_min_ok_looks_at_what_came_back(tmp_path: Path) -> None:
    """Too many rows that are not ok hold the table back, and are the failing rows."""
    with Rehearsal(faults=Faults(refused=0.5), seed=3) as server:
        root = plants(tmp_path, server)
        write(root, {"models/kinds.prompt.md": prompt("min_ok: 0.98")})
        (state,) = opened(root).run()
        assert 0 < state.failed < 4
        assert state.held_back == ("min_ok",)
        rows = opened(root).sql("SELECT DISTINCT outcome FROM enrich_tests.kinds__min_ok").rows
        assert rows == (("refused",),)
        write(root, {"models/kinds.prompt.md": prompt("min_ok: 0.1")})
        (state,) = opened(root).run()
        assert state.held_back == ()


@pytest.mark.parametrize(
    ("test", "column", "holds"),
    [
        ("drift: {changed: 0.5}", "was", True),
        ("drift: {changed: 1}", "", False),
        ("drift: {labels: 0.2}", "label", True),
        ("drift: {labels: 1}", "", False),
        ("drift: {nulls: 0}", "before", None),
    ],
)
@pytest.mark.few(2)
def test_drift_compares_with_what_is_published(
    tmp_path: Path, test: str, column: str, holds: bool | None
) -> None:
    """A table that moved too far from the published one is held back; the first has nothing to be
    compared with."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/kinds.prompt.md": prompt(test, kind="ENUM('tree')")})
        (state,) = opened(root).run()
        assert state.held_back == ()
        changed = prompt(test, kind="ENUM('shrub')", say="You love")
        write(root, {"models/kinds.prompt.md": changed})
        (state,) = opened(root).run()
        name = "drift_" + test.split("{")[1].split(":", maxsplit=1)[0]
        if holds is not None:
            assert state.held_back == ((name,) if holds else ())
        if state.held_back:
            rows = opened(root).sql(f"FROM enrich_tests.kinds__{name}")
            assert column in rows.columns
            assert rows.rows


def test_drift_waits_for_the_whole_table(tmp_path: Path) -> None:
    """Batch by batch any change would look small: nothing is published before the last one."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, max_requests=1)
        write(root, {"models/kinds.prompt.md": prompt("drift: {changed: 0.6}")})
        opened(root).run()
        before = opened(root).sql("FROM kinds ORDER BY id").rows
        write(root, {"models/kinds.prompt.md": prompt("drift: {changed: 0.6}", say="You love")})
        (state,) = opened(root).run()
        assert state.held_back == ("drift_changed",)
        assert opened(root).sql("FROM kinds ORDER BY id").rows == before


def test_sql_files_are_tests(tmp_path: Path) -> None:
    """A SELECT of rows that should not be tests every model it reads, before it is published."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                "tests/deep/late.sql": "SELECT id FROM kinds JOIN plants USING (id) WHERE id > 2;",
                "tests/told.sql": "-- severity: warn\nSELECT * FROM kinds, kinds AS k\n",
                "tests/fine.sql": "SELECT * FROM kinds WHERE id IS NULL\n",
            },
        )
        project = opened(root)
        found = project.run()
        assert found[0].held_back == ("late",)
        verdicts = {result.test: result.verdict for result in found.tests}
        assert verdicts == {"late": "fail", "told": "warn", "fine": "pass"}
        (root / "tests/deep/late.sql").unlink()
        (state,) = opened(root).run()
        assert (state.held_back, state.ok, server.bill.total) == ((), 4, 4)


@pytest.mark.few(0)
def test_a_test_of_two_models_waits_for_both(tmp_path: Path) -> None:
    """It is run once all that it reads is there, and once in `enrich test`."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                "models/trees.sql": "-- materialized: table\nSELECT * FROM kinds WHERE id < 3\n",
                "tests/both.sql": "SELECT id FROM kinds ANTI JOIN trees USING (id)\n",
            },
        )
        ears = Ears()
        opened(root, ears).run()
        assert any(said.startswith("trees: test both fails") for said in ears.said)
        assert any(said == "trees is held back: its table stays as it was" for said in ears.said)
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((4,),)
        assert opened(root, ears).test() == ()
        assert ears.said[-1] == "skipped the tests of trees: it has not been run yet"
        (root / "tests/both.sql").write_text("SELECT id FROM trees ANTI JOIN kinds USING (id)\n")
        opened(root).run()
        assert [result.test for result in opened(root).test()] == ["both"]


def test_every_test_has_a_name_of_its_own(tmp_path: Path) -> None:
    """In a prompt by a number, whatever the case; a file that is called like one is refused."""
    with Rehearsal() as server:
        root = project(tmp_path, server)
        tests = ("{check: id > 9, name: Same}", "{check: id < 3, name: same}", "id < 3", "id < 3")
        found = found_by(root, *tests, kind="ENUM('tree')")
        assert {name: result.failures for name, result in found.items()} == {
            "Same": 4,
            "same_2": 2,
            "check_id_3": 2,
            "check_id_3_2": 2,
        }
        for result in found.values():
            assert len(opened(root).sql(f"FROM {result.table}")) == result.failures
        write(root, {"tests/SAME.sql": "SELECT * FROM kinds WHERE id IS NULL\n"})
        with pytest.raises(ModelError, match="has a test of this name already"):
            opened(root).test()


@pytest.mark.few(0)
def test_a_view_that_gets_a_prompt_becomes_a_table(tmp_path: Path) -> None:
    """And the other way round; what was paid for stays in the ledger."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        (root / "models/kinds.prompt.md").rename(root / "away")
        opened(root).run()
        (root / "away").rename(root / "models/kinds.prompt.md")
        (state,) = opened(root).run()
        assert (state.ok, state.held_back) == (4, ())
        assert "line" in opened(root).sql("FROM kinds").columns
        (root / "models/kinds.prompt.md").rename(root / "away")
        opened(root).run(full_refresh=True)
        assert opened(root).sql("FROM kinds").columns == ("id", "name", "note")
        (root / "away").rename(root / "models/kinds.prompt.md")
        opened(root).run()
        assert server.bill.total == 4


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("uniqe: kind", "did you mean 'unique'"),
        ("unique: knid", "did you mean 'kind'"),
        ("{unique: kind, severity: loud}", "has no severity 'loud'"),
        ("min_ok: 98", "needs a share from 0 to 1"),
        ("accepted_values: [tree]", "needs columns"),
        ("relationships: {id: plants}", "needs a table and its column"),
        ("drift: {change: 0.2}", "did you mean 'changed'"),
        ("len(", "cannot read"),
        ("nothing_like_this > 3", "nothing_like_this"),
        ("kind > 3 + line", "the test 'kind > 3 + line'"),
        ("SELECT 1", "a file of its own"),
        ("getenv('HOME') = 'x'", "tells secrets"),
        ("{unique: kind, not_null: kind}", "one kind of test"),
        ("17", "cannot contain '17'"),
    ],
)
def test_a_wrong_test_is_refused_with_its_file(tmp_path: Path, test: str, said: str) -> None:
    """Before anything is spent, in words, with the file."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/kinds.prompt.md": prompt(test)})
        with pytest.raises(ModelError) as problem:
            opened(root).run()
        text = f"{problem.value.message} {problem.value.hint}"
        assert said in text
        assert "models/kinds.prompt.md" in text
        assert server.bill.total == 0


@pytest.mark.few(0)
def test_the_command_shows_rows_and_exits_with_3(tmp_path: Path) -> None:
    """`enrich test` lists the tests, `--show` their rows; JSON for machines; 3 if one fails."""
    with Rehearsal() as server:
        root = project(tmp_path, server)
        found_by(root, "id < 3", "{unique: kind, severity: warn}", kind="ENUM('tree')")
        wide = CliRunner(env={"COLUMNS": "160"})
        result = wide.invoke(cli.main, ["--project", str(root), "test", "--show"])
        assert result.exit_code == 3
        assert "enrich_tests.kinds__check_id_3" in result.stdout
        assert "fail" in result.stdout
        result = wide.invoke(cli.main, ["--project", str(root), "test", "--json"])
        found = json.loads(result.stdout)
        assert [(each["test"], each["result"]) for each in found] == [
            ("check_id_3", "fail"),
            ("unique_kind", "warn"),
        ]
        result = wide.invoke(cli.main, ["--project", str(root), "run"])
        assert (result.exit_code, "held back" in result.stdout) == (3, True)


def test_failing_rows_keep_their_types(tmp_path: Path) -> None:
    """A key of any type can be joined with."""
    columns = {
        "h": "10000000000000000000000000000000000001::HUGEINT",
        "e": "'a'::ENUM('a', 'b')",
        "i": "INTERVAL '1.000001' SECOND",
        "l": "['a']::ENUM('a', 'b')[]",
        "s": "{'x': 1.50::DECIMAL(8, 2)}",
        "n": "NULL::DATE",
        "u": "uuid()",
        "t": "TIMESTAMPTZ '2024-05-01 12:00:00+02'",
    }
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        listed = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
        write(
            root,
            {
                "models/odd.sql": f"-- materialized: table\nSELECT {listed}\n",
                "tests/every.sql": "-- severity: warn\nSELECT * FROM odd\n",
            },
        )
        opened(root).run("odd")
        kinds = opened(root).sql("DESCRIBE odd").rows
        assert opened(root).sql("DESCRIBE enrich_tests.odd__every").rows == kinds
        same = opened(root).sql("FROM odd INTERSECT FROM enrich_tests.odd__every")
        assert len(same) == 1


def test_a_file_that_reads_no_model_is_tested_alone(tmp_path: Path) -> None:
    """It may look at seeds; and a table's name that is mistyped does not pass by never running."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        write(
            root,
            {
                "tests/seeds.sql": "SELECT * FROM plants WHERE id = 1\n",
                "tests/typo.sql": "SELECT * FROM kidns\n",
            },
        )
        ears = Ears()
        assert opened(root, ears).run()[0].ok == 4
        assert any("typo.sql: there is no table 'kidns'" in sentence for sentence in ears.said)
        found = {result.test: result for result in opened(root).test()}
        assert (found["seeds"].failures, found["seeds"].table) == (1, "enrich_tests.seeds")
        assert "cannot be evaluated" in found["typo"].error
        assert opened(root).test("kinds") == ()


TARGETS = {
    "table": ("relationships: {id: plnts.id}", "there is no table 'plnts'", "'plants'"),
    "column": ("relationships: {id: plants.idd}", "idd", "id"),
    "model": ("relationships: {id: more.idd}", "'idd' is not a column of 'more'", "'id'"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_test_names_is_looked_for_before_anything_is_asked(
    tmp_path: Path, name: str
) -> None:
    test, said, hint = TARGETS[name]
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/more.sql": "SELECT * FROM plants", "models/more.prompt.md": PROMPT})
        write(root, {"models/kinds.prompt.md": prompt(test)})
        for work in (opened(root).plan, opened(root).run):
            with pytest.raises(ModelError, match=r"kinds\.prompt\.md") as told:
                work("kinds")
            assert said in told.value.message
            assert hint in told.value.hint
        assert any(each.verdict == "fail" for each in opened(root).debug())
        assert not server.batches


SQL_TARGETS = {
    "column": ("SELECT id,\n  knd\nFROM kinds", r"tests/t\.sql:2: .*knd", "kind"),
    "table": ("FROM kinds JOIN kidns USING (id)", r"tests/t\.sql: .*'kidns'", "'kinds'"),
    "other": ("FROM kinds JOIN plants p USING (id)\nWHERE p.nme = ''", r"tests/t\.sql:2", "name"),
}


@pytest.mark.parametrize("name", SQL_TARGETS)
def test_a_sql_test_is_bound_before_anything_is_asked(tmp_path: Path, name: str) -> None:
    sql, said, hint = SQL_TARGETS[name]
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"tests/t.sql": sql})
        for work in (opened(root).plan, opened(root).run):
            with pytest.raises(ModelError, match=said) as told:
                work()
            assert hint in told.value.hint
        assert not server.batches
        right = "WITH x AS (FROM kinds) SELECT x.id FROM x JOIN plants USING (id) WHERE false"
        write(root, {"tests/t.sql": right})
        assert opened(root).run()[0].ok == 4


def test_a_test_that_cannot_be_evaluated_has_no_rows_to_show(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/kinds.prompt.md": prompt("CAST(kind AS INTEGER) > 0")})
        said = CliRunner().invoke(cli.main, ["--project", str(root), "run"]).stderr
        assert "cannot be evaluated" in said
        assert "--show" not in said


@pytest.mark.few(0)
def test_drift_that_is_meant_is_accepted(tmp_path: Path) -> None:
    """By a word on the command line, at no cost; other tests still hold."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        tests = ("drift: {changed: 0}", "id < 5")
        write(root, {"models/kinds.prompt.md": prompt(*tests)})
        opened(root).run()
        write(root, {"models/kinds.prompt.md": prompt(*tests, say="You love")})
        (state,) = opened(root).run()
        assert state.held_back == ("drift_changed",)
        (plan,) = opened(root).plan()
        assert "held back by drift_changed" in plan.held_back
        (state,) = opened(root).run(accept_drift=True)
        assert (state.held_back, server.bill.total) == ((), 8)
        (state,) = opened(root).run()
        assert (state.held_back, server.bill.total) == ((), 8)
        write(root, {"models/kinds.prompt.md": prompt("drift: {changed: 0}", "id < 3")})
        (state,) = opened(root).run(accept_drift=True)
        assert state.held_back == ("check_id_3",)


@pytest.mark.parametrize(
    ("tests", "rows", "held"),
    [
        ("", 1, ("drift_lost",)),
        ("", 2, ()),
        ("\n    tests:\n    - drift: {lost: 0.2}", 3, ("drift_lost",)),
        ("\n    tests:\n    - drift: {lost: 0.9}", 1, ()),
        ("\n    tests:\n    - {drift: {lost: 0.2}, severity: warn}", 1, ()),
    ],
)
@pytest.mark.few(2)
def test_a_table_that_would_lose_too_many_rows_is_held_back(
    tmp_path: Path, tests: str, rows: int, held: tuple[str, ...]
) -> None:
    """Without a word on it half of the rows; the rows that left are said, and may be meant."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/kinds.prompt.md": PROMPT.replace("key: id", f"key: id{tests}")})
        opened(root).run()
        few = f"SELECT id, name, note FROM plants ORDER BY id LIMIT {rows}"
        write(root, {"models/kinds.sql": few})
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert state.held_back == held
        are = "is" if rows == 3 else "are"
        assert any(f"{4 - rows} {are} no longer in the SELECT" in said for said in ears.said)
        left = opened(root).sql("SELECT count(*) FROM kinds").rows[0][0]
        assert left == (4 if held else rows)
        if held:
            assert any(f"it would lose {4 - rows} of 4 rows" in said for said in ears.said)
            project = opened(root)
            (state,) = project.run(accept_drift=True)
            assert state.held_back == ()
            assert project.sql("SELECT count(*) FROM kinds").rows == ((rows,),)
        assert server.bill.requests.total() == 4


@pytest.mark.parametrize("name", ["settled", "todo", "judged", "lines", "reading", "scored"])
def test_a_test_reads_the_users_table_whatever_its_name(tmp_path: Path, name: str) -> None:
    """enrich's own temporary tables hide none that a test reads."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {f"seeds/{name}.csv": "id\n1\n2\n3\n4\n"})
        write(root, {"models/kinds.prompt.md": prompt(f"relationships: {{id: {name}.id}}")})
        (found,) = opened(root).run().tests
    assert (found.verdict, found.error) == ("pass", "")


@pytest.mark.few(0)
def test_a_test_of_two_models_judges_the_later_one(tmp_path: Path) -> None:
    """A file that joins a view with the answers to its rows says nothing of the view when that is
    made: the answers are still those to the rows before."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        model = (root / "models/kinds.sql").read_text()
        write(root, {"models/tall.sql": "SELECT * FROM plants\n"})
        (root / "models/kinds.sql").write_text(model.replace("plants", "tall"))
        both = "SELECT id FROM tall ANTI JOIN kinds USING (id)\n"
        write(root, {"tests/every_row_is_answered.sql": both})
        opened(root).run()
        write(root, {"seeds/plants.csv": "id,name,note\n1,ash,tall\n9,elm,new\n"})
        found = opened(root).run()
        assert [(each.model, each.verdict) for each in found.tests] == [("kinds", "pass")]
        assert [state.held_back for state in found] == [(), ()]
        (again,) = opened(root).test("tall")
        assert (again.test, again.verdict) == ("every_row_is_answered", "pass")
