"""The type of an output column, and what enrich has to know about each family of types.

Values arrive as JSON (RFC 8259). DuckDB's `from_json_strict` reads a value as its *wire type*; then
it is judged, and converted to the type that is published. Everything that depends on the type is
defined by its family; `families` holds the table of all families.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from enrich.db.quote import quote_name, quote_text
from enrich.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot import exp

Measure = Literal["labels", "text", "value"]
"""How answers are scored against labels: per label, by similarity as text, or as right or wrong."""
WireShape = str | list["WireShape"] | dict[str, "WireShape"]
"""A wire type as `from_json_strict` takes it: a DuckDB type, a list that holds the shape of its
items, or an object with the shape of each field."""
LIST_STEP = "[*]"
"""The step of a JSON path from a list to each of its items."""
BYTES_PER_TOKEN = 4
"""A rule of thumb for English text: estimates come before the first answer, and the token counts of
real answers replace them."""


@dataclass(frozen=True)
class DdlPlace:
    """The file and line of a column's DDL."""

    source: str
    line: int

    def error(self, message: str, *, hint: str) -> ModelError:
        """Returns the error for a fault in this place."""
        return ModelError(f"{self.source}:{self.line}: {message}", hint=hint)


KIND_IN_WORDS = (
    "CASE {kind} WHEN 'NULL' THEN 'null' WHEN 'VARCHAR' THEN 'text' WHEN 'ARRAY' THEN 'a list' "
    "WHEN 'OBJECT' THEN 'an object' WHEN 'BOOLEAN' THEN 'true or false' "
    "WHEN 'DOUBLE' THEN 'a fraction' ELSE 'a number' END"
)
"""SQL for one of DuckDB's names for the kinds of JSON, as people say it."""
REPEATED = "' occurs twice"
"""How a sentence on a key ends that an object has twice."""


@dataclass(frozen=True, kw_only=True)
class TypePart:
    """A type inside another type: `step` is the step of a JSON path to its value, and `required`
    says whether null is refused."""

    step: str
    type: ColumnType
    required: bool


@dataclass(frozen=True, kw_only=True)
class ColumnType:
    """A column's type: its family, and its name in DuckDB's SQL.

    `labels` are the labels of an ENUM, `length` is the maximum number of characters of a text,
    `bounds` are the least and the greatest integer. `parts` are the item of a list or the fields
    of a STRUCT; `entry` holds the types of a MAP's key and value.
    """

    family: TypeFamily = field(repr=False)
    sql: str
    labels: tuple[str, ...] = ()
    length: int | None = None
    bounds: tuple[int | None, int | None] = (None, None)
    parts: tuple[TypePart, ...] = ()
    entry: tuple[ColumnType, ...] = ()

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return any(part.step == LIST_STEP for part in self.parts)

    @property
    def is_published_as_read(self) -> bool:
        """Whether the wire type is the published type, at every depth: nothing is converted."""
        return not self.family.wire and all(part.type.is_published_as_read for part in self.parts)

    @property
    def needs_second_look(self) -> bool:
        """Whether the JSON kinds of a value are never enough to tell that it fits."""
        return self.family.is_ambiguous(self) or any(p.type.needs_second_look for p in self.parts)

    def render_schema(self, *, required: bool) -> dict[str, Any]:
        """Returns the JSON Schema of a value of this type; null is allowed unless `required`."""
        schema = self.family.render_schema(self)
        said = self.family.describe(self)
        # The order of the keys is part of every request's fingerprint. To change it would ask
        # every row of every project again.
        ordered = {"type": schema["type"]} | ({"description": said} if said else {}) | schema
        if not required:
            ordered["type"] = [schema["type"], "null"]
            # JSON Schema checks `enum` apart from `type`: without null in the list, null is invalid
            # although the type allows it.
            if "enum" in schema:
                ordered["enum"] = [*schema["enum"], None]
        return ordered


def render_object(properties: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns the JSON Schema of an object that has all of these keys and no others."""
    # Strict structured outputs refuse a schema unless all its properties are required and no others
    # are allowed: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def render_wire_type(shape: WireShape) -> str:
    """Returns a shape as a DuckDB type.
    >>> print(render_wire_type({"a": ["INTEGER"]}))
    STRUCT("a" INTEGER[])
    """
    if isinstance(shape, str):
        return shape
    if isinstance(shape, list):
        return f"{render_wire_type(shape[0])}[]"
    fields = (f"{quote_name(name)} {render_wire_type(inner)}" for name, inner in shape.items())
    return f"STRUCT({', '.join(fields)})"


def count_key_tokens(name: str) -> float:
    """Returns an estimate of the tokens of a JSON key, quotes and colon included."""
    return 2 + len(name) / BYTES_PER_TOKEN


@dataclass(frozen=True, kw_only=True)
class TypeFamily:
    """Everything that differs between one family of types and another.

    `names` are sqlglot's names for its types, and `written` is how a hint lists them. `schema` is
    the JSON Schema of a value. `json_kinds` are DuckDB's names for the kinds of JSON that a value
    may have, and `expected` is the same in words. Of these kinds, the `doubtful_kinds` need a
    second look; where a family `is_decided_by_kind`, none does. `limits` are the keywords of JSON
    Schema that a CHECK may add. `tokens` estimates the tokens of a value. `wire` is the type that a
    value is read as, if it is not its own, and then the whole text must match `pattern`. Only a
    type of an `is_plain` family may be the key or the value of a MAP.

    In the methods, `kind` is a type of this family, `text` is SQL for a value as text, `value` is
    SQL for a value as it was read, and `depth` keeps the names of nested lambdas apart.
    """

    names: tuple[str, ...]
    written: str
    schema: Mapping[str, Any]
    json_kinds: tuple[str, ...]
    expected: str
    tokens: float
    measure: Measure
    doubtful_kinds: tuple[str, ...] = ()
    is_decided_by_kind: bool = False
    is_plain: bool = True
    limits: tuple[str, ...] = ()
    wire: str = ""
    pattern: str = ""

    def parse(self, node: exp.DataType, place: DdlPlace) -> ColumnType | None:
        """Returns the type that sqlglot parsed; None if its arguments are not valid. May raise
        ModelError to say more about what is wrong."""
        return ColumnType(family=self, sql=node.sql("duckdb", comments=False))

    def render_schema(self, kind: ColumnType) -> dict[str, Any]:
        """Returns the JSON Schema of a value that is not null."""
        return dict(self.schema)

    def describe(self, kind: ColumnType) -> str:
        """Returns what the llm has to know about a value and a schema cannot say; "" if nothing."""
        return ""

    def count_tokens(self, kind: ColumnType) -> float:
        """Returns an estimate of the tokens of a value."""
        return self.tokens

    def choose_measure(self, kind: ColumnType) -> Measure:
        """Returns how a column of this type is scored against labels."""
        return self.measure

    def is_ambiguous(self, kind: ColumnType) -> bool:
        """Whether the JSON kind of a value is never enough to tell that it fits this type."""
        return False

    def render_shape(self, kind: ColumnType) -> WireShape:
        """Returns the wire type as `from_json_strict` takes it."""
        return self.wire or kind.sql

    def render_cast(self, kind: ColumnType, text: str) -> str:
        """Returns SQL that converts a text to this type; the SQL returns NULL where it cannot."""
        return f"try_cast({text} AS {kind.sql})"

    def render_value(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL for the value as it is published."""
        return self.render_cast(kind, value) if self.wire else value

    def render_fit(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL that tells whether a value of an allowed JSON kind fits; "" if all do."""
        # Without a wire type, `from_json_strict` has already refused whatever does not fit.
        return f"NOT coalesce({self.render_misfit(kind, value)}, false)" if self.wire else ""

    def render_misfit(self, kind: ColumnType, text: str) -> str:
        """Returns SQL that is true for a text that does not fit although its JSON kind is allowed;
        "false" if all texts fit. For a value that is not text, `text` is its JSON."""
        # A cast alone accepts too much: to DuckDB, 'epoch' and 2024-1-5 are both a DATE.
        cast = f"{self.render_cast(kind, text)} IS NULL"
        if not self.pattern:
            return cast
        return f"(NOT regexp_full_match({text}, {quote_text(self.pattern)}) OR {cast})"

    def render_complaint(self, kind: ColumnType, where: str, text: str) -> str:
        """Returns SQL for a sentence that starts with `where` and says why a text does not fit."""
        ending = f" is not {self.name_choices(kind)}"
        # An answer can have any length, and people read this sentence in a table.
        quoted = f"'''' || left({text}, 60) || ''''"
        return f"{quote_text(where)} || {quoted} || {quote_text(ending)}"

    def name_choices(self, kind: ColumnType) -> str:
        """Returns what a value should have been, in words."""
        return kind.sql


def render_strict_shape(columns: Mapping[str, ColumnType]) -> str:
    """Returns the wire types of these columns as the JSON text that `from_json_strict` takes."""
    return json.dumps({name: kind.family.render_shape(kind) for name, kind in columns.items()})
