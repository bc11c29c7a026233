"""Families of output types: one entry for each says all that differs between them.

Values are JSON (RFC 8259); dates and times are ISO 8601 as RFC 3339 profiles it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal[
    "text",
    "integer",
    "number",
    "boolean",
    "date",
    "time",
    "timestamp",
    "uuid",
    "json",
    "enum",
    "list",
    "map",
    "struct",
]

DAY = r"\d{4}-\d{2}-\d{2}"
HOUR = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?"
WHOLE = ("UBIGINT", "BIGINT", "HUGEINT", "UHUGEINT")
"""DuckDB's names for whole numbers in JSON."""


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a family is.

    `schema`, `format` and `told`, a pattern, are for JSON Schema; `kinds` are DuckDB's names of the
    JSON values that may stand for it, and `expected` is the same in words; `tokens` are those that
    a value takes by rule of thumb; its text must match `pattern` as a whole; `wire` is the type it
    is read as before it is converted, where that is not its own.
    """

    schema: str
    kinds: tuple[str, ...]
    expected: str
    tokens: float = 0
    format: str = ""
    told: str = ""
    pattern: str = ""
    wire: str = ""


FAMILIES: dict[Family, Traits] = {
    "text": Traits(schema="string", kinds=("VARCHAR",), expected="text", tokens=30),
    "integer": Traits(schema="integer", kinds=WHOLE, expected="a whole number", tokens=3),
    "number": Traits(schema="number", kinds=(*WHOLE, "DOUBLE"), expected="a number", tokens=4),
    "boolean": Traits(schema="boolean", kinds=("BOOLEAN",), expected="true or false", tokens=2),
    "date": Traits(
        schema="string",
        format="date",
        kinds=("VARCHAR",),
        expected="a date",
        tokens=7,
        pattern=DAY,
        wire="VARCHAR",
    ),
    "time": Traits(
        schema="string",
        # RFC 3339's time, which the format means, must have an offset; a TIME has none.
        told="^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$",
        kinds=("VARCHAR",),
        expected="a time",
        tokens=6,
        pattern=rf"{HOUR}(Z|[+-]00:00)?",
        wire="VARCHAR",
    ),
    "timestamp": Traits(
        schema="string",
        format="date-time",
        kinds=("VARCHAR",),
        expected="a timestamp",
        tokens=14,
        pattern=rf"{DAY}([T ]{HOUR}( ?(Z|[+-]\d{{2}}(:?\d{{2}})?))?)?",
        wire="VARCHAR",
    ),
    "uuid": Traits(
        schema="string",
        format="uuid",
        kinds=("VARCHAR",),
        expected="a UUID",
        tokens=20,
        pattern=r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
        wire="VARCHAR",
    ),
    "json": Traits(
        schema="string",
        kinds=(*WHOLE, "DOUBLE", "VARCHAR", "BOOLEAN", "ARRAY", "OBJECT"),
        expected="JSON",
        tokens=40,
        wire="JSON",
    ),
    "enum": Traits(schema="string", kinds=("VARCHAR",), expected="a label", tokens=4),
    "list": Traits(schema="array", kinds=("ARRAY",), expected="a list"),
    "map": Traits(
        schema="array",
        kinds=("ARRAY", "OBJECT"),
        expected="a list of keys and values",
        wire="JSON",
    ),
    "struct": Traits(schema="object", kinds=("OBJECT",), expected="an object"),
}
