"""Write functions.tsv: every function of this DuckDB, whether a SELECT may call it, and why.

    uv run python scripts/list_functions.py

What a newer DuckDB brings is refused until it is listed: run this, and read what is new.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

SQL_TEXT = "runs SQL that enrich cannot see"
WRITES = "changes something"
MEMORY = "reads raw memory"
SECRETS = "tells secrets"
OUTSIDE = "talks to another system"
WAITS = "waits"
OPENS = "opens a database"

REFUSED = {
    **dict.fromkeys(("query", "query_table", "json_execute_serialized_sql"), SQL_TEXT),
    **dict.fromkeys(
        (
            *("add_grammar_extension", "remove_grammar_extension", "add_parquet_key"),
            *("checkpoint", "force_checkpoint", "copy_database", "import_database"),
            *("create_external_resource", "destroy_external_resource"),
            *("register_external_resource", "register_external_resource_type"),
            *("deregister_external_resource", "dbgen", "dsdgen", "nextval", "setval", "setseed"),
            *("disable_logging", "enable_logging", "truncate_duckdb_logs", "write_log"),
            *("disable_profiling", "enable_profiling", "disable_profile", "enable_profile"),
        ),
        WRITES,
    ),
    **dict.fromkeys(
        (
            *("arrow_scan", "arrow_scan_dumb", "pandas_scan", "python_arrow_scan"),
            *("python_map_function", "seq_scan", "index_scan"),
        ),
        MEMORY,
    ),
    **dict.fromkeys(("duckdb_secrets", "getenv", "which_secret"), SECRETS),
    **dict.fromkeys(
        (
            *("http_get", "http_post", "load_aws_credentials", "mysql_execute", "mysql_query"),
            *("postgres_execute", "postgres_query", "sqlite_scan", "postgres_scan", "mysql_scan"),
        ),
        OUTSIDE,
    ),
    **dict.fromkeys(("sleep_ms", "pg_sleep", "sleep"), WAITS),
    **dict.fromkeys(("read_duckdb",), OPENS),
}
FILES = ("read_", "parquet_", "sniff_", "glob")
CATALOG = ("duckdb_", "pragma_", "pg_", "summary", "current_", "icu_")


def main() -> None:
    rows = duckdb.connect().execute(
        "SELECT function_name, list(DISTINCT function_type) FROM duckdb_functions() "
        "WHERE function_name <> '' GROUP BY 1"
    )
    kinds = {str(name).lower(): set(found) for name, found in rows.fetchall()}
    lines = []
    for name in sorted(kinds.keys() | REFUSED.keys()):
        allowed, why = verdict(name, kinds.get(name, {"extension"}))
        lines.append(f"{name}\t{'allowed' if allowed else 'refused'}\t{why}\n")
    target = Path(__file__).parent.parent / "enrich" / "manifest" / "functions.tsv"
    target.write_text("".join(lines), encoding="utf-8")
    print(f"{target}: {len(lines)} functions of DuckDB {duckdb.__version__}")


def verdict(name: str, kinds: set[str]) -> tuple[bool, str]:
    """Whether a SELECT may call a function, and why."""
    if name in REFUSED:
        return False, REFUSED[name]
    if kinds <= {"pragma"}:
        return False, WRITES
    if kinds & {"table", "table_macro"} and name.startswith(FILES):
        return True, "reads files, where they may be read"
    if name.startswith(CATALOG):
        return True, "tells what there is"
    if kinds & {"table", "table_macro"}:
        return True, "makes rows"
    return True, "computes"


if __name__ == "__main__":
    main()
