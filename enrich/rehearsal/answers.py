"""Answers: what the rehearsal's llm says, a pure function of the request's body.

Structured outputs follow OpenAI's guide to them: objects with all their keys in schema order,
enums, bounds of numbers and arrays, formats of strings, null unions by a list of types or `anyOf`,
`$defs` and `$ref`. Of patterns, only those of dates and times are matched. Descriptions are heeded
where a strict schema cannot say it otherwise: that a text is JSON, and how long it may be.
"""

from __future__ import annotations

import json
import math
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.dice import STRING_FORMATS, Dice
from enrich.rehearsal.packs import find_item_schema, list_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    Schema = Mapping[str, Any]

DEEP_NESTING = 5
"""The nesting from which on a recursive schema is ended as soon as it allows."""
MAX_NESTING_DEPTH = 50
"""The nesting at which a schema that requires itself is given up; OpenAI allows 10 levels."""
JSON_AS_TEXT = re.compile(r"\bJSON, as text\b")
MOST_CHARACTERS = re.compile(r"\bat most (\d+) characters\b")
"""What descriptions of texts say."""
PAIR_KEYS = {"key", "value"}
"""The keys of objects that stand for the pairs of a map, whose keys differ."""


def answer(body: Mapping[str, Any]) -> str:
    """Returns the llm's answer to the request with this body, which is always the same.

    >>> answer({"model": "m", "messages": []}) == answer({"messages": [], "model": "m"})
    True
    """
    return compose_answer(body, hash_request(body))


def hash_request(body: Mapping[str, Any]) -> str:
    """Returns a hash of a request's body that does not depend on the order of its keys."""
    return hash_canonical(canonicalize(body))


def canonicalize(body: Mapping[str, Any]) -> str:
    """Returns the body as JSON with sorted keys, in ASCII, without spaces."""
    return _encode_sorted(body)


def hash_canonical(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def compose_answer(body: Mapping[str, Any], key: str) -> str:
    """Returns `answer(body)`, for callers that have its hash already."""
    dice = Dice(key)
    kind, schema = find_output_format(body)
    if kind == "json_schema" and schema is not None:
        numbers, item = list_numbers(body), find_item_schema(schema)
        if numbers and item is not None:
            made = ({"n": n, "answer": ValueWriter(item, dice).write(item)} for n in numbers)
            return _encode({"answers": list(made)})
        return _encode(ValueWriter(schema, dice).write(schema))
    if kind in {"json_schema", "json_object"}:
        return _encode({"answer": dice.draw_words(2), "score": dice.draw_below(100)})
    return dice.draw_sentence()


def find_output_format(body: Mapping[str, Any]) -> tuple[str, Schema | None]:
    """Returns the requested format (`text`, `json_object`, `json_schema`) and its schema.

    Chat completions nest the schema under `json_schema`; the Responses API has it directly in
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


def resolve_reference(root: Schema, schema: Schema) -> Schema:
    """Returns the schema that a `$ref` (`#`, `#/$defs/NAME`) leads to, or `schema`; {} if none."""
    for _ in range(20):  # references may form a circle
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        found: Any = root
        for step in reference.lstrip("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        schema = found if isinstance(found, dict) else {}
    return {}


def list_json_types(schema: Schema) -> list[str]:
    """Returns the JSON types that a schema allows, or guesses them if it names none."""
    named = schema.get("type")
    if isinstance(named, str):
        return [named]
    if isinstance(named, list) and named:
        return [str(kind) for kind in named]
    if "properties" in schema:
        return ["object"]
    return ["array"] if "items" in schema else ["string"]


class ValueWriter:
    """Writes random values that conform to one schema."""

    def __init__(self, root: Schema, dice: Dice) -> None:
        self.root = root
        self.dice = dice
        self.depth = 0

    def write(self, schema: Schema) -> object:
        """Returns a value that conforms; None if a schema requires itself without end."""
        if self.depth > MAX_NESTING_DEPTH:
            return None
        if "$ref" in schema:
            schema = resolve_reference(self.root, schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self.dice.pick(schema["enum"])
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            return self.write(self._pick_branch(branches))
        kind = schema.get("type")
        return self._write_typed(
            kind if isinstance(kind, str) else self._pick_type(list_json_types(schema)), schema
        )

    def _write_typed(self, kind: str, schema: Schema) -> object:
        if kind == "string":
            return self._write_string(schema)
        if kind == "array":
            return self._write_array(schema)
        if kind == "object":
            return self._write_object(schema)
        if kind == "boolean":
            return self.dice.throw() < 0.5
        if kind == "null":
            return None
        return draw_number(schema, self.dice, whole=kind == "integer")

    def _pick_type(self, allowed: list[str]) -> str:
        """Returns one type. Null is rare where there is a choice, and ends a deep recursion."""
        solid = [kind for kind in allowed if kind != "null"]
        if not solid or (len(solid) < len(allowed) and self._gives_up()):
            return "null"
        return solid[0] if len(solid) == 1 else self.dice.pick(solid)

    def _pick_branch(self, branches: list[Schema]) -> Schema:
        solid = [branch for branch in branches if branch.get("type") != "null"]
        if not solid or (len(solid) < len(branches) and self._gives_up()):
            return {"type": "null"}
        if self.depth >= DEEP_NESTING:
            solid = [branch for branch in solid if "$ref" not in branch] or solid
        return self.dice.pick(solid)

    def _gives_up(self) -> bool:
        return self.depth >= DEEP_NESTING or self.dice.throw() < 0.1

    def _write_object(self, schema: Schema) -> dict[str, Any]:
        self.depth += 1
        properties = schema.get("properties") or {}
        made = {name: self.write(inner) for name, inner in properties.items()}
        extra = schema.get("additionalProperties")
        if not properties and isinstance(extra, dict) and self.depth < DEEP_NESTING:
            made = {self.dice.draw_words(1): self.write(extra) for _ in range(2)}
        self.depth -= 1
        return made

    def _write_array(self, schema: Schema) -> list[Any]:
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(least, 1) + 2))
        length = (
            least
            if self.depth >= DEEP_NESTING
            else self.dice.draw_between(max(least, min(1, most)), most)
        )
        self.depth += 1
        items = schema.get("items")
        inner = items if isinstance(items, dict) else {"type": "string"}
        made = [self.write(inner) for _ in range(min(length, max(least, 8)))]
        self.depth -= 1
        if set(inner.get("properties") or ()) == PAIR_KEYS:
            apart = {_encode(pair["key"]): pair for pair in made if isinstance(pair, dict)}
            return list(apart.values()) if len(apart) >= least else made
        return made

    def _write_string(self, schema: Schema) -> str:
        form = schema.get("format")
        if form in STRING_FORMATS:
            return STRING_FORMATS[form](self.dice)
        text = self.dice.draw_words(self.dice.draw_between(1, 3))
        if "pattern" in schema:
            # Only patterns of dates and times are supported: the known formats are tried, and their
            # first 8 and 10 letters.
            known = (form(self.dice) for form in STRING_FORMATS.values())
            tried = (part for each in known for part in (each, each[:8], each[:10]))
            return next((each for each in tried if re.search(schema["pattern"], each)), text)
        said = str(schema.get("description", ""))
        if JSON_AS_TEXT.search(said):
            return _encode({text: self.dice.draw_below(100)})
        while len(text) < int(schema.get("minLength", 0)):
            text += " " + self.dice.draw_words(1)
        most = [schema.get("maxLength"), *MOST_CHARACTERS.findall(said)[-1:]]
        return text[: min((int(each) for each in most if each is not None), default=None)]


def draw_number(schema: Schema, dice: Dice, *, whole: bool) -> int | float:
    """Returns a number within the bounds of a schema, and a multiple if it asks for one."""
    low, high = _find_bounds(schema)
    step = schema.get("multipleOf") or (1 if whole else None)
    if step is not None:
        first, last = math.ceil(low / step), math.floor(high / step)
        first += _count_excluded(first * step, schema.get("exclusiveMinimum"))
        last -= _count_excluded(last * step, schema.get("exclusiveMaximum"))
        made = dice.draw_between(first, max(first, last)) * step
        return int(made) if whole else made
    exact: float = low + (high - low) * (0.1 + 0.8 * dice.throw())
    # Two digits look like an answer, but must not round onto an exclusive bound.
    rounded = round(exact, 2)
    return rounded if low < rounded < high else exact


def _find_bounds(schema: Schema) -> tuple[float, float]:
    """Returns the lowest and highest number; 0 and 100 if the schema has no bounds."""
    lows = [schema[k] for k in ("minimum", "exclusiveMinimum") if k in schema]
    highs = [schema[k] for k in ("maximum", "exclusiveMaximum") if k in schema]
    if lows:
        low = max(lows)
        return low, min(highs) if highs else low + 100
    if highs:
        return (0, min(highs)) if min(highs) > 0 else (min(highs) - 100, min(highs))
    return 0, 100


def _count_excluded(edge: float, limit: float | None) -> int:
    return int(limit is not None and edge == limit)


_encode_sorted = json.JSONEncoder(
    check_circular=False, sort_keys=True, separators=(",", ":")
).encode
_encode = json.JSONEncoder(check_circular=False, ensure_ascii=False, separators=(",", ":")).encode
