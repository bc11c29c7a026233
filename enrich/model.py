"""Models: the files of models/, and what they read."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, cast, get_args

from enrich import guard, variables
from enrich.config import NAME, READABLE
from enrich.errors import DiskError, ModelError, nearest
from enrich.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from sqlglot import exp

SQL = ".sql"
PROMPT = ".prompt.md"
TAKEN = ("costs", "evaluations", "prompts")
"""Tables of enrich's own in the schema where each model's provenance stands."""
HISTORY = "_history"
"""What the name of a model's table of earlier answers ends with."""
HEADER = re.compile(r"^--[ \t]*(\w+):[ \t]*(.*?)[ \t]*$")
SETTINGS = ("materialized", "tags", "description")
"""What comments at the top of NAME.sql may set."""

Kind = Literal["enrichment", "view", "table"]
Materialized = Literal["view", "table"]


@dataclass(frozen=True, kw_only=True)
class Model:
    """NAME.sql, one SELECT; with NAME.prompt.md an enrichment model.

    `query` is the SELECT as written, without a closing semicolon. `reads` are the tables it names,
    in lower case, those of other databases and schemas with their names. `source` is how messages
    name the file. `kind` is what it becomes; `tags` and `description` are words of the user's own.
    """

    name: str
    source: str
    query: str
    reads: frozenset[str]
    prompt: Prompt | None
    kind: Kind
    tags: tuple[str, ...] = ()
    description: str = ""

    @classmethod
    def from_path(cls, path: Path, *, root: Path, values: Mapping[str, Any]) -> Model:
        """Read NAME.sql, and NAME.prompt.md where it stands beside it; `values` are those of
        variables."""
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
            prompt = Prompt.from_path(beside, source=shown(beside, root), values=values)
        said = header(text, SETTINGS, source=source)
        kind = said.get("materialized", "view")
        if kind not in get_args(Materialized):
            message = f"{source}: 'materialized' cannot be '{kind}'"
            raise ModelError(message, hint=nearest(kind, get_args(Materialized)))
        if prompt and "materialized" in said:
            hint = "take the comment out: what the llm answers is always a table"
            raise ModelError(f"{source}: a model with a prompt is not materialized", hint=hint)
        query, reads = select(variables.filled(text, values, source=source), source)
        tags = [word.strip() for word in said.get("tags", "").split(",") if word.strip()]
        return cls(
            name=name,
            source=source,
            query=query,
            reads=reads,
            prompt=prompt,
            kind="enrichment" if prompt else cast("Materialized", kind),
            tags=tuple(dict.fromkeys([*(prompt.tags if prompt else ()), *tags])),
            description=said.get("description", prompt.description if prompt else ""),
        )


def load(folder: Path, *, root: Path, values: Mapping[str, Any]) -> dict[str, Model]:
    """Every model below `folder`, by name; `values` are those of variables."""
    models: dict[str, Model] = {}
    for path in sorted(folder.rglob(f"*{SQL}")):
        model = Model.from_path(path, root=root, values=values)
        other = next((m for m in models.values() if m.name.lower() == model.name.lower()), None)
        if other is not None:
            raise ModelError(f"{model.source}: {other.source} has the same name", hint="rename one")
        models[model.name] = model
    lowered = {model.name.lower() for model in models.values() if model.prompt}
    for model in models.values():
        if model.prompt and model.name.lower().removesuffix(HISTORY) in lowered - {
            model.name.lower()
        }:
            hint = f"enrich.{model.name} holds the earlier answers of another model: rename one"
            raise ModelError(f"{model.source}: no model can be called '{model.name}'", hint=hint)
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


def header(text: str, known: tuple[str, ...], *, source: str) -> dict[str, str]:
    """What comments at the top of a SQL file set, as in `-- materialized: table`; any other comment
    is only a comment, but for one that seems to mean a setting.

    >>> header("-- Films.\\n-- tags: nightly\\nSELECT 1", ("tags",), source="a.sql")
    {'tags': 'nightly'}
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.startswith("--"):
            break
        match = HEADER.match(line)
        if match is None:
            continue
        word = match[1].lower()
        if word in known:
            found[word] = match[2]
        elif close := get_close_matches(word, known, n=1, cutoff=0.8):
            message = f"{source}:{number}: '{match[1]}' is not a setting here"
            raise ModelError(message, hint=f"did you mean '{close[0]}'?")
    return found


def select(text: str, source: str) -> tuple[str, frozenset[str]]:
    """The one SELECT in `text`, without a closing semicolon, and the tables it reads."""
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
    """The tables that a SELECT names, in lower case; its own WITH queries are not among them.

    Provenance and history of a model count as its table. What stands in another database or schema
    is named with it.
    """
    from sqlglot import exp

    local = {cte.alias.lower() for cte in statement.find_all(exp.CTE)}
    found = set()
    for table in statement.find_all(exp.Table):
        name, schema, database = table.name.lower(), table.db.lower(), table.catalog.lower()
        if not name or (not schema and name in local):
            continue
        if schema == "enrich":
            found.add(name.removesuffix(HISTORY))
        elif schema in ("", "main", "warehouse") and database in ("", "warehouse"):
            found.add(name)
        else:
            found.add(".".join(filter(None, (database, schema, name))))
    return frozenset(found)
