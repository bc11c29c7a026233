"""Rows: any text in any cell, any key, any answer; nothing is changed on the way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from folders import opened, settings, write
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from enrich.compiler import judge
from enrich.db.database import Database, Ledger
from enrich.db.migration import migrate_ledger
from enrich.db.quote import quote_name, quote_text
from enrich.errors import DatabaseError
from enrich.manifest.output import Output
from enrich.pipeline import read as responses
from enrich.pipeline.portion import Portion, cut_batches
from enrich.pipeline.read import EndedBatch, Judge
from enrich.providers import Limits
from enrich.rehearsal import Rehearsal

quick = hypothesis_settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
often = hypothesis_settings(deadline=None)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PORTABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def project_of(root: Path, server: Rehearsal, rows: list[dict[str, Any]], key: str) -> None:
    """A project whose warehouse holds `rows` as a table, with one model over it."""
    columns = ", ".join(f"unnest(${name}) AS {name}" for name in rows[0])
    with duckdb.connect(root / "warehouse.duckdb") as own:
        own.execute(
            f"CREATE TABLE source AS SELECT {columns}",
            {name: [row[name] for row in rows] for name in rows[0]},
        )
    kept = json.dumps(json.loads(settings(server)) | {"keep_files": "all"})
    write(root, {"project.yml": kept, "models/m.sql": "SELECT * FROM source"})
    write(
        root,
        {
            "models/m.prompt.md": f"---\nkey: {key}\noutput: line VARCHAR NOT NULL\n---\nuser:\n"
            "<{{ cell }}>\n"
        },
    )


def requests(root: Path) -> list[dict[str, Any]]:
    """Every request line that was written, split as the provider does: at newlines only."""
    lines: list[dict[str, Any]] = []
    for path in (root / ".enrich" / "batches").glob("*/m-*.jsonl"):
        lines += [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
    return lines


@quick
@given(
    st.lists(st.tuples(TEXT, st.none() | TEXT), min_size=1, max_size=8, unique_by=lambda t: t[0])
)
@pytest.mark.few(0)
def test_any_text_reaches_the_request_and_any_key_comes_back(
    cells: list[tuple[str, str | None]],
) -> None:
    """Quotes, braces, control characters, emoji: what a cell holds is what the llm reads."""
    with TemporaryDirectory() as folder, Rehearsal() as server:
        root = Path(folder)
        rows = [{"id": key, "cell": cell} for key, cell in cells]
        rows.append({"id": "plain", "cell": "{{ id }}"})
        rows = list({row["id"]: row for row in rows}.values())
        project_of(root, server, rows, "id")
        (state,) = opened(root).run()
        assert state.ok == len(rows)
        said = {request["body"]["messages"][0]["content"] for request in requests(root)}
        assert said == {f"<{row['cell'] or ''}>" for row in rows}
        ids = [request["custom_id"] for request in requests(root)]
        assert len(set(ids)) == len(ids)
        assert all(PORTABLE.fullmatch(custom_id) for custom_id in ids)
        keys = {row[0] for row in opened(root).sql("SELECT id FROM m")}
        assert keys == {row["id"] for row in rows}


KEYS = {
    "an integer": ["1", "-5", "9007199254740993"],
    "a long text": ["'" + "x" * 300 + "'", "'" + "x" * 299 + "y'"],
    "quotes and emoji": ["'it''s \"so\" 🪑'", "'a b'", "'a-b'", "''"],
    "a date": ["DATE '2024-02-29'", "DATE '1970-01-01'"],
    "a decimal": ["1.50::DECIMAL(10,2)", "2.25::DECIMAL(10,2)"],
    "a timestamp": ["TIMESTAMP '2024-01-01 00:00:00.000001'", "TIMESTAMP '2024-01-01'"],
    "a boolean": ["true", "false"],
    "a double": ["0.1::DOUBLE", "1e300::DOUBLE"],
    "a uuid": ["'6f1c4a52-7b0e-4f5c-9a2e-0d7a3f9f2b10'::UUID"],
    "an enum": ["'b'::ENUM('a', 'b')", "'a'::ENUM('a', 'b')"],
}


@pytest.mark.parametrize("values", KEYS.values(), ids=KEYS)
@pytest.mark.few(4)
def test_keys_of_any_type_come_back_typed_and_exact(tmp_path: Path, values: list[str]) -> None:
    """A key is never parsed back from a custom_id, so nothing of it can be lost."""
    with Rehearsal() as server:
        listed = " UNION ALL ".join(
            f"SELECT {value} AS id, '{n}' AS cell" for n, value in enumerate(values)
        )
        write(
            tmp_path,
            {
                "project.yml": settings(server),
                "models/m.sql": listed,
                "models/m.prompt.md": "---\nkey: id\noutput: line VARCHAR\n---\nuser:\n"
                "{{ cell }}\n",
            },
        )
        (state,) = opened(tmp_path).run()
        assert state.ok == len(values)
        lost = opened(tmp_path).sql(
            f"SELECT count(*) FROM ({listed}) AS source ANTI JOIN m USING (id)"
        )
        assert lost.rows == ((0,),)
        types = opened(tmp_path).sql(
            f"SELECT DISTINCT typeof(m.id) = typeof(source.id) FROM m, ({listed}) AS source"
        )
        assert types.rows == ((True,),)


def test_a_composite_key_keeps_its_parts(tmp_path: Path) -> None:
    """Parts that would run together when joined by a dash stay apart."""
    with Rehearsal() as server:
        rows = [
            {"a": "x-y", "b": "z", "cell": "1"},
            {"a": "x", "b": "y-z", "cell": "2"},
            {"a": "x", "b": "Z", "cell": "3"},
        ]
        project_of(tmp_path, server, rows, "[a, B]")
        opened(tmp_path).run()
        ids = sorted(request["custom_id"] for request in requests(tmp_path))
        assert [custom_id[:6] for custom_id in ids] == ["x-Z_" + ids[0][4:6], "x-y-z_", "x-y-z_"]
        assert opened(tmp_path).sql("SELECT a, b FROM m ORDER BY a, b").rows == (
            ("x", "Z"),
            ("x", "y-z"),
            ("x-y", "z"),
        )


@often
@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    most_requests=st.integers(1, 20),
    most_bytes=st.integers(50, 200),
)
def test_any_partition_keeps_all_limits(
    sizes: list[int], most_requests: int, most_bytes: int
) -> None:
    """Batches hold every row once, none more requests or bytes than allowed, and no batch could
    have held the next one's first row."""
    with duckdb.connect() as connection:
        database = Database(connection=connection)
        database.execute(
            "CREATE TEMP TABLE _enrich_todo AS SELECT unnest(range(len($sizes))) AS n, "
            "unnest($sizes) AS bytes, true AS ends",
            sizes=sizes,
        )
        portion = Portion(version_id="", requests=len(sizes), bytes=sum(sizes))
        limits = Limits(requests=most_requests, bytes=most_bytes)
        found = cut_batches(database, portion, limits, ends=(len(sizes),))
    cuts = [(each.start, each.start + each.requests - 1) for each in found]
    covered = [n for first, last in cuts for n in range(first, last + 1)]
    assert covered == list(range(len(sizes)))
    for number, (first, last) in enumerate(cuts):
        held = sizes[first : last + 1]
        assert len(held) <= most_requests
        assert sum(held) <= most_bytes
        if number + 1 < len(cuts):
            assert len(held) == most_requests or sum(held) + sizes[last + 1] > most_bytes


def test_a_run_of_many_gigabytes_is_cut() -> None:
    """Sums of bytes outgrow 32 bits."""
    with duckdb.connect() as connection:
        database = Database(connection=connection)
        database.execute(
            "CREATE TEMP TABLE _enrich_todo AS "
            "SELECT n, 1000000::INTEGER AS bytes, true AS ends FROM range(5000) AS r(n)"
        )
        portion = Portion(version_id="", requests=5000, bytes=5_000_000_000)
        limits = Limits(requests=50_000, bytes=3_000_000_000)
        cuts = cut_batches(database, portion, limits, ends=(5000,))
    assert [(each.start, each.bytes) for each in cuts] == [(0, 3 * 10**9), (3000, 2 * 10**9)]


DDL = """
    n UTINYINT NOT NULL, d DATE, t TIMESTAMP, p DECIMAL(8,2), f DOUBLE, b BOOLEAN,
    kind ENUM('a', 'b'), kinds ENUM('a', 'b')[] CHECK (len(kinds) < 4), s VARCHAR NOT NULL,
    parts STRUCT(name VARCHAR, sizes INTEGER[])[], "odd ""name" STRUCT(x VARCHAR)
"""
GOOD: dict[str, Any] = {
    "n": 7,
    "d": "2024-02-29",
    "t": "2024-02-29T12:30:00Z",
    "p": 12.25,
    "f": 1e3,
    "b": False,
    "kind": "a",
    "kinds": ["a", "b"],
    "s": "text",
    "parts": [{"name": "leg", "sizes": [1, 2]}, {"name": None, "sizes": None}],
    'odd "name': {"x": "y"},
}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "fits": ({}, ""),
    "nulls": (
        {
            "d": None,
            "t": None,
            "p": None,
            "kind": None,
            "kinds": None,
            "parts": None,
            'odd "name': None,
        },
        "",
    ),
    "more": ({"extra": 1}, ""),
    "null": ({"n": None}, "n: expected a whole number, got null"),
    "range": ({"n": 300}, "n: '300' is not UTINYINT"),
    "fraction": ({"n": 1.5}, "n: '1.5' is not UTINYINT"),
    "number as text": ({"n": "7"}, "n: expected a whole number, got text"),
    "text as number": ({"s": 7}, "s: expected text, got a number"),
    "date": ({"d": "2024-02-30"}, "d: '2024-02-30' is not DATE"),
    "timestamp": ({"t": "soon"}, "t: 'soon' is not TIMESTAMP"),
    "decimal": ({"p": 1e9}, "p: '1000000000.0' is not a number that DECIMAL(8, 2) can hold"),
    "boolean": ({"b": "no"}, "b: expected true or false, got text"),
    "label": ({"kind": "blue"}, "kind: 'blue' is not one of a, b"),
    "labels": ({"kinds": ["a", "blue"]}, "kinds: 'blue' is not one of a, b"),
    "no list": ({"kinds": "a"}, "kinds: expected a list, got text"),
    "check": ({"kinds": ["a"] * 4}, "CHECK (len(kinds) < 4) failed"),
    "inner": ({"parts": [{"name": 1, "sizes": []}]}, "parts.name: expected text, got a number"),
    "innermost": (
        {"parts": [{"name": "", "sizes": ["x"]}]},
        "parts.sizes: expected a whole number, got text",
    ),
    "inner key": ({"parts": [{"name": "leg"}]}, "parts.sizes: missing"),
    "object": ({'odd "name': []}, 'odd "name: expected an object, got a list'),
    "two": (
        {"n": None, "s": None},
        "n: expected a whole number, got null; s: expected text, got null",
    ),
}


def judged(contents: list[str | None], ddl: str = DDL) -> list[str]:
    """Why each answer breaks the output; empty where it fits."""
    output = Output.parse(ddl, source="test")
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE answers AS SELECT unnest($c::VARCHAR[]) AS content", {"c": contents}
        )
        select = judge.render_judgement(
            "SELECT rowid AS n, content FROM answers", output, "json_schema"
        )
        rows = connection.execute(f"SELECT fault FROM ({select}) ORDER BY n").fetchall()
    return [row[0] or "" for row in rows]


@pytest.mark.parametrize(("change", "fault"), FAULTS.values(), ids=FAULTS)
def test_each_answer_is_judged_with_a_reason_in_words(change: dict[str, Any], fault: str) -> None:
    """What DuckDB would convert in silence, such as 5.7 to 6 or 5 to '5', is a fault as well."""
    assert judged([json.dumps(GOOD | change)]) == [fault]


def test_a_missing_key_is_named() -> None:
    """A key that is absent is not the same as null."""
    without = {key: value for key, value in GOOD.items() if key not in ("n", "kind")}
    assert judged([json.dumps(without)]) == ["n: missing; kind: missing"]


def test_answers_that_are_no_objects() -> None:
    """Not JSON, or JSON that is no object; a Markdown fence around an object is taken off."""
    contents = ["", "hello", None, "[1]", "null", '"x"', "NaN", f"```json\n{json.dumps(GOOD)}\n```"]
    assert judged(contents) == [
        *["the answer is not JSON"] * 3,
        *["the answer is not a JSON object"] * 4,
        "",
    ]


@often
@given(st.lists(st.text(max_size=60) | st.none(), min_size=1, max_size=20))
@pytest.mark.few(0)
def test_random_answers_never_crash_the_judge(contents: list[str | None]) -> None:
    """Whatever an llm says, each answer has a verdict, and none of these fits."""
    assert all(judged([*contents]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@often
@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON))
@pytest.mark.few(0)
def test_an_answer_without_a_fault_can_be_parsed(change: dict[str, Any]) -> None:
    """The judge lets nothing through that the published table could not hold."""
    content = json.dumps(GOOD | change)
    (fault,) = judged([content])
    if not fault:
        output = Output.parse(DDL, source="test")
        row = judge.render_answer("content", output, "json_schema", strict=True)
        with duckdb.connect() as connection:
            select = f"SELECT a.s, a.n, a.kind FROM (SELECT {row} AS a FROM (SELECT $c AS content))"
            answer = connection.execute(select, {"c": content}).fetchone()
        changed = GOOD | change
        assert answer == (changed["s"], changed["n"], changed["kind"])


JUDGE = Judge(
    endpoint="/v1/chat/completions",
    form="json_schema",
    output=Output.parse("line VARCHAR NOT NULL", source="test"),
    prefix="",
    packed=False,
    params={},
)


def read(folder: str, requests: dict[str, list[str]], files: dict[str, list[bytes]]) -> list[Any]:
    """What the ledger holds of batches, by batch and custom_id, once their files were read."""
    with duckdb.connect() as connection:
        database = Ledger(connection=connection)
        database.execute("ATTACH ':memory:' AS ledger")
        migrate_ledger(database, Path("ledger"))
        ended = []
        for batch, ids in requests.items():
            for custom_id in ids:
                values = {"batch": batch, "custom_id": custom_id}
                database.execute(
                    "INSERT INTO ledger.requests BY NAME SELECT $batch AS batch, $custom_id AS "
                    "custom_id, custom_id AS fingerprint, 1 AS attempt, '' AS tail, 2 AS bytes",
                    **values,
                )
            paths = []
            for number, content in enumerate(files[batch]):
                paths.append(Path(folder) / f"{batch}-{number}.jsonl")
                paths[-1].write_bytes(content)
            ended.append(EndedBatch(batch=batch, run=1, requests=len(ids), files=tuple(paths)))
        counts = responses.read_files(database, ended, JUDGE)
        assert {batch: sum(many.values()) for batch, many in counts.items()} == {
            batch: len(ids) for batch, ids in requests.items()
        }
        return database.execute(
            "SELECT batch, custom_id, outcome, content FROM ledger.responses ORDER BY ALL"
        )


def answer_line(custom_id: str, content: str | None) -> bytes:
    """A result line; without content, one of an error."""
    body = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    response = {"status_code": 200 if content else 500, "body": body if content else {}}
    return json.dumps({"custom_id": custom_id, "response": response}).encode()


@often
@given(st.lists(st.binary(max_size=80), max_size=12))
@pytest.mark.few(0)
def test_random_bytes_never_crash_the_reader(chunks: list[bytes]) -> None:
    """Lines that are no JSON are as good as absent; the good lines among them are read."""
    junk = b"\n".join(chunk.replace(b"\n", b" ") for chunk in chunks)
    lines = [answer_line("1", '{"line": "x"}'), junk, answer_line("2", None), b""]
    with TemporaryDirectory() as folder:
        found = read(folder, {"b": ["1", "2", "3"]}, {"b": [b"\n".join(lines)]})
    assert [row[1:3] for row in found] == [("1", "ok"), ("2", "error"), ("3", "missing")]


@often
@given(st.data())
@pytest.mark.few(0)
def test_order_doubles_and_losses_change_nothing_for_the_rows_answered(data: st.DataObject) -> None:
    """Whatever becomes of the lines of two batches that use the same custom_ids, a request whose
    line is there has the outcome of that line, and every other is missing."""
    ids = [str(number) for number in range(6)]
    requests, files, expected = {}, {}, []
    for batch in ("a", "b"):
        said = {each: f'{{"line": "{batch}{each}"}}' if each != "5" else None for each in ids}
        lines = data.draw(st.lists(st.sampled_from(ids), max_size=12))
        cut = data.draw(st.integers(0, len(lines)))
        written = [answer_line(each, said[each]) + b"\n" for each in lines]
        requests[batch] = ids
        files[batch] = [b"".join(written[:cut]), b"".join(written[cut:])]
        for each in ids:
            outcome = "missing" if each not in lines else "ok" if said[each] else "error"
            expected.append((batch, each, outcome, said[each] if outcome == "ok" else None))
    with TemporaryDirectory() as folder:
        assert read(folder, requests, files) == expected


def test_a_difference_is_an_error_that_names_the_batch(tmp_path: Path) -> None:
    """sent = ok + every other outcome, or nothing is kept."""
    with duckdb.connect() as connection:
        database = Ledger(connection=connection)
        database.execute("ATTACH ':memory:' AS ledger")
        migrate_ledger(database, Path("ledger"))
        database.execute("INSERT INTO ledger.requests VALUES ('b', '1', 'f', 1, '', 2, NULL, NULL)")
        ended = EndedBatch(batch="b", run=1, requests=2)
        with pytest.raises(DatabaseError, match="batch b: 2 requests were sent, but 1 have"):
            responses.read_files(database, [ended], JUDGE)


def test_a_line_longer_than_usual_is_read(tmp_path: Path) -> None:
    """Of any length that a batch file may have."""
    long = json.dumps({"line": "x" * 40_000_000})
    found = read(str(tmp_path), {"b": ["1"]}, {"b": [answer_line("1", long)]})
    assert [(row[2], len(row[3])) for row in found] == [("ok", len(long))]


@often
@given(st.text(max_size=20), st.text(max_size=20))
def test_names_and_values_cannot_leave_their_quotes(name: str, value: str) -> None:
    """Any name and any value enter a statement as themselves, and as nothing else."""
    name, value = (text.replace("\0", "") for text in (name, value))
    with duckdb.connect() as connection:
        sql = f"SELECT {quote_text(value)} AS {quote_name(name or 'x')}"
        cursor = connection.execute(sql.encode("utf-8", "replace").decode())
        assert cursor.fetchall() == [(value.encode("utf-8", "replace").decode(),)]
