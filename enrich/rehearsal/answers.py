"""Answers: what the rehearsal's llm says, a pure function of the request's body.

Structured output is honoured as OpenAI's structured outputs guide defines it: objects with all
their keys in schema order, enums, bounds of numbers and arrays, formats of strings, null unions
by type list or `anyOf`, `$defs` and `$ref`. Of patterns only those of dates and times are met.
"""

from __future__ import annotations

import json
import math
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.dice import FORMATS, Dice

if TYPE_CHECKING:
    from collections.abc import Mapping

    Schema = Mapping[str, Any]

DEEP = 5
"""From this nesting on, a recursive schema is ended as early as it allows."""
ENDLESS = 50


def answer(body: Mapping[str, Any]) -> str:
    """The text an llm answers to the request with this body: the same for ever.

    >>> answer({"model": "m", "messages": []}) == answer({"messages": [], "model": "m"})
    True
    """
    return compose(body, request_key(body))


def request_key(body: Mapping[str, Any]) -> str:
    """A hash of a request's body that does not depend on the order of its keys."""
    return key_of(canonical(body))


def canonical(body: Mapping[str, Any]) -> str:
    """The body as JSON with sorted keys, in ASCII, without spaces."""
    return _encode_sorted(body)


def key_of(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def compose(body: Mapping[str, Any], key: str) -> str:
    """`answer(body)`, for those who have its `request_key` already."""
    dice = Dice(key)
    kind, schema = output_format(body)
    if kind == "json_schema" and schema is not None:
        return _encode(Writer(schema, dice).value(schema))
    if kind in {"json_schema", "json_object"}:
        return _encode({"answer": dice.words(2), "score": dice.below(100)})
    return dice.sentence()


def output_format(body: Mapping[str, Any]) -> tuple[str, Schema | None]:
    """The asked format (`text`, `json_object`, `json_schema`) and its schema.

    Chat completions nest the schema under `json_schema`; the Responses API puts it flat into
    `text.format`.
    """
    asked = body.get("response_format")
    if asked is None and isinstance(body.get("text"), dict):
        asked = body["text"].get("format")
    if not isinstance(asked, dict):
        return "text", None
    nested = asked.get("json_schema")
    schema = nested.get("schema") if isinstance(nested, dict) else asked.get("schema")
    return str(asked.get("type", "text")), schema if isinstance(schema, dict) else None


def resolve(root: Schema, schema: Schema) -> Schema:
    """The schema a `$ref` (`#`, `#/$defs/NAME`) leads to, or `schema` itself; {} if nowhere."""
    for _ in range(20):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        found: Any = root
        for step in reference.lstrip("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        schema = found if isinstance(found, dict) else {}
    return {}


def kinds(schema: Schema) -> list[str]:
    """The JSON types a schema allows; guessed from its keywords when it names none."""
    named = schema.get("type")
    if isinstance(named, str):
        return [named]
    if isinstance(named, list) and named:
        return [str(kind) for kind in named]
    if "properties" in schema:
        return ["object"]
    return ["array"] if "items" in schema else ["string"]


class Writer:
    """Writes values that conform to one schema, by throwing dice."""

    def __init__(self, root: Schema, dice: Dice) -> None:
        self.root = root
        self.dice = dice
        self.depth = 0

    def value(self, schema: Schema) -> object:
        """A value; null when a schema demands itself for ever."""
        if self.depth > ENDLESS:
            return None
        if "$ref" in schema:
            schema = resolve(self.root, schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self.dice.pick(schema["enum"])
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            return self.value(self._branch(branches))
        kind = schema.get("type")
        return self._typed(kind if isinstance(kind, str) else self._kind(kinds(schema)), schema)

    def _typed(self, kind: str, schema: Schema) -> object:
        if kind == "string":
            return self._string(schema)
        if kind == "array":
            return self._array(schema)
        if kind == "object":
            return self._object(schema)
        if kind == "boolean":
            return self.dice.throw() < 0.5
        if kind == "null":
            return None
        return number(schema, self.dice, whole=kind == "integer")

    def _kind(self, allowed: list[str]) -> str:
        """Null is rare where there is a choice, and the way out of a deep recursion."""
        solid = [kind for kind in allowed if kind != "null"]
        if not solid or (len(solid) < len(allowed) and self._gives_up()):
            return "null"
        return solid[0] if len(solid) == 1 else self.dice.pick(solid)

    def _branch(self, branches: list[Schema]) -> Schema:
        solid = [branch for branch in branches if branch.get("type") != "null"]
        if not solid or (len(solid) < len(branches) and self._gives_up()):
            return {"type": "null"}
        if self.depth >= DEEP:
            solid = [branch for branch in solid if "$ref" not in branch] or solid
        return self.dice.pick(solid)

    def _gives_up(self) -> bool:
        return self.depth >= DEEP or self.dice.throw() < 0.1

    def _object(self, schema: Schema) -> dict[str, Any]:
        self.depth += 1
        properties = schema.get("properties") or {}
        made = {name: self.value(inner) for name, inner in properties.items()}
        extra = schema.get("additionalProperties")
        if not properties and isinstance(extra, dict) and self.depth < DEEP:
            made = {self.dice.words(1): self.value(extra) for _ in range(2)}
        self.depth -= 1
        return made

    def _array(self, schema: Schema) -> list[Any]:
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(least, 1) + 2))
        length = least if self.depth >= DEEP else self.dice.between(max(least, min(1, most)), most)
        self.depth += 1
        items = schema.get("items")
        inner = items if isinstance(items, dict) else {"type": "string"}
        made = [self.value(inner) for _ in range(min(length, max(least, 8)))]
        self.depth -= 1
        return made

    def _string(self, schema: Schema) -> str:
        form = schema.get("format")
        if form in FORMATS:
            return FORMATS[form](self.dice)
        text = self.dice.words(self.dice.between(1, 3))
        if "pattern" in schema:
            known = (form(self.dice) for form in FORMATS.values())
            tried = (part for each in known for part in (each, each[:8], each[:10]))
            return next((each for each in tried if re.search(schema["pattern"], each)), text)
        while len(text) < int(schema.get("minLength", 0)):
            text += " " + self.dice.words(1)
        return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def number(schema: Schema, dice: Dice, *, whole: bool) -> int | float:
    """A number within `minimum`, `maximum` and their exclusive forms, a multiple if asked."""
    low, high = _bounds(schema)
    step = schema.get("multipleOf") or (1 if whole else None)
    if step is not None:
        first, last = math.ceil(low / step), math.floor(high / step)
        first += _excluded(first * step, schema.get("exclusiveMinimum"))
        last -= _excluded(last * step, schema.get("exclusiveMaximum"))
        made = dice.between(first, max(first, last)) * step
        return int(made) if whole else made
    exact: float = low + (high - low) * (0.1 + 0.8 * dice.throw())
    rounded = round(exact, 2)
    return rounded if low < rounded < high else exact


def _bounds(schema: Schema) -> tuple[float, float]:
    """The lowest and highest number; 0 to 100 where nothing is said."""
    lows = [schema[k] for k in ("minimum", "exclusiveMinimum") if k in schema]
    highs = [schema[k] for k in ("maximum", "exclusiveMaximum") if k in schema]
    if lows:
        low = max(lows)
        return low, min(highs) if highs else low + 100
    if highs:
        return (0, min(highs)) if min(highs) > 0 else (min(highs) - 100, min(highs))
    return 0, 100


def _excluded(edge: float, limit: float | None) -> int:
    return int(limit is not None and edge == limit)


_encode_sorted = json.JSONEncoder(
    check_circular=False, sort_keys=True, separators=(",", ":")
).encode
_encode = json.JSONEncoder(check_circular=False, ensure_ascii=False, separators=(",", ":")).encode
