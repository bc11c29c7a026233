"""Models: the files of models/, what they read, and the order they run in."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from enrich import guard
from enrich.config import NAME, READABLE
from enrich.errors import DiskError, ModelError, ProjectError, nearest
from enrich.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sqlglot import exp

SQL = ".sql"
PROMPT = ".prompt.md"
TAKEN = ("costs",)
"""Tables of enrich's own in the schema where each model's provenance stands."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """NAME.sql, one SELECT; with NAME.prompt.md an enrichment model.

    `query` is the SELECT as written, without a closing semicolon. `reads` are the tables it names,
    in lower case. `source` is how messages name the file.
    """

    name: str
    source: str
    query: str
    reads: frozenset[str]
    prompt: Prompt | None

    @classmethod
    def from_path(cls, path: Path, *, root: Path) -> Model:
        """Read NAME.sql, and NAME.prompt.md where it stands beside it."""
        source = shown(path, root)
        name = path.name.removesuffix(SQL)
        if not NAME.fullmatch(name):
            hint = "a model's name is a table's name: letters, digits and _"
            raise ModelError(f"{source}: '{name}' cannot name a model", hint=hint)
        if name.lower() in TAKEN:
            hint = f"enrich.{name.lower()} is a table of enrich's own: rename the file"
            raise ModelError(f"{source}: no model can be called '{name}'", hint=hint)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as problem:
            raise DiskError(f"{source} cannot be read: {problem}", hint=READABLE) from problem
        beside = path.with_name(name + PROMPT)
        prompt = None
        if beside.exists():
            prompt = Prompt.from_path(beside, source=shown(beside, root))
        query, reads = _query(text, source)
        return cls(name=name, source=source, query=query, reads=reads, prompt=prompt)


def load(folder: Path, *, root: Path) -> dict[str, Model]:
    """Every model below `folder`, by name."""
    models: dict[str, Model] = {}
    for path in sorted(folder.rglob(f"*{SQL}")):
        model = Model.from_path(path, root=root)
        other = next((m for m in models.values() if m.name.lower() == model.name.lower()), None)
        if other is not None:
            raise ModelError(f"{model.source}: {other.source} has the same name", hint="rename one")
        models[model.name] = model
    for path in sorted(folder.rglob(f"*{PROMPT}")):
        name = path.name.removesuffix(PROMPT)
        if not path.with_name(name + SQL).exists():
            source = shown(path, root)
            hint = f"write {name}{SQL} beside it: the SELECT of the rows to enrich"
            raise ModelError(f"{source}: there is no {name}{SQL}", hint=hint)
    return models


def shown(path: Path, root: Path) -> str:
    """A file as messages name it: from the project's folder on, where it is inside."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def pick(models: Mapping[str, Model], names: Iterable[str]) -> tuple[Model, ...]:
    """The named models, or all, each after the picked models whose tables it reads."""
    wanted = list(names) or list(models)
    for name in wanted:
        if name not in models:
            hint = nearest(name, models) or "models/ holds no NAME.sql yet"
            raise ProjectError(f"there is no model '{name}'", hint=hint)
    lowered = {name.lower(): name for name in models}
    graph = {
        name: {lowered[table] for table in model.reads if table in lowered}
        for name, model in models.items()
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as problem:
        circle = list(reversed(problem.args[1]))
        if len(circle) == 2:
            message = f"{models[circle[0]].source}: '{circle[0]}' reads its own table"
        else:
            message = f"these models read each other in a circle: {' -> '.join(circle)}"
        hint = "read the source table instead" if len(circle) == 2 else "break it at one of them"
        raise ProjectError(message, hint=hint) from problem
    return tuple(models[name] for name in order if name in wanted)


def _query(text: str, source: str) -> tuple[str, frozenset[str]]:
    """The one SELECT in `text`, and the tables it reads."""
    from sqlglot import exp, parse, tokenize
    from sqlglot.errors import ParseError, TokenError
    from sqlglot.tokenizer_core import TokenType

    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    hint = "a model is one SELECT, as DuckDB reads it"
    try:
        statements = [statement for statement in parse(text, read="duckdb") if statement]
    except ParseError as problem:
        where = problem.errors[0] if problem.errors else {}
        near = f" near '{where['highlight']}'" if where.get("highlight") else ""
        line = where.get("line", 1)
        raise ModelError(
            f"{source}:{line}: the SELECT cannot be parsed{near}", hint=hint
        ) from problem
    except RecursionError as problem:
        raise ModelError(f"{source}: the SELECT is nested too deeply", hint=hint) from problem
    except TokenError as problem:
        raise ModelError(f"{source}: a quote or a bracket is never closed", hint=hint) from problem
    statements = [node for node in statements if not isinstance(node, exp.Semicolon)]
    if len(statements) != 1:
        many = "it is empty" if not statements else f"it holds {len(statements)} statements"
        raise ModelError(f"{source}: {many}", hint=hint)
    if not isinstance(statements[0], (exp.Query, exp.Values, exp.Pivot)):
        raise ModelError(f"{source}: it is no SELECT but {statements[0].key.upper()}", hint=hint)
    guard.check(statements[0], text, source=source)
    tokens = tokenize(text, read="duckdb")
    end = len(text)
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        end = tokens.pop().start
    return text[:end].rstrip(), _reads(statements[0])


def _reads(statement: exp.Expr) -> frozenset[str]:
    """The tables of the warehouse that a SELECT names; its own WITH queries are not among them."""
    from sqlglot import exp

    local = {cte.alias.lower() for cte in statement.find_all(exp.CTE)}
    return frozenset(
        table.name.lower()
        for table in statement.find_all(exp.Table)
        if table.name
        and table.db.lower() in ("", "main", "enrich")
        and not (not table.db and table.name.lower() in local)
    )
