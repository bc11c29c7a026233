"""A fuzz of the first wall: what passes it is one SELECT in DuckDB's own eyes, and writes nothing.

    uv run python benchmarks/wall.py -n 100000 --seed 1

Statements that write, run or tell things are mixed with ones that read: hidden in WITH, subqueries,
comments, odd white space, quotes and calls of every function that DuckDB has. What `enrich` takes
for a model is then run without the second wall, and what it left behind is looked for.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import Timer

import duckdb

from enrich.errors import ModelError
from enrich.manifest.model import parse_select

READS = (
    "SELECT 1 AS id",
    "FROM t",
    "SELECT id FROM t WHERE id > 0",
    "VALUES (1)",
    "SELECT * FROM range(3)",
    "DESCRIBE t",
    "PIVOT t ON id IN (1, 2) USING count(*)",
    "TABLE t",
)
WRITES = (
    "INSERT INTO t VALUES (9)",
    "DELETE FROM t RETURNING id",
    "UPDATE t SET id = 9 RETURNING id",
    "DROP TABLE t",
    "CREATE TABLE u AS FROM t",
    "COPY t TO 'out.csv'",
    "EXPORT DATABASE 'out'",
    "ATTACH 'out.duckdb' AS o",
    "SET threads = 3",
    "PRAGMA enable_profiling",
    "INSTALL httpfs",
    "LOAD json",
    "CALL enable_logging(storage = 'file', storage_path = 'out')",
    "CHECKPOINT",
    "EXECUTE p",
    "MERGE INTO t USING t AS s ON t.id = s.id WHEN MATCHED THEN DELETE",
    "TRUNCATE t",
)
SPACES = (
    " ",
    "\n",
    "\t",
    "\u00a0",
    "\u200b",
    "\u2060",
    "\ufeff",
    "\u3000",
    "/**/",
    "/* ; */",
    "--\n",
)
ARGUMENTS = ("'SELECT 1 AS id'", "'out.csv'", "'out'", "1", "", "'t'", "'DROP TABLE t'", "t")
SECONDS = 0.5
"""How long a statement that passed may run."""


def functions() -> list[str]:
    """Every function that DuckDB has, and some that only look like one."""
    query = "SELECT DISTINCT function_name FROM duckdb_functions() ORDER BY 1"
    named = [str(name) for (name,) in duckdb.execute(query).fetchall() if name.isidentifier()]
    return [*named, "query", "query_table", "getenv", "read_duckdb", "enable_logging"]


def drawn(random: Random, names: list[str]) -> str:
    """One statement, mostly of parts that do not belong together."""
    space = random.choice(SPACES)
    read, write = random.choice(READS), random.choice(WRITES)
    call = f"{random.choice(names)}{space}({random.choice(ARGUMENTS)})"
    form = random.choice(
        (
            "{write}",
            "{read};{space}{write}",
            "{read}{space}; -- {write}",
            "WITH a AS ({write}) {read}",
            "WITH a AS MATERIALIZED ({write}) FROM a",
            "SELECT ({write}) AS id",
            "SELECT * FROM ({write})",
            "SELECT * FROM {call}",
            "SELECT {call} AS id",
            "SELECT {call} AS id FROM t",
            "FROM t SELECT list_transform([1], lambda x: {call}) AS id",
            "SELECT id FROM t WHERE id IN (SELECT {call})",
            "/* {write} */ {read}",
            "{read} UNION ALL SELECT * FROM {call}",
            "EXPLAIN {write}",
            "EXPLAIN ANALYZE {write}",
            "SELECT '{{' || {call} || '}}' AS id",
            'SELECT * FROM "{read}"',
            "{space}{read}{space}",
            "SELECT $${write}$$ AS id",
            "PIVOT ({write}) ON id USING count(*)",
            "FROM t, LATERAL (SELECT {call})",
        )
    )
    return form.format(read=read, write=write, call=call, space=space)


def is_one_select(sql: str) -> bool:
    with suppress(duckdb.Error, ValueError):  # the client has no word for some statements
        found = duckdb.extract_statements(sql)
        return len(found) == 1 and found[0].type.name in ("SELECT", "MULTI")
    return False


def state(connection: duckdb.DuckDBPyConnection, folder: Path) -> tuple[object, ...]:
    """All that a statement could have left behind."""
    tables = connection.execute("SELECT table_name, sql FROM duckdb_tables() ORDER BY 1").fetchall()
    settings = connection.execute("SELECT name, value FROM duckdb_settings() ORDER BY 1").fetchall()
    databases = connection.execute("SELECT database_name FROM duckdb_databases() ORDER BY 1")
    files = sorted(str(path) for path in folder.rglob("*"))
    rows = connection.execute("FROM t ORDER BY id").fetchall()
    return tables, settings, databases.fetchall(), files, rows


def run(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Run what passed, for a while."""
    timer = Timer(SECONDS, connection.interrupt)
    timer.start()
    try:
        connection.execute(f"FROM (\n{sql}\n) LIMIT 3").fetchall()
    except (duckdb.Error, RuntimeError, ValueError, OverflowError):
        pass
    finally:
        timer.cancel()


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    options.add_argument("-n", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    args = options.parse_args()
    random, names = Random(args.seed), functions()
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, suppress(KeyboardInterrupt):
        folder = Path(name)
        connection = duckdb.connect(config={"threads": 1, "memory_limit": "500MB"})
        connection.execute("CREATE TABLE t AS SELECT 1 AS id")
        os.chdir(folder)  # where a statement would leave what it writes
        before = state(connection, folder)
        for number in range(args.n):
            sql = drawn(random, names)
            try:
                query = parse_select(sql, "drawn.sql").query
            except ModelError:
                found["refused"] += 1
                continue
            found["taken"] += 1
            if not is_one_select(query):
                found["no SELECT"] += 1
                sys.stdout.write(f"no SELECT, and taken: {sql!r}\n")
            run(connection, query)
            if found["taken"] % 500 == 0 or number == args.n - 1:
                after = state(connection, folder)
                found["left something behind"] += after != before
                if after != before:
                    sys.stdout.write(f"something was left behind before: {sql!r}\n")
                before = after
    sys.stdout.write(", ".join(f"{many:,} {word}" for word, many in found.items() if many) + "\n")
    sys.exit(1 if found["no SELECT"] or found["left something behind"] else 0)


if __name__ == "__main__":
    main()
