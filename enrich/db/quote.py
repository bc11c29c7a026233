"""Names and values, as DuckDB reads them: the one way either enters a generated statement."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def name(*parts: str) -> str:
    """An identifier, always quoted.

    >>> print(name("main", 'say "hi" now'))
    "main"."say ""hi"" now"
    """
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def readable(*parts: str) -> str:
    """An identifier for people to type, quoted where DuckDB needs it.

    >>> print(readable("main", "movies"), readable("cast"), readable("my id"))
    main.movies "cast" "my id"
    """
    return ".".join(
        part if PLAIN.fullmatch(part) and part.lower() not in _keywords() else name(part)
        for part in parts
    )


@cache
def _keywords() -> frozenset[str]:
    """The words that DuckDB does not take for a name everywhere."""
    import duckdb

    query = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category != 'unreserved'"
    with duckdb.connect(":memory:") as connection:
        return frozenset(str(word) for (word,) in connection.execute(query).fetchall())


def table(words: str) -> str:
    """A table as somebody names it, perhaps with its schema and database, always quoted.

    >>> print(table('shop.main."odd.name"'))
    "shop"."main"."odd.name"
    """
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        parts = exp.to_table(words, dialect="duckdb").parts
    except SqlglotError:
        return name(words)
    return name(*(part.name for part in parts))


def text(value: str) -> str:
    """A string literal.

    >>> text("it's")
    "'it''s'"
    """
    return "'" + value.replace("'", "''") + "'"


def texts(values: Iterable[str]) -> str:
    """A list of string literals, to stand in brackets.

    >>> texts(["a", "b"])
    "'a', 'b'"
    """
    return ", ".join(text(value) for value in values)


def struct(fields: Mapping[str, str]) -> str:
    """A struct whose values are SQL expressions.

    >>> struct({"id": "inputs.id"})
    "{'id': inputs.id}"
    """
    return "{" + ", ".join(f"{text(key)}: {value}" for key, value in fields.items()) + "}"


def path(*steps: str) -> str:
    """A JSON path of object keys, as a literal; `[*]` stands for every item of a list.

    >>> print(path("odd name", "[*]", "n"))
    '$."odd name"[*]."n"'
    """
    parts = ("[*]" if step == "[*]" else f'."{_escaped(step)}"' for step in steps)
    return text("$" + "".join(parts))


def _escaped(step: str) -> str:
    return step.replace("\\", "\\\\").replace('"', '\\"')


def written(sql: str) -> str:
    """What the user wrote, in brackets of its own; a trailing comment cannot swallow what follows.

    >>> written("a + b")
    '(a + b)'
    >>> written("a -- why")
    '(a -- why\\n)'
    """
    return f"({sql}\n)" if "--" in sql else f"({sql})"
