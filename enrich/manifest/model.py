"""Models: the files of models/, and what they read."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, cast, get_args

from enrich.errors import DiskError, EnrichError, ModelError, ProjectError, nearest
from enrich.manifest import guard, tree, variables
from enrich.manifest.config import READABLE_HINT
from enrich.manifest.located import locate_paths
from enrich.manifest.prompt import Prompt
from enrich.manifest.sources import TABLE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

SQL_ENDING = ".sql"
PROMPT_ENDING = ".prompt.md"
RESERVED_TABLES = ("costs", "evaluations", "prompts")
"""Tables of enrich's own in the schema where each model's provenance stands."""
HISTORY_ENDING = "_history"
"""What the name of a model's table of earlier answers ends with."""
HEADER_LINE = re.compile(r"^--[ \t]*(\w+):[ \t]*(.*?)[ \t]*$")
HEADER_SETTINGS = ("materialized", "tags", "description")
"""What comments at the top of NAME.sql may set."""

ModelKind = Literal["enrichment", "view", "table"]
Materialized = Literal["view", "table"]


@dataclass(frozen=True, kw_only=True)
class Model:
    """NAME.sql, one SELECT; with NAME.prompt.md an enrichment model.

    `query` is the SELECT as written, without a closing semicolon. `reads` are the tables it names,
    in lower case, those of other databases and schemas with their names. `source` is how messages
    name the file. `kind` is what it becomes; `tags` and `description` are words of the user's own.
    `calls` are the functions it calls, and `unstable` says what may give other rows or other texts
    each time.
    """

    name: str
    source: str
    query: str
    reads: frozenset[str]
    prompt: Prompt | None
    kind: ModelKind
    tags: tuple[str, ...] = ()
    description: str = ""
    calls: frozenset[str] = frozenset()
    unstable: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether an llm answers its rows; a plain model is SQL alone."""
        return self.prompt is not None

    @property
    def own_prompt(self) -> Prompt:
        """The prompt of a model that asks. Raises ProjectError where it is a plain one."""
        if self.prompt is None:
            message = f"{self.source}: '{self.name}' has no prompt"
            raise ProjectError(message, hint="name a model that asks: enrich list")
        return self.prompt

    @classmethod
    def from_path(cls, path: Path, *, root: Path, values: Mapping[str, Any]) -> Model:
        """Read NAME.sql, and NAME.prompt.md where it stands beside it; `values` are those of
        variables."""
        source = show_path(path, root)
        name = path.name.removesuffix(SQL_ENDING)
        if not TABLE_NAME.fullmatch(name):
            hint = "a model's name is a table's name: letters, digits and _"
            raise ModelError(f"{source}: '{name}' cannot name a model", hint=hint)
        if name.lower() in RESERVED_TABLES:
            hint = f"enrich.{name.lower()} is a table of enrich's own: rename the file"
            raise ModelError(f"{source}: no model can be called '{name}'", hint=hint)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as problem:
            raise DiskError(f"{source} cannot be read: {problem}", hint=READABLE_HINT) from problem
        beside = path.with_name(name + PROMPT_ENDING)
        prompt = None
        if beside.exists():
            prompt = Prompt.from_path(beside, source=show_path(beside, root), values=values)
        said = read_header(text, HEADER_SETTINGS, source=source)
        kind = said.get("materialized", "view")
        if kind not in get_args(Materialized):
            message = f"{source}: 'materialized' cannot be '{kind}'"
            raise ModelError(message, hint=nearest(kind, get_args(Materialized)))
        if prompt and "materialized" in said:
            hint = "take the comment out: what the llm answers is always a table"
            raise ModelError(f"{source}: a model with a prompt is not materialized", hint=hint)
        found = parse_select(variables.fill_variables(text, values, source=source), source)
        tags = [word.strip() for word in said.get("tags", "").split(",") if word.strip()]
        return cls(
            name=name,
            source=source,
            query=locate_paths(found.query, root),
            reads=found.reads,
            calls=found.calls,
            unstable=(
                *(f"{source}: {word}" for word in found.unstable),
                *(_find_unstable(prompt) if prompt else ()),
            ),
            prompt=prompt,
            kind="enrichment" if prompt else cast("Materialized", kind),
            tags=tuple(dict.fromkeys([*(prompt.tags if prompt else ()), *tags])),
            description=said.get("description", prompt.description if prompt else ""),
        )


def load_models(
    folder: Path, *, root: Path, values: Mapping[str, Any]
) -> tuple[dict[str, Model], dict[str, EnrichError]]:
    """Every model below `folder`, by name, and what is wrong with those that cannot be read;
    `values` are those of variables."""
    models: dict[str, Model] = {}
    broken: dict[str, EnrichError] = {}
    for path in sorted(folder.rglob(f"*{SQL_ENDING}")):
        try:
            model = Model.from_path(path, root=root, values=values)
        except (ModelError, DiskError, ProjectError) as problem:
            broken[path.name.removesuffix(SQL_ENDING)] = problem
            continue
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
            broken.setdefault(
                name, ModelError(f"{source}: there is no {name}{SQL_ENDING}", hint=hint)
            )
    return models, broken


def show_path(path: Path, root: Path) -> str:
    """A file as messages name it: from the project's folder on, where it is inside."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def read_header(text: str, known: tuple[str, ...], *, source: str) -> dict[str, str]:
    """What comments at the top of a SQL file set, as in `-- materialized: table`; any other comment
    is only a comment, but for one that seems to mean a setting.

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
        elif close := get_close_matches(word, known, n=1, cutoff=0.8):
            message = f"{source}:{number}: '{match[1]}' is not a setting here"
            raise ModelError(message, hint=f"did you mean '{close[0]}'?")
    return found


@dataclass(frozen=True, kw_only=True)
class ParsedSelect:
    """One SELECT as written, without a closing semicolon, and what it names in lower case.

    `reads` are tables, `calls` functions, `unstable` what may give other rows each time.
    """

    query: str
    reads: frozenset[str]
    calls: frozenset[str] = frozenset()
    unstable: tuple[str, ...] = ()


def parse_select(text: str, source: str) -> ParsedSelect:
    """The one SELECT in `text`, refused where it does more than read."""
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
    """What of a prompt's templates may give another text each time, with file and line."""
    for expression in prompt.expressions:
        try:
            found = tree.parse_tree(f"SELECT ({expression.sql}\n)")
        except RecursionError:
            continue
        for word in found.unstable if found else ():
            yield f"{prompt.source}:{expression.line}: {word}"


def _read_pivot(query: str, source: str) -> frozenset[str]:
    """The tables of a PIVOT whose columns are not listed: DuckDB has no tree of it."""
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

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
    """A table as models are named; provenance and history of a model count as its table. What
    stands in another database or schema is named with it."""
    *where, name = path
    if where in (["enrich"], ["warehouse", "enrich"]):
        return name.removesuffix(HISTORY_ENDING)
    if where in ([], ["main"], ["warehouse"], ["warehouse", "main"]):
        return name
    return ".".join(path)
