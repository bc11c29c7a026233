"""The table of output types: one entry for each family says everything that differs between them.

To add a type, add a field to `Families` and its entry to `FAMILIES`; the type checker reports one
without the other. Where data alone cannot describe a family, its entry is an instance of a subclass
that overrides some methods.

Dates and times are in the format of RFC 3339, a profile of ISO 8601.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from enrich.db.quote import quote_name, quote_text, quote_texts, render_struct
from enrich.manifest.column_type import (
    KIND_IN_WORDS,
    LIST_STEP,
    REPEATED,
    ColumnType,
    TypeFamily,
    TypePart,
    count_key_tokens,
    render_object,
)

if TYPE_CHECKING:
    from sqlglot import exp

    from enrich.manifest.column_type import DdlPlace, Measure, WireShape

DAY_PATTERN = r"\d{4}-\d{2}-\d{2}"
HOUR_PATTERN = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?"
OFFSET_PATTERN = r"(Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)"
"""Offsets up to 15:59, which are DuckDB's own: it takes others as well, and bends the time."""
WHOLE_KINDS = ("UBIGINT", "BIGINT", "HUGEINT", "UHUGEINT")
"""DuckDB's names for the kinds of whole numbers in JSON."""
# DuckDB's `json_type` calls a whole number of more than 64 bits a DOUBLE, like a fraction.
HUGE_TYPES = ("INT128", "UINT128")
"""sqlglot's names of the integers whose JSON kind does not tell them from fractions."""
EXACT_BELOW = 2**53
"""Below this, a DOUBLE can hold every whole number exactly (IEEE 754)."""
ITEMS_GUESS = 3
"""How many items a list or a MAP has, as a rule of thumb."""
DECIMAL_SCALE = re.compile(r",\s*(\d+)\)")
"""The second number of a DECIMAL(p, s)."""
SURE_DIGITS = 15
"""How many decimal digits a DOUBLE holds, whatever they are (IEEE 754)."""
MOST_NUMBERS = 100_000
"""How long an array of DuckDB's can be."""
NUMBER_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
JSON_TEXT = r'"(?:[^"\\]|\\.)*"'
"""A pattern of texts in JSON."""
LENGTH_LABEL = "\ue000a text of length "
"""How the label starts that takes the place of a text's length during parsing: see `output`."""
INTEGER_BOUNDS: dict[str, tuple[int | None, int | None]] = {
    "TINYINT": (-(2**7), 2**7 - 1),
    "SMALLINT": (-(2**15), 2**15 - 1),
    "INT": (-(2**31), 2**31 - 1),
    "BIGINT": (None, None),
    "INT128": (None, None),
    "UTINYINT": (0, 2**8 - 1),
    "USMALLINT": (0, 2**16 - 1),
    "UINT": (0, 2**32 - 1),
    "UBIGINT": (0, None),
    "UINT128": (0, None),
}
"""sqlglot's names for DuckDB's integers, with the bounds that go into the schema."""
# No bounds of 64 bits and more: many readers of JSON take numbers as doubles, which cannot hold
# those exactly, and a server would round the bound.


@dataclass(frozen=True, kw_only=True)
class TextFamily(TypeFamily):
    """Text, with or without a maximum length in characters."""

    def describe(self, kind: ColumnType) -> str:
        """Returns the maximum length in words."""
        # Strict structured outputs refuse maxLength; of the keywords for strings, they only accept
        # `pattern` and `format`:
        # https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
        return f"at most {kind.length} characters" if kind.length else ""

    def render_cast(self, kind: ColumnType, text: str) -> str:
        """Returns the text itself."""
        return text

    def render_fit(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL that tells whether a text is short enough."""
        return f"NOT coalesce({self.render_misfit(kind, value)}, false)" if kind.length else ""

    def render_misfit(self, kind: ColumnType, text: str) -> str:
        """Returns SQL that tells whether a text is too long."""
        return f"length({text}) > {kind.length}" if kind.length else "false"

    def render_complaint(self, kind: ColumnType, where: str, text: str) -> str:
        """Returns SQL for a sentence on how long the text is, and how long it may be."""
        if not kind.length:
            return super().render_complaint(kind, where, text)
        most = f" characters, at most {kind.length} are allowed"
        return f"{quote_text(f'{where}has ')} || length({text}) || {quote_text(most)}"


@dataclass(frozen=True, kw_only=True)
class IntegerFamily(TypeFamily):
    """Whole numbers: 5, 5.0 and 5e0 are the same number, and 5.7 does not fit."""

    def parse(self, node: exp.DataType, place: DdlPlace) -> ColumnType:
        """Returns the type with its bounds."""
        sql = node.sql("duckdb", comments=False)
        return ColumnType(family=self, sql=sql, bounds=INTEGER_BOUNDS[node.this.name])

    def render_schema(self, kind: ColumnType) -> dict[str, Any]:
        """Returns the schema with the bounds, if there are any."""
        bounds = zip(("minimum", "maximum"), kind.bounds, strict=True)
        return {**self.schema, **{word: bound for word, bound in bounds if bound is not None}}

    def is_ambiguous(self, kind: ColumnType) -> bool:
        """Whether the type has more than 64 bits."""
        return kind.sql in HUGE_TYPES

    def render_misfit(self, kind: ColumnType, text: str) -> str:
        """Returns SQL that tells whether a number is out of range or has a fraction."""
        # DuckDB rounds the text 5.7 to 6, so whatever is not all digits must be a double without a
        # fraction. Above 2**53 every double is one, so there only digits are accepted.
        near = f"try_cast({text} AS DOUBLE)"
        whole = f"coalesce(floor({near}) = {near} AND abs({near}) < {EXACT_BELOW}, false)"
        digits = f"regexp_full_match({text}, '-?[0-9]+')"
        return f"({self.render_cast(kind, text)} IS NULL OR NOT ({digits} OR {whole}))"


@dataclass(frozen=True, kw_only=True)
class NumberFamily(TypeFamily):
    """Numbers, but not the NaN and Infinity that DuckDB accepts in JSON."""

    def render_fit(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL that tells whether a number is finite."""
        # A DECIMAL cannot hold NaN or Infinity, so `from_json_strict` has already refused them.
        exact = kind.sql.startswith("DECIMAL")
        return "" if exact else f"coalesce(isfinite({value}), true)"

    def render_misfit(self, kind: ColumnType, text: str) -> str:
        """Returns SQL that tells whether a number is out of range or not finite."""
        # Out of range, a FLOAT is infinite. A DECIMAL, of which `isfinite` knows nothing, is NULL.
        finite = f"isfinite(CAST({self.render_cast(kind, text)} AS DOUBLE))"
        return f"NOT coalesce({finite}, false)"

    def name_choices(self, kind: ColumnType) -> str:
        """Returns which numbers fit."""
        return f"a number that {kind.sql.replace('REAL', 'FLOAT')} can hold"


@dataclass(frozen=True, kw_only=True)
class TimestampFamily(TypeFamily):
    """Points in time; without an offset, a point in time is in UTC."""

    def render_cast(self, kind: ColumnType, text: str) -> str:
        """Returns SQL for the point in time, with the offset taken into account."""
        if kind.sql != "TIMESTAMPTZ":
            # A plain cast to TIMESTAMP ignores the offset. The type with a time zone does not, and
            # enrich runs DuckDB in UTC, so the second cast does not move the time.
            return f"CAST(try_cast({text} AS TIMESTAMP WITH TIME ZONE) AS {kind.sql})"
        return TypeFamily.render_cast(self, kind, text)


@dataclass(frozen=True, kw_only=True)
class JsonFamily(TypeFamily):
    """Any JSON value, or a text that contains one, which is all that a strict schema can ask
    for."""

    def describe(self, kind: ColumnType) -> str:
        """Returns what a schema that asks for a text leaves out."""
        return "JSON, as text"

    def render_value(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL for the value, or for the JSON in its text."""
        return (
            f"CASE json_type({value}) WHEN 'NULL' THEN NULL "
            f"WHEN 'VARCHAR' THEN try_cast({value}->>'$' AS JSON) ELSE {value} END"
        )

    def render_fit(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL that tells whether a text contains JSON."""
        absent = f"coalesce(json_type({value}), 'NULL') = 'NULL'"
        found = f"CAST({self.render_value(kind, value, depth)} AS VARCHAR)"
        return f"({absent} OR coalesce({self._render_strictness(found)}, false))"

    def render_misfit(self, kind: ColumnType, text: str) -> str:
        """Returns SQL that tells whether a text is no JSON."""
        return f"({self.render_cast(kind, text)} IS NULL OR NOT {self._render_strictness(text)})"

    def _render_strictness(self, text: str) -> str:
        # DuckDB also reads what is no JSON: NaN, infinities, and commas before a closing bracket.
        bare = f"regexp_replace({text}, '{JSON_TEXT}', '0', 'g')"
        return f"NOT regexp_matches({bare}, '(?i)nan|inf|,\\s*[]}}]')"


@dataclass(frozen=True, kw_only=True)
class EnumFamily(TypeFamily):
    """One of several labels, spelled exactly as in the ENUM."""

    def parse(self, node: exp.DataType, place: DdlPlace) -> ColumnType | None:
        """Returns an ENUM, or a text whose length was written as a label."""
        labels = tuple(label.name for label in node.expressions)
        if labels[:1] and labels[0].startswith(LENGTH_LABEL):
            length = int(labels[0].removeprefix(LENGTH_LABEL))
            if not length:
                raise place.error("a text cannot have the length 0", hint=SUPPORTED_TYPES)
            return ColumnType(family=FAMILIES.text, sql="VARCHAR", length=length)
        sql = node.sql("duckdb", comments=False)
        if len(set(labels)) < len(labels):
            raise place.error(f"duplicate label in {sql}", hint="keep one")
        return ColumnType(family=self, sql=sql, labels=labels) if labels else None

    def render_schema(self, kind: ColumnType) -> dict[str, Any]:
        """Returns the schema with the labels."""
        return {**self.schema, "enum": list(kind.labels)}

    def name_choices(self, kind: ColumnType) -> str:
        """Returns the labels in words."""
        return f"one of {', '.join(kind.labels)}"


@dataclass(frozen=True, kw_only=True)
class StructFamily(TypeFamily):
    """Objects with all fields of a STRUCT; a field may be null."""

    def parse(self, node: exp.DataType, place: DdlPlace) -> ColumnType | None:
        """Returns a STRUCT whose fields have types that an output can hold; None without fields."""
        fields = [(each.name, parse_type(each.args["kind"], place)) for each in node.expressions]
        sql = ", ".join(f"{quote_name(name)} {kind.sql}" for name, kind in fields)
        # Strict structured outputs demand every field, so null is how the llm says that it does not
        # know one; DDL has no NOT NULL for fields.
        parts = (TypePart(step=name, type=kind, required=False) for name, kind in fields)
        return ColumnType(family=self, sql=f"STRUCT({sql})", parts=tuple(parts)) if fields else None

    def render_schema(self, kind: ColumnType) -> dict[str, Any]:
        """Returns the schema of an object with all fields."""
        return render_object(
            {part.step: part.type.render_schema(required=part.required) for part in kind.parts}
        )

    def count_tokens(self, kind: ColumnType) -> float:
        """Returns an estimate for the keys and the values together."""
        return sum(
            count_key_tokens(part.step) + part.type.family.count_tokens(part.type)
            for part in kind.parts
        )

    def render_shape(self, kind: ColumnType) -> WireShape:
        """Returns the shapes of the fields by name."""
        return {part.step: part.type.family.render_shape(part.type) for part in kind.parts}

    def render_value(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL for a STRUCT of the published values of the fields."""
        if kind.is_published_as_read:
            return value
        fields = {
            part.step: part.type.family.render_value(
                part.type, f"{value}.{quote_name(part.step)}", depth
            )
            for part in kind.parts
        }
        # Without the CASE, a NULL would become a STRUCT whose fields are all NULL.
        return f"CASE WHEN {value} IS NOT NULL THEN {render_struct(fields)} END"

    def render_fit(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL that tells whether all fields fit; "" if they always do."""
        fits = (
            part.type.family.render_fit(part.type, f"{value}.{quote_name(part.step)}", depth)
            for part in kind.parts
        )
        return " AND ".join(filter(None, fits))


PAIR_KEY = "(e->>'$.key')"
"""SQL: the key of a pair `e` as text."""
ODD_PAIR = (
    "json_type(e->'$.key') IN ('ARRAY', 'OBJECT') "
    "OR len(list_distinct(json_keys(e))) < len(json_keys(e))"
)
"""SQL: whether a pair `e` of a MAP has a key that is none, or says twice what it is."""


@dataclass(frozen=True, kw_only=True)
class MapFamily(TypeFamily):
    """Plain values by plain keys, where each key occurs once: a list of pairs, or an object."""

    # The schema asks for pairs, since strict structured outputs cannot describe an object whose
    # keys are not known. An llm that is not bound by the schema may answer with an object.

    def parse(self, node: exp.DataType, place: DdlPlace) -> ColumnType | None:
        """Returns a MAP of plain values by plain keys."""
        if len(node.expressions) != 2:
            return None
        key, value = (parse_type(side, place) for side in node.expressions)
        if not (key.family.is_plain and value.family.is_plain):
            sql = node.sql("duckdb", comments=False)
            hint = "a MAP holds plain values by plain keys: MAP(VARCHAR, DOUBLE)"
            raise place.error(f"the output cannot hold {sql}", hint=hint)
        return ColumnType(family=self, sql=f"MAP({key.sql}, {value.sql})", entry=(key, value))

    def render_schema(self, kind: ColumnType) -> dict[str, Any]:
        """Returns the schema of a list of pairs."""
        key, value = (side.render_schema(required=True) for side in kind.entry)
        return {**self.schema, "items": render_object({"key": key, "value": value})}

    def count_tokens(self, kind: ColumnType) -> float:
        """Returns an estimate for the pairs together."""
        sides = (side.family.count_tokens(side) + self.tokens for side in kind.entry)
        return ITEMS_GUESS * sum(sides)

    def render_value(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL for the MAP of the pairs."""
        key, held = kind.entry
        fields = {
            "key": key.family.render_cast(key, "e.key"),
            "value": held.family.render_cast(held, _render_text("e.value")),
        }
        # `try`, because answers to an earlier output are read as well. Such an answer may have a
        # key twice, which is an error for `map_from_entries`.
        pairs = f"list_transform({_render_pairs(value)}, lambda e: {render_struct(fields)})"
        return f"try(map_from_entries({pairs}))"

    def render_fit(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL that tells whether all pairs fit."""
        return f"NOT coalesce({self.render_misfit(kind, f'CAST({value} AS VARCHAR)')}, false)"

    def render_misfit(self, kind: ColumnType, text: str) -> str:
        """Returns SQL that is true if the key or the value of a pair does not fit or has lost
        digits, or if two pairs have the same key."""
        # In an object a key is a JSON string whatever its type, so only the JSON kind of the value
        # is checked.
        key, held = kind.entry
        bad = (
            f"e.key IS NULL OR {key.family.render_misfit(key, 'e.key')} "
            f"OR coalesce(json_type(e.value), 'NULL') "
            f"NOT IN ({quote_texts(held.family.json_kinds)}) "
            f"OR {held.family.render_misfit(held, _render_text('e.value'))} "
            f"OR {_render_rounded(held, _render_text('e.value'))}"
        )
        # A key in quotes has kept its digits.
        odd = (
            f"{ODD_PAIR} OR coalesce(json_type(e->'$.key') = 'DOUBLE', false) "
            f"AND {_render_rounded(key, PAIR_KEY)}"
        )
        pairs = _render_pairs(f"try_cast({text} AS JSON)")
        keys = self._render_keys(kind, pairs)
        return (
            f"({pairs} IS NULL OR len(list_filter({pairs}, lambda e: {bad})) > 0 "
            # Compared once converted: 1 and 1.0 are two texts, but one key of a MAP(INTEGER, ...).
            f"OR len(list_distinct({keys})) < len({keys}) "
            f"OR len(list_filter({_render_items(text)}, lambda e: {odd})) > 0)"
        )

    def _render_keys(self, kind: ColumnType, pairs: str) -> str:
        """Returns SQL for the keys of the pairs as values of their type."""
        key = kind.entry[0]
        return f"list_transform({pairs}, lambda e: {key.family.render_cast(key, 'e.key')})"

    def render_complaint(self, kind: ColumnType, where: str, text: str) -> str:
        """Returns SQL for a sentence on the first pair that does not fit, or the first key that
        occurs twice."""
        faults = f"list_transform(pairs, lambda e: {self._render_pair_fault(kind)})"
        first = f"list_filter({faults}, lambda fault: fault IS NOT NULL)[1]"
        # An object with a key twice cannot be read as pairs, so its keys are read by themselves.
        alone = "json_keys(try_cast(said AS JSON))"
        keys = f"coalesce(CAST({self._render_keys(kind, 'pairs')} AS VARCHAR[]), {alone})"
        twice = f"list_filter({keys}, lambda k, i: list_position({keys}, k) < i)[1]"
        start = quote_text("the key '")
        double = f"{start} || left({twice}, 60) || {quote_text(REPEATED)}"
        said = f"coalesce({first}, {double})"
        usual = TypeFamily.render_complaint(self, kind, where, "said")
        pairs = _render_pairs("try_cast(said AS JSON)")
        # The lambdas name what is used several times.
        told = f"list_transform([{pairs}], lambda pairs: {quote_text(where)} || {said})[1]"
        return f"list_transform([{text}], lambda said: coalesce({told}, {usual}))[1]"

    def _render_pair_fault(self, kind: ColumnType) -> str:
        """Returns SQL for what is wrong with the key or the value of a pair `e`; NULL if nothing
        is."""
        key, held = kind.entry
        value = _render_text("e.value")
        found = "coalesce(json_type(e.value), 'NULL')"
        start, colon = quote_text("the value of '"), "': "
        place = f"{start} || left(e.key, 60) || {quote_text(colon)}"
        got = f"'expected {held.family.expected}, got ' || {KIND_IN_WORDS.format(kind=found)}"
        return (
            "CASE WHEN e.key IS NULL THEN 'a pair has no key' "
            f"WHEN {key.family.render_misfit(key, 'e.key')} "
            f"THEN {key.family.render_complaint(key, 'the key ', 'e.key')} "
            f"WHEN {found} NOT IN ({quote_texts(held.family.json_kinds)}) THEN {place} || {got} "
            f"WHEN {held.family.render_misfit(held, value)} "
            f"THEN {place} || {held.family.render_complaint(held, '', value)} "
            f"WHEN {_render_rounded(held, value)} "
            f"THEN {place} || 'has more digits than can be read exactly' END"
        )


@dataclass(frozen=True, kw_only=True)
class VectorFamily(TypeFamily):
    """Vectors of a fixed length, which an endpoint for embeddings returns: no llm writes them."""

    def parse(self, node: exp.DataType, place: DdlPlace) -> ColumnType | None:
        """Returns an array of FLOAT with its length; None for others."""
        sizes = node.args.get("values") or []
        if len(node.expressions) != 1 or len(sizes) != 1:
            return None
        (item,), length = node.expressions, sizes[0].name
        if item.this.name != "FLOAT":
            return None
        if not length.isdigit() or not 0 < int(length) <= MOST_NUMBERS:
            hint = f"an embedding is FLOAT[n], with n from 1 to {MOST_NUMBERS:,}"
            raise place.error(f"{node.sql('duckdb')} is not an embedding", hint=hint)
        return ColumnType(family=self, sql=f"FLOAT[{length}]", length=int(length))


@dataclass(frozen=True, kw_only=True)
class ListFamily(TypeFamily):
    """Lists of any length whose items are not null."""

    def parse(self, node: exp.DataType, place: DdlPlace) -> ColumnType | None:
        """Returns a list whose items have a type that an output can hold; None for others."""
        # `values` holds the 3 of INTEGER[3]: an array of fixed length, which is another type.
        if len(node.expressions) != 1 or node.args.get("values"):
            return None
        item = parse_type(node.expressions[0], place)
        part = TypePart(step=LIST_STEP, type=item, required=True)
        return ColumnType(family=self, sql=f"{item.sql}[]", parts=(part,))

    def render_schema(self, kind: ColumnType) -> dict[str, Any]:
        """Returns the schema with that of the items."""
        return {**self.schema, "items": _item_of(kind).render_schema(required=True)}

    def count_tokens(self, kind: ColumnType) -> float:
        """Returns an estimate for the items together."""
        item = _item_of(kind)
        return ITEMS_GUESS * item.family.count_tokens(item)

    def choose_measure(self, kind: ColumnType) -> Measure:
        """Returns "labels" for lists of texts, which are most likely tags."""
        return "value" if _item_of(kind).family.measure == "value" else "labels"

    def render_shape(self, kind: ColumnType) -> WireShape:
        """Returns the shape of the items in a list."""
        item = _item_of(kind)
        return [item.family.render_shape(item)]

    def render_value(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL for the list of the published values of the items."""
        if kind.is_published_as_read:
            return value
        item, name = _item_of(kind), f"v{depth}"
        inner = item.family.render_value(item, name, depth + 1)
        return f"list_transform({value}, lambda {name}: {inner})"

    def render_fit(self, kind: ColumnType, value: str, depth: int) -> str:
        """Returns SQL that tells whether all items fit; "" if they always do."""
        item, name = _item_of(kind), f"f{depth}"
        inner = item.family.render_fit(item, name, depth + 1)
        bad = f"list_filter({value}, lambda {name}: NOT ({inner}))"
        return f"coalesce(len({bad}), 0) = 0" if inner else ""


def _item_of(kind: ColumnType) -> ColumnType:
    """Returns the type of a list's items."""
    (part,) = kind.parts
    return part.type


def _render_pairs(value: str) -> str:
    """Returns SQL for the pairs of a MAP as a list of {key VARCHAR, value JSON}, whether the answer
    is a list of pairs or an object."""
    pairs = """'[{"key":"VARCHAR","value":"JSON"}]'"""
    return f"""CASE json_type({value})
        WHEN 'OBJECT' THEN try(map_entries(from_json({value}, '"MAP(VARCHAR,JSON)"')))
        ELSE try(from_json({value}, {pairs})) END"""


def _render_items(text: str) -> str:
    """Returns SQL for the pairs of a MAP as they were written; NULL for an object."""
    return f"""try(from_json(try_cast({text} AS JSON), '["JSON"]'))"""


def _render_rounded(side: ColumnType, text: str) -> str:
    """Returns SQL that tells whether a number of a MAP, as text, has too many digits to be sure
    that it is the one that was written."""
    # DuckDB reads what has no fixed shape with fractions as DOUBLEs, and writes these anew.
    if not side.sql.startswith("DECIMAL"):
        return "false"
    digits = f"regexp_replace({text}, '[eE].*|[^0-9]', '', 'g')"
    many = f"length(trim({digits}, '0')) > {SURE_DIGITS}"
    large = f"abs(try_cast({text} AS DOUBLE)) >= 1e{SURE_DIGITS}"
    scale = DECIMAL_SCALE.search(side.sql)
    whole_digits = SURE_DIGITS - int(scale[1] if scale else 0)
    kept = f"abs(try_cast({text} AS DOUBLE)) < 1e{whole_digits}"
    return (
        f"(regexp_matches({text}, '[.eE]') AND NOT coalesce({kept}, false) "
        f"AND coalesce({many} OR {large}, false))"
    )


def _render_text(value: str) -> str:
    """Returns SQL for the text of a JSON value."""
    return f"({value}->>'$')"


class Families(NamedTuple):
    """All families that an output may have, in the order in which hints list them."""

    text: TypeFamily
    integer: TypeFamily
    number: TypeFamily
    boolean: TypeFamily
    date: TypeFamily
    time: TypeFamily
    timestamp: TypeFamily
    uuid: TypeFamily
    json: TypeFamily
    enum: TypeFamily
    struct: TypeFamily
    map: TypeFamily
    vector: TypeFamily
    list: TypeFamily


FAMILIES = Families(
    text=TextFamily(
        names=("TEXT", "VARCHAR", "CHAR"),
        written="VARCHAR, VARCHAR(n)",
        schema={"type": "string"},
        json_kinds=("VARCHAR",),
        expected="text",
        tokens=30,
        measure="text",
    ),
    integer=IntegerFamily(
        names=tuple(INTEGER_BOUNDS),
        written="an integer type",
        schema={"type": "integer"},
        json_kinds=(*WHOLE_KINDS, "DOUBLE"),
        doubtful_kinds=("DOUBLE",),
        expected="a whole number",
        tokens=3,
        measure="value",
        limits=NUMBER_LIMITS,
    ),
    number=NumberFamily(
        names=("FLOAT", "DOUBLE", "DECIMAL"),
        written="FLOAT, DOUBLE, DECIMAL(p, s)",
        schema={"type": "number"},
        json_kinds=(*WHOLE_KINDS, "DOUBLE"),
        expected="a number",
        tokens=4,
        measure="value",
        limits=NUMBER_LIMITS,
    ),
    boolean=TypeFamily(
        names=("BOOLEAN",),
        written="BOOLEAN",
        schema={"type": "boolean"},
        json_kinds=("BOOLEAN",),
        is_decided_by_kind=True,
        expected="true or false",
        tokens=2,
        measure="labels",
    ),
    date=TypeFamily(
        names=("DATE",),
        written="DATE",
        schema={"type": "string", "format": "date"},
        json_kinds=("VARCHAR",),
        expected="a date",
        tokens=7,
        measure="value",
        wire="VARCHAR",
        pattern=DAY_PATTERN,
    ),
    time=TypeFamily(
        names=("TIME",),
        written="TIME",
        # No `format`: JSON Schema's "time" is the one of RFC 3339, which must have an offset, and a
        # TIME has none.
        schema={"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$"},
        json_kinds=("VARCHAR",),
        expected="a time",
        tokens=6,
        measure="value",
        wire="VARCHAR",
        pattern=rf"{HOUR_PATTERN}(Z|[+-]00:00)?",
    ),
    timestamp=TimestampFamily(
        names=("TIMESTAMP", "TIMESTAMPNTZ", "TIMESTAMPTZ"),
        written="TIMESTAMP, TIMESTAMPTZ",
        schema={"type": "string", "format": "date-time"},
        json_kinds=("VARCHAR",),
        expected="a timestamp",
        tokens=14,
        measure="value",
        wire="VARCHAR",
        pattern=rf"{DAY_PATTERN}([T ]{HOUR_PATTERN}( ?{OFFSET_PATTERN})?)?",
    ),
    uuid=TypeFamily(
        names=("UUID",),  # DuckDB also accepts braces around one; the pattern does not
        written="UUID",
        schema={"type": "string", "format": "uuid"},
        json_kinds=("VARCHAR",),
        expected="a UUID",
        tokens=20,
        measure="value",
        wire="VARCHAR",
        pattern=r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    ),
    json=JsonFamily(
        names=("JSON",),
        written="JSON",
        # A strict schema cannot say "any value", so the llm is asked for JSON as a text.
        schema={"type": "string"},
        json_kinds=(*WHOLE_KINDS, "DOUBLE", "VARCHAR", "BOOLEAN", "ARRAY", "OBJECT"),
        expected="JSON",
        tokens=40,
        measure="value",
        is_plain=False,
        wire="JSON",
    ),
    enum=EnumFamily(
        names=("ENUM",),
        written="ENUM('a', 'b')",
        schema={"type": "string"},
        json_kinds=("VARCHAR",),
        expected="a label",
        tokens=4,
        measure="labels",
    ),
    struct=StructFamily(
        names=("STRUCT",),
        written="STRUCT(...)",
        schema={"type": "object"},
        json_kinds=("OBJECT",),
        expected="an object",
        tokens=0,
        measure="value",
        is_plain=False,
    ),
    map=MapFamily(
        names=("MAP",),
        written="MAP(key, value)",
        schema={"type": "array"},
        json_kinds=("ARRAY", "OBJECT"),
        expected="a list of keys and values",
        tokens=3,  # for `"key":` or `"value":` before each side of a pair
        measure="value",
        is_plain=False,
        wire="JSON",
    ),
    vector=VectorFamily(
        names=("ARRAY",),
        written="FLOAT[n] for an embedding",
        schema={"type": "array"},
        json_kinds=("ARRAY",),
        expected="a list of numbers",
        tokens=0,  # nothing is written
        measure="value",
        is_plain=False,
    ),
    list=ListFamily(
        names=("ARRAY", "LIST"),
        written="or a list of one of these",
        schema={"type": "array"},
        json_kinds=("ARRAY",),
        expected="a list",
        tokens=0,
        measure="value",
        is_plain=False,
        limits=("minItems", "maxItems"),
    ),
)
SUPPORTED_TYPES = f"use {', '.join(family.written for family in FAMILIES)}"


def parse_type(node: exp.DataType, place: DdlPlace) -> ColumnType:
    """Returns the type that sqlglot parsed. Raises ModelError if an output cannot hold it."""
    found = (family.parse(node, place) for family in FAMILIES if node.this.name in family.names)
    kind = next(filter(None, found), None)
    if kind is None:
        sql = node.sql("duckdb", comments=False)
        raise place.error(f"the output cannot hold {sql}", hint=SUPPORTED_TYPES)
    return kind
