"""Models: the files in models/, and the tables that they read."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, cast, get_args

from enrich.errors import DiskError, EnrichError, ModelError, ProjectError, nearest
from enrich.manifest import guard, tree, variables
from enrich.manifest.located import locate_paths
from enrich.manifest.prompt import Prompt
from enrich.manifest.publication import Publication
from enrich.manifest.sources import NAME_RULE, TABLE_NAME, explain_name
from enrich.manifest.texts import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from enrich.manifest.data_test import DataTest

SQL_ENDING = ".sql"
PROMPT_ENDING = ".prompt.md"
RESERVED_TABLES = ("costs", "evaluations", "prompts")
"""enrich's own tables in the schema that has a table with the provenance of each model."""
HISTORY_ENDING = "_history"
"""How the name of the table with a model's earlier answers ends."""
HEADER_LINE = re.compile(r"^--[ \t]*(\w+):[ \t]*(.*?)[ \t]*$")
HEADER_SETTINGS = ("materialized", "tags", "description", "key", "publish")
"""What comments at the top of NAME.sql can set."""

ModelKind = Literal["enrichment", "view", "table"]
Materialized = Literal["view", "table"]


@dataclass(frozen=True, kw_only=True)
class Model:
    """NAME.sql, which is one SELECT; with NAME.prompt.md beside it, an enrichment model.

    `query` is the SELECT as written, without a closing semicolon. `reads` are the tables that it
    names, in lower case, and with database and schema if those are not the warehouse's own.
    `source` is the name of the file in messages. `kind` says what the model becomes. `tags` and
    `description` are the user's; `key` is what identifies a row of a plain model, as far as it says
    so. `publication` says where its table is copied to, and `unpublished` that it is not, whatever
    project.yml says. `calls` are the functions that the SELECT calls. `unstable` lists
    what may return other rows or other texts in each run. `bound_tests` are tests of the table that
    read no other model, so that DuckDB can bind them before anything is asked.
    """

    name: str
    source: str
    query: str
    reads: frozenset[str]
    prompt: Prompt | None
    kind: ModelKind
    tags: tuple[str, ...] = ()
    description: str = ""
    key: tuple[str, ...] = ()
    publication: Publication | None = None
    unpublished: bool = False
    calls: frozenset[str] = frozenset()
    unstable: tuple[str, ...] = ()
    bound_tests: tuple[DataTest, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether an llm answers its rows; a plain model is only SQL."""
        return self.prompt is not None

    @property
    def texts(self) -> tuple[str, ...]:
        """All SQL that is run for it, but for that of SQL files with tests."""
        found = (self.query, *sorted(self.reads))
        if self.prompt is None:
            return found
        written = (expression.sql for expression in self.prompt.expressions)
        return (*found, *written, *(test.definition for test in self.prompt.tests))

    @property
    def own_prompt(self) -> Prompt:
        """The prompt of a model that asks. Raises ProjectError for a plain model."""
        if self.prompt is None:
            message = f"{self.source}: '{self.name}' has no prompt"
            raise ProjectError(message, hint="enrich list shows which models have one")
        return self.prompt

    @classmethod
    def from_path(cls, path: Path, *, root: Path, values: Mapping[str, Any]) -> Model:
        """Reads NAME.sql, and NAME.prompt.md if it is beside it. `values` are the values of
        variables. Raises ModelError, DiskError or ProjectError."""
        source = show_path(path, root)
        name = path.name.removesuffix(SQL_ENDING)
        _check_name(name, source)
        text = read_text(path, source=source)
        beside = path.with_name(name + PROMPT_ENDING)
        prompt = None
        if beside.exists():
            prompt = Prompt.from_path(beside, source=show_path(beside, root), values=values)
        said = read_header(text, HEADER_SETTINGS, source=source)
        kind = _read_kind(said, source, asks=prompt is not None)
        where = Publication.from_comment(said.get("publish", ""), source=source)
        if prompt and "publish" in said:
            hint = f"move it there: publish: {said['publish']}"
            raise ModelError(f"{source}: 'publish' is set in {prompt.source}", hint=hint)
        if prompt and "key" in said:
            hint = f"remove it here; `key` in {prompt.source} is what counts"
            raise ModelError(
                f"{source}: the key of an enrichment model is in its prompt", hint=hint
            )
        found = parse_select(variables.fill_variables(text, values, source=source), source)
        tags = [word.strip() for word in said.get("tags", "").split(",") if word.strip()]
        return cls(
            name=name,
            source=source,
            query=locate_paths(found.query, root),
            reads=found.reads | _find_labels(prompt),
            calls=found.calls,
            unstable=(
                *(f"{source}: {word}" for word in found.unstable),
                *(_find_unstable(prompt) if prompt else ()),
            ),
            prompt=prompt,
            kind=kind,
            tags=tuple(dict.fromkeys([*(prompt.tags if prompt else ()), *tags])),
            key=prompt.key if prompt else _read_key(said),
            publication=prompt.publication if prompt else where,
            unpublished=prompt.unpublished if prompt else said.get("publish") == "false",
            description=said.get("description", prompt.description if prompt else ""),
        )


def _find_labels(prompt: Prompt | None) -> frozenset[str]:
    """Returns the table whose labels answer rows: it is read, although the SELECT does not say
    so."""
    if prompt is None or prompt.triage is None:
        return frozenset()
    return frozenset({name_table(tuple(prompt.triage.labels.lower().split(".")))})


def _check_name(name: str, source: str) -> None:
    """Raises ModelError for what cannot be the name of a model."""
    if not TABLE_NAME.fullmatch(name):
        hint = f"a model's name is also the name of its table: {NAME_RULE}"
        what = f"'{name}' cannot name a model, because it {explain_name(name)}"
        raise ModelError(f"{source}: {what}", hint=hint)
    if name.lower() in RESERVED_TABLES:
        hint = f"enrich.{name.lower()} is one of enrich's own tables: rename the file"
        raise ModelError(f"{source}: no model can be called '{name}'", hint=hint)


def _read_key(said: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the columns that a comment at the top names as the key."""
    return tuple(word.strip() for word in said.get("key", "").split(",") if word.strip())


def _read_kind(said: Mapping[str, str], source: str, *, asks: bool) -> ModelKind:
    """Returns what a model with these comments becomes. Raises ModelError."""
    kind = said.get("materialized", "view")
    if kind not in get_args(Materialized):
        message = f"{source}: 'materialized' cannot be '{kind}'"
        raise ModelError(message, hint=nearest(kind, get_args(Materialized)))
    if asks and "materialized" in said:
        hint = "remove the comment: the answers of an llm are always a table"
        message = f"{source}: a model with a prompt cannot set 'materialized'"
        raise ModelError(message, hint=hint)
    return "enrichment" if asks else cast("Materialized", kind)


def load_models(
    folder: Path, *, root: Path, values: Mapping[str, Any]
) -> tuple[dict[str, Model], dict[str, EnrichError]]:
    """Returns the models below `folder` by name, and what is wrong with those that cannot be read.

    `values` are the values of variables. Raises ModelError for a name that is taken.
    """
    models: dict[str, Model] = {}
    broken: dict[str, EnrichError] = {}
    for path in sorted(folder.rglob(f"*{SQL_ENDING}")):
        try:
            model = Model.from_path(path, root=root, values=values)
        except (ModelError, DiskError, ProjectError) as problem:
            broken[path.name.removesuffix(SQL_ENDING)] = problem
            continue
        # DuckDB ignores the case of names, so these two would be one table.
        other = next((m for m in models.values() if m.name.lower() == model.name.lower()), None)
        if other is not None:
            raise ModelError(f"{model.source}: {other.source} has the same name", hint="rename one")
        models[model.name] = model
    lowered = {model.name.lower() for model in models.values() if model.asks}
    for model in models.values():
        if model.asks and model.name.lower().removesuffix(HISTORY_ENDING) in lowered - {
            model.name.lower()
        }:
            hint = f"enrich.{model.name} holds the earlier answers of another model: rename one"
            raise ModelError(f"{model.source}: no model can be called '{model.name}'", hint=hint)
    for path in sorted(folder.rglob(f"*{PROMPT_ENDING}")):
        name = path.name.removesuffix(PROMPT_ENDING)
        if not path.with_name(name + SQL_ENDING).exists():
            source = show_path(path, root)
            hint = f"write {name}{SQL_ENDING} beside it: the SELECT of the rows to enrich"
            error = ModelError(f"{source}: there is no {name}{SQL_ENDING}", hint=hint)
            broken.setdefault(name, error)
    return models, broken


def show_path(path: Path, root: Path) -> str:
    """Returns the name of a file in messages: relative to the project's folder if it is inside."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def read_header(text: str, known: tuple[str, ...], *, source: str) -> dict[str, str]:
    """Returns what comments at the top of a SQL file set, as in `-- materialized: table`.

    Other comments are ignored; raises ModelError for one that looks like a misspelled setting.
    >>> read_header("-- Films.\\n-- tags: nightly\\nSELECT 1", ("tags",), source="a.sql")
    {'tags': 'nightly'}
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.startswith("--"):
            break
        match = HEADER_LINE.match(line)
        if match is None:
            continue
        word = match[1].lower()
        if word in known:
            found[word] = match[2]
        # `-- Note: ...` is an ordinary comment, so only what is close to a setting is an error; the
        # cutoff is stricter than difflib's 0.6.
        elif close := get_close_matches(word, known, n=1, cutoff=0.8):
            message = f"{source}:{number}: '{match[1]}' is not a setting here"
            raise ModelError(message, hint=f"did you mean '{close[0]}'?")
    return found


@dataclass(frozen=True, kw_only=True)
class ParsedSelect:
    """One SELECT as written, without a closing semicolon, and what it names, in lower case.

    `reads` are tables, `calls` are functions, and `unstable` lists what may return other rows in
    each run.
    """

    query: str
    reads: frozenset[str]
    calls: frozenset[str] = frozenset()
    unstable: tuple[str, ...] = ()


def parse_select(text: str, source: str) -> ParsedSelect:
    """Returns the only SELECT in `text`. Raises ModelError if there is none, or if it does more
    than read."""
    query = tree.extract_select(text, source=source)
    try:
        found = tree.parse_tree(query)
    except RecursionError as problem:
        hint = "a model is one SELECT, as DuckDB reads it"
        raise ModelError(f"{source}: the SELECT is nested too deeply", hint=hint) from problem
    if found is None:
        return ParsedSelect(query=query, reads=_read_pivot(query, source))
    guard.check_tree(found, source=source)
    return ParsedSelect(
        query=query,
        reads=frozenset(filter(None, map(name_table, found.tables))),
        calls=frozenset(found.calls),
        unstable=found.unstable,
    )


def _find_unstable(prompt: Prompt) -> Iterator[str]:
    """Yields what may return another text in each run in a prompt's templates, with file and
    line."""
    for expression in prompt.expressions:
        # The bracket is on a line of its own, or a comment at the end would swallow it.
        try:
            found = tree.parse_tree(f"SELECT ({expression.sql}\n)")
        except RecursionError:
            continue  # the compiler reports it
        for word in found.unstable if found else ():
            yield f"{prompt.source}:{expression.line}: {word}"


def _read_pivot(query: str, source: str) -> frozenset[str]:
    """Returns the tables of a PIVOT whose columns are not listed, of which DuckDB has no tree."""
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    # sqlglot logs a warning where it falls back to a plain command; such a command is refused here
    # in enrich's own words.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        statement = parse_one(query, read="duckdb")
    except (SqlglotError, RecursionError) as problem:
        hint = "list its columns: PIVOT t ON kind IN ('a', 'b') USING sum(x)"
        raise ModelError(f"{source}: this PIVOT cannot be read", hint=hint) from problem
    guard.check_pivot(statement, query, source=source)
    local = {cte.alias.lower() for cte in statement.find_all(exp.CTE)}
    paths = (
        tuple(filter(None, (t.catalog.lower(), t.db.lower(), t.name.lower())))
        for t in statement.find_all(exp.Table)
    )
    return frozenset(
        filter(
            None,
            (
                name_table(path)
                for path in paths
                if path and (len(path) > 1 or path[0] not in local)
            ),
        )
    )


def name_table(path: tuple[str, ...]) -> str:
    """Returns the name of a table as graphs use it: the bare name for tables of the warehouse, with
    database and schema for all others. The provenance and the history of a model count as its
    table."""
    *where, name = path
    if where in (["enrich"], ["warehouse", "enrich"]):
        return name.removesuffix(HISTORY_ENDING)
    if where in ([], ["main"], ["warehouse"], ["warehouse", "main"]):
        return name
    return ".".join(path)
