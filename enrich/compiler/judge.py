"""An answer is judged against the output: whether it fits, and in words why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import answer
from enrich.db import quote
from enrich.manifest.column_type import LIST_STEP, render_strict_shape, render_wire_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.manifest.column_type import ColumnType
    from enrich.manifest.output import Output
    from enrich.manifest.prompt import ResponseFormat

KIND_IN_WORDS = (
    "CASE {kind} WHEN 'NULL' THEN 'null' WHEN 'VARCHAR' THEN 'text' WHEN 'ARRAY' THEN 'a list' "
    "WHEN 'OBJECT' THEN 'an object' WHEN 'BOOLEAN' THEN 'true or false' "
    "WHEN 'DOUBLE' THEN 'a fraction' ELSE 'a number' END"
)


def render_judgement(source: str, output: Output, form: ResponseFormat) -> str:
    """A SELECT of `source`'s columns and `fault`: why its `content` breaks the output, or NULL.

    `source` is a SELECT that has a column `content`; it may not have the columns of the output.
    """
    # The source's row goes through as one STRUCT, so that its columns and the output's, which may
    # have any name, do not meet.
    first = output.columns[0]
    if form == "text":
        said = answer.text("content")
        row = quote.struct({first.name: said})
        fault = (
            f"CASE WHEN NOT coalesce(regexp_matches({said}, '\\S'), false) "
            f"THEN {quote.text(f'{first.name}: is empty')} "
            f"WHEN {first.type.family.render_misfit(first.type, said)} "
            f"THEN {first.type.family.render_complaint(first.type, f'{first.name}: ', said)} END"
        )
    else:
        row = f"try(from_json_strict(document, {quote.text(_render_shape(output))}))"
        fault = _fault(output)
    columns = ", ".join(
        f"{value} AS {quote.name(name)}" for name, value in _published_values(output).items()
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


def render_answer(content: str, output: Output, form: ResponseFormat, *, strict: bool) -> str:
    """The answer in `content` as a STRUCT of the output's columns.

    Where it is not `strict`, columns that the answer lacks or that do not fit are NULL.
    """
    if form == "text":
        return quote.struct({output.columns[0].name: answer.text(content)})
    document = answer.document(content)
    wire = {c.name: c.type.family.render_shape(c.type) for c in output.columns}
    row = (
        f"from_json_strict({document}, {quote.text(_render_shape(output))})"
        if strict
        else f"try_cast({document} AS {render_wire_type(wire)})"
    )
    if all(column.type.is_published_as_read for column in output.columns):
        return row
    columns = quote.struct(_published_values(output))
    # The lambda gives the row a name: written out, it would be read again for every column.
    read = f"CASE WHEN answer IS NOT NULL THEN {columns} END"
    return f"list_transform([{row}], lambda answer: {read})[1]"


def _render_shape(output: Output) -> str:
    """The output as `from_json_strict` wants it: a JSON text of type names."""
    return render_strict_shape({column.name: column.type for column in output.columns})


def _published_values(output: Output) -> dict[str, str]:
    """SQL for each column's published value, of an `answer` that was read."""
    return {
        c.name: c.type.family.render_value(c.type, f"answer.{quote.name(c.name)}", 0)
        for c in output.columns
    }


def render_checks(output: Output) -> Iterator[tuple[str, str]]:
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
    if any(column.type.needs_second_look for column in output.columns):
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
    fits = (
        c.type.family.render_fit(c.type, f"answer.{quote.name(c.name)}", 0) for c in output.columns
    )
    # One call for all paths: each call of json_type parses the document.
    top = (
        f"(list_transform([json_type(document, [{paths}])], "
        f"lambda kinds: {' AND '.join(kinds)}))[1]"
    )
    return " AND ".join(filter(None, [top, *inner, *fits]))


def _allowed(kind: ColumnType, *, required: bool) -> tuple[str, ...]:
    """The JSON kinds that may stand for a value."""
    return (*kind.family.json_kinds, *(() if required else ("NULL",)))


def _certain(kind: ColumnType, *, required: bool) -> tuple[str, ...]:
    """The JSON kinds that need no second look."""
    allowed = _allowed(kind, required=required)
    return tuple(each for each in allowed if each not in kind.family.doubtful_kinds)


def _nested(
    steps: tuple[str, ...], kind: ColumnType
) -> Iterator[tuple[tuple[str, ...], ColumnType, bool]]:
    """Every path below a column, its type, and whether it is required; `[*]` stands for a list's
    items and makes whatever is read there a list."""
    for part in kind.parts:
        yield (*steps, part.step), part.type, part.required
        yield from _nested((*steps, part.step), part.type)


def _kinds(steps: tuple[str, ...]) -> str:
    """A list of the JSON kinds found at a path; NULL where a key is absent."""
    found = f"json_type(document, {quote.path(*steps)})"
    return found if LIST_STEP in steps else f"[{found}]"


def _odd(steps: tuple[str, ...], kind: ColumnType, *, required: bool, certain: bool = False) -> str:
    """Those of the kinds at a path that the type does not allow, or not for `certain`."""
    allowed = quote.texts((_certain if certain else _allowed)(kind, required=required))
    return f"list_filter({_kinds(steps)}, lambda kind: kind NOT IN ({allowed}))"


def _faults(steps: tuple[str, ...], kind: ColumnType, *, required: bool) -> Iterator[str]:
    """SQL texts, each NULL or one sentence on what is wrong at or below this path."""
    name = ".".join(step for step in steps if step != LIST_STEP)
    where, path = quote.text(f"{name}: "), quote.path(*steps)
    values = f"(document->>{path})" if LIST_STEP in steps else f"[document->>{path}]"
    yield f"CASE WHEN {_missing(steps)} THEN {where} || 'missing' END"
    odd = f"{_odd(steps, kind, required=required)}[1]"
    expected = quote.text(f"expected {kind.family.expected}, got ")
    got = KIND_IN_WORDS.format(kind=odd)
    yield f"CASE WHEN {odd} IS NOT NULL THEN {where} || {expected} || {got} END"
    for part in kind.parts:
        yield from _faults((*steps, part.step), part.type, required=part.required)
    misfit = kind.family.render_misfit(kind, "value")
    if not (kind.parts or kind.family.is_decided_by_kind or misfit == "false"):
        misfits = f"list_filter({values}, lambda value: value IS NOT NULL AND {misfit})"
        complaint = kind.family.render_complaint(kind, f"{name}: ", f"{misfits}[1]")
        yield f"CASE WHEN {odd} IS NULL AND {misfits}[1] IS NOT NULL THEN {complaint} END"


def _missing(steps: tuple[str, ...]) -> str:
    """Whether a key is absent from the document, or from an object inside it."""
    kinds = _kinds(steps)
    if len(steps) == 1:
        return f"{kinds}[1] IS NULL"
    if steps[-1] == LIST_STEP:
        return "false"
    # A key that is absent from an object in a list has no place in the list of kinds: there are
    # fewer kinds than objects then.
    owner = f"json_type(document, {quote.path(*steps[:-1])})"
    if LIST_STEP not in steps:
        return f"{owner} = 'OBJECT' AND {kinds}[1] IS NULL"
    return f"len(list_filter({owner}, lambda kind: kind = 'OBJECT')) > len({kinds})"
