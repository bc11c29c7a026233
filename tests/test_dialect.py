"""Dialect: the trees of DuckDB 1.5 become those of DuckDB 2."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from enrich.manifest.dialect import is_older, join_pivot
from enrich.manifest.located import locate_paths
from enrich.manifest.tree import parse_tree

ROOT = Path("/of it")
LOCATED = {
    "FROM 'a.csv' AS x": "FROM '/of it/a.csv' AS x",
    "FROM read_csv(['a.csv' , 'b.csv' ], header := true) t": (
        "FROM read_csv(['/of it/a.csv', '/of it/b.csv'], header := true) t"
    ),
    "FROM read_csv('a' || lower('B').trim() || '.csv' /* ] */)": (
        "FROM read_csv('/of it/ab.csv' /* ] */)"
    ),
    "FROM read_csv([ -- one\n'a.csv', -- )\n 'it''s.csv'])": (
        "FROM read_csv(['/of it/a.csv', '/of it/it''s.csv'])"
    ),
    "FROM read_csv(['a.csv']::VARCHAR[], header := true)": (
        "FROM read_csv(['/of it/a.csv'], header := true)"
    ),
    "DESCRIBE 'a.csv'": "DESCRIBE '/of it/a.csv'",
}


@pytest.mark.parametrize("sql", LOCATED)
def test_a_path_is_found_where_it_is_written(sql: str) -> None:
    """With its brackets, and without what follows it."""
    assert locate_paths(sql, ROOT) == LOCATED[sql]


def test_calls_and_samples_are_read() -> None:
    found = parse_tree("SELECT nextval('s') FROM enrich.nearest('films', 'v', [1], 5)")
    assert found is not None
    assert found.calls.keys() == {"nextval", "list_value"}
    assert found.tables == {("films",)}
    for words, clauses in (("REPEATABLE (1)", set()), ("", {"SAMPLE without REPEATABLE"})):
        found = parse_tree(f"SELECT a FROM t USING SAMPLE reservoir(2 ROWS) {words}")
        assert found is not None
        assert found.clauses == clauses


def test_a_pivot_is_one_statement() -> None:
    """Which is two in DuckDB 1.5."""
    with duckdb.connect() as connection:
        (found,) = join_pivot(connection.extract_statements("PIVOT t ON kind USING sum(n)"))
        assert found.type.name in ("SELECT", "MULTI")
        assert len(join_pivot(connection.extract_statements("SELECT 1; SELECT 2"))) == 2


def test_an_older_tree_is_told_by_what_it_lacks() -> None:
    assert is_older('{"query_location": 7}')
    assert not is_older('{"query_location": 7, "query_location_length": 1}')
