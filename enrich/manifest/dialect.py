"""Dialect: trees of DuckDB 1.5 in the form in which DuckDB 2 gives them.

DuckDB 1.5 says where a node starts but not how long it is, and shows the arguments, the names and
the texts of a call in fields of their own. All other code knows DuckDB 2 alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

LENGTH = "query_location_length"
QUOTED = re.compile(rb"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
UNQUOTED = re.compile(rb"(?:(?!--|/\*|\s).)+", re.DOTALL)
BRACKETS = {b"(": b")", b"[": b"]"}


def join_pivot(statements: Sequence[duckdb.Statement]) -> Sequence[duckdb.Statement]:
    """Returns statements, of which those that DuckDB 1.5 makes of one PIVOT count as its SELECT.

    A PIVOT whose columns are not listed becomes a CREATE TYPE and a SELECT, both without a text.
    """
    queries = (
        [each for each in statements if each.type.name == "SELECT"] if len(statements) > 1 else []
    )
    whole = not any(each.query for each in statements)
    return queries if len(queries) == 1 and whole else statements


def is_older(text: str) -> bool:
    """Whether a tree as JSON is one of DuckDB 1.5."""
    return f'"{LENGTH}"' not in text


def modernize_tree(node: Any, sql: str) -> None:  # noqa: ANN401  # JSON
    """Change a tree of DuckDB 1.5 into that of DuckDB 2, as far as anybody reads it."""
    _modernize(node, _Tokens(sql))


def _modernize(node: Any, tokens: _Tokens) -> None:  # noqa: ANN401  # JSON
    if isinstance(node, list):
        for item in node:
            _modernize(item, tokens)
        return
    if not isinstance(node, dict):
        return
    for item in list(node.values()):
        _modernize(item, tokens)
    start = node.get("query_location", tokens.end)
    if start < tokens.end:
        start, end = tokens.find_span(start, is_list=node.get("function_name") == "list_value")
        node |= {"query_location": start, LENGTH: end - start}
    if node.get("class") == "FUNCTION":
        path = [node.get(part) for part in ("catalog", "schema", "function_name")]
        node["qualified_name"] = {"path": [part for part in path if part]}
        node["arguments"] = [{"expression": child} for child in node.pop("children", [])]
    if "seed" in node and "sample_size" in node:
        node["repeatable"] = node["seed"] >= 0
    value = node.get("value")
    if node.get("class") == "CONSTANT" and isinstance(value, dict):
        is_text = (value.get("type") or {}).get("id") == "VARCHAR"
        node["literal"] = {"kind": "STRING" if is_text else "OTHER", "text": value.get("value")}


class _Tokens:
    """Where the tokens of a statement start and end, in bytes."""

    def __init__(self, sql: str) -> None:
        import duckdb

        self.raw = sql.encode()
        self.end = len(self.raw)
        # DuckDB 1.5 lists no comments among them.
        self.starts = [start for start, _ in duckdb.tokenize(sql)]

    def find_span(self, start: int, *, is_list: bool) -> tuple[int, int]:
        """Returns where what starts at `start` does so, and where it ends. A list starts at its
        bracket, for which DuckDB 1.5 gives the place of the first item."""
        first = max(0, bisect_right(self.starts, start) - 1)
        if is_list and first and self._read(first - 1) == b"[":
            start, first = self.starts[first - 1], first - 1
        if self._read(first) == b"::":  # a type follows, perhaps with brackets of its own
            return start, self.find_span(self.starts[first + 1], is_list=False)[1]
        opening = first if self._read(first) in BRACKETS else first + 1
        if opening < len(self.starts) and self._read(opening) in BRACKETS:
            return start, self._find_closing(opening)
        return start, self.starts[first] + len(self._read(first))

    def _find_closing(self, opening: int) -> int:
        """Returns where the bracket that closes this one ends."""
        depth = 0
        for number in range(opening, len(self.starts)):
            word = self._read(number)
            depth += (word in BRACKETS) - (word in BRACKETS.values())
            if not depth:
                return self.starts[number] + len(word)
        return self.end

    def _read(self, number: int) -> bytes:
        """Returns a token, without the white space and the comments that follow it."""
        following = self.starts[number + 1 : number + 2] or [self.end]
        text = self.raw[self.starts[number] : following[0]]
        written = QUOTED.match(text) or UNQUOTED.match(text)
        return written[0] if written else text.rstrip()
