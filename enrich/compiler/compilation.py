"""A model is checked against the warehouse and compiled; no row is read, written or paid for."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from enrich.compiler import checks, inputs
from enrich.compiler.body import RequestBody, count_line_overhead
from enrich.compiler.partition import Partition, check_condition
from enrich.compiler.similar import VECTOR_TYPE
from enrich.compiler.tables import PROVENANCE_COLUMNS
from enrich.compiler.version import Version
from enrich.db.complaint import find_problem_line
from enrich.db.quote import quote_name, quote_readably
from enrich.errors import DatabaseError, InputError, ModelError, name_on_interrupt, nearest
from enrich.manifest import variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.db.database import Warehouse
    from enrich.manifest.model import Model
    from enrich.manifest.prompt import Prompt


@dataclass(frozen=True, kw_only=True)
class VectorColumn:
    """A column of the SELECT that holds vectors of a length."""

    name: str
    length: int


@dataclass(frozen=True, kw_only=True)
class CompiledModel:
    """A model as SQL: its SELECT's columns, its key's types, and the body of its requests.

    `blobs` says of each image of the body whether it is a BLOB. `vector` is the column by which
    rows are compared, if they are, and `partition` the one that divides them, if any does. `shown`
    is set if people see the rows.
    """

    model: Model
    prompt: Prompt
    columns: Mapping[str, str]
    key: Mapping[str, str]
    body: RequestBody
    identity: str
    blobs: tuple[bool, ...]
    params: Mapping[str, Any]
    vector: VectorColumn | None = None
    partition: Partition | None = None
    shown: bool = False

    @property
    def keeps_rows(self) -> bool:
        """Whether the SELECT's rows are kept in a table: they are read twice, or are `shown`."""
        return bool(self.body.images) or self.shown

    @property
    def version_id(self) -> str:
        """The id of this version of the model, which changes with anything that is asked."""
        text = "\n".join((self.model.name, self.digest, self.body.tail, self.prompt.output.ddl))
        return sha256(text.encode()).hexdigest()[:12]

    @property
    def version(self) -> Version:
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
            pack=self.body.pack,
        )

    @property
    def chain(self) -> tuple[CompiledModel, ...]:
        """The model for each way in which a row is asked, in order: this one, then alone if that is
        in a pack, then of each fallback."""
        # They differ in their prefixes alone, so a row's tail is the same for all of them.
        alone = (self.body.llm,) if self.body.pack else ()
        bodies = (
            RequestBody.from_prompt(self.prompt, llm=llm, params=self.params)
            for llm in (*alone, *self.prompt.fallbacks)
        )
        return (self, *(replace(self, body=body) for body in bodies))

    @property
    def digest(self) -> str:
        return self.body.hash_constants(self.identity)

    @property
    def is_limited(self) -> bool:
        """Whether only some partitions are worked on."""
        return self.partition is not None and bool(self.partition.condition)

    @property
    def query(self) -> str:
        """The model's SELECT, or the part of it that is worked on."""
        query = self.model.query
        return self.partition.limit_rows(query) if self.partition else query

    def limit(self, database: Warehouse, *, where: str, since: str) -> CompiledModel:
        """Returns the model for some of its partitions; all of it without `where` and `since`.
        Raises InputError."""
        if not where and not since:
            return self
        if self.partition is None:
            word = "--where" if where else "--since"
            hint = f"add `partition_by: COLUMN` to {self.prompt.source}, or name other models"
            raise InputError(f"{word} needs partitions, and {self.model.name} has none", hint=hint)
        limited = self.partition.limit(database, where=where, since=since)
        return replace(self, partition=limited)

    def render_snapshot(self, *, recall: bool = False) -> str:
        """The SELECT of the snapshot: see `inputs.render_snapshot`."""
        return inputs.render_snapshot(
            self.query,
            key=self.key,
            body=self.body,
            digest=self.digest,
            blobs=self.blobs,
            kept=self.keeps_rows,
            vector=self.vector.name if self.vector else "",
            part=self.partition.render_part(f"inputs.{quote_name(self.partition.name)}")
            if self.partition
            else "CAST(NULL AS VARCHAR)",
            recall=recall,
        )

    def narrow(
        self, *, where: str, limit: int, among: str | None = None, copied: bool = False
    ) -> CompiledModel:
        """Returns the model limited to the first `limit` of its rows for which `where` is true, to
        be shown.

        If `among` is not None, the rows are a sample instead, the same one each time: of the rows
        in that table of the warehouse or, for "", of all; or with `copied`, of those whose
        published answers are copies. Raises InputError if `where` is not one SQL expression that
        only reads.
        """
        if where:
            check_condition(where)
        key = [quote_name(column) for column in self.key]
        query = f"SELECT * FROM ({self.model.query}\n)"
        if among:
            there = quote_name("warehouse", "main", among)
            if copied:
                provenance = quote_name("warehouse", "enrich", among)
                there = f"(SELECT * FROM {provenance} WHERE copied_from IS NOT NULL) AS copied"
            query = f"{query} SEMI JOIN {there} USING ({', '.join(key)})"
        condition = f" WHERE ({where}\n)" if where else ""
        listed = ", ".join(key)
        order = "" if among is None else f" ORDER BY hash({listed}), {listed}"
        few = replace(self.model, query=f"{query}{condition}{order} LIMIT {limit}")
        return replace(self, model=few, shown=True)

    @property
    def overhead(self) -> int:
        """The bytes of a request line without its custom_id and tail."""
        return count_line_overhead(self.body.endpoint, self.body.prefix)


def compile_model(
    database: Warehouse, model: Model, *, llm: str, identity: str, params: Mapping[str, Any]
) -> CompiledModel:
    """Check the model against the warehouse and compile it; no row is read or written.

    Raises ModelError or InputError for the first fault found, with the file and, where it is known,
    the line.
    """
    # The key and the single expressions come before the whole body: DuckDB's error about the whole
    # could not say which line of the prompt is wrong.
    prompt = model.own_prompt
    columns = describe_select(database, model)
    key = _find_key(model, prompt, columns)
    for expression in prompt.expressions:
        checks.check_placeholder(database, expression, prompt, columns)
    checks.check_output(database, prompt)
    checks.check_tests(database, model, prompt, key)
    body = RequestBody.from_prompt(prompt, llm=llm, params=params, packed=True)
    blobs = _find_blobs(database, model, prompt, body.images)
    vector = _find_vector(model, prompt, columns)
    partition = _find_partition(model, prompt, columns)
    checks.bind_expressions(database, model, prompt)
    return CompiledModel(
        model=model,
        prompt=prompt,
        columns=columns,
        key=key,
        body=body,
        identity=identity,
        blobs=blobs,
        params=params,
        vector=vector,
        partition=partition,
    )


def compile_earlier(database: Warehouse, now: CompiledModel, before: Version) -> CompiledModel:
    """An earlier version of the model over its present rows: what would it have asked of them?

    Raises EnrichError if its prompt names columns that no longer exist.
    """
    # Only the tail is rendered again. The prefix is taken from the ledger, for it depends on
    # parameters, and on how the enrich of that time wrote a prefix.
    prompt = before.parsed_prompt
    body = RequestBody.from_prompt(prompt, llm=before.llm, params={})
    return replace(
        now,
        prompt=prompt,
        body=replace(body, prefix=before.prefix, endpoint=before.endpoint),
        identity=before.identity,
        blobs=_find_blobs(database, now.model, prompt, body.images),
    )


def describe_select(database: Warehouse, model: Model) -> dict[str, str]:
    """Returns the columns of a model's SELECT and their types.

    Raises InputError if the SELECT fails, and ModelError if it calls a function that is not known
    to only read.
    """
    checks.check_shadows(database)
    checks.check_macros(database, model.calls, source=model.source)
    try:
        with name_on_interrupt(model.source):
            return database.describe(model.query)
    except DatabaseError as problem:
        raise explain_failed_select(model, problem) from problem


def explain_failed_select(model: Model, problem: DatabaseError, *, above: int = 1) -> InputError:
    """Returns DuckDB's error about a model's SELECT with file and line; in the statement that
    failed, `above` lines came before the SELECT."""
    # The line may be in enrich's own SQL around the SELECT, which has no line in the user's file.
    at = find_problem_line(problem)
    mine = at is not None and 0 < at[0] - above <= model.query.count("\n") + 1
    where = f"{model.source}:{at[0] - above}" if at and mine else model.source
    shown = f" (in: {at[1]})" if at and mine else ""
    return InputError(f"{where}: {problem.message}{shown}", hint=problem.hint)


def _find_key(model: Model, prompt: Prompt, columns: Mapping[str, str]) -> dict[str, str]:
    """Returns the columns of the key as the SELECT names them, with their types."""
    named = {column.lower(): column for column in columns}
    key: dict[str, str] = {}
    for word in prompt.key:
        column = named.get(word.lower())
        if column is None:
            hint = nearest(word, columns)
            message = f"{prompt.source}: the key '{word}' is not a column of {model.source}"
            raise InputError(message, hint=hint)
        kind = columns[column]
        if kind.startswith(inputs.NESTED_TYPES) or kind.endswith("]"):
            hint = "name a column that holds a number, a text, a date ..."
            message = f"{prompt.source}: the key '{word}' is a {kind}, not one plain value"
            raise InputError(message, hint=hint)
        if column.lower() in PROVENANCE_COLUMNS:
            other = quote_readably(f"{model.name}_{column}")
            hint = f"rename it in the SELECT: {quote_readably(column)} AS {other}"
            raise InputError(f"{prompt.source}: a key cannot be called '{column}'", hint=hint)
        key[column] = kind
    return key


def _find_partition(model: Model, prompt: Prompt, columns: Mapping[str, str]) -> Partition | None:
    """Returns the column that divides the rows; None if none does. Raises InputError."""
    if not prompt.partition_by:
        return None
    named = {column.lower(): column for column in columns}
    column = named.get(prompt.partition_by.lower())
    if column is None:
        what = f"partition_by '{prompt.partition_by}' is not a column of {model.source}"
        hint = nearest(prompt.partition_by, columns)
        raise InputError(f"{prompt.source}: {what}", hint=hint)
    kind = columns[column]
    if kind.startswith(inputs.NESTED_TYPES) or kind.endswith("]"):
        what = f"partition_by '{column}' is a {kind}, not one plain value"
        raise InputError(f"{prompt.source}: {what}", hint="name a date, a number or a text")
    return Partition(name=column, type=kind)


def _find_vector(model: Model, prompt: Prompt, columns: Mapping[str, str]) -> VectorColumn | None:
    """Returns the column by which rows are compared; None if they are not. Raises InputError."""
    reuse = [each for each in (prompt.dedupe, prompt.triage) if each is not None]
    if not reuse:
        return None
    found = {
        name: int(match[1])
        for name, kind in columns.items()
        if (match := VECTOR_TYPE.fullmatch(kind))
    }
    named = next((each.vector for each in reuse if each.vector), "")
    picked = [name for name in found if not named or name.lower() == named.lower()]
    if len(picked) == 1:
        return VectorColumn(name=picked[0], length=found[picked[0]])
    word = "dedupe" if prompt.dedupe else "triage"
    where = f"{model.source}: {word} compares vectors, but"
    if named:
        raise InputError(f"{where} '{named}' is not one", hint=nearest(named, found))
    if found:
        listed = ", ".join(found)
        raise InputError(
            f"{where} there are several: {listed}", hint=f"{word}: {{..., vector: NAME}}"
        )
    hint = "join a model with endpoint: /v1/embeddings, and select its vectors as well"
    raise InputError(f"{where} the SELECT has no column FLOAT[n]", hint=hint)


def _find_blobs(
    database: Warehouse, model: Model, prompt: Prompt, images: tuple[str, ...]
) -> tuple[bool, ...]:
    """Returns which images are BLOBs. Raises ModelError for one that is neither BLOB nor text."""
    if not images:
        return ()
    try:
        kinds = database.execute(inputs.render_image_types(model.query, images))
    except DatabaseError as problem:
        raise ModelError(f"{prompt.source}: {problem.message}", hint=problem.hint) from problem
    for row, image in zip(kinds, images, strict=True):
        if row[1] not in ("BLOB", "VARCHAR"):
            hint = "an image is a URL, the path of a file, or a BLOB"
            raise ModelError(f"{prompt.source}: the image {image} is a {row[1]}", hint=hint)
    return tuple(row[1] == "BLOB" for row in kinds)
