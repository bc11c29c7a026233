"""Names and values, as DuckDB reads them: the one way either enters a generated statement."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def quote_name(*parts: str) -> str:
    """An identifier, always quoted.

    >>> print(name("main", 'say "hi" now'))
    "main"."say ""hi"" now"
    """
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def quote_readably(*parts: str) -> str:
    """An identifier for people to type, quoted where DuckDB needs it.

    >>> print(readable("main", "movies"), readable("cast"), readable("my id"))
    main.movies "cast" "my id"
    """
    return ".".join(
        part
        if PLAIN_NAME.fullmatch(part) and part.lower() not in _list_keywords()
        else quote_name(part)
        for part in parts
    )


@cache
def _list_keywords() -> frozenset[str]:
    """The words that DuckDB does not take for a name everywhere."""
    import duckdb

    query = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category != 'unreserved'"
    with duckdb.connect(":memory:") as connection:
        return frozenset(str(word) for (word,) in connection.execute(query).fetchall())


def quote_table(words: str) -> str:
    """A table as somebody names it, perhaps with its schema and database, always quoted.

    >>> print(table('shop.main."odd.name"'))
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
    """A string literal.

    >>> text("it's")
    "'it''s'"
    """
    return "'" + value.replace("'", "''") + "'"


def quote_texts(values: Iterable[str]) -> str:
    """A list of string literals, to stand in brackets.

    >>> texts(["a", "b"])
    "'a', 'b'"
    """
    return ", ".join(quote_text(value) for value in values)


def render_struct(fields: Mapping[str, str]) -> str:
    """A struct whose values are SQL expressions.

    >>> struct({"id": "inputs.id"})
    "{'id': inputs.id}"
    """
    return "{" + ", ".join(f"{quote_text(key)}: {value}" for key, value in fields.items()) + "}"


def quote_path(*steps: str) -> str:
    """A JSON path of object keys, as a literal; `[*]` stands for every item of a list.

    >>> print(path("odd name", "[*]", "n"))
    '$."odd name"[*]."n"'
    """
    parts = ("[*]" if step == "[*]" else f'."{_escape_step(step)}"' for step in steps)
    return quote_text("$" + "".join(parts))


def _escape_step(step: str) -> str:
    return step.replace("\\", "\\\\").replace('"', '\\"')


def wrap_expression(sql: str) -> str:
    """What the user wrote, in brackets of its own; a trailing comment cannot swallow what follows.

    >>> written("a + b")
    '(a + b)'
    >>> written("a -- why")
    '(a -- why\\n)'
    """
    return f"({sql}\n)" if "--" in sql else f"({sql})"
