"""An answer is judged against the output: whether it fits, and in words why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import answer
from enrich.db import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.manifest.output import Output, Type
    from enrich.manifest.prompt import Format

HUGE = ("INT128", "UINT128")
"""DuckDB's JSON reader calls a whole number of more than 64 bits a DOUBLE, like a fraction."""
EXACT = 2**53
"""Below this every whole number is a DOUBLE (IEEE 754)."""
SEEN = (
    "CASE {kind} WHEN 'NULL' THEN 'null' WHEN 'VARCHAR' THEN 'text' WHEN 'ARRAY' THEN 'a list' "
    "WHEN 'OBJECT' THEN 'an object' WHEN 'BOOLEAN' THEN 'true or false' "
    "WHEN 'DOUBLE' THEN 'a fraction' ELSE 'a number' END"
)


def judged(source: str, output: Output, form: Format) -> str:
    """A SELECT of `source`'s columns and `fault`: why its `content` breaks the output, or NULL.

    `source` is a SELECT that has a column `content`; it may not have the columns of the output.
    """
    first = output.columns[0]
    if form == "text":
        said = answer.text("content")
        row = quote.struct({first.name: said})
        fault = (
            f"CASE WHEN NOT coalesce(regexp_matches({said}, '\\S'), false) "
            f"THEN {quote.text(f'{first.name}: is empty')} "
            f"WHEN {_misfit(first.type, said)} "
            f"THEN {_words(f'{first.name}: ', first.type, said)} END"
        )
    else:
        row = f"try(from_json_strict(document, {quote.text(shape(output))}))"
        fault = _fault(output)
    columns = ", ".join(
        f"{_read(f'answer.{quote.name(column.name)}', column.type)} AS {quote.name(column.name)}"
        for column in output.columns
    )
    checks = ", ".join(
        f"CASE WHEN try({quote.written(check)}) IS FALSE "
        f"THEN {quote.text(f'CHECK ({check}) failed')} END"
        for check in output.checks
    )
    return f"""SELECT _enrich.*,
    coalesce(_enrich_fault, nullif(concat_ws('; ', {checks or "NULL"}), '')) AS fault
FROM (
    SELECT _enrich, {columns}, {fault} AS _enrich_fault
    FROM (
        SELECT _enrich, content, document, {row} AS answer
        FROM (
            SELECT rows AS _enrich, content, {answer.document("content")} AS document
            FROM ({source}) AS rows
        )
    )
)"""


def parsed(content: str, output: Output, form: Format, *, strict: bool) -> str:
    """The answer in `content` as a STRUCT of the output's columns.

    Where it is not `strict`, columns that the answer lacks or that do not fit are NULL.
    """
    if form == "text":
        return quote.struct({output.columns[0].name: answer.text(content)})
    document = answer.document(content)
    wire = f"STRUCT({', '.join(f'{quote.name(c.name)} {_wire(c.type)}' for c in output.columns)})"
    row = (
        f"from_json_strict({document}, {quote.text(shape(output))})"
        if strict
        else f"try_cast({document} AS {wire})"
    )
    if all(_is_read(column.type) for column in output.columns):
        return row
    columns = quote.struct(
        {c.name: _read(f"answer.{quote.name(c.name)}", c.type) for c in output.columns}
    )
    read = f"CASE WHEN answer IS NOT NULL THEN {columns} END"
    return f"list_transform([{row}], lambda answer: {read})[1]"


def shape(output: Output) -> str:
    """The output as `from_json_strict` wants it: a JSON text of type names."""
    import json

    def of(kind: Type) -> object:
        if kind.item:
            return [of(kind.item)]
        return {name: of(field) for name, field in kind.fields} if kind.fields else _wire(kind)

    return json.dumps({column.name: of(column.type) for column in output.columns})


def _wire(kind: Type) -> str:
    """The type that a value is read as: strict readers take what DuckDB's own casts would bend."""
    if kind.item:
        return f"{_wire(kind.item)}[]"
    if kind.fields:
        fields = (f"{quote.name(name)} {_wire(field)}" for name, field in kind.fields)
        return f"STRUCT({', '.join(fields)})"
    return kind.traits.wire or kind.sql


def _is_read(kind: Type) -> bool:
    """Whether a value is read as its own type."""
    return not any(inner.traits.wire for inner in _types(kind))


def _read(value: str, kind: Type, depth: int = 0) -> str:
    """SQL for a value of the published type, from one of the type it was read as."""
    if _is_read(kind):
        return value
    name = f"v{depth}"
    if kind.item:
        return f"list_transform({value}, lambda {name}: {_read(name, kind.item, depth + 1)})"
    if kind.fields:
        fields = {n: _read(f"{value}.{quote.name(n)}", field, depth) for n, field in kind.fields}
        return f"CASE WHEN {value} IS NOT NULL THEN {quote.struct(fields)} END"
    if kind.family == "json":
        return (
            f"CASE json_type({value}) WHEN 'NULL' THEN NULL "
            f"WHEN 'VARCHAR' THEN try_cast({value}->>'$' AS JSON) ELSE {value} END"
        )
    if kind.entry:
        key, held = kind.entry
        pair = f"{{'key': {_scalar('e.key', key)}, 'value': {_scalar(_held('e.value'), held)}}}"
        pairs = f"list_transform({_entries(value)}, lambda e: {pair})"
        return f"try(map_from_entries({pairs}))"
    return _scalar(value, kind)


def _scalar(text: str, kind: Type) -> str:
    """SQL for the value that a text stands for; a timestamp without an offset is one in UTC."""
    if kind.family == "text":
        return text
    if kind.sql == "TIMESTAMP":
        return f"CAST(try_cast({text} AS TIMESTAMP WITH TIME ZONE) AS TIMESTAMP)"
    return f"try_cast({text} AS {kind.sql})"


def _entries(value: str) -> str:
    """SQL for the pairs of a MAP, given as the schema has it or as an object, as a list of
    {key VARCHAR, value JSON}."""
    pairs = """'[{"key":"VARCHAR","value":"JSON"}]'"""
    return f"""CASE json_type({value})
        WHEN 'OBJECT' THEN try(map_entries(from_json({value}, '"MAP(VARCHAR,JSON)"')))
        ELSE try(from_json({value}, {pairs})) END"""


def _held(value: str) -> str:
    """SQL for the text of a JSON value."""
    return f"({value}->>'$')"


def checks_alone(output: Output) -> Iterator[tuple[str, str]]:
    """Each CHECK, and a query of its value for an empty answer."""
    columns = ", ".join(
        f"CAST(NULL AS {column.type.sql}) AS {quote.name(column.name)}" for column in output.columns
    )
    for check in output.checks:
        yield check, f"SELECT try({quote.written(check)}) FROM (SELECT {columns})"


def _fault(output: Output) -> str:
    """Why a document breaks the output, in words; NULL if it fits."""
    faults = [
        fault
        for column in output.columns
        for fault in _faults((column.name,), column.type, required=column.required)
    ]
    words = f"nullif(concat_ws('; ', {', '.join(faults)}), '')"
    return f"""CASE
        WHEN document IS NULL THEN 'the answer is not JSON'
        WHEN json_type(document) <> 'OBJECT' THEN 'the answer is not a JSON object'
        WHEN answer IS NOT NULL AND {_plain(output)} THEN NULL
        ELSE coalesce({words},
            CASE WHEN answer IS NULL THEN 'the answer does not fit the output' END)
    END"""


def _plain(output: Output) -> str:
    """Whether every kind is as expected: what from_json_strict would convert in silence is not."""
    if any(kind.sql in HUGE for column in output.columns for kind in _types(column.type)):
        return "false"
    paths = ", ".join(quote.path(column.name) for column in output.columns)
    kinds = (
        f"kinds[{number}] IN ({quote.texts(_certain(column.type, required=column.required))})"
        for number, column in enumerate(output.columns, 1)
    )
    inner = [
        f"len({_odd(steps, kind, required=required, certain=True)}) = 0"
        for column in output.columns
        for steps, kind, required in _nested((column.name,), column.type)
    ]
    fits = [fit for c in output.columns if (fit := _fits(f"answer.{quote.name(c.name)}", c.type))]
    top = (
        f"(list_transform([json_type(document, [{paths}])], "
        f"lambda kinds: {' AND '.join(kinds)}))[1]"
    )
    return " AND ".join([top, *inner, *fits])


def _fits(value: str, kind: Type, depth: int = 0) -> str:
    """Whether a value of the right JSON kind, as it was read, is one of the type; "" if it is."""
    name = f"f{depth}"
    if kind.item:
        inner = _fits(name, kind.item, depth + 1)
        bad = f"list_filter({value}, lambda {name}: NOT ({inner}))"
        return f"coalesce(len({bad}), 0) = 0" if inner else ""
    if kind.fields:
        each = (_fits(f"{value}.{quote.name(name)}", field, depth) for name, field in kind.fields)
        return " AND ".join(filter(None, each))
    if kind.family == "number" and not kind.sql.startswith("DECIMAL"):
        return f"coalesce(isfinite({value}), true)"
    if kind.family == "json":
        absent = f"coalesce(json_type({value}), 'NULL') = 'NULL'"
        return f"({absent} OR {_read(value, kind)} IS NOT NULL)"
    if kind.entry:
        return f"NOT coalesce({_misfit(kind, f'CAST({value} AS VARCHAR)')}, false)"
    if kind.length or kind.traits.wire:
        return f"NOT coalesce({_misfit(kind, value)}, false)"
    return ""


def _misfit(kind: Type, text: str) -> str:
    """SQL that is true for a text which does not stand for a value of a type, though it is of the
    right JSON kind; `text` of what is no text is its JSON."""
    cast = f"{_scalar(text, kind)} IS NULL"
    if kind.family == "text":
        return f"length({text}) > {kind.length}" if kind.length else "false"
    if kind.traits.pattern:
        return f"(NOT regexp_full_match({text}, {quote.text(kind.traits.pattern)}) OR {cast})"
    if kind.family == "number":
        return f"({cast} OR NOT coalesce(isfinite(try_cast({text} AS DOUBLE)), false))"
    if kind.family == "integer":
        near = f"try_cast({text} AS DOUBLE)"
        whole = f"coalesce(floor({near}) = {near} AND abs({near}) < {EXACT}, false)"
        digits = f"regexp_full_match({text}, '-?[0-9]+')"
        return f"({cast} OR NOT ({digits} OR {whole}))"
    if kind.family == "json":
        return f"try_cast({text} AS JSON) IS NULL"
    if kind.entry:
        return _misfit_map(kind.entry, f"try_cast({text} AS JSON)")
    return cast


def _misfit_map(entry: tuple[Type, Type], value: str) -> str:
    """SQL that is true where a pair of a MAP has a key or a value that does not fit, or where two
    pairs have one key."""
    key, held = entry
    kinds = quote.texts(_allowed(held, required=True))
    bad = (
        f"e.key IS NULL OR {_misfit(key, 'e.key')} "
        f"OR coalesce(json_type(e.value), 'NULL') NOT IN ({kinds}) "
        f"OR {_misfit(held, _held('e.value'))}"
    )
    pairs = _entries(value)
    keys = f"list_transform({pairs}, lambda e: {_scalar('e.key', key)})"
    return (
        f"({pairs} IS NULL OR len(list_filter({pairs}, lambda e: {bad})) > 0 "
        f"OR len(list_distinct({keys})) < len({keys}))"
    )


def _words(where: str, kind: Type, text: str) -> str:
    """SQL for what is wrong with a text that does not fit."""
    if kind.length:
        most = f" characters, at most {kind.length} are allowed"
        return f"{quote.text(f'{where}has ')} || length({text}) || {quote.text(most)}"
    labels = f" is not one of {', '.join(kind.labels)}" if kind.labels else f" is not {kind.sql}"
    quoted = f"'''' || left({text}, 60) || ''''"
    return f"{quote.text(where)} || {quoted} || {quote.text(labels)}"


def _types(kind: Type) -> Iterator[Type]:
    yield kind
    for inner in (*((kind.item,) if kind.item else ()), *(field for _, field in kind.fields)):
        yield from _types(inner)


def _allowed(kind: Type, *, required: bool) -> tuple[str, ...]:
    huge = ("DOUBLE",) if kind.family == "integer" else ()
    return (*kind.traits.kinds, *huge, *(() if required else ("NULL",)))


def _certain(kind: Type, *, required: bool) -> tuple[str, ...]:
    """The JSON kinds that need no second look: 5.0 is a whole number, and 5.7 is not."""
    allowed = _allowed(kind, required=required)
    return tuple(k for k in allowed if k != "DOUBLE" or kind.family != "integer")


def _nested(steps: tuple[str, ...], kind: Type) -> Iterator[tuple[tuple[str, ...], Type, bool]]:
    """Every path below a column, its type, and whether it is required; `[*]` stands for a list's
    items and makes whatever is read there a list."""
    if kind.item:
        yield (*steps, "[*]"), kind.item, True
        yield from _nested((*steps, "[*]"), kind.item)
    for name, field in kind.fields:
        yield (*steps, name), field, False
        yield from _nested((*steps, name), field)


def _kinds(steps: tuple[str, ...]) -> str:
    """A list of the JSON kinds found at a path; NULL where a key is absent."""
    found = f"json_type(document, {quote.path(*steps)})"
    return found if "[*]" in steps else f"[{found}]"


def _odd(steps: tuple[str, ...], kind: Type, *, required: bool, certain: bool = False) -> str:
    """Those of the kinds at a path that the type does not allow, or not for `certain`."""
    allowed = quote.texts((_certain if certain else _allowed)(kind, required=required))
    return f"list_filter({_kinds(steps)}, lambda kind: kind NOT IN ({allowed}))"


def _faults(steps: tuple[str, ...], kind: Type, *, required: bool) -> Iterator[str]:
    """SQL texts, each NULL or one sentence on what is wrong at or below this path."""
    where = quote.text(".".join(step for step in steps if step != "[*]") + ": ")
    path = quote.path(*steps)
    values = f"(document->>{path})" if "[*]" in steps else f"[document->>{path}]"
    yield f"CASE WHEN {_missing(steps)} THEN {where} || 'missing' END"
    odd = f"{_odd(steps, kind, required=required)}[1]"
    expected = quote.text(f"expected {kind.traits.expected}, got ")
    yield f"CASE WHEN {odd} IS NOT NULL THEN {where} || {expected} || {SEEN.format(kind=odd)} END"
    if kind.item:
        yield from _faults((*steps, "[*]"), kind.item, required=True)
    elif kind.fields:
        for name, field in kind.fields:
            yield from _faults((*steps, name), field, required=False)
    elif kind.family != "boolean" and _misfit(kind, "value") != "false":
        filtered = (
            f"list_filter({values}, lambda value: value IS NOT NULL AND {_misfit(kind, 'value')})"
        )
        shown = _words(
            f"{'.'.join(step for step in steps if step != '[*]')}: ", kind, f"{filtered}[1]"
        )
        yield f"CASE WHEN {odd} IS NULL AND {filtered}[1] IS NOT NULL THEN {shown} END"


def _missing(steps: tuple[str, ...]) -> str:
    """Whether a key is absent from the document, or from an object inside it."""
    kinds = _kinds(steps)
    if len(steps) == 1:
        return f"{kinds}[1] IS NULL"
    if steps[-1] == "[*]":
        return "false"
    owner = f"json_type(document, {quote.path(*steps[:-1])})"
    if "[*]" not in steps:
        return f"{owner} = 'OBJECT' AND {kinds}[1] IS NULL"
    return f"len(list_filter({owner}, lambda kind: kind = 'OBJECT')) > len({kinds})"
