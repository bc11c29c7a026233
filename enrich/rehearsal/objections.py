"""Objections: why OpenAI would refuse a request's body outright, with a 400.

The rules for schemas are those of OpenAI's guide to structured outputs: the root is an object,
every object lists all its properties as required and allows no others, and some keywords are not
supported.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.replies import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHAT_PATH = "/v1/chat/completions"
RESPONSES_PATH = "/v1/responses"
FORMAT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
REFUSED_KEYWORDS = (
    "allOf",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "then",
    "else",
    "default",
)
MAX_SCHEMA_LEVELS = 10
KEYWORD_TYPES: dict[str, type] = {
    "properties": dict,
    "$defs": dict,
    "required": list,
    "enum": list,
    "anyOf": list,
    "oneOf": list,
    "$ref": str,
}
NUMERIC_KEYWORDS = (
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
    """Raise ApiError if OpenAI would refuse this body at this endpoint."""
    content = "messages" if endpoint == CHAT_PATH else "input"
    if not body.get(content):
        raise ApiError(
            400,
            f"Missing required parameter: '{content}'.",
            code="missing_required_parameter",
            param=content,
        )
    asked, param = _find_format(body, endpoint)
    # Without the word, an llm may write whitespace without end, so OpenAI insists on it.
    if asked.get("type") == "json_object" and "json" not in json.dumps(body[content]).lower():
        message = f"'{content}' must contain the word 'json' in some form, to use '{param}' "
        raise ApiError(400, message + "of type 'json_object'.", param=content)
    if asked.get("type") == "json_schema":
        nested = asked.get("json_schema") if endpoint == CHAT_PATH else asked
        _object_to_schema(nested if isinstance(nested, dict) else {}, param)


RENAMED_PARTS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
VALUED_PARTS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "n")
"""Parameters of which a reasoning llm takes the default value only."""
UNKNOWN_PARTS = ("reasoning_effort", "service_tier", "seed")


def refuse_parts(body: Mapping[str, Any], refused: tuple[str, ...]) -> None:
    """Raise ApiError, in OpenAI's words, for the first part of a body that an llm refuses."""
    form = body.get("response_format")
    for part in refused:
        if part == "image" and '"image_url"' in json.dumps(body.get("messages")):
            message = "Invalid content type. image_url is only supported by certain models."
            raise ApiError(400, message, param="messages.[0].content.[1].type")
        if isinstance(form, dict) and form.get("type") == part:
            message = f"Invalid parameter: 'response_format' of type '{part}' is not supported with"
            raise ApiError(400, f"{message} this model.", param="response_format")
        if part not in body:
            continue
        if part in UNKNOWN_PARTS:
            raise ApiError(400, f"Unrecognized request argument supplied: {part}")
        if part in VALUED_PARTS:
            message = f"Unsupported value: '{part}' does not support {body[part]} with this model."
            message += " Only the default (1) value is supported."
            raise ApiError(400, message, code="unsupported_value", param=part)
        message = f"Unsupported parameter: '{part}' is not supported with this model."
        if part in RENAMED_PARTS:
            message += f" Use '{RENAMED_PARTS[part]}' instead."
        raise ApiError(400, message, code="unsupported_parameter", param=part)


def _find_format(body: Mapping[str, Any], endpoint: str) -> tuple[dict[str, Any], str]:
    """Returns the format that the body requests, and the name of that parameter."""
    if endpoint == CHAT_PATH:
        asked, param = body.get("response_format"), "response_format"
    else:
        text = body.get("text")
        asked, param = (text.get("format") if isinstance(text, dict) else None), "text.format"
    return asked if isinstance(asked, dict) else {}, param


def _object_to_schema(named: Mapping[str, Any], param: str) -> None:
    name = named.get("name")
    if not isinstance(name, str) or not FORMAT_NAME.fullmatch(name):
        message = f"Invalid '{param}.name': expected 1 to 64 of the characters a-z, A-Z, 0-9, _, -."
        raise ApiError(400, message, code="invalid_value", param=f"{param}.name")
    schema = named.get("schema")
    if schema is None:
        return
    problem = find_schema_flaw(json.dumps(schema), strict=bool(named.get("strict")))
    if problem:
        message = f"Invalid schema for {param} '{name}': {problem}"
        raise ApiError(400, message, code="invalid_json_schema", param=param)


# Every request of a batch carries the same schema, so its text is the key of a cache.
@lru_cache(maxsize=256)
def find_schema_flaw(schema: str, *, strict: bool) -> str:
    """Returns the first thing that structured outputs refuse in a schema, which is JSON; or "".

    >>> flaw('{"type": "object", "properties": {"a": {}}}', strict=False)
    ''
    >>> flaw('{"type": "object", "properties": {"a": {}}}', strict=True)
    "In context=(), 'additionalProperties' is required to be supplied and to be false."
    """
    root = json.loads(schema)
    if not isinstance(root, dict) or root.get("type") != "object":
        return "schema must be a JSON Schema of 'type: \"object\"'."
    return next(_list_flaws(root, (), 1, strict=strict), "")


def _list_flaws(
    schema: object, path: tuple[str, ...], depth: int, *, strict: bool
) -> Iterator[str]:
    where = f"In context=({', '.join(map(repr, path))}), "
    if not isinstance(schema, dict) or not _is_well_formed(schema):
        yield where + "this is not a JSON Schema."
        return
    if strict:
        yield from (where + problem for problem in _list_strict_flaws(schema, depth))
    for word in ("properties", "$defs"):
        level = depth + 1 if word == "properties" else 1
        for name, inner in schema.get(word, {}).items():
            yield from _list_flaws(inner, (*path, word, name), level, strict=strict)
    if "items" in schema:
        yield from _list_flaws(schema["items"], (*path, "items"), depth, strict=strict)
    for word in ("anyOf", "oneOf"):
        for number, branch in enumerate(schema.get(word, [])):
            yield from _list_flaws(branch, (*path, word, str(number)), depth, strict=strict)


def _is_well_formed(schema: Mapping[str, Any]) -> bool:
    return all(
        isinstance(schema.get(word, kind()), kind) for word, kind in KEYWORD_TYPES.items()
    ) and all(isinstance(schema.get(word, 0), int | float) for word in NUMERIC_KEYWORDS)


def _list_strict_flaws(schema: Mapping[str, Any], depth: int) -> Iterator[str]:
    if depth > MAX_SCHEMA_LEVELS:
        yield f"schema exceeds {MAX_SCHEMA_LEVELS} levels of nesting."
    for word in REFUSED_KEYWORDS:
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
