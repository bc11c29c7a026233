"""The guard: what the user's SQL may be. It reads; it neither writes nor runs anything else.

The first of two walls: SQL is judged as DuckDB's own parser reads it (`tree`), before DuckDB runs
it. It is one SELECT, its nodes only read, and its functions are listed in `functions.tsv` as such;
what a newer DuckDB brings is refused until it is listed. The other wall is DuckDB's own: a SELECT
runs with the warehouse open for reading, and what files it may open was settled before any SQL was
run (`database`).
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

ONLY_SELECT = "a model is a SELECT and only a SELECT: do this elsewhere, and read what it made"
TABLE_FIRST = "a model is a SELECT over tables: make a table of this first, and read that"


@cache
def read_functions() -> Mapping[str, str]:
    """Every function that is known, in lower case; "" for one that may be called, or why not."""
    text = (files("enrich.manifest") / "functions.tsv").read_text(encoding="utf-8")
    listed = (line.split("\t") for line in text.splitlines())
    return {name: "" if verdict == "allowed" else why for name, verdict, why in listed}


def find_unknown(calls: Iterable[str]) -> frozenset[str]:
    """Those of the functions that are not listed: the user's own macros, or a newer DuckDB's."""
    return frozenset(calls) - read_functions().keys() - tree.MOMENT_FUNCTIONS


def check_tree(found: Tree, *, source: str, line: int | None = 1) -> None:
    """Refuse SQL that writes, or calls what is refused.

    It begins at `line` of the file `source`, if that is known.
    """
    if found.writes:
        raise ModelError(f"{source}: it is no SELECT: it holds {found.writes}", hint=ONLY_SELECT)
    for name, at in found.calls.items():
        why = read_functions().get(name, "")
        if why:
            where = source if line is None else f"{source}:{line + at - 1}"
            raise ModelError(f"{where}: {name}() {why}", hint=TABLE_FIRST)


def check_expression(sql: str, *, source: str, line: int | None = 1) -> frozenset[str]:
    """Refuse what is not one expression, writes, or calls what is refused; gives what it calls."""
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
    """Refuse the one kind of SELECT that DuckDB gives no tree of, as sqlglot reads it."""
    from sqlglot import exp, tokenize
    from sqlglot.tokenizer_core import TokenType

    found = statement.find(exp.DML, exp.DDL, exp.Command, exp.Into, exp.Set, exp.Pragma, exp.Attach)
    if found is not None:
        what = f"it is no SELECT: it holds {found.key.upper()}"
        raise ModelError(f"{source}: {what}", hint=ONLY_SELECT)
    for token, after in pairwise(tokenize(sql, read="duckdb")):
        name = token.text.lower()
        why = read_functions().get(name, "")
        if after.token_type == TokenType.L_PAREN and why:
            raise ModelError(f"{source}:{token.line}: {name}() {why}", hint=TABLE_FIRST)
