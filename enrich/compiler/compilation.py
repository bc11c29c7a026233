"""A model is checked against the warehouse and compiled; nothing is read, written or spent."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from enrich.compiler import inputs, judge
from enrich.compiler.body import Body, line_overhead
from enrich.compiler.tables import PROVENANCE
from enrich.compiler.version import Version
from enrich.db import quote
from enrich.db.complaint import problem_line
from enrich.errors import DatabaseError, InputError, ModelError, nearest, reading
from enrich.manifest import guard, tree, variables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlglot import exp

    from enrich.db.database import Warehouse
    from enrich.manifest.model import Model
    from enrich.manifest.prompt import Prompt
    from enrich.manifest.template import Expression


WHERE = 'a condition on the SELECT\'s columns, as in --where "year < 1950"'


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A model as SQL: its SELECT's columns, its key's types, and the body of its requests."""

    model: Model
    prompt: Prompt
    columns: Mapping[str, str]
    key: Mapping[str, str]
    body: Body
    identity: str
    blobs: tuple[bool, ...]
    params: Mapping[str, Any]
    shown: bool = False

    @property
    def keeps_rows(self) -> bool:
        """Whether the SELECT's rows are kept: they are read twice, or `shown`."""
        return bool(self.body.images) or self.shown

    @property
    def version_id(self) -> str:
        """The id of this version of the model: changes whenever anything that is asked does."""
        text = "\n".join((self.model.name, self.digest, self.body.tail, self.prompt.output.ddl))
        return sha256(text.encode()).hexdigest()[:12]

    @property
    def kept(self) -> Version:
        """This version as the ledger keeps it."""
        return Version(
            id=self.version_id,
            model=self.model.name,
            identity=self.identity,
            llm=self.body.llm,
            endpoint=self.body.endpoint,
            response_format=self.prompt.response_format,
            output=self.prompt.output.ddl,
            prefix=self.body.prefix,
            text=self.prompt.text,
            params=json.dumps(self.params, sort_keys=True),
            variables=variables.dump_values(self.prompt.variables),
        )

    @property
    def digest(self) -> str:
        return self.body.digest(self.identity)

    @property
    def snapshot(self) -> str:
        """The SELECT that gives key, custom_id, fingerprint, tail and error for each row."""
        return inputs.snapshot(
            self.model.query,
            key=self.key,
            body=self.body,
            digest=self.digest,
            blobs=self.blobs,
            kept=self.keeps_rows,
        )

    def only(self, *, where: str, limit: int, among: str | None = None) -> Compiled:
        """The same for the first `limit` of its rows that `where` is true for, to be shown.

        `among`: for a sample instead, always the same, of those that are in this table of the
        warehouse; "": of all.
        """
        if where:
            _check_condition(where)
        key = [quote.name(column) for column in self.key]
        query = f"SELECT * FROM ({self.model.query}\n)"
        if among:
            there = quote.name("warehouse", "main", among)
            query = f"{query} SEMI JOIN {there} USING ({', '.join(key)})"
        condition = f" WHERE ({where}\n)" if where else ""
        listed = ", ".join(key)
        order = "" if among is None else f" ORDER BY hash({listed}), {listed}"
        few = replace(self.model, query=f"{query}{condition}{order} LIMIT {limit}")
        return replace(self, model=few, shown=True)

    @property
    def overhead(self) -> int:
        """The bytes of a request line besides its custom_id and tail."""
        return line_overhead(self.body.endpoint, self.body.prefix)


def compiled(
    database: Warehouse, model: Model, *, llm: str, identity: str, params: Mapping[str, Any]
) -> Compiled:
    """Check the model against the warehouse and compile it; nothing is read or written."""
    prompt = model.own_prompt
    columns = described(database, model)
    key = _key(model, prompt, columns)
    for expression in prompt.expressions:
        _check(database, expression, prompt, columns)
    _check_output(database, prompt)
    _check_tests(database, model, prompt, key)
    body = Body.from_prompt(prompt, llm=llm, params=params)
    blobs = _blobs(database, model, prompt, body.images)
    draft = Compiled(
        model=model,
        prompt=prompt,
        columns=columns,
        key=key,
        body=body,
        identity=identity,
        blobs=blobs,
        params=params,
    )
    _bind(database, draft)
    return draft


def earlier(database: Warehouse, now: Compiled, before: Version) -> Compiled:
    """An earlier version of the model over its rows as they are now: what would it have asked?

    Raises EnrichError where its prompt names columns that are there no more.
    """
    prompt = before.asked
    body = Body.from_prompt(prompt, llm=before.llm, params={})
    return replace(
        now,
        prompt=prompt,
        body=replace(body, prefix=before.prefix, endpoint=before.endpoint),
        identity=before.identity,
        blobs=_blobs(database, now.model, prompt, body.images),
    )


def described(database: Warehouse, model: Model) -> dict[str, str]:
    """The columns of a model's SELECT and their types."""
    _check_shadows(database)
    _check_macros(database, model.calls, source=model.source)
    try:
        with reading(model.source):
            return database.describe(model.query)
    except DatabaseError as problem:
        raise select_failed(model, problem) from problem


def _check_shadows(database: Warehouse) -> None:
    """Macros of the user's own must not be called like DuckDB's functions: enrich's SQL, and with
    it what is asked and what is kept, would call them instead."""
    for (name,) in database.call("shadows"):
        message = f"the warehouse has a macro '{name}', which hides DuckDB's own function"
        raise InputError(
            message, hint=f"give it another name, and DROP MACRO {quote.readable(name)}"
        )


def _check_macros(database: Warehouse, calls: Iterable[str], *, source: str) -> None:
    """The user's own macros are SQL of the model as well; other functions must be listed.

    One that is not there at all is left to DuckDB, which offers the nearest.
    """
    left, seen = set(guard.find_unknown(calls)), set()
    while left:
        name = left.pop()
        seen.add(name)
        for whose, definition in database.call("function", name=name):
            if definition is None and not database.free:
                hint = "a function of an extension needs external_access: true in project.yml"
                message = f"{source}: {name}() is not known to read only ({whose})"
                raise ModelError(message, hint=hint)
            for text in (definition or "", f"SELECT {definition or ''}"):
                found = tree.parse_tree(text) if definition else None
                if found is not None:
                    guard.check_tree(found, source=f"{source}: macro {name}", line=None)
                    left |= guard.find_unknown(found.calls) - seen
                    break


def select_failed(model: Model, problem: DatabaseError, *, above: int = 1) -> InputError:
    """DuckDB's word on a model's SELECT, with file and line; `above` lines stood before it."""
    at = problem_line(problem)
    mine = at is not None and 0 < at[0] - above <= model.query.count("\n") + 1
    where = f"{model.source}:{at[0] - above}" if at and mine else model.source
    shown = f" (in: {at[1]})" if at and mine else ""
    return InputError(f"{where}: {problem.message}{shown}", hint=problem.hint)


def _key(model: Model, prompt: Prompt, columns: Mapping[str, str]) -> dict[str, str]:
    """The key's columns as the SELECT names them, with their types."""
    named = {column.lower(): column for column in columns}
    key: dict[str, str] = {}
    for word in prompt.key:
        column = named.get(word.lower())
        if column is None:
            hint = nearest(word, columns)
            message = f"{prompt.source}: the key '{word}' is not a column of {model.source}"
            raise InputError(message, hint=hint)
        kind = columns[column]
        if kind.startswith(inputs.NESTED) or kind.endswith("]"):
            hint = "name a column that holds a number, a text, a date ..."
            message = f"{prompt.source}: the key '{word}' is a {kind}, not one plain value"
            raise InputError(message, hint=hint)
        if column.lower() in PROVENANCE:
            other = quote.readable(f"{model.name}_{column}")
            hint = f"rename it in the SELECT: {quote.readable(column)} AS {other}"
            raise InputError(f"{prompt.source}: no key can be called '{column}'", hint=hint)
        key[column] = kind
    return key


def _check(
    database: Warehouse, expression: Expression, prompt: Prompt, columns: Mapping[str, str]
) -> None:
    """An expression must be one scalar expression over the SELECT's columns."""
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    where = f"{prompt.source}:{expression.line}"
    try:
        parsed = parse_one(expression.sql, read="duckdb")
    except (SqlglotError, RecursionError) as problem:
        hint = "inside {{ }} stands one DuckDB expression, such as coalesce(tagline, 'none')"
        raise ModelError(f"{where}: '{expression.sql}' is not SQL", hint=hint) from problem
    refused = (exp.Query, exp.AggFunc, exp.Window, exp.Alias, exp.Star, exp.Block, exp.Command)
    if (found := parsed.find(*refused)) is not None:
        hint = "move it into the SELECT and name its column here"
        what = f"{{{{ {expression.sql} }}}} is not one value of a row"
        raise ModelError(f"{where}: {what}: {found.sql('duckdb')}", hint=hint)
    calls = guard.check_expression(expression.sql, source=prompt.source, line=expression.line)
    _check_macros(database, calls, source=where)
    known = {column.lower() for column in columns}
    for name in _columns(parsed):
        if name.lower() not in known:
            hint = nearest(name, columns)
            message = f"{where}: '{name}' is not a column of the SELECT"
            raise ModelError(message, hint=hint)


def _check_condition(where: str) -> None:
    """It must be one SQL expression, and nothing that writes or runs anything."""
    try:
        guard.check_expression(where, source="--where", line=None)
    except ModelError as problem:
        raise InputError(problem.message, hint=WHERE) from problem


def _check_output(database: Warehouse, prompt: Prompt) -> None:
    """Each CHECK must be one condition on the answer's own columns, which reading can evaluate.

    Answers are judged long after they were paid for, without the warehouse, so this is tried on an
    empty answer in a database of its own, exactly as it will be.
    """
    from sqlglot import exp, parse_one

    hint = "a CHECK is one condition on the output's columns: CHECK (len(tags) <= 4)"
    with database.bare() as bare:
        for check, query in judge.render_checks(prompt.output):
            message = f"{prompt.source}: CHECK ({check}) cannot be evaluated"
            try:
                parsed = parse_one(check, read="duckdb")
                guard.check_expression(check, source=prompt.source, line=None)
                kind = next(iter(bare.describe(query).values()))
                bare.execute(query)
                bare.execute(
                    judge.render_judgement("SELECT '{}' AS content", prompt.output, "json_schema")
                )
            except DatabaseError as problem:
                raise ModelError(f"{message}: {problem.message}", hint=hint) from problem
            if kind != "BOOLEAN" or parsed.find(exp.Query, exp.AggFunc, exp.Window):
                raise ModelError(f"{message}: it is no condition on one answer", hint=hint)


def _check_tests(database: Warehouse, model: Model, prompt: Prompt, key: Mapping[str, str]) -> None:
    """Let DuckDB bind each condition under `tests:` to a row of the table to be. What it says of
    tables that are not there yet is left to the test itself."""
    kinds = {**key, **{column.name: column.type.sql for column in prompt.output.columns}}
    row = ", ".join(f"CAST(NULL AS {kind}) AS {quote.name(name)}" for name, kind in kinds.items())
    table = f"(SELECT {row}) AS {quote.name(model.name)}"
    for test in prompt.tests:
        probe = test.render_probe(table)
        if not probe:
            continue
        try:
            database.describe(probe)
        except DatabaseError as problem:
            if problem.unbound:
                message = f"{prompt.source}: the test '{test.written}': {problem.message}"
                raise ModelError(message, hint=problem.hint) from problem


def _columns(parsed: exp.Expr) -> Iterator[str]:
    """The columns an expression names; `inputs.x` is x, and `x.field` is x."""
    from sqlglot import exp

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


def _blobs(
    database: Warehouse, model: Model, prompt: Prompt, images: tuple[str, ...]
) -> tuple[bool, ...]:
    """Which images are BLOBs; one that is neither BLOB nor text is refused."""
    if not images:
        return ()
    try:
        kinds = database.execute(inputs.described(model.query, images))
    except DatabaseError as problem:
        raise ModelError(f"{prompt.source}: {problem.message}", hint=problem.hint) from problem
    for row, image in zip(kinds, images, strict=True):
        if row[1] not in ("BLOB", "VARCHAR"):
            hint = "an image is a URL, the path of a file, or a BLOB"
            raise ModelError(f"{prompt.source}: the image {image} is a {row[1]}", hint=hint)
    return tuple(row[1] == "BLOB" for row in kinds)


def _bind(database: Warehouse, draft: Compiled) -> None:
    """Let DuckDB bind each expression by itself, so that an error can name its line."""
    images = {image.source for image in draft.prompt.images}
    for expression in draft.prompt.expressions:
        shown = expression in images
        where = f"{draft.prompt.source}:{expression.line}"
        try:
            value = f"({expression.sql}\n)"
            rows = f"FROM (\n{draft.model.query}\n) AS inputs"
            one = f"WHERE {value} IS NOT NULL"  # where aggregates and unnest() are refused
            found = database.describe(f"SELECT {value} AS value {rows} {one}")
            if found["value"] == "BLOB" and not shown:
                message = f"{where}: {{{{ {expression.sql} }}}} is a BLOB, not text"
                hint = f"decode({expression.sql}) is its text in UTF-8; ![]({{{{ ... }}}}) shows it"
                raise InputError(message, hint=hint)
        except DatabaseError as problem:
            message = f"{where}: {{{{ {expression.sql} }}}}: {problem.message}"
            raise ModelError(message, hint=problem.hint) from problem
