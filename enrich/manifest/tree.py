"""Trees: SQL as DuckDB itself parses it, without binding, opening or running anything.

DuckDB decides what one SELECT is, which tables it names, and what it calls. Another parser may read
the same text differently, but DuckDB is what executes it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from enrich.errors import ModelError
from enrich.manifest.dialect import is_older, join_pivot, modernize_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

SELECT_HINT = "a model is one SELECT, as DuckDB reads it"
READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
"""The nodes of queries that only read."""
# Other nodes can be inside a SELECT: since version 2, DuckDB accepts INSERT in a WITH clause.
MOMENT_FUNCTIONS = frozenset(
    {
        "current_date",
        "current_localtime",
        "current_localtimestamp",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
    }
)
"""Functions that SQL calls without brackets, so DuckDB's tree shows them as columns. All of them
return the time."""

UNSTABLE_FUNCTIONS = MOMENT_FUNCTIONS | {
    "current_connection_id",
    "current_query",
    "current_query_id",
    "current_transaction_id",
    "currval",
    "gen_random_uuid",
    "get_current_time",
    "get_current_timestamp",
    "nextval",
    "now",
    "random",
    "setseed",
    "today",
    "transaction_timestamp",
    "txid_current",
    "uuid",
    "uuidv4",
    "uuidv7",
}
"""Functions that may return something else in each run, or on another day."""
# DuckDB's own word does not help: `duckdb_functions()` calls `now` CONSISTENT_WITHIN_QUERY, but
# also `year` and `+`, whose results change with nothing but the time zone.
PREFIXED_NUMBER = re.compile(rb"0[xXbBoO][0-9A-Fa-f_]+")
"""A number in another base, as other languages write it."""

JINJA_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
"""The template language that models of dbt contain besides SQL."""

QUERY_PARTS = (
    "where_clause",
    "group_expressions",
    "having",
    "qualify",
    "sample",
    "named_parameters",
)
"""Parts of a SELECT that an expression cannot have."""

SEARCH_MACRO = ["enrich", "nearest"]
"""The macro in every warehouse that is told by a text which table to read."""
TablePath = tuple[str, ...]


@dataclass(kw_only=True)
class Tree:
    """What a SELECT names.

    `tables` are paths of names in lower case, except for the queries of its own WITH clauses.
    `calls` are functions in lower case with the line of the first call, counted from 1. `writes` is
    the kind of a query inside it that does more than read, "" if there is none. `clauses` are those
    that may return other rows in each run.
    """

    sql: str
    tables: set[TablePath] = field(default_factory=set)
    calls: dict[str, int] = field(default_factory=dict)
    writes: str = ""
    clauses: set[str] = field(default_factory=set)

    @property
    def unstable(self) -> tuple[str, ...]:
        """What may return something else in each run, in words."""
        called = (f"{name}()" for name in sorted(self.calls.keys() & UNSTABLE_FUNCTIONS))
        return (*called, *sorted(self.clauses))

    def find_line(self, place: int) -> int:
        """Returns the line of a location, which DuckDB counts in bytes."""
        return self.sql.encode()[:place].count(b"\n") + 1


def extract_select(sql: str, *, source: str) -> str:
    """Returns the only SELECT in `sql`, without a closing semicolon. Raises ModelError if there is
    anything else in it."""
    import duckdb

    try:
        found = join_pivot(_open_parser().cursor().extract_statements(sql))
    except duckdb.Error as problem:
        raise _translate_error(problem, sql, source) from problem
    if len(found) != 1:
        many = "it is empty" if not found else f"it contains {len(found)} statements"
        raise ModelError(f"{source}: {many}", hint=SELECT_HINT)
    kind = _name_kind(found[0])
    # MULTI is a PIVOT whose columns are not listed: DuckDB first runs a query to find these.
    if kind not in ("SELECT", "MULTI"):
        raise ModelError(f"{source}: it is not a SELECT but {kind}", hint=SELECT_HINT)
    if list(found[0].named_parameters):
        name = sorted(found[0].named_parameters)[0]
        hint = "write the value, or use a variable from project.yml: $name"
        raise ModelError(f"{source}: it has a parameter without a value, '{name}'", hint=hint)
    _check_numbers(sql, source)
    return _strip_semicolons(sql)


def _name_kind(statement: duckdb.Statement) -> str:
    """Returns the kind of a statement."""
    # The enum of DuckDB's Python client (2.0.1) lacks some kinds, and raises ValueError for them.
    try:
        return str(statement.type.name)
    except ValueError:
        return "another statement"


def _check_numbers(sql: str, source: str) -> None:
    """Raises ModelError for numbers such as 0x1F, which DuckDB reads as 0 with the alias x1F."""
    import duckdb

    # The tokens show it: the number ends after the 0, and x1F is the next token.

    raw, tokens = sql.encode(), duckdb.tokenize(sql)
    for (place, kind), (after, _) in pairwise(tokens):
        digits = PREFIXED_NUMBER.match(raw[place:])
        if kind == duckdb.token_type.numeric_const and after == place + 1 and digits:
            word = digits[0].decode()
            line = raw[:place].count(b"\n") + 1
            hint = f"write it in decimal, or as '{word}'::BIGINT"
            message = f"{source}:{line}: DuckDB reads {word} as 0 with the alias {word[1:]}"
            raise ModelError(message, hint=hint)


def parse_tree(sql: str) -> Tree | None:
    """Returns the tree of one SELECT; None if DuckDB has none, as for a PIVOT whose columns are not
    listed. Raises RecursionError if it is nested too deeply."""
    statements = parse_statements(sql)
    return None if statements is None else _walk_statements(sql, statements)


def parse_statements(sql: str) -> list[Any] | None:
    """Returns the statements of `sql` as DuckDB serializes them to JSON; None if it does not."""
    query = "SELECT json_serialize_sql($sql, skip_null := true, skip_empty := true)"
    row = _open_parser().cursor().execute(query, {"sql": sql}).fetchone()
    text = str(row[0]) if row else '{"error": true}'
    found: dict[str, Any] = json.loads(text)
    if found.get("error"):
        return None
    if is_older(text):
        modernize_tree(found, sql)
    return list(found["statements"])


def parse_expression(sql: str) -> Tree | None:
    """Returns the tree of one scalar expression, whose lines are counted from 1; None for anything
    else."""
    whole = f"SELECT (\n{sql}\n)"
    statements = parse_statements(whole)
    # Also without the brackets: `1), (2` parses only inside them, and would close them.
    if statements is None or len(statements) != 1 or parse_statements(f"SELECT\n{sql}\n") is None:
        return None
    node = statements[0].get("node", {})
    alone = len(node.get("select_list", [])) == 1 and not node.get("modifiers")
    empty = node.get("from_table", {}).get("type") == "EMPTY"
    if not alone or not empty or any(node.get(part) for part in QUERY_PARTS):
        return None
    found = _walk_statements(whole, statements)
    found.calls = {name: line - 1 for name, line in found.calls.items()}
    return found


def evaluate_constant(sql: str) -> Any:  # noqa: ANN401  # any SQL value
    """Returns the value of an expression that needs no column, table or file; None for others."""
    import duckdb

    try:
        row = _open_parser().cursor().execute(f"SELECT (\n{sql}\n)").fetchone()
    except duckdb.Error:
        return None
    return row[0] if row else None


def _walk_statements(sql: str, statements: list[Any]) -> Tree:
    """Returns what the statements of `sql` name."""
    tree = Tree(sql=sql)
    for each in statements:
        _walk(each, tree, frozenset())
    return tree


def _walk(node: Any, tree: Tree, known: frozenset[str]) -> None:  # noqa: ANN401  # JSON
    """Adds what a node names to `tree`; `known` are the queries of WITH clauses around it."""
    if isinstance(node, list):
        for item in node:
            _walk(item, tree, known)
        return
    if not isinstance(node, dict):
        return
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in READING_NODES and "cte_map" in node:
        tree.writes = tree.writes or kind.removesuffix("_NODE").removesuffix("_QUERY")
    _note_names(node, kind, tree, known)
    for name, query in _list_queries(node):
        _walk(query, tree, known)
        known = known | {name}
    itself = {str(node.get("cte_name", "")).lower()} if kind == "RECURSIVE_CTE_NODE" else set()
    for key, value in node.items():
        # `left` is the first step of a recursive query, which does not see the query's own name: a
        # table of that name is what it reads.
        if key not in ("cte_map", "qualified_name"):
            _walk(value, tree, known if key == "left" else known | itself)


def _list_queries(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the queries of a node's WITH clause in order, with their names in lower case."""
    for each in (node.get("cte_map") or {}).get("map") or []:
        yield str(each["key"]).lower(), each["value"]


def _note_names(node: Mapping[str, Any], kind: str, tree: Tree, known: frozenset[str]) -> None:
    """Adds what this node alone names to `tree`."""
    if kind == "BASE_TABLE":
        path = tuple(
            str(node[part]).lower()
            for part in ("catalog_name", "schema_name", "table_name")
            if node.get(part)
        )
        # A recursive query with USING KEY reads its own earlier rows as `recurring.NAME`.
        if path[:1] != ("recurring",) and (len(path) > 1 or path[0] not in known):
            tree.tables.add(path)
    if read := _find_searched_table(node):
        tree.tables.add(read)
    elif node.get("function_name") and not node.get("is_operator"):
        name = str(node["function_name"]).lower()
        tree.calls.setdefault(name, tree.find_line(int(node.get("query_location") or 0)))
    names = node.get("column_names") or []
    if kind == "COLUMN_REF" and len(names) == 1 and str(names[0]).lower() in MOMENT_FUNCTIONS:
        tree.calls.setdefault(
            str(names[0]).lower(), tree.find_line(int(node.get("query_location") or 0))
        )
    sample = node.get("sample")
    if sample and not sample.get("repeatable"):
        tree.clauses.add("SAMPLE without REPEATABLE")
    # Without an order, DuckDB's threads decide which rows come first.
    modifiers = {each.get("type") for each in node.get("modifiers") or []}
    if "LIMIT_MODIFIER" in modifiers and "ORDER_MODIFIER" not in modifiers:
        tree.clauses.add("LIMIT without ORDER BY")
    distinct = [each for each in node.get("modifiers") or [] if each.get("distinct_on_targets")]
    if distinct and "ORDER_MODIFIER" not in modifiers:
        tree.clauses.add("DISTINCT ON without ORDER BY")
    if kind in ("WINDOW_ROW_NUMBER", "ROW_NUMBER") and not node.get("orders"):
        tree.clauses.add("row_number() without ORDER BY")


def _find_searched_table(call: Mapping[str, Any]) -> TablePath:
    """Returns the table that a call of enrich's own macro `enrich.nearest` searches; () for any
    other call, and for a table that is not named by a text."""
    path = (call.get("qualified_name") or {}).get("path") or []
    if [str(part).lower() for part in path[-2:]] != SEARCH_MACRO:
        return ()
    first = call["arguments"][0]["expression"] if call.get("arguments") else {}
    literal = first.get("literal") or {}
    return tuple(literal["text"].lower().split(".")) if literal.get("kind") == "STRING" else ()


def _strip_semicolons(sql: str) -> str:
    """Returns SQL without the semicolons at its end, and without whatever follows them."""
    import duckdb

    raw = sql.encode()
    tokens = [place for place, kind in duckdb.tokenize(sql) if kind != duckdb.token_type.comment]
    end = len(raw)
    while tokens and raw[tokens[-1] : tokens[-1] + 1] == b";":
        end = tokens.pop()
    return raw[:end].decode().rstrip()


def _translate_error(problem: Exception, sql: str, source: str) -> ModelError:
    """Returns the error for SQL that DuckDB cannot parse, with the line that it points at."""
    said, _, rest = str(problem).partition("\n")
    jinja = JINJA_TAG.search(sql)
    if jinja is not None:
        where = f"{source}:{sql.count(chr(10), 0, jinja.start()) + 1}"
        hint = "name the table itself, as in FROM movies; settings go into comments at the top"
        raise ModelError(f"{where}: {jinja[0]} is Jinja, which enrich does not read", hint=hint)
    line = rest.strip().removeprefix("LINE ").partition(":")[0]
    where = f"{source}:{line}" if line.isdigit() else source
    said = said.removeprefix("Parser Error: ").rstrip("!.")
    return ModelError(f"{where}: the SELECT cannot be parsed: {said}", hint=SELECT_HINT)


@cache
def _open_parser() -> duckdb.DuckDBPyConnection:
    """Returns a connection to a DuckDB that only parses, and cannot open any file."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {"threads": 1}
    settings["enable_external_access"] = False
    return duckdb.connect(":memory:", config=settings)


@cache
def list_builtins() -> frozenset[str]:
    """Returns the names of DuckDB's own functions, in lower case."""
    query = "SELECT DISTINCT lower(function_name) FROM duckdb_functions()"
    return frozenset(str(name) for (name,) in _open_parser().cursor().execute(query).fetchall())
