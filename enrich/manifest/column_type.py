"""The type of an output column, and what enrich has to know of each family of types.

Values arrive as JSON (RFC 8259). A value is read by `from_json_strict` as its *wire type*, judged,
and converted to the type that is published. Whatever depends on the type is asked of its family:
`families` holds the table of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from enrich.db import quote
from enrich.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot import exp

Measure = Literal["labels", "text", "value"]
"""How answers are scored against labels: by label, as text, or as values, right or wrong."""
WireShape = str | list["WireShape"] | dict[str, "WireShape"]
"""A wire type as `from_json_strict` takes it: a DuckDB type, [its item] or {its fields}."""
LIST_STEP = "[*]"
"""The step of a JSON path from a list to its items."""
BYTES_PER_TOKEN = 4
"""A rule of thumb for English text."""


@dataclass(frozen=True)
class DdlPlace:
    """The file and line of a column's DDL."""

    source: str
    line: int

    def error(self, message: str, *, hint: str) -> ModelError:
        """The error that something is wrong here."""
        return ModelError(f"{self.source}:{self.line}: {message}", hint=hint)


@dataclass(frozen=True, kw_only=True)
class TypePart:
    """A type inside another: the step of a JSON path to its value, and whether null is refused."""

    step: str
    type: ColumnType
    required: bool


@dataclass(frozen=True, kw_only=True)
class ColumnType:
    """A column's type: its family, and how DuckDB writes it.

    `labels` are those of an ENUM, `length` is the most characters of a text, `bounds` are the least
    and greatest integer; `parts` are the item of a list or the fields of a STRUCT; `entry` is a
    MAP's key and value.
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
        """Whether it is a list of another type."""
        return any(part.step == LIST_STEP for part in self.parts)

    @property
    def is_published_as_read(self) -> bool:
        """Whether the wire type is the type itself, at every depth."""
        return not self.family.wire and all(part.type.is_published_as_read for part in self.parts)

    @property
    def needs_second_look(self) -> bool:
        """Whether the JSON kinds of a value can never tell that it fits."""
        return self.family.is_ambiguous(self) or any(p.type.needs_second_look for p in self.parts)

    def render_schema(self, *, required: bool) -> dict[str, Any]:
        """The JSON Schema of a value of this type, or null where it is not `required`."""
        schema = self.family.render_schema(self)
        said = self.family.describe(self)
        # The order of the keys is part of each request's fingerprint: type, description, the rest.
        ordered = {"type": schema["type"]} | ({"description": said} if said else {}) | schema
        if not required:
            ordered["type"] = [schema["type"], "null"]
            if "enum" in schema:
                ordered["enum"] = [*schema["enum"], None]
        return ordered


def render_object(properties: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of an object that has all of these keys and no other."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def render_wire_type(shape: WireShape) -> str:
    """A shape as a DuckDB type.

    >>> print(render_wire_type({"a": ["INTEGER"]}))
    STRUCT("a" INTEGER[])
    """
    if isinstance(shape, str):
        return shape
    if isinstance(shape, list):
        return f"{render_wire_type(shape[0])}[]"
    fields = (f"{quote.name(name)} {render_wire_type(inner)}" for name, inner in shape.items())
    return f"STRUCT({', '.join(fields)})"


def count_key_tokens(name: str) -> float:
    """The tokens of a key with its quotes, by rule of thumb."""
    return 2 + len(name) / BYTES_PER_TOKEN


@dataclass(frozen=True, kw_only=True)
class TypeFamily:
    """All that differs between one family of types and another.

    `names` are sqlglot's names of its types and `written` is how a hint lists them. `schema` is the
    JSON Schema of a value. `json_kinds` are DuckDB's names of the JSON values that may stand for
    one, `expected` is the same in words; of these, `doubtful_kinds` need a second look, and a
    family that `is_decided_by_kind` never needs one. `limits` are the words of JSON Schema that a
    CHECK may add. `tokens` are what a value takes by rule of thumb. `wire` is the type that a value
    is read as, if not its own, and its text must match `pattern` as a whole. Only an `is_plain` one
    may be a MAP's key or value.

    In the methods `kind` is a type of this family, `text` is SQL for a value as text, `value` is
    SQL for one as it was read, and `depth` keeps the names of nested lambdas apart.
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
        """The type that sqlglot parsed; None if its arguments make it none. Raises ModelError."""
        return ColumnType(family=self, sql=node.sql("duckdb", comments=False))

    def render_schema(self, kind: ColumnType) -> dict[str, Any]:
        """The JSON Schema of a value that is not null."""
        return dict(self.schema)

    def describe(self, kind: ColumnType) -> str:
        """In words, for the llm, what a schema cannot say of a value; "" for nothing."""
        return ""

    def count_tokens(self, kind: ColumnType) -> float:
        """The tokens of a value, by rule of thumb."""
        return self.tokens

    def choose_measure(self, kind: ColumnType) -> Measure:
        """How a column of this type is scored."""
        return self.measure

    def is_ambiguous(self, kind: ColumnType) -> bool:
        """Whether the JSON kind of a value never tells that it fits this type."""
        return False

    def render_shape(self, kind: ColumnType) -> WireShape:
        """The wire type, as `from_json_strict` wants it."""
        return self.wire or kind.sql

    def render_cast(self, kind: ColumnType, text: str) -> str:
        """SQL for the value that a text stands for; NULL if it stands for none."""
        return f"try_cast({text} AS {kind.sql})"

    def render_value(self, kind: ColumnType, value: str, depth: int) -> str:
        """SQL for the value as it is published."""
        return self.render_cast(kind, value) if self.wire else value

    def render_fit(self, kind: ColumnType, value: str, depth: int) -> str:
        """SQL for whether a value of an allowed JSON kind fits; "" if every one does."""
        # A value of its own type has passed `from_json_strict`, which reads no other.
        return f"NOT coalesce({self.render_misfit(kind, value)}, false)" if self.wire else ""

    def render_misfit(self, kind: ColumnType, text: str) -> str:
        """SQL that is true for a text which does not fit though its JSON kind is allowed; "false"
        if every text does. Of a value that is not text, `text` is its JSON."""
        # A cast alone takes more than an answer may be: to DuckDB 'epoch' is a DATE, and so is
        # 2024-1-5.
        cast = f"{self.render_cast(kind, text)} IS NULL"
        if not self.pattern:
            return cast
        return f"(NOT regexp_full_match({text}, {quote.text(self.pattern)}) OR {cast})"

    def render_complaint(self, kind: ColumnType, where: str, text: str) -> str:
        """SQL for the sentence that begins with `where` and says how a text does not fit."""
        ending = f" is not {self.name_choices(kind)}"
        # An answer can be of any length, and the sentence stands in a table that people read.
        quoted = f"'''' || left({text}, 60) || ''''"
        return f"{quote.text(where)} || {quoted} || {quote.text(ending)}"

    def name_choices(self, kind: ColumnType) -> str:
        """What a value should have been, in words."""
        return kind.sql


def render_strict_shape(columns: Mapping[str, ColumnType]) -> str:
    """These columns' wire types as the JSON text that `from_json_strict` takes."""
    return json.dumps({name: kind.family.render_shape(kind) for name, kind in columns.items()})
