"""Output types: what a value must be, what is published of it, and what the llm is told."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import duckdb
import pytest
from folders import opened, plants, write
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.compiler import judge
from enrich.errors import ModelError
from enrich.manifest.families import SUPPORTED_TYPES
from enrich.manifest.output import Output
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

WRONG = object()
"""The value is no answer."""
TEN_UTC = datetime(2024, 1, 5, 10)  # a TIMESTAMP is one in UTC
ID = "123e4567-e89b-12d3-a456-426614174000"

VALUES: dict[str, list[tuple[str, Any]]] = {
    "INTEGER": [
        ("5", 5),
        ("5.0", 5),
        ("5e0", 5),
        ("1e3", 1000),
        ("-0.0", 0),
        ("1.5e1", 15),
        ("5.7", WRONG),
        ("5e-1", WRONG),
        ('"5"', WRONG),
        ("1e30", WRONG),
        ("NaN", WRONG),
        ("Infinity", WRONG),
        ("1e400", WRONG),
        ("true", WRONG),
        ("2147483648", WRONG),
        ("[5]", WRONG),
    ],
    "BIGINT": [
        ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", WRONG),
        ("1e18", WRONG),
        ("4503599627370496.0", 4503599627370496),
    ],
    "HUGEINT": [("170141183460469231731687303715884105727", 2**127 - 1), ("1.5", WRONG)],
    "DOUBLE": [
        ("1", 1.0),
        ("1.5", 1.5),
        ("1e308", 1e308),
        ("NaN", WRONG),
        ("-NaN", WRONG),
        ("nan", WRONG),
        ("Infinity", WRONG),
        ("-Infinity", WRONG),
        ("1e400", WRONG),
        ("-1e400", WRONG),
        ('"NaN"', WRONG),
        ('"1"', WRONG),
    ],
    "FLOAT": [("1.5", 1.5), ("1e39", WRONG), ("NaN", WRONG)],
    "DECIMAL(8,2)": [("1.5", Decimal("1.50")), ("1e10", WRONG), ("NaN", WRONG), ("1e400", WRONG)],
    "BOOLEAN": [("true", True), ('"true"', WRONG), ("1", WRONG)],
    "VARCHAR": [('"x"', "x"), ('""', ""), ('"a\\u0000b"', "a\0b"), ("5", WRONG)],
    "VARCHAR(3)": [('"abc"', "abc"), ('"äöü"', "äöü"), ('"abcd"', WRONG), ("5", WRONG)],
    "ENUM('a', 'b')": [('"a"', "a"), ('"A"', WRONG), ('" a"', WRONG)],
    "DATE": [
        ('"2024-01-05"', date(2024, 1, 5)),
        ('"2024-02-30"', WRONG),
        ('"2024-1-5"', WRONG),
        ('"2024/01/05"', WRONG),
        ('"05-01-2024"', WRONG),
        ('"infinity"', WRONG),
        ('"-infinity"', WRONG),
        ('"epoch"', WRONG),
        ('"today"', WRONG),
        ('"0044-03-15 (BC)"', WRONG),
        ('"2024-01-05T10:00:00"', WRONG),
        ('""', WRONG),
        ("20240105", WRONG),
    ],
    "TIME": [
        ('"10:00:00"', time(10)),
        ('"10:00"', time(10)),
        ('"10:00:00Z"', time(10)),
        ('"10:00:00.5"', time(10, 0, 0, 500_000)),
        ('"10:00:00+00:00"', time(10)),
        ('"10:00:00+02:00"', WRONG),
        ('"25:00:00"', WRONG),
        ('"24:00:00"', WRONG),
        ('"ten"', WRONG),
    ],
    "TIMESTAMP(3)": [
        ('"2024-01-05T12:00:00+02:00"', TEN_UTC),
        ('"2024-01-05T10:00:00.123456Z"', TEN_UTC.replace(microsecond=123000)),
    ],
    "ENUM('check', '(', 'a text of length 3')": [
        ('"check"', "check"),
        ('"("', "("),
        ('"a text of length 3"', "a text of length 3"),
        ('"abc"', WRONG),
    ],
    "VARCHAR CHECK (v <> ')' AND CAST(v AS INTEGER) > 0)": [
        ('"5"', "5"),
        ('"0"', WRONG),
        ('"abc"', WRONG),
    ],
    "TIMESTAMP": [
        ('"2024-01-05T10:00:00Z"', TEN_UTC),
        ('"2024-01-05T12:00:00+02:00"', TEN_UTC),
        ('"2024-01-05T04:30:00-05:30"', TEN_UTC),
        ('"2024-01-05T12:00:00+0200"', TEN_UTC),
        ('"2024-01-05 10:00:00"', TEN_UTC),
        ('"2024-01-05T10:00"', TEN_UTC),
        ('"2024-01-05"', datetime(2024, 1, 5)),
        ('"infinity"', WRONG),
        ('"epoch"', WRONG),
        ('"now"', WRONG),
        ('"2024-02-30T00:00:00"', WRONG),
        ('"2024-01-05T25:00:00"', WRONG),
        ('"2024-01-05T01:59:00+15:59"', datetime(2024, 1, 4, 10)),
        ('"2024-01-05T12:00:00+16:00"', WRONG),
        ('"2024-01-05T12:00:00+24:00"', WRONG),
        ('"2024-01-05T12:00:00+99:99"', WRONG),
        ('"2024-01-05T12:00:00+02:60"', WRONG),
        ('"2024-01-05T12:00:00-45"', WRONG),
        ('"soon"', WRONG),
    ],
    "TIMESTAMPTZ": [
        ('"2024-01-05T12:00:00+02:00"', TEN_UTC.replace(tzinfo=UTC)),
        ('"2024-01-05T10:00:00"', TEN_UTC.replace(tzinfo=UTC)),
        ('"infinity"', WRONG),
    ],
    "UUID": [
        (f'"{ID}"', UUID(ID)),
        (f'"{ID.upper()}"', UUID(ID)),
        (f'"{{{ID}}}"', WRONG),
        ('"x"', WRONG),
        (f'"{ID.replace("-", "")}"', WRONG),
    ],
    "JSON": [
        ('"{\\"x\\": 1}"', '{"x": 1}'),
        ('{"x":1}', '{"x":1}'),
        ("[1]", "[1]"),
        ("5", "5"),
        ('"5"', "5"),
        ('"hello"', WRONG),
        ('"{x}"', WRONG),
    ],
    "MAP(VARCHAR, INTEGER)": [
        ('[{"key":"x","value":1}]', {"x": 1}),
        ('{"x":1,"y z":2}', {"x": 1, "y z": 2}),
        ("[]", {}),
        ("{}", {}),
        ('{"x":1.0}', {"x": 1}),
        ('{"x":1.5}', WRONG),
        ('{"x":"1"}', WRONG),
        ('[{"key":"x","value":1},{"key":"x","value":2}]', WRONG),
        ('{"x":null}', WRONG),
        ('[{"key":null,"value":1}]', WRONG),
        ('[{"value":1}]', WRONG),
        ('[{"key":["x"],"value":1}]', WRONG),
        ('[{"key":{"x":1},"value":1}]', WRONG),
        ('[{"key":"[\\"x\\"]","value":1}]', {'["x"]': 1}),
        ('[{"key":"x","key":"y","value":1}]', WRONG),
        ('[{"key":"x","value":1,"value":2}]', WRONG),
        ('{"x":1,"x":2}', WRONG),
        ("[1]", WRONG),
        ('"x"', WRONG),
    ],
    "MAP(VARCHAR, DECIMAL(20,2))": [
        ('{"x":1.5,"y":-0.25}', {"x": Decimal("1.50"), "y": Decimal("-0.25")}),
        ('{"x":0.30000000000000004}', {"x": Decimal("0.30")}),
        ('{"x":123456789012345678}', {"x": Decimal(123456789012345678)}),
        ('{"x":1234567890123.45}', {"x": Decimal("1234567890123.45")}),
        ('{"x":123456789012345678.91}', WRONG),
        ('[{"key":"x","value":-123456789012345678.91}]', WRONG),
        ('{"x":100000000000000000.01}', WRONG),
    ],
    "MAP(DECIMAL(38,20), INTEGER)": [
        ('{"0.12345678901234567891":1}', {Decimal("0.12345678901234567891"): 1}),
        ('[{"key":0.12345678901234567891,"value":1}]', WRONG),
        ('[{"key":0.5,"value":1}]', {Decimal("0.5"): 1}),
    ],
    "MAP(DATE, VARCHAR(2))": [
        ('{"2024-01-05":"ab"}', {date(2024, 1, 5): "ab"}),
        ('{"epoch":"ab"}', WRONG),
        ('{"2024-01-05":"abc"}', WRONG),
    ],
    "TIMESTAMP[]": [('["2024-01-05T12:00:00+02:00"]', [TEN_UTC]), ('["epoch"]', WRONG)],
    "DOUBLE[]": [("[1,2.5]", [1.0, 2.5]), ("[1,NaN]", WRONG), ("[1e400]", WRONG)],
    "INTEGER[]": [("[5.0,6]", [5, 6]), ("[5.5]", WRONG), ("[null]", WRONG)],
    "VARCHAR(2)[]": [('["ab"]', ["ab"]), ('["ab","abc"]', WRONG)],
    "STRUCT(at TIMESTAMPTZ, marks MAP(VARCHAR, DOUBLE), id UUID)": [
        (
            f'{{"at":"2024-01-05T12:00:00+02:00","marks":{{"x":1.5}},"id":"{ID}"}}',
            {"at": TEN_UTC.replace(tzinfo=UTC), "marks": {"x": 1.5}, "id": UUID(ID)},
        ),
        (f'{{"at":"epoch","marks":{{}},"id":"{ID}"}}', WRONG),
        (f'{{"at":"2024-01-05","marks":{{"x":"y"}},"id":"{ID}"}}', WRONG),
    ],
    "STRUCT(day DATE)[]": [
        ('[{"day":"2024-01-05"},{"day":null}]', [{"day": date(2024, 1, 5)}, {"day": None}]),
        ('[{"day":"tomorrow"}]', WRONG),
    ],
}
NOT_JSON = [
    "{'v': 1}",
    "{v: 1}",
    '{"v": 1,}',
    '{"v": 01}',
    '{"v": +1}',
    '{"v": .5}',
    '{"v": "a\nb"}',
    '{"v": "\\ud800"}',
]


def judged(documents: list[str], ddl: str) -> list[tuple[str | None, Any]]:
    """Why each answer is none, or what is published of it."""
    output = Output.parse(f"v {ddl} NOT NULL", source="test")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE TABLE said AS SELECT unnest($c::VARCHAR[]) AS content", {"c": documents}
        )
        select = judge.render_judgement(
            "SELECT rowid AS n, content FROM said", output, "json_schema"
        )
        row = judge.render_answer("content", output, "json_schema", strict=True)
        loose = judge.render_answer("content", output, "json_schema", strict=False)
        found = connection.execute(
            f"SELECT fault, CASE WHEN fault IS NULL THEN ({row}).v END, "
            f"CASE WHEN fault IS NULL THEN ({loose}).v END FROM ({select}) ORDER BY n"
        ).fetchall()
    for fault, strict, kept in found:
        assert fault or strict == kept
    return [(fault, value) for fault, value, _ in found]


@pytest.mark.parametrize("ddl", VALUES)
def test_a_value_is_published_as_what_it_is_or_not_at_all(ddl: str) -> None:
    """What DuckDB would bend is no answer; what is one is published unchanged, times in UTC."""
    cases = VALUES[ddl]
    found = judged([f'{{"v": {text}}}' for text, _ in cases], ddl)
    wrong = {
        text: (fault, value, wanted)
        for (text, wanted), (fault, value) in zip(cases, found, strict=True)
        if (not fault if wanted is WRONG else fault is not None or value != wanted)
    }
    assert wrong == {}


COMPLAINTS = {
    "FLOAT": {"1e39": "v: '1e39' is not a number that FLOAT can hold"},
    "FLOAT[]": {"[1, 1e39]": "v: '1e39' is not a number that FLOAT can hold"},
    "DOUBLE": {"1e400": "v: '1e400' is not a number that DOUBLE can hold"},
    "DECIMAL(4, 1)": {"12345.6": "v: '12345.6' is not a number that DECIMAL(4, 1) can hold"},
    "MAP(VARCHAR, INTEGER)": {
        '{"a": "x"}': "v: the value of 'a': expected a whole number, got text",
        '[{"key": "a", "value": 1.5}]': "v: the value of 'a': '1.5' is not INT",
        '[{"key": "a"}]': "v: the value of 'a': expected a whole number, got null",
        '[{"key": "a", "value": 1}, {"key": "a", "value": 2}]': "v: the key 'a' occurs twice",
        '{"a": 1, "a": 2}': "v: the key 'a' occurs twice",
        "[1]": "v: a pair has no key",
        '[{"key": ["a"], "value": 1}]': 'v: \'[{"key":["a"],"value":1}]\' is not MAP(TEXT, INT)',
    },
    "MAP(INTEGER, FLOAT)": {
        '{"a": 1}': "v: the key 'a' is not INT",
        '{"1": 1e39}': "v: the value of '1': '1e39' is not a number that FLOAT can hold",
        '[{"key": 1, "value": 1}, {"key": 1.0, "value": 2}]': "v: the key '1' occurs twice",
    },
    "MAP(VARCHAR, DECIMAL(30, 10))": {
        '{"a": 12345678901234567.1234567}': "v: the value of 'a': has more digits than can be read "
        "exactly"
    },
    "MAP(VARCHAR, ENUM('x', 'y'))": {'{"a": "z"}': "v: the value of 'a': 'z' is not one of x, y"},
    "STRUCT(a INTEGER)": {'{"a": 1, "a": 2}': "v: the key 'a' occurs twice"},
    "STRUCT(a INTEGER)[]": {'[{"a": 1}, {"a": 1, "a": 2}]': "v: the key 'a' occurs twice"},
    "INTEGER": {'1, "v": 2': "the key 'v' occurs twice"},
}
"""What is said about values of a column `v`, by its type."""


@pytest.mark.parametrize("ddl", COMPLAINTS)
def test_complaints_say_what_was_expected_and_what_came(ddl: str) -> None:
    found = judged([f'{{"v": {value}}}' for value in COMPLAINTS[ddl]], ddl)
    assert [fault for fault, _ in found] == list(COMPLAINTS[ddl].values())


@pytest.mark.parametrize("text", NOT_JSON)
def test_what_is_not_json_is_no_answer(text: str) -> None:
    (found,) = judged([text], "JSON" if "'" in text else "DOUBLE")
    assert found[0] == "the answer is not JSON"


@pytest.mark.parametrize("text", ["NaN", "[1, -Infinity]", '"[1, 2,]"', '"{\\"a\\": 1,}"'])
def test_what_duckdb_takes_for_json_may_be_none(text: str) -> None:
    ((fault, _), (right, value)) = judged([f'{{"v": {text}}}', '{"v": {"inf": "NaN,]"}}'], "JSON")
    assert (fault or "").endswith("is not JSON")
    assert (right, value) == (None, '{"inf":"NaN,]"}')


@pytest.mark.parametrize(
    "column",
    [
        "v DECIMAL(40, 2)",
        "v ENUM('a', NULL)",
        "v STRUCT(a INTEGER, A INTEGER)",
        "v TIMESTAMP(12)",
        "v MAP(VARCHAR, DECIMAL(40, 2))",
        '"" VARCHAR',
        "_enrich_fault VARCHAR",
    ],
)
def test_what_duckdb_does_not_take_is_refused_before_anything_is_asked(
    tmp_path: Path, column: str
) -> None:
    """Its answers could never be judged, and would be paid for."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        prompt = f"---\nkey: id\noutput: |\n  {column}\n---\nuser:\n{{{{ name }}}}\n"
        write(root, {"models/kinds.prompt.md": prompt})
        for work in (opened(root).plan, opened(root).run):
            with pytest.raises(ModelError, match=r"kinds\.prompt\.md"):
                work()
        assert not server.batches


def test_a_length_is_said_and_told(tmp_path: Path) -> None:
    """The llm is told what is allowed, and the row how far it is off."""
    output = Output.parse("v VARCHAR(3)  -- a code", source="test")
    assert (
        output.render_schema()["properties"]["v"]["description"] == "a code; at most 3 characters"
    )
    ((fault, _),) = judged(['{"v": "abcdefgh"}'], "VARCHAR(3)")
    assert fault == "v: has 8 characters, at most 3 are allowed"


@pytest.mark.parametrize(
    "ddl", ["BLOB", "INTERVAL", "BIT", "INTEGER[3]", "UNION(a INT, b INT)", "FOO"]
)
def test_what_an_output_cannot_hold_is_said_with_all_it_can(ddl: str) -> None:
    with pytest.raises(ModelError, match=r"cannot (hold|be read)") as refused:
        Output.parse(f"v {ddl}", source="test")
    if "cannot hold" in refused.value.message:
        assert refused.value.hint == SUPPORTED_TYPES
    for word in ("TIMESTAMPTZ", "TIME", "JSON", "MAP", "UUID", "VARCHAR(n)"):
        assert word in SUPPORTED_TYPES


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "INTEGER": st.integers(-(2**31), 2**31 - 1),
    "DOUBLE": st.floats(allow_nan=False, allow_infinity=False),
    "BOOLEAN": st.booleans(),
    "VARCHAR": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    "DATE": st.dates(),
    "UUID": st.uuids(),
    "TIMESTAMPTZ": st.datetimes(
        datetime(1900, 1, 1),
        datetime(2200, 1, 1),
        timezones=st.integers(-12 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    ),
}


@settings(deadline=None)
@given(st.data())
@pytest.mark.few(0)
def test_what_is_judged_good_is_what_python_reads(data: st.DataObject) -> None:
    """For random values of every type, alone, in a list and in a MAP."""
    ddl = data.draw(st.sampled_from(sorted(SCALARS)))
    values = data.draw(st.lists(SCALARS[ddl], min_size=1, max_size=5))
    plain = [
        v.isoformat() if isinstance(v, date) else str(v) if isinstance(v, UUID) else v
        for v in values
    ]
    wanted = [v.astimezone(UTC) if isinstance(v, datetime) else v for v in values]
    assert judged([json.dumps({"v": v}) for v in plain], ddl) == [(None, v) for v in wanted]
    assert judged([json.dumps({"v": plain})], f"{ddl}[]") == [(None, wanted)]
    pairs = {f"k{number}": v for number, v in enumerate(plain)}
    mapped = {f"k{number}": v for number, v in enumerate(wanted)}
    listed = [{"key": key, "value": value} for key, value in pairs.items()]
    for form in (pairs, listed):
        assert judged([json.dumps({"v": form})], f"MAP(VARCHAR, {ddl})") == [(None, mapped)]


def test_every_type_goes_through_the_line(tmp_path: Path) -> None:
    """Asked, answered by the rehearsal as its schema says, published with its type."""
    left_out = ("JSON", "VARCHAR(", "CHECK")
    types = [ddl for ddl in VALUES if not any(word in ddl for word in left_out)]
    columns = ",\n  ".join(f"c{number} {ddl} NOT NULL" for number, ddl in enumerate(types))
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                "models/kinds.prompt.md": f"---\nkey: id\noutput: |\n  {columns}\n---\n"
                "user:\n{{ name }}\n"
            },
        )
        project = opened(root)
        (state,) = project.run()
        assert state.failed == 0, project.failures("kinds").counts.rows
        described = project.sql("DESCRIBE kinds").rows
        assert len(described) == len(types) + 1
        (again,) = opened(root).run()
        assert again.ok == 4


KEYS: dict[str, list[str]] = {
    "JSON": [
        "'{\"a\":1}'::JSON",
        "'{\"a\": 1}'::JSON",
        "'1'::JSON",
        "'1.0'::JSON",
        "'\"1\"'::JSON",
    ],
    "VARCHAR": [
        "'a'",
        "'A'",
        "'a '",
        "'\u00e9'",
        "'e\u0301'",
        "'a_0123456789abcdef'",
        "''",
        "'x-y'",
        "'x y'",
    ],
    "BLOB": ["'\\x00'::BLOB", "'\\x00\\x00'::BLOB", "'a'::BLOB", "'\\xFF'::BLOB"],
    "DOUBLE": ["0.1::DOUBLE", "0.1::FLOAT::DOUBLE", "1e308", "'NaN'::DOUBLE", "'Infinity'::DOUBLE"],
    "TIMESTAMPTZ": [
        "'2024-01-01 00:00:00+00'::TIMESTAMPTZ",
        "'2024-01-01 00:00:00.000001+00'::TIMESTAMPTZ",
    ],
    "DECIMAL": ["1.10::DECIMAL(38,20)", "1.100000000000000001::DECIMAL(38,20)"],
    "HUGEINT": ["(2::HUGEINT ** 100)::HUGEINT", "(2::HUGEINT ** 100)::HUGEINT + 1"],
    "TIME": ["'10:00:00'::TIME", "'10:00:00.000001'::TIME"],
    "BIT": ["'01'::BIT", "'1'::BIT"],
    "UUID": [f"'{ID}'::UUID", "'123e4567-e89b-12d3-a456-426614174001'::UUID"],
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.few(4)
def test_each_key_has_a_custom_id_of_its_own(tmp_path: Path, kind: str) -> None:
    """Of whatever type it is, also as a part of a key."""
    rows = " UNION ALL ".join(f"SELECT {value} AS id, 'x' AS name" for value in KEYS[kind])
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        for key, select in (("id", rows), ("[id, name]", rows)):
            front = f"---\nkey: {key}\noutput: kind VARCHAR\n---\n"
            prompt = front + "user:\nIs {{ name }} {{ id }}?\n"
            if kind == "BLOB":
                prompt = prompt.replace("{{ id }}", "{{ hex(id) }}")
            write(root, {"models/kinds.sql": select, "models/kinds.prompt.md": prompt})
            opened(root).run()
            ids = (
                opened(root)
                .sql("SELECT custom_id FROM ledger.inputs.kinds WHERE until_run IS NULL")
                .rows
            )
            assert len(set(ids)) == len(KEYS[kind])
