"""Exactness: `to_json` rounds the numbers in a JSON value, so what becomes JSON holds it as
text."""

from __future__ import annotations

import re

JSON_PART = re.compile(r"""("(?:[^"]|"")*"|'(?:[^']|'')*')|\bJSON(?=$|[\[,)])""")
"""JSON in the name of a type, or what is quoted there and may hold the same word."""


def render_exact(expression: str, kind: str) -> str:
    """SQL for a value of the type `kind` in which all JSON, at any depth, is text.

    >>> render_exact("x", 'STRUCT("a JSON" JSON[])')
    'CAST(x AS STRUCT("a JSON" VARCHAR[]))'
    >>> render_exact("x", "BIGINT")
    'x'
    """
    exact = JSON_PART.sub(lambda found: found[1] or "VARCHAR", kind)
    return expression if exact == kind else f"CAST({expression} AS {exact})"
