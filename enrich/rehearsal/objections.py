"""Objections: why OpenAI would refuse a request's body outright, with a 400.

The rules for schemas are those of OpenAI's structured outputs guide: the root is an object, every
object lists all its properties as required and allows no others, and some keywords are unknown.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.replies import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
UNKNOWN = ("allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "default")
NESTING = 10
KINDS: dict[str, type] = {
    "properties": dict,
    "$defs": dict,
    "required": list,
    "enum": list,
    "anyOf": list,
    "oneOf": list,
    "$ref": str,
}
NUMERIC = (
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
)


def object_to(body: Mapping[str, Any], endpoint: str) -> None:
    """Raise ApiError when OpenAI would refuse this body at this endpoint."""
    content = "messages" if endpoint == CHAT else "input"
    if not body.get(content):
        raise ApiError(
            400,
            f"Missing required parameter: '{content}'.",
            code="missing_required_parameter",
            param=content,
        )
    asked, param = _format(body, endpoint)
    if asked.get("type") == "json_object" and "json" not in json.dumps(body[content]).lower():
        message = f"'{content}' must contain the word 'json' in some form, to use '{param}' "
        raise ApiError(400, message + "of type 'json_object'.", param=content)
    if asked.get("type") == "json_schema":
        nested = asked.get("json_schema") if endpoint == CHAT else asked
        _object_to_schema(nested if isinstance(nested, dict) else {}, param)


def _format(body: Mapping[str, Any], endpoint: str) -> tuple[dict[str, Any], str]:
    """What the body asks of the answer's form, and the name of that parameter."""
    if endpoint == CHAT:
        asked, param = body.get("response_format"), "response_format"
    else:
        text = body.get("text")
        asked, param = (text.get("format") if isinstance(text, dict) else None), "text.format"
    return asked if isinstance(asked, dict) else {}, param


def _object_to_schema(named: Mapping[str, Any], param: str) -> None:
    name = named.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        message = f"Invalid '{param}.name': expected 1 to 64 of the characters a-z, A-Z, 0-9, _, -."
        raise ApiError(400, message, code="invalid_value", param=f"{param}.name")
    schema = named.get("schema")
    if schema is None:
        return
    problem = flaw(json.dumps(schema), strict=bool(named.get("strict")))
    if problem:
        message = f"Invalid schema for {param} '{name}': {problem}"
        raise ApiError(400, message, code="invalid_json_schema", param=param)


@lru_cache(maxsize=256)
def flaw(schema: str, *, strict: bool) -> str:
    """The first thing structured outputs do not take in a schema, given as JSON; or "".

    >>> flaw('{"type": "object", "properties": {"a": {}}}', strict=False)
    ''
    >>> flaw('{"type": "object", "properties": {"a": {}}}', strict=True)
    "In context=(), 'additionalProperties' is required to be supplied and to be false."
    """
    root = json.loads(schema)
    if not isinstance(root, dict) or root.get("type") != "object":
        return "schema must be a JSON Schema of 'type: \"object\"'."
    return next(_flaws(root, (), 1, strict=strict), "")


def _flaws(schema: object, path: tuple[str, ...], depth: int, *, strict: bool) -> Iterator[str]:
    where = f"In context=({', '.join(map(repr, path))}), "
    if not isinstance(schema, dict) or not _well_formed(schema):
        yield where + "this is not a JSON Schema."
        return
    if strict:
        yield from (where + problem for problem in _strict_flaws(schema, depth))
    for word in ("properties", "$defs"):
        level = depth + 1 if word == "properties" else 1
        for name, inner in schema.get(word, {}).items():
            yield from _flaws(inner, (*path, word, name), level, strict=strict)
    if "items" in schema:
        yield from _flaws(schema["items"], (*path, "items"), depth, strict=strict)
    for word in ("anyOf", "oneOf"):
        for number, branch in enumerate(schema.get(word, [])):
            yield from _flaws(branch, (*path, word, str(number)), depth, strict=strict)


def _well_formed(schema: Mapping[str, Any]) -> bool:
    return all(isinstance(schema.get(word, kind()), kind) for word, kind in KINDS.items()) and all(
        isinstance(schema.get(word, 0), int | float) for word in NUMERIC
    )


def _strict_flaws(schema: Mapping[str, Any], depth: int) -> Iterator[str]:
    if depth > NESTING:
        yield f"schema exceeds {NESTING} levels of nesting."
    for word in UNKNOWN:
        if word in schema:
            yield f"'{word}' is not permitted."
    properties = schema.get("properties", {})
    if schema.get("type") != "object" and not properties:
        return
    if schema.get("additionalProperties") is not False:
        yield "'additionalProperties' is required to be supplied and to be false."
    for name in properties:
        if name not in schema.get("required", []):
            yield (
                "'required' is required to be supplied and to be an array including every key "
                f"in properties. Missing '{name}'."
            )
