"""What a model reads is asked of DuckDB: scopes, macros, views, other databases, odd SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest
from folders import Ears, needs_duckdb_2, opened, plants, write

from enrich.errors import InputError, ModelError
from enrich.manifest.model import parse_select
from enrich.manifest.tree import UNSTABLE_FUNCTIONS
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

READS: dict[str, set[str]] = {
    "WITH moods AS (SELECT * FROM moods) SELECT * FROM moods": {"moods"},
    "WITH moods AS (SELECT * FROM Moods) SELECT * FROM MOODS": {"moods"},
    "WITH moods AS MATERIALIZED (FROM moods) FROM moods": {"moods"},
    "WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b": set(),
    "WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM b": {"b"},
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 5) FROM t": set(),
    "WITH RECURSIVE t AS (SELECT id AS n FROM moods UNION SELECT n + 1 FROM t) FROM t": {"moods"},
    "WITH RECURSIVE t AS (SELECT n FROM t UNION ALL SELECT n + 1 FROM t) FROM t": {"t"},
    "WITH RECURSIVE t USING KEY (a) AS (SELECT 1 AS a UNION FROM recurring.t) FROM t": set(),
    "SELECT * FROM (WITH q AS (FROM inner_t) FROM q), q": {"inner_t", "q"},
    "SELECT (WITH m AS (FROM moods) SELECT max(id) FROM m) FROM x": {"moods", "x"},
    "SELECT * FROM x WHERE id IN (SELECT id FROM y) AND EXISTS (FROM z)": {"x", "y", "z"},
    "SELECT id FROM a UNION BY NAME SELECT id FROM b EXCEPT SELECT id FROM c": {"a", "b", "c"},
    "FROM x SELECT id": {"x"},
    "TABLE x": {"x"},
    "DESCRIBE x": {"x"},
    "SUMMARIZE x": {"x"},
    "SHOW TABLES": set(),
    "PIVOT x ON kind USING sum(n)": {"x"},
    "WITH p AS (FROM y) PIVOT p ON kind USING sum(n)": {"y"},
    "PIVOT x ON kind IN ('a', 'b') USING sum(n)": {"x"},
    "UNPIVOT x ON a, b INTO NAME n VALUE v": {"x"},
    "SELECT * FROM x, LATERAL (SELECT * FROM z WHERE z.id = x.id)": {"x", "z"},
    "SELECT * FROM a POSITIONAL JOIN b ASOF JOIN c USING (t) SEMI JOIN d USING (t)": {
        "a",
        "b",
        "c",
        "d",
    },
    "SELECT * FROM main.moods, warehouse.main.b, warehouse.c": {"moods", "b", "c"},
    "SELECT * FROM enrich.moods JOIN warehouse.enrich.kinds_history USING (id)": {"moods", "kinds"},
    "SELECT * FROM prod.enrich.Moods, prod.main.x, other.y": {
        "prod.enrich.moods",
        "prod.main.x",
        "other.y",
    },
    'SELECT * FROM "Moods"': {"moods"},
    "VALUES (1, 'a')": set(),
    "SELECT * FROM range(3) AS r(id)": set(),
}


@pytest.mark.parametrize("sql", READS)
def test_tables_are_read_by_scope(sql: str) -> None:
    assert parse_select(sql, "a.sql").reads == READS[sql]


ODD = (
    "SELECT $$it's$$ AS a",
    "SELECT $tag$it's; $$ fine$tag$ AS a",
    "SELECT 1_000 AS b, 1e3 AS d, '0x1F'::INT AS a",
    "WITH query(a) AS (SELECT 1) SELECT * FROM query",
    "WITH t AS (SELECT 1 AS a), SELECT * FROM t",
    "SELECT 1 AS a, 2 AS b, FROM range(3)",
    "SELECT [x + 1 FOR x IN [1, 2] IF x > 1] AS a, list_transform([1], lambda x: x) AS b",
    "SELECT {'a': 1}.a AS a, {'b': [1]}['b'][1] AS b",
    "SELECT * EXCLUDE (a) REPLACE (b + 1 AS b) RENAME (c AS d) FROM t",
    "SELECT COLUMNS('a.*'), COLUMNS(* EXCLUDE b) FROM t GROUP BY ALL ORDER BY ALL",
    "SELECT e'a\\nb' AS a, '\\xAA'::BLOB AS b, x'AA' AS c",
    "/* outer /* inner */ still */ SELECT 1 AS a",
    "SELECT a::INT AS a, b := 1, c: 2 FROM t",
    "SELECT 1 AS a; -- the end",
    "SELECT 1 AS a ; ; /* the end */",
    "SELECT date '2024-01-01' + INTERVAL 1 DAY AS a, TIMESTAMP '2024-01-01' AT TIME ZONE 'UTC'",
    "SELECT max(a) FILTER (WHERE b) OVER (ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) "
    "FROM t",
    "SELECT * FROM t QUALIFY row_number() OVER (ORDER BY a) = 1",
    "SELECT * FROM t TABLESAMPLE reservoir(10 ROWS) REPEATABLE (42)",
)


@pytest.mark.parametrize("sql", [sql for sql in ODD if "b := 1" not in sql])
def test_what_duckdb_parses_is_a_select(sql: str) -> None:
    if "), SELECT" in sql:
        needs_duckdb_2("DuckDB 1.5 takes no comma after the last query of a WITH clause")
    found = parse_select(sql, "a.sql")
    assert not found.query.endswith((";", "the end"))
    assert duckdb.connect().extract_statements(found.query)[0].type.name == "SELECT"


REFUSED = {
    "": "it is empty",
    "-- nothing": "it is empty",
    "SELECT 1; SELECT 2": "it contains 2 statements",
    "INSERT INTO t VALUES (1)": "it is not a SELECT but INSERT",
    "CREATE TABLE t (a INT)": "it is not a SELECT but CREATE",
    "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) FROM x": "it contains INSERT",
    "WITH x AS (DELETE FROM t RETURNING *) FROM x": "it contains DELETE",
    "SELECT (WITH x AS (UPDATE t SET a = 1 RETURNING a) SELECT a FROM x)": "it contains UPDATE",
    "SELECT *\nFROM query\u200b('select 1 AS id')": ":2: query() runs SQL",
    "SELECT *\nFROM query /* */ ('select 1 AS id')": ":2: query() runs SQL",
    "SELECT 1,\n 0x1F": ":2: DuckDB reads 0x1F as 0 with the alias x1F",
    "SELECT ?": "a parameter",
    "SELECT $1": "a parameter",
    "SELECT 1 FORM x WHERE": "a.sql:1: the SELECT cannot be parsed",
    "SELECT 1,\n  'abc": "a.sql:2: the SELECT cannot be parsed",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_no_select_is_said_in_one_sentence(sql: str) -> None:
    if "it contains" in REFUSED[sql] and "WITH" in sql:
        needs_duckdb_2("DuckDB 1.5 cannot parse a WITH clause that writes")
    with pytest.raises(ModelError) as refused:
        parse_select(sql, "a.sql")
    assert REFUSED[sql] in refused.value.message


MOODS = "---\nkey: id\noutput: mood VARCHAR NOT NULL\n---\nuser:\n{{ kind }} {{ id }}\n"


@pytest.mark.parametrize(
    ("prepare", "sql"),
    [
        ("", "WITH kinds AS (SELECT * FROM kinds) SELECT id, kind FROM kinds"),
        ("CREATE MACRO m() AS TABLE SELECT id, kind FROM kinds", "SELECT * FROM m()"),
        (
            "CREATE MACRO n() AS TABLE FROM kinds; CREATE MACRO m() AS TABLE FROM n()",
            "SELECT id, kind FROM m()",
        ),
        ("CREATE VIEW v AS SELECT id, kind FROM kinds", "SELECT * FROM v"),
        (
            "CREATE MACRO c(i) AS (SELECT kind FROM kinds WHERE id = i)",
            "SELECT id, c(id) AS kind FROM plants",
        ),
    ],
)
@pytest.mark.few(2)
def test_a_model_is_built_after_what_it_reads_however_it_hides_it(
    tmp_path: Path, prepare: str, sql: str
) -> None:
    """The second run asks of the new rows, not of the old ones."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        for each in filter(None, prepare.split(";")):
            opened(root).sql(each)
        write(root, {"models/after.sql": sql + "\n", "models/after.prompt.md": MOODS})
        project = opened(root)
        assert project.graph.parents["after"] == {"kinds"}
        write(
            root, {"seeds/plants.csv": "id,name,note\n1,ash,\n2,birch,\n3,fir,\n4,yew,\n5,elm,\n"}
        )
        states = {state.model: state for state in opened(root).run()}
        assert states["after"].ok == 5


def test_a_test_with_an_import_cte_holds_back(tmp_path: Path) -> None:
    """A SQL test that names its CTE like the model is a test of the model."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"tests/none.sql": "WITH kinds AS (SELECT * FROM kinds) SELECT * FROM kinds\n"})
        (state,) = opened(root).run()
        assert state.held_back == ("none",)


def test_a_whole_row_as_json_can_be_asked(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        text = (root / "models/kinds.prompt.md").read_text()
        write(
            root, {"models/kinds.prompt.md": text.replace("{{ name }}:", "{{ to_json(inputs) }}:")}
        )
        found = opened(root).compile("kinds")
        assert (
            '{"id":1,"name":"ash","note":"tall"}'
            in found["request"]["body"]["messages"][-1]["content"]
        )


def test_a_blob_in_a_text_is_named(tmp_path: Path) -> None:
    """Bytes are no text: the hint says how they become one."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/kinds.sql": "SELECT id, name::BLOB AS name, note FROM plants\n"})
        with pytest.raises(InputError, match="is a BLOB, not text") as refused:
            opened(root).run()
        assert "decode(name)" in refused.value.hint
        text = (root / "models/kinds.prompt.md").read_text()
        write(root, {"models/kinds.prompt.md": text.replace("{{ name }}", "{{ decode(name) }}")})
        (state,) = opened(root).run()
        assert state.ok == 4


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("unnest([1, 2])", "UNNEST not supported here"),
        ("all_of_them(name)", "aggregates"),
        ("row_number() OVER ()", "not one value of a row"),
        ("name) || (note", "is not SQL"),
    ],
)
def test_what_is_not_one_value_of_a_row_is_refused(
    tmp_path: Path, expression: str, words: str
) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).sql("CREATE MACRO all_of_them(x) AS string_agg(x)")
        text = (root / "models/kinds.prompt.md").read_text()
        write(
            root, {"models/kinds.prompt.md": text.replace("{{ name }}", f"{{{{ {expression} }}}}")}
        )
        with pytest.raises(ModelError, match=words):
            opened(root).run()


def test_a_locked_warehouse_hides_what_is_behind_views(tmp_path: Path) -> None:
    """`list` and `graph` go on without; nothing waits for ever."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/after.sql": "SELECT * FROM v\n"})
        opened(root).sql("CREATE VIEW v AS SELECT 1 AS id")
        ears = Ears()
        assert set(opened(root, ears).models) == {"after", "kinds"}


UNSTABLE = {
    "SELECT id, name FROM plants ORDER BY random() LIMIT 2": "models/kinds.sql: random()",
    "SELECT id, name || now() AS name FROM plants": "models/kinds.sql: now()",
    "SELECT id, name || current_date AS name FROM plants": "models/kinds.sql: current_date()",
    "SELECT id, name || uuid() AS name FROM plants": "models/kinds.sql: uuid()",
    "SELECT id, name FROM plants LIMIT 2": "models/kinds.sql: LIMIT without ORDER BY",
    "SELECT DISTINCT ON (id) * FROM plants": "models/kinds.sql: DISTINCT ON without ORDER BY",
    "SELECT id, name FROM (FROM plants LIMIT 2)": "models/kinds.sql: LIMIT without ORDER BY",
    "SELECT id, name FROM plants USING SAMPLE 50%": "models/kinds.sql: SAMPLE without REPEATABLE",
    "SELECT id, name FROM plants TABLESAMPLE 50%": "models/kinds.sql: SAMPLE without REPEATABLE",
    "SELECT row_number() OVER () AS id, name FROM plants": "row_number() without ORDER BY",
    "SELECT id, name FROM few_plants": "models/few_plants.sql: LIMIT without ORDER BY",
}
STABLE = (
    "SELECT id, name FROM plants ORDER BY id LIMIT 2",
    "SELECT id, name FROM plants USING SAMPLE reservoir(2 ROWS) REPEATABLE (1)",
    "SELECT row_number() OVER (ORDER BY id) AS id, name FROM plants",
    "SELECT id, strftime(DATE '2024-01-01', '%Y') || name AS name FROM plants",
    "SELECT id, now AS name FROM (SELECT id, name AS now FROM plants)",
)


@pytest.mark.parametrize("sql", [*UNSTABLE, *STABLE])
@pytest.mark.few(4)
def test_what_changes_each_time_is_told_by_the_first_plan(tmp_path: Path, sql: str) -> None:
    """With what each run would pay; `run` says it, too."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        prompt = (
            (root / "models/kinds.prompt.md")
            .read_text()
            .replace("{{ coalesce(note, 'nothing') }}", "")
        )
        write(root, {"models/kinds.prompt.md": prompt, "models/kinds.sql": sql + "\n"})
        write(root, {"models/few_plants.sql": "SELECT id, name FROM plants LIMIT 3\n"})
        (plan,) = (
            opened(root).plan("kinds")[-1:]
            if "few_plants" not in sql
            else opened(root).plan("+kinds")[-1:]
        )
        if sql in STABLE:
            assert plan.notes == ()
            return
        assert UNSTABLE[sql] in plan.notes[0]
        assert "each run may ask all" in plan.notes[0]
        ears = Ears()
        opened(root, ears).run("+kinds")
        assert any(UNSTABLE[sql] in said for said in ears.said)


def test_a_template_that_changes_each_time_is_told(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        text = (root / "models/kinds.prompt.md").read_text()
        write(
            root, {"models/kinds.prompt.md": text.replace("{{ name }}", "{{ name }} {{ today() }}")}
        )
        (plan,) = opened(root).plan()
        assert plan.notes[0].startswith(
            "models/kinds.prompt.md:13: today() may return something different"
        )
        assert "for about $0.00" in plan.notes[0]


def test_every_volatile_function_of_this_duckdb_is_known() -> None:
    """A newer DuckDB may have more of them; those named here only fail, wait, or write."""
    harmless = {"error", "sleep_ms", "stats", "vector_type", "write_log", "setval"}
    volatile = {
        name
        for (name,) in duckdb.connect()
        .execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'"
        )
        .fetchall()
    }
    assert volatile - harmless <= UNSTABLE_FUNCTIONS


def test_functions_that_a_macro_calls_are_no_tables(tmp_path: Path) -> None:
    """Only the tables behind it are read, also through other macros and views."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).seed()
        opened(root).sql("CREATE VIEW tall AS FROM plants WHERE lower(note) = 'tall'")
        opened(root).sql("CREATE MACRO spoken(text) AS upper(trim(text))")
        opened(root).sql("CREATE MACRO shouted(text) AS spoken(text) || (SELECT max(id) FROM tall)")
        query = "SELECT id, shouted(name) AS name, note FROM tall\n"
        write(root, {"models/kinds.sql": query})
        graph = opened(root).graph
        assert graph.list_tables("kinds") == ("plants", "tall")
