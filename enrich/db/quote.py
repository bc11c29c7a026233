"""Quoting: the only way for names and values to enter a generated statement."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def quote_name(*parts: str) -> str:
    """Returns an identifier, always quoted.

    >>> print(quote_name("main", 'say "hi" now'))
    "main"."say ""hi"" now"
    """
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def quote_readably(*parts: str) -> str:
    """Returns an identifier for people to type, quoted only where DuckDB needs it.

    >>> print(*map(quote_readably, ("movies", "cast", "my id")))
    movies "cast" "my id"
    """
    return ".".join(
        part
        if PLAIN_NAME.fullmatch(part) and part.lower() not in _list_keywords()
        else quote_name(part)
        for part in parts
    )


@cache
def _list_keywords() -> frozenset[str]:
    """Returns the words that DuckDB does not accept as a name everywhere."""
    import duckdb

    # Asked of DuckDB itself, for the list differs between its versions.
    query = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category != 'unreserved'"
    with duckdb.connect(":memory:") as connection:
        return frozenset(str(word) for (word,) in connection.execute(query).fetchall())


def quote_table(words: str) -> str:
    """Returns a table's name as a user wrote it, perhaps with schema and database, always quoted.

    >>> print(quote_table('shop.main."odd.name"'))
    "shop"."main"."odd.name"
    """
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        parts = exp.to_table(words, dialect="duckdb").parts
    except SqlglotError:
        return quote_name(words)
    return quote_name(*(part.name for part in parts))


def quote_text(value: str) -> str:
    """Returns a string literal.

    >>> quote_text("it's")
    "'it''s'"
    """
    return "'" + value.replace("'", "''") + "'"


def render_attach(path: str, name: str, option: str = "") -> str:
    """Returns the statement that attaches a database, which may be read in messages if its path
    may.

    >>> render_attach("shop.duckdb", "shop", "READ_ONLY")
    "ATTACH 'shop.duckdb' AS \"shop\" (READ_ONLY)"
    """
    # A literal, for DuckDB 1.5 takes no bound value here.
    return f"ATTACH {quote_text(path)} AS {quote_name(name)}{f' ({option})' if option else ''}"


def quote_texts(values: Iterable[str]) -> str:
    """Returns string literals with commas between them, to be put in brackets.

    >>> quote_texts(["a", "b"])
    "'a', 'b'"
    """
    return ", ".join(quote_text(value) for value in values)


def render_struct(fields: Mapping[str, str]) -> str:
    """Returns a struct whose values are SQL expressions.

    >>> render_struct({"id": "inputs.id"})
    "{'id': inputs.id}"
    """
    return "{" + ", ".join(f"{quote_text(key)}: {value}" for key, value in fields.items()) + "}"


def quote_path(*steps: str) -> str:
    """Returns a JSON path of object keys as a literal; `[*]` is every item of a list.

    >>> print(quote_path("odd name", "[*]", "n"))
    '$."odd name"[*]."n"'
    """
    parts = ("[*]" if step == "[*]" else f'."{_escape_step(step)}"' for step in steps)
    return quote_text("$" + "".join(parts))


def _escape_step(step: str) -> str:
    return step.replace("\\", "\\\\").replace('"', '\\"')


def wrap_expression(sql: str) -> str:
    """Returns a user's expression in parentheses, safe from a comment at its end.

    >>> wrap_expression("a + b")
    '(a + b)'
    >>> wrap_expression("a -- why")
    '(a -- why\\n)'
    """
    return f"({sql}\n)" if "--" in sql else f"({sql})"
