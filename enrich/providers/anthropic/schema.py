"""Schemas: the part of JSON Schema that Anthropic's structured outputs accept.

What they do not accept, such as bounds of numbers, is said in the description instead, as the SDK's
own helper does (`transform_schema` in 2.14). enrich checks each answer itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT = ("$ref", "title", "required")
NESTED = ("anyOf", "allOf")
LITERALS = ("enum", "const")
NAMED = ("$defs", "definitions", "properties")
FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)


def simplify_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a schema whose other keywords are in its description.

    >>> simplify_schema({"type": "integer", "minimum": 1, "description": "stars"})
    {'type': 'integer', 'description': 'stars (minimum: 1)'}
    """
    made: dict[str, Any] = {}
    told: list[str] = []
    for key, value in schema.items():
        if key == "description":
            continue
        kept = _keep(key, value, schema)
        if kept is None:
            told.append(f"{key}: {value}")
        else:
            made |= kept
    if "properties" in schema:
        made["additionalProperties"] = False
    words = str(schema.get("description") or "")
    if told:
        words = f"{words} ({', '.join(told)})".strip()
    return made | ({"description": words} if words else {})


def _keep(key: str, value: Any, schema: Mapping[str, Any]) -> dict[str, Any] | None:  # noqa: ANN401
    """Returns what becomes of a keyword; None if it can only be told in words."""
    if key in KEPT or key in LITERALS:
        return {key: value}
    if key == "type":  # what is listed needs no type, and may have several
        return {} if any(word in schema for word in LITERALS) else {key: value}
    if key in NESTED and isinstance(value, list):
        return {key: [simplify_schema(each) for each in value]}
    if key == "oneOf" and isinstance(value, list):
        return {"anyOf": [simplify_schema(each) for each in value]}
    if key in NAMED and isinstance(value, dict):
        return {key: {name: simplify_schema(each) for name, each in value.items()}}
    if key == "items" and isinstance(value, dict):
        return {key: simplify_schema(value)}
    if key == "additionalProperties" and value is False:
        return {key: False}
    is_known = (key == "format" and value in FORMATS) or (key == "minItems" and value in (0, 1))
    return {key: value} if is_known else None
