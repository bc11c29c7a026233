"""The guard: what the user's SQL may be. It reads; it neither writes nor runs anything else.

The first of two walls: what sqlglot sees here is refused before DuckDB sees it. The other is
DuckDB's own: a SELECT runs with the warehouse open for reading, and what files it may open was
settled before any SQL was run (`database`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from enrich.errors import ModelError

if TYPE_CHECKING:
    from sqlglot import exp

    from enrich.tree import Tree

SQL_TEXT = "runs SQL that enrich cannot see"
WRITES = "changes something"
MEMORY = "reads raw memory"
SECRETS = "tells secrets"
OUTSIDE = "talks to another system"

REFUSED = {
    **dict.fromkeys(("query", "query_table", "json_execute_serialized_sql"), SQL_TEXT),
    **dict.fromkeys(
        (
            "add_grammar_extension",
            "checkpoint",
            "create_external_resource",
            "dbgen",
            "deregister_external_resource",
            "destroy_external_resource",
            "disable_logging",
            "disable_profiling",
            "dsdgen",
            "enable_logging",
            "enable_profiling",
            "force_checkpoint",
            "nextval",
            "register_external_resource",
            "register_external_resource_type",
            "remove_grammar_extension",
            "setval",
            "truncate_duckdb_logs",
            "write_log",
        ),
        WRITES,
    ),
    **dict.fromkeys(
        (
            "arrow_scan",
            "arrow_scan_dumb",
            "pandas_scan",
            "python_arrow_scan",
            "python_map_function",
            "seq_scan",
        ),
        MEMORY,
    ),
    **dict.fromkeys(("duckdb_secrets", "getenv", "which_secret"), SECRETS),
    **dict.fromkeys(
        (
            "http_get",
            "http_post",
            "load_aws_credentials",
            "mysql_execute",
            "mysql_query",
            "postgres_execute",
            "postgres_query",
        ),
        OUTSIDE,
    ),
    "sleep_ms": "waits",
}
"""Functions of DuckDB and of its extensions that a SELECT does not need, and what they do."""


def check(tree: exp.Expr, sql: str, *, source: str, line: int | None = 1) -> None:
    """Refuse SQL that writes, or calls what is REFUSED.

    `tree` is what sqlglot made of `sql`, which begins at `line` of the file `source`, if that is
    known.
    """
    from sqlglot import exp

    found = tree.find(exp.DML, exp.DDL, exp.Command, exp.Into, exp.Set, exp.Pragma, exp.Attach)
    if found is not None:
        hint = "a model is a SELECT and only a SELECT: do this elsewhere, and read what it made"
        raise ModelError(f"{source}: it is no SELECT: it holds {found.key.upper()}", hint=hint)
    for name, at in _called(sql):
        if name in REFUSED:
            where = source if line is None else f"{source}:{line + at - 1}"
            hint = "a model is a SELECT over tables: make a table of this first, and read that"
            raise ModelError(f"{where}: {name}() {REFUSED[name]}", hint=hint)


def check_tree(found: Tree, *, source: str) -> None:
    """Refuse a SELECT that writes, or calls what is REFUSED, as DuckDB parses it."""
    if found.writes:
        hint = "a model is a SELECT and only a SELECT: do this elsewhere, and read what it made"
        raise ModelError(f"{source}: it is no SELECT: it holds {found.writes}", hint=hint)
    for name, line in found.calls.items():
        if name in REFUSED:
            hint = "a model is a SELECT over tables: make a table of this first, and read that"
            raise ModelError(f"{source}:{line}: {name}() {REFUSED[name]}", hint=hint)


def _called(sql: str) -> list[tuple[str, int]]:
    """The functions that SQL calls, in lower case, and the line of each, counted from 1."""
    from sqlglot import tokenize
    from sqlglot.tokenizer_core import TokenType

    tokens = tokenize(sql, read="duckdb")
    return [
        (token.text.lower(), token.line)
        for token, after in pairwise(tokens)
        if after.token_type == TokenType.L_PAREN
    ]
