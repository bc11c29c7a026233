"""Checks of a model against DuckDB before anything is rendered: the functions that it calls, the
expressions of its prompt, and the conditions of its output and its tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import judge
from enrich.db.complaint import find_problem_line
from enrich.db.quote import quote_name, quote_readably
from enrich.errors import DatabaseError, InputError, ModelError, nearest
from enrich.manifest import guard, tree
from enrich.manifest.families import SUPPORTED_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlglot import exp

    from enrich.db.database import Warehouse
    from enrich.manifest.data_test import DataTest
    from enrich.manifest.model import Model
    from enrich.manifest.prompt import Prompt
    from enrich.manifest.template import Expression

_TRIED_OUTPUTS: set[tuple[str, bool]] = set()
"""The outputs whose CHECKs this process has tried, and whether extensions were allowed: binding
them takes DuckDB as long as planning a small model."""


def check_shadows(database: Warehouse) -> None:
    """Refuse macros of the user's own that have the names of DuckDB's functions.

    Enrich's own SQL would call them instead, so they could change what is asked and what is kept.
    """
    for (name,) in database.call("shadows"):
        message = f"the warehouse has a macro '{name}', which hides DuckDB's own function"
        raise InputError(
            message, hint=f"give it another name, and DROP MACRO {quote_readably(name)}"
        )


def check_macros(database: Warehouse, calls: Iterable[str], *, source: str) -> None:
    """Check the user's own macros as SQL of the model; other functions must be listed.

    A function that does not exist is left to DuckDB, whose error offers the nearest name.
    """
    left, seen = set(guard.find_unknown(calls)), set()
    while left:
        name = left.pop()
        seen.add(name)
        for whose, definition in database.call("function", name=name):
            if definition is None and not database.is_unrestricted:
                hint = "a function of an extension needs external_access: true in project.yml"
                message = f"{source}: {name}() is not known to only read ({whose})"
                raise ModelError(message, hint=hint)
            # A table macro is a SELECT, any other macro an expression: DuckDB's parser takes only
            # statements.
            for text in (definition or "", f"SELECT {definition or ''}"):
                found = tree.parse_tree(text) if definition else None
                if found is not None:
                    guard.check_tree(found, source=f"{source}: macro {name}", line=None)
                    left |= guard.find_unknown(found.calls) - seen
                    break


def check_placeholder(
    database: Warehouse, expression: Expression, prompt: Prompt, columns: Mapping[str, str]
) -> None:
    """Refuse what is not one scalar expression over the SELECT's columns."""
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    where = f"{prompt.source}:{expression.line}"
    whole = [name for name in columns if name.lower() == expression.sql.lower()]
    quoted = f"write {{{{ {quote_name(whole[0])} }}}}" if whole else ""
    try:
        parsed = parse_one(expression.sql, read="duckdb")
    except (SqlglotError, RecursionError) as problem:
        hint = quoted or "{{ }} must hold one DuckDB expression, such as coalesce(tagline, 'none')"
        raise ModelError(f"{where}: '{expression.sql}' is not SQL", hint=hint) from problem
    refused = (exp.Query, exp.AggFunc, exp.Window, exp.Alias, exp.Star, exp.Block, exp.Command)
    if (found := parsed.find(*refused)) is not None:
        hint = quoted or "move it into the SELECT and name its column here"
        what = f"{{{{ {expression.sql} }}}} is not one value of a row"
        raise ModelError(f"{where}: {what}: {found.sql('duckdb')}", hint=hint)
    calls = guard.check_expression(expression.sql, source=prompt.source, line=expression.line)
    check_macros(database, calls, source=where)
    known = {column.lower() for column in columns}
    for name in _find_columns(parsed):
        if name.lower() not in known:
            hint = quoted or nearest(name, columns)
            message = f"{where}: '{name}' is not a column of the SELECT"
            raise ModelError(message, hint=hint)


def check_output(database: Warehouse, prompt: Prompt) -> None:
    """Refuse a CHECK that is not one condition on the answer's own columns.

    Answers are judged long after they were paid for, without the warehouse, so each CHECK is tried
    on an empty answer on a connection without the user's tables, exactly as it will run.
    """
    from sqlglot import exp, parse_one

    tried = (prompt.output.ddl, database.is_unrestricted)
    if tried in _TRIED_OUTPUTS:
        return
    _check_types(database, prompt)
    hint = "a CHECK is one condition on the output's columns: CHECK (len(tags) <= 4)"
    judged = judge.render_judgement("SELECT '{}' AS content", prompt.output, "json_schema")
    with database.open_bare() as bare:
        for check, query in judge.render_checks(prompt.output):
            message = f"{prompt.source}: CHECK ({check}) cannot be evaluated"
            try:
                parsed = parse_one(check, read="duckdb")
                guard.check_expression(check, source=prompt.source, line=None)
                kind = next(iter(bare.describe(query).values()))
                bare.execute(query)
                bare.execute(judged)
            except DatabaseError as problem:
                raise ModelError(f"{message}: {problem.message}", hint=hint) from problem
            if kind != "BOOLEAN" or parsed.find(exp.Query, exp.AggFunc, exp.Window):
                raise ModelError(f"{message}: it is not a condition on one answer", hint=hint)
    _TRIED_OUTPUTS.add(tried)


def _check_types(database: Warehouse, prompt: Prompt) -> None:
    """Raises ModelError for a column whose type or name DuckDB does not take: its answers could be
    neither judged nor published."""
    with database.open_bare() as bare:
        for column in prompt.output.columns:
            try:
                bare.describe(
                    f"SELECT CAST(NULL AS {column.type.sql}) AS {quote_name(column.name)}"
                )
            except DatabaseError as problem:
                what = f"the output column '{column.name}' cannot be {column.type.sql}"
                message = f"{prompt.source}: {what}: {problem.message}"
                raise ModelError(message, hint=SUPPORTED_TYPES) from problem


def check_tests(database: Warehouse, model: Model, prompt: Prompt, key: Mapping[str, str]) -> None:
    """Let DuckDB bind each condition under `tests:` to a row of the future table.

    Only its binder errors count: a table that does not exist yet may exist when the test runs.
    """
    kinds = {**key, **{column.name: column.type.sql for column in prompt.output.columns}}
    row = ", ".join(f"CAST(NULL AS {kind}) AS {quote_name(name)}" for name, kind in kinds.items())
    table = f"(SELECT {row}) AS {quote_name(model.name)}"
    for test in model.bound_tests:
        _bind_test(database, test, test.render_binding(model.name, f"SELECT {row}"))
    for test in prompt.tests:
        _bind_test(database, test, test.render_probe(table))


def _bind_test(database: Warehouse, test: DataTest, query: str) -> None:
    """Raises ModelError if DuckDB cannot bind the query of a test, unless a table is missing."""
    if not query:
        return
    try:
        database.execute(f"DESCRIBE {query}")
    except DatabaseError as problem:
        if not problem.unbound:
            return
        # `render_binding` promises that a file starts on the second line.
        at = find_problem_line(problem) if test.is_file else None
        where = f"{test.source}:{at[0] - 1}" if at else test.source
        said = "" if test.is_file else f"the test '{test.written}': "
        raise ModelError(f"{where}: {said}{problem.message}", hint=problem.hint) from problem


def _find_columns(parsed: exp.Expr) -> Iterator[str]:
    """Yields the columns that an expression names; `inputs.x` is x, and `x.field` is x."""
    from sqlglot import exp

    # To sqlglot, the parameter of a lambda is a column as well.
    bound = {
        node.name.lower()
        for scope in parsed.find_all(exp.Lambda, exp.Comprehension)
        for node in (scope.expressions if isinstance(scope, exp.Lambda) else [scope.expression])
    }
    for column in parsed.find_all(exp.Column):
        parts = [part.name for part in column.parts]
        whole = parts[0].lower() == "inputs"  # the row itself, or a column of it
        root = parts[1] if len(parts) > 1 and whole else parts[0]
        if root.lower() not in bound and not (whole and len(parts) == 1):
            yield root


def bind_expressions(database: Warehouse, model: Model, prompt: Prompt) -> None:
    """Let DuckDB bind each expression by itself, so that an error can name its line.

    A BLOB is refused except as an image: as a text it would be sent with escapes for its bytes.
    """
    images = {image.source for image in prompt.images}
    for expression in prompt.expressions:
        shown = expression in images
        where = f"{prompt.source}:{expression.line}"
        try:
            value = f"({expression.sql}\n)"
            rows = f"FROM (\n{model.query}\n) AS inputs"
            one = f"WHERE {value} IS NOT NULL"  # WHERE refuses aggregates and unnest()
            found = database.describe(f"SELECT {value} AS value {rows} {one}")
            if found["value"] == "BLOB" and not shown:
                message = f"{where}: {{{{ {expression.sql} }}}} is a BLOB, not text"
                hint = f"decode({expression.sql}) is its text in UTF-8; ![]({{{{ ... }}}}) shows it"
                raise InputError(message, hint=hint)
        except DatabaseError as problem:
            message = f"{where}: {{{{ {expression.sql} }}}}: {problem.message}"
            raise ModelError(message, hint=problem.hint) from problem
