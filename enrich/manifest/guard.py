"""The guard: what the user's SQL may do. It may read; it may not write, or run anything else.

This is the first of two walls. SQL is judged as DuckDB's own parser reads it (see `tree`), before
DuckDB runs it: it must be one SELECT, all its nodes must only read, and `functions.tsv` must list
its functions as allowed; a function of a newer DuckDB is refused until it is listed. The second
wall is DuckDB itself: a SELECT runs with the warehouse attached for reading only, and the files
that it may open are fixed before any SQL runs (see `db.files`).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING

from enrich.errors import ModelError
from enrich.manifest import tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlglot import exp

    from enrich.manifest.tree import Tree

ONLY_SELECT = "a model is only a SELECT: do this outside of enrich, and read the resulting table"
TABLE_FIRST = "a model is a SELECT over tables: create a table from this first, and read that"


@cache
def read_functions() -> Mapping[str, str]:
    """Returns all known functions in lower case, each with the reason why it must not be called,
    "" if it may be called."""
    text = (files("enrich.manifest") / "functions.tsv").read_text(encoding="utf-8")
    listed = (line.split("\t") for line in text.splitlines())
    return {name: "" if verdict == "allowed" else why for name, verdict, why in listed}


def find_unknown(calls: Iterable[str]) -> frozenset[str]:
    """Returns those functions that are not listed: macros of the user's, or functions of a newer
    DuckDB."""
    return frozenset(calls) - read_functions().keys() - tree.MOMENT_FUNCTIONS


def check_tree(found: Tree, *, source: str, line: int | None = 1) -> None:
    """Raises ModelError for SQL that writes, or calls a function that must not be called.

    The SQL starts at `line` of the file `source`; None if the line is not known.
    """
    if found.writes:
        message = f"{source}: it is not only a SELECT: it contains {found.writes}"
        raise ModelError(message, hint=ONLY_SELECT)
    for name, at in found.calls.items():
        # Unlisted functions pass here: they may be the user's macros, which only the warehouse
        # knows. The compiler looks them up there.
        why = read_functions().get(name, "")
        if why:
            where = source if line is None else f"{source}:{line + at - 1}"
            raise ModelError(f"{where}: {name}() {why}", hint=TABLE_FIRST)


def check_expression(sql: str, *, source: str, line: int | None = 1) -> frozenset[str]:
    """Returns the functions that an expression calls. Raises ModelError for SQL that is not one
    expression, that writes, or that calls a function that must not be called."""
    where = source if line is None else f"{source}:{line}"
    try:
        found = tree.parse_expression(sql)
    except RecursionError as problem:
        raise ModelError(
            f"{where}: '{sql[:60]}' is nested too deeply", hint=TABLE_FIRST
        ) from problem
    if found is None:
        hint = "write one DuckDB expression, such as coalesce(tagline, 'none')"
        raise ModelError(f"{where}: '{sql}' is not one SQL expression", hint=hint)
    check_tree(found, source=source, line=line)
    return frozenset(found.calls)


def check_pivot(statement: exp.Expr, sql: str, *, source: str) -> None:
    """Raises ModelError for a PIVOT that does more than read, judged as sqlglot parses it."""
    # DuckDB has no tree of a PIVOT whose columns are not listed: it runs as several statements.
    from sqlglot import exp, tokenize
    from sqlglot.tokenizer_core import TokenType

    found = statement.find(exp.DML, exp.DDL, exp.Command, exp.Into, exp.Set, exp.Pragma, exp.Attach)
    if found is not None:
        what = f"it is not only a SELECT: it contains {found.key.upper()}"
        raise ModelError(f"{source}: {what}", hint=ONLY_SELECT)
    # Tokens, not nodes: sqlglot gives many functions another name than they have in DuckDB.
    for token, after in pairwise(tokenize(sql, read="duckdb")):
        name = token.text.lower()
        why = read_functions().get(name, "")
        if after.token_type == TokenType.L_PAREN and why:
            raise ModelError(f"{source}:{token.line}: {name}() {why}", hint=TABLE_FIRST)
