"""Variables and sources: values and data that project.yml and the command line bring in."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml
from click.testing import CliRunner
from folders import PROMPT, opened, plants, write
from hypothesis import given
from hypothesis import strategies as st

import enrich
from enrich import cli
from enrich.errors import EnrichError, ModelError, ProjectError
from enrich.manifest import variables
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.pipeline.plan import Plan
    from enrich.project import Project

VALUES = st.recursive(
    st.none()
    | st.floats(allow_nan=False, width=32)
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
    | st.dates(date(1, 1, 1), date(9999, 12, 31)),
    lambda inner: st.lists(st.text(max_size=0) if inner is None else inner, max_size=0),
    max_leaves=1,
)


def test_each_stands_where_it_stood() -> None:
    """In any order, behind an operator and before a cast."""
    values = {"a": 1, "n": -2, "day": date(2024, 5, 1)}
    sql = "SELECT getvariable('a'), 10-$n, $n::VARCHAR, $day + 1, getvariable('a') -- $n"
    with duckdb.connect() as connection:
        row = connection.execute(variables.fill_variables(sql, values, source="a.sql")).fetchone()
    assert row == (1, 12, "-2", date(2024, 5, 2), 1)
    assert variables.load_values(variables.dump_values(values)) == values


@given(VALUES)
def test_a_value_comes_back_from_duckdb_as_it_is(value: Any) -> None:
    """A variable stands in the SQL as a literal, whatever text it holds, and adds no line."""
    sql = variables.fill_variables("SELECT $it AS v, '$it'", {"it": value}, source="a.sql")
    with duckdb.connect() as connection:
        row = connection.execute(sql).fetchone()
    assert row is not None
    known = float(row[0]) if isinstance(value, float) else row[0]  # 0.1 is a DECIMAL, as in SQL
    assert (known, row[1]) == (value, "$it")


def test_only_variables_are_replaced() -> None:
    """Strings, dollar quotes, comments, other parameters and functions stay as they are."""
    sql = "SELECT '$x', $$ $x $$, $1, x.\"$x\", getvariable(name), -- $x\n $x"
    assert variables.fill_variables(sql, {"x": 5}, source="a.sql") == sql[:-2] + "5"
    with pytest.raises(ModelError, match=r"a.sql:2: there is no variable 'y'"):
        variables.fill_variables("SELECT 1,\n getvariable('y')", {"x": 1}, source="a.sql")


def with_variables(root: Path, server: Rehearsal, **values: Any) -> Path:
    """Plants that use variables in the SELECT, in the template and in a test."""
    plants(root, server)
    known = json.loads((root / "project.yml").read_text())
    (root / "project.yml").write_text(yaml.safe_dump(known | {"vars": values}))
    write(
        root,
        {
            "models/kinds.sql": "SELECT id, name, note FROM plants WHERE id >= $least\n",
            "models/kinds.prompt.md": PROMPT.replace("You know plants.", "Write for {{ $who }}.")
            .replace("{{ name }}", "{{ name || getvariable('mark') }}")
            .replace("params:", "tests: ['id >= $least']\n    params:"),
            "models/few.sql": "SELECT * FROM plants WHERE id >= $least\n",
        },
    )
    return root


def project(root: Path, **given: Any) -> Project:
    return enrich.Project(root, lock_timeout=5, environment={}, variables=given)


def plan(root: Path, **given: Any) -> Plan:
    return project(root, **given).plan("kinds")[0]


@pytest.mark.few(0)
def test_a_variable_is_part_of_the_request_where_it_matters(tmp_path: Path) -> None:
    """Another value asks again what it changes, says so, and going back is free."""
    with Rehearsal() as server:
        root = with_variables(tmp_path, server, who="children", mark="!", least=2)
        body = project(root).compile("kinds")["request"]["body"]
        assert body["messages"][0]["content"] == "Write for children."
        assert body["messages"][1]["content"].startswith("birch!: ")
        (state,) = project(root).run("kinds")
        assert (state.rows, state.held_back) == (3, ())
        project(root).run("few")
        assert project(root).sql("SELECT count(*) FROM few").rows == ((3,),)
        assert plan(root, least=1).reasons == {"new": 1}
        assert plan(root, least=3).reasons == {}
        assert plan(root, least=3).gone == 1
        changed = plan(root, who="scholars")
        assert changed.reasons == {"variables changed": 3}
        assert '-var who: "children"' in changed.diff
        assert plan(root, mark="?").reasons == {"variables changed": 3}
        project(root, who="scholars").run("kinds")
        assert server.bill.total == 6
        project(root).run("kinds")
        assert server.bill.total == 6


def test_a_variable_of_the_prompt_stays_in_what_is_the_same_for_every_row(tmp_path: Path) -> None:
    """So providers' caches know the beginning of each request."""
    with Rehearsal() as server:
        root = with_variables(tmp_path, server, who="children", mark="!", least=2)
        prompt = project(root).models["kinds"].prompt
        assert prompt is not None
        assert prompt.messages[0].is_fixed


def test_the_command_line_gives_other_values(tmp_path: Path) -> None:
    """`--var` is read as YAML; a name that nobody declared is refused."""
    with Rehearsal() as server:
        root = with_variables(tmp_path, server, who="children", mark="!", least=2)

        def said(*words: str) -> Any:
            return CliRunner().invoke(cli.main, ["--project", str(root), *words])

        listed = json.loads(said("plan", "kinds", "--var", "least=4", "--json").stdout)
        assert listed[0]["rows"] == 1
        result = said("sql", "SELECT $least + 1 AS more", "--var", "least=4", "--json")
        assert json.loads(result.stdout) == {"more": 5}
        result = said("plan", "--var", "leest=4")
        assert (result.exit_code, "did you mean 'least'" in result.stderr) == (1, True)
        result = said("plan", "--var", "least")
        assert (result.exit_code, "has no value" in result.stderr) == (1, True)


def test_what_waits_keeps_its_values(tmp_path: Path) -> None:
    """A model begun by `status` has the values that its command was given."""
    with Rehearsal() as server:
        root = with_variables(tmp_path, server, who="children", mark="!", least=2)
        write(root, {"models/later.sql": "SELECT $who AS who, $since + 1 AS day FROM kinds\n"})
        known = yaml.safe_load((root / "project.yml").read_text())
        known["vars"]["since"] = date(2024, 5, 1)
        (root / "project.yml").write_text(yaml.safe_dump(known))
        given = {"who": "scholars", "least": 4, "since": date(2024, 6, 1)}
        project(root, **given).run("+later", detach=True)
        for _ in range(8):
            project(root).status()
        assert project(root).sql("FROM later").rows == (("scholars", date(2024, 6, 2)),)


def test_a_variable_that_nobody_gave_is_an_error(tmp_path: Path) -> None:
    """And no NULL that silently selects nothing."""
    with Rehearsal() as server:
        root = with_variables(tmp_path, server, who="children", mark="!", leest=2)
        with pytest.raises(ModelError, match=r"models/few.sql:1: there is no variable 'least'"):
            project(root).plan("few")
        with pytest.raises(ProjectError, match="no variable 'nobody'"):
            project(root, nobody=1)


def outside(root: Path, server: Rehearsal, **more: Any) -> Path:
    """A project in a folder of its own, with files and a database beside it."""
    with duckdb.connect(str(root / "shop.duckdb")) as shop:
        shop.execute(
            "CREATE TABLE orders AS SELECT * FROM (VALUES (1, 'ash'), (2, 'oak')) t(id, n)"
        )
        shop.execute(f"COPY orders TO '{root}/orders.parquet'")
    write(root, {"data/a.csv": "id;n\n1;ash\n", "data/b.csv": "id;n\n2;oak\n"})
    plants(root / "project", server)
    known = json.loads((root / "project" / "project.yml").read_text())
    (root / "project" / "project.yml").write_text(yaml.safe_dump(known | more))
    return root / "project"


def test_sources_and_attached_databases(tmp_path: Path) -> None:
    """Files become views, databases are attached for reading; they may lie outside the project."""
    with Rehearsal() as server:
        root = outside(
            tmp_path,
            server,
            attach={"shop": "../shop.duckdb"},
            sources={
                "parquet_orders": "../orders.parquet",
                "csv_orders": {"path": "../data/*.csv", "options": {"delim": ";"}},
            },
        )
        write(
            root,
            {
                "models/kinds.sql": "SELECT o.id, o.n AS name, p.n AS note FROM shop.orders AS o "
                "JOIN parquet_orders AS p USING (id) JOIN csv_orders USING (id)\n",
                "models/copied.sql": "-- materialized: table\nSELECT * FROM shop.main.orders\n",
            },
        )
        states = {state.model: state for state in opened(root).run()}
        assert (states["kinds"].ok, states["copied"].kind) == (2, "table")
        assert opened(root).sql("SELECT * FROM copied ORDER BY id").rows == ((1, "ash"), (2, "oak"))
        assert len(opened(root).sql("SELECT * FROM kinds JOIN csv_orders USING (id)")) == 2
        with pytest.raises(EnrichError, match=r"read-only|read only"):
            opened(root).sql("INSERT INTO shop.orders VALUES (3, 'x')")
        with duckdb.connect(str(tmp_path / "shop.duckdb")) as shop:  # nobody holds it
            assert shop.execute("SELECT count(*) FROM orders").fetchone() == (2,)
        leaves = opened(root).graph.list_tables("kinds")
        assert leaves == ("csv_orders", "parquet_orders", "shop.orders")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"attach": {"main": "a.duckdb"}}, "cannot use the name 'main'"),
        ({"attach": {"crm": {"path": "x", "type": "mysql"}}}, "external_access: true"),
        ({"attach": {"crm": {"path": "x", "tipe": "sqlite"}}}, "did you mean 'type'"),
        ({"attach": {"crm": "${NO_SUCH_PATH}/x.duckdb"}}, "NO_SUCH_PATH"),
        ({"sources": {"x": "data.xyz"}}, "needs the format of"),
        ({"sources": {"x": "s3://bucket/x.parquet"}}, "external_access: true"),
        ({"sources": {"kinds": "../orders.parquet"}}, "has the same name"),
        ({"attach": {"shop": "a.duckdb", "SHOP": "b.duckdb"}}, "twice"),
        ({"sources": {"Plants": "../orders.parquet"}}, "has the same name as a seed"),
        ({"vars": {"1x": 2}}, "cannot name a variable"),
        ({"vars": {True: 2}}, "has a name that is not text"),
    ],
)
def test_what_cannot_be_had_is_said_before_anything_is_spent(
    tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    """In words, with what to do about it."""
    with Rehearsal() as server:
        root = outside(tmp_path, server, **more)
        with pytest.raises(EnrichError) as problem:
            opened(root).run()
        assert said in f"{problem.value.message} {problem.value.hint}"
        assert server.bill.total == 0


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../absent.duckdb", "the database 'shop' does not exist"),
        ("../orders.parquet", "the database 'shop'"),
    ],
)
def test_a_database_that_cannot_be_attached(tmp_path: Path, path: str, said: str) -> None:
    """What reads it is refused before anything is spent. Nothing else is."""
    with Rehearsal() as server:
        root = outside(tmp_path, server, attach={"shop": path})
        assert not opened(root).run().problems
        spent = server.bill.total
        write(root, {"models/kinds.sql": "SELECT id, n AS name, '' AS note FROM shop.orders\n"})
        with pytest.raises(EnrichError, match=said):
            opened(root).run()
        assert server.bill.total == spent


def test_a_source_that_is_declared_no_more_is_gone(tmp_path: Path) -> None:
    """Its view does not go on by itself."""
    with Rehearsal() as server:
        root = outside(tmp_path, server, sources={"orders": "../orders.parquet"})
        opened(root).run()
        assert len(opened(root).sql("FROM orders")) == 2
        known = yaml.safe_load((root / "project.yml").read_text())
        del known["sources"]
        (root / "project.yml").write_text(yaml.safe_dump(known))
        opened(root).run()
        with pytest.raises(EnrichError, match="orders"):
            opened(root).sql("FROM orders")
