"""An answer is judged against the output: whether it fits and, if not, why not, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import answer
from enrich.db.quote import (
    quote_name,
    quote_path,
    quote_text,
    quote_texts,
    render_struct,
    wrap_expression,
)
from enrich.manifest.column_type import (
    KIND_IN_WORDS,
    LIST_STEP,
    REPEATED,
    render_strict_shape,
    render_wire_type,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.manifest.column_type import ColumnType
    from enrich.manifest.output import Output
    from enrich.manifest.prompt import ResponseFormat

JSON_FORMS: tuple[ResponseFormat, ...] = ("json_schema", "json_object")


def list_readable_forms(form: ResponseFormat) -> tuple[ResponseFormat, ...]:
    """Returns the forms of earlier answers that can be read as `form` is, as far as they fit: a
    plain text cannot be read as JSON, nor a vector as either."""
    return JSON_FORMS if form in JSON_FORMS else (form,)


def render_judgement(source: str, output: Output, form: ResponseFormat) -> str:
    """A SELECT of `source`'s columns and `fault`: why its `content` breaks the output, or NULL.

    `source` is a SELECT that has a column `content` and, for a form that is read from it, a column
    `vector`.
    """
    # The row of `source` passes through as one STRUCT, so that its columns cannot clash with those
    # of the output, which may have any name.
    document = "CAST(NULL AS JSON)"
    if form == "vector":
        row = _render_vector(output)
        fault = _render_vector_fault(output)
    elif form == "text":
        said = answer.render_spoken_text("content")
        row = render_struct({output.columns[0].name: said})
        fault = _render_text_fault(output, said)
    else:
        document = answer.render_document("content")
        row = f"try(from_json_strict(document, {quote_text(_render_shape(output))}))"
        fault = _render_fault(output)
    read = "vector" if form == "vector" else "content"
    columns = ", ".join(
        f"{value} AS {quote_name(name)}" for name, value in _render_values(output).items()
    )
    # As in SQL, a CHECK whose value is NULL passes, and one that raises an error does not: try()
    # makes NULL of that.
    checks = ", ".join(
        f"CASE WHEN try({wrap_expression(check)} IS NOT FALSE) IS NOT TRUE "
        f"THEN {quote_text(f'CHECK ({check}) failed')} END"
        for check in output.checks
    )
    return f"""SELECT _enrich.*,
    coalesce(_enrich_fault, nullif(concat_ws('; ', {checks or "NULL"}), '')) AS fault
FROM (
    SELECT _enrich, {columns}, {fault} AS _enrich_fault
    FROM (
        SELECT _enrich, {read}, document, {row} AS answer
        FROM (
            SELECT rows AS _enrich, {read}, {document} AS document
            FROM ({source}) AS rows
        )
    )
)"""


def render_answer(content: str, output: Output, form: ResponseFormat, *, strict: bool) -> str:
    """SQL for the answer in `content` as a STRUCT of the output's columns; a vector is read from
    the column `vector` beside it.

    Unless it is `strict`, columns that the answer lacks or that do not fit are NULL.
    """
    if form == "vector":
        return _render_vector(output)
    if form == "text":
        return render_struct({output.columns[0].name: answer.render_spoken_text(content)})
    document = answer.render_document(content)
    wire = {c.name: c.type.family.render_shape(c.type) for c in output.columns}
    row = (
        f"from_json_strict({document}, {quote_text(_render_shape(output))})"
        if strict
        else f"try_cast({document} AS {render_wire_type(wire)})"
    )
    if all(column.type.is_published_as_read for column in output.columns):
        return row
    columns = render_struct(_render_values(output))
    # The lambda names the row: written out, it would be read again for every column.
    read = f"CASE WHEN answer IS NOT NULL THEN {columns} END"
    return f"list_transform([{row}], lambda answer: {read})[1]"


def _render_vector(output: Output) -> str:
    """SQL for the one column of the output, from `vector`; NULL if it has another length."""
    (column,) = output.columns
    return render_struct({column.name: f"try_cast(vector AS {column.type.sql})"})


def _render_vector_fault(output: Output) -> str:
    """SQL for why a vector breaks the one column of the output, in words; NULL if it fits."""
    (column,) = output.columns
    length, name = column.type.length, f"{column.name}: "
    holds = quote_text(f" numbers, {column.type.sql} holds {length}")
    return f"""CASE
        WHEN len(vector) <> {length} THEN {quote_text(f"{name}has ")} || len(vector) || {holds}
        WHEN len(list_filter(vector, lambda number: NOT isfinite(number))) > 0
            THEN {quote_text(f"{name}holds a number that is not finite")}
        WHEN list_count(vector) < {length} THEN {quote_text(f"{name}has nulls among its numbers")}
        WHEN list_max(vector) = 0 AND list_min(vector) = 0
            THEN {quote_text(f"{name}is all zeros, which is no direction")}
    END"""


def _render_shape(output: Output) -> str:
    """The output as `from_json_strict` takes it: a JSON text of type names."""
    return render_strict_shape({column.name: column.type for column in output.columns})


def _render_values(output: Output) -> dict[str, str]:
    """SQL for the published value of each column, from an `answer` that has been read."""
    return {
        c.name: c.type.family.render_value(c.type, f"answer.{quote_name(c.name)}", 0)
        for c in output.columns
    }


def render_checks(output: Output) -> Iterator[tuple[str, str]]:
    """Yields each CHECK and a query for its value on an empty answer."""
    columns = ", ".join(
        f"CAST(NULL AS {column.type.sql}) AS {quote_name(column.name)}" for column in output.columns
    )
    for check in output.checks:
        yield check, f"SELECT try({wrap_expression(check)}) FROM (SELECT {columns})"


def _render_text_fault(output: Output, said: str) -> str:
    """SQL for why a text breaks the one column of the output, in words; NULL if it fits."""
    first = output.columns[0]
    return (
        f"CASE WHEN NOT coalesce(regexp_matches({said}, '\\S'), false) "
        f"THEN {quote_text(f'{first.name}: is empty')} "
        f"WHEN {first.type.family.render_misfit(first.type, said)} "
        f"THEN {first.type.family.render_complaint(first.type, f'{first.name}: ', said)} END"
    )


def _render_fault(output: Output) -> str:
    """SQL for why a document breaks the output, in words; NULL if it fits."""
    faults = [
        _render_repeated(()),
        *(
            fault
            for column in output.columns
            for fault in _render_faults((column.name,), column.type, required=column.required)
        ),
    ]
    # Nearly all answers fit, and the third branch settles those: building the words takes longer.
    words = f"nullif(concat_ws('; ', {', '.join(faults)}), '')"
    return f"""CASE
        WHEN document IS NULL THEN 'the answer is not JSON'
        WHEN json_type(document) <> 'OBJECT' THEN 'the answer is not a JSON object'
        WHEN answer IS NOT NULL AND {_render_all_expected(output)} THEN NULL
        ELSE coalesce({words},
            CASE WHEN answer IS NULL THEN 'the answer does not fit the output' END)
    END"""


def _render_all_expected(output: Output) -> str:
    """SQL for whether every value has the JSON kind that its type expects.

    `from_json_strict` does not decide that: it turns 5 into '5' and 5.7 into 6 without a word.
    """
    if any(column.type.needs_second_look for column in output.columns):
        return "false"
    paths = ", ".join(quote_path(column.name) for column in output.columns)
    kinds = (
        f"kinds[{number}] IN ({quote_texts(_list_certain(column.type, required=column.required))})"
        for number, column in enumerate(output.columns, 1)
    )
    inner = [
        f"len({_render_odd_kinds(steps, kind, required=required, certain=True)}) = 0"
        for column in output.columns
        for steps, kind, required in _walk_parts((column.name,), column.type)
    ]
    fits = (
        c.type.family.render_fit(c.type, f"answer.{quote_name(c.name)}", 0) for c in output.columns
    )
    # One call for all paths: each call of json_type parses the document.
    top = (
        f"(list_transform([json_type(document, [{paths}])], "
        f"lambda kinds: {' AND '.join(kinds)}))[1]"
    )
    return " AND ".join(filter(None, [top, *inner, *fits]))


def _list_allowed(kind: ColumnType, *, required: bool) -> tuple[str, ...]:
    """The JSON kinds that a value of this type may have."""
    return (*kind.family.json_kinds, *(() if required else ("NULL",)))


def _list_certain(kind: ColumnType, *, required: bool) -> tuple[str, ...]:
    """The allowed JSON kinds that need no second look at the value itself."""
    allowed = _list_allowed(kind, required=required)
    return tuple(each for each in allowed if each not in kind.family.doubtful_kinds)


def _walk_parts(
    steps: tuple[str, ...], kind: ColumnType
) -> Iterator[tuple[tuple[str, ...], ColumnType, bool]]:
    """Yields every path below a column, its type, and whether it is required. `[*]` is the step to
    the items of a list, and makes whatever is read there a list."""
    for part in kind.parts:
        yield (*steps, part.step), part.type, part.required
        yield from _walk_parts((*steps, part.step), part.type)


def _render_kinds(steps: tuple[str, ...]) -> str:
    """SQL for a list of the JSON kinds at a path; NULL where a key is absent."""
    found = f"json_type(document, {quote_path(*steps)})"
    return found if LIST_STEP in steps else f"[{found}]"


def _render_odd_kinds(
    steps: tuple[str, ...], kind: ColumnType, *, required: bool, certain: bool = False
) -> str:
    """SQL for the kinds at a path that the type does not allow or, with `certain`, that need a
    second look."""
    allowed = quote_texts((_list_certain if certain else _list_allowed)(kind, required=required))
    return f"list_filter({_render_kinds(steps)}, lambda kind: kind NOT IN ({allowed}))"


def _render_faults(steps: tuple[str, ...], kind: ColumnType, *, required: bool) -> Iterator[str]:
    """Yields SQL expressions, each one sentence on what is wrong at or below this path, or NULL."""
    name = ".".join(step for step in steps if step != LIST_STEP)
    where, path = quote_text(f"{name}: "), quote_path(*steps)
    values = f"(document->>{path})" if LIST_STEP in steps else f"[document->>{path}]"
    yield f"CASE WHEN {_render_missing(steps)} THEN {where} || 'missing' END"
    odd = f"{_render_odd_kinds(steps, kind, required=required)}[1]"
    expected = quote_text(f"expected {kind.family.expected}, got ")
    got = KIND_IN_WORDS.format(kind=odd)
    yield f"CASE WHEN {odd} IS NOT NULL THEN {where} || {expected} || {got} END"
    if "OBJECT" in kind.family.json_kinds and kind.parts:
        yield _render_repeated(steps)
    for part in kind.parts:
        yield from _render_faults((*steps, part.step), part.type, required=part.required)
    # A value of the wrong kind has been reported above. Only one of the right kind can still be a
    # misfit: a number out of range, a text that is not a date.
    misfit = kind.family.render_misfit(kind, "value")
    if not (kind.parts or kind.family.is_decided_by_kind or misfit == "false"):
        misfits = f"list_filter({values}, lambda value: value IS NOT NULL AND {misfit})"
        complaint = kind.family.render_complaint(kind, f"{name}: ", f"{misfits}[1]")
        yield f"CASE WHEN {odd} IS NULL AND {misfits}[1] IS NOT NULL THEN {complaint} END"


def _render_repeated(steps: tuple[str, ...]) -> str:
    """SQL for a sentence on the first key that occurs twice in an object at this path, or NULL."""
    name = ".".join(step for step in steps if step != LIST_STEP)
    where = quote_text(f"{name}: the key '" if name else "the key '")
    found = f"json_keys(document, {quote_path(*steps)})" if steps else "json_keys(document)"
    objects = found if LIST_STEP in steps else f"[{found}]"
    twice = "list_filter(keys, lambda name, place: list_position(keys, name) < place)"
    every = f"flatten(list_transform({objects}, lambda keys: {twice}))"
    return f"{where} || left({every}[1], 60) || {quote_text(REPEATED)}"


def _render_missing(steps: tuple[str, ...]) -> str:
    """SQL for whether a key is absent from the document or from an object inside it."""
    kinds = _render_kinds(steps)
    if len(steps) == 1:
        return f"{kinds}[1] IS NULL"
    if steps[-1] == LIST_STEP:
        return "false"
    # For a path through a list, json_type leaves out the objects that lack the key: then there are
    # fewer kinds than objects.
    owner = f"json_type(document, {quote_path(*steps[:-1])})"
    if LIST_STEP not in steps:
        return f"{owner} = 'OBJECT' AND {kinds}[1] IS NULL"
    return f"len(list_filter({owner}, lambda kind: kind = 'OBJECT')) > len({kinds})"
