"""An answer is judged against the output: whether it fits, and in words why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import answer, quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.output import Family, Output, Type
    from enrich.prompt import Format

# DuckDB's names of JSON kinds, by family of the column.
KINDS: dict[Family, tuple[str, ...]] = {
    "text": ("VARCHAR",),
    "integer": ("UBIGINT", "BIGINT", "HUGEINT", "UHUGEINT"),
    "number": ("UBIGINT", "BIGINT", "HUGEINT", "UHUGEINT", "DOUBLE"),
    "boolean": ("BOOLEAN",),
    "date": ("VARCHAR",),
    "timestamp": ("VARCHAR",),
    "enum": ("VARCHAR",),
    "list": ("ARRAY",),
    "struct": ("OBJECT",),
}
HUGE = ("INT128", "UINT128")
"""DuckDB's JSON reader calls a whole number of more than 64 bits a DOUBLE, like a fraction."""
EXPECTED: dict[Family, str] = {
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    "timestamp": "a timestamp",
    "enum": "a label",
    "list": "a list",
    "struct": "an object",
}
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
            f"THEN {quote.text(f'{first.name}: is empty')} END"
        )
    else:
        row = f"try(from_json_strict(document, {quote.text(shape(output))}))"
        fault = _fault(output)
    columns = ", ".join(
        f"answer.{quote.name(column.name)} AS {quote.name(column.name)}"
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
    if strict:
        return f"from_json_strict({answer.document(content)}, {quote.text(shape(output))})"
    types = ", ".join(f"{quote.name(column.name)} {column.type.sql}" for column in output.columns)
    return f"try_cast({answer.document(content)} AS STRUCT({types}))"


def shape(output: Output) -> str:
    """The output as `from_json_strict` wants it: a JSON text of type names."""
    import json

    def of(kind: Type) -> object:
        if kind.item:
            return [of(kind.item)]
        return {name: of(field) for name, field in kind.fields} if kind.fields else kind.sql

    return json.dumps({column.name: of(column.type) for column in output.columns})


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
        f"kinds[{number}] IN ({quote.texts(_allowed(column.type, required=column.required))})"
        for number, column in enumerate(output.columns, 1)
    )
    inner = [
        f"len({_odd(steps, kind, required=required)}) = 0"
        for column in output.columns
        for steps, kind, required in _nested((column.name,), column.type)
    ]
    top = (
        f"(list_transform([json_type(document, [{paths}])], "
        f"lambda kinds: {' AND '.join(kinds)}))[1]"
    )
    return " AND ".join([top, *inner])


def _types(kind: Type) -> Iterator[Type]:
    yield kind
    for inner in (*((kind.item,) if kind.item else ()), *(field for _, field in kind.fields)):
        yield from _types(inner)


def _allowed(kind: Type, *, required: bool) -> tuple[str, ...]:
    huge = ("DOUBLE",) if kind.sql in HUGE else ()
    return (*KINDS[kind.family], *huge, *(() if required else ("NULL",)))


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


def _odd(steps: tuple[str, ...], kind: Type, *, required: bool) -> str:
    """Those of the kinds at a path that the type does not allow."""
    allowed = quote.texts(_allowed(kind, required=required))
    return f"list_filter({_kinds(steps)}, lambda kind: kind NOT IN ({allowed}))"


def _faults(steps: tuple[str, ...], kind: Type, *, required: bool) -> Iterator[str]:
    """SQL texts, each NULL or one sentence on what is wrong at or below this path."""
    where = quote.text(".".join(step for step in steps if step != "[*]") + ": ")
    path = quote.path(*steps)
    values = f"(document->>{path})" if "[*]" in steps else f"[document->>{path}]"
    yield f"CASE WHEN {_missing(steps)} THEN {where} || 'missing' END"
    odd = f"{_odd(steps, kind, required=required)}[1]"
    expected = quote.text(f"expected {EXPECTED[kind.family]}, got ")
    yield f"CASE WHEN {odd} IS NOT NULL THEN {where} || {expected} || {SEEN.format(kind=odd)} END"
    if kind.item:
        yield from _faults((*steps, "[*]"), kind.item, required=True)
    elif kind.fields:
        for name, field in kind.fields:
            yield from _faults((*steps, name), field, required=False)
    elif kind.family != "text":
        labels = (
            f" is not one of {', '.join(kind.labels)}" if kind.labels else f" is not {kind.sql}"
        )
        misfit = f"try_cast(value AS {kind.sql}) IS NULL"
        if kind.sql in HUGE:
            misfit += " OR NOT regexp_full_match(value, '-?[0-9]+')"
        bad = f"list_filter({values}, lambda value: value IS NOT NULL AND ({misfit}))[1]"
        shown = f"{where} || '''' || left({bad}, 60) || '''' || {quote.text(labels)}"
        yield f"CASE WHEN {odd} IS NULL AND {bad} IS NOT NULL THEN {shown} END"


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
