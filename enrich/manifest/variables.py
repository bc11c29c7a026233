"""Variables: values that `vars:` and `--var` give to SQL and templates.

`$name` and `getvariable('name')` are replaced by literals before anything else looks at the SQL. So
a view has its value for whoever reads it, and a value that shows in a request is in its hash.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

from enrich.db import quote
from enrich.errors import ModelError, ProjectError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from enrich.manifest.settings import YamlSettings

VARIABLE_NAME = re.compile(r"[A-Za-z_]\w*")
VARIABLE_FUNCTION = "getvariable"


def read_variables(settings: YamlSettings) -> dict[str, Any]:
    """The mapping under `vars:`."""
    found = settings.read_mapping("vars")
    for name, value in (settings.values.get("vars") or {}).items():
        if not isinstance(name, str):
            hint = f"quote it, for YAML reads it as {name!r}"
            raise settings.make_error("vars", "has a name that is no text", hint=hint)
        if not VARIABLE_NAME.fullmatch(name):
            hint = "letters, digits and _: SQL names it $name"
            raise settings.make_error("vars", f"cannot name a variable '{name}'", hint=hint)
        try:
            render_literal(value)
        except TypeError as problem:
            hint = "text, a number, true, false, a date, a list or a mapping of these"
            raise settings.make_error(
                "vars", f"cannot give '{name}' this value", hint=hint
            ) from problem
    return found


def parse_assignments(words: Iterable[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """`NAME=VALUE` from the command line, each value read as YAML reads it.

    >>> parse_assignments(["year=1990", "genre=drama"], {"year": 0, "genre": ""})
    {'year': 1990, 'genre': 'drama'}
    """
    import yaml

    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ProjectError(f"--var {word} has no value", hint=f"--var {name}=1990")
        if name not in known:
            hint = nearest(name, known) or "name it there: `vars:` with one `name: value` a line"
            raise ProjectError(f"project.yml has no variable '{name}'", hint=hint)
        try:
            found[name] = yaml.safe_load(text)
            render_literal(found[name])
        except (yaml.YAMLError, ValueError, TypeError) as problem:
            hint = f"quote it: --var '{name}=\"...\"'"
            raise ProjectError(f"--var {name} cannot be read", hint=hint) from problem
    return found


def parse_mapping(text: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping in YAML that `--vars` takes.

    >>> parse_mapping("{year: 1990}", {"year": 0})
    {'year': 1990}
    """
    import yaml

    hint = "as in --vars '{year: 1990, genre: drama}'"
    try:
        found = yaml.safe_load(text) if text.strip() else {}
    except (yaml.YAMLError, ValueError) as problem:
        raise ProjectError("--vars cannot be read as YAML", hint=hint) from problem
    if not isinstance(found, dict):
        raise ProjectError("--vars is not a mapping", hint=hint)
    for name, value in found.items():
        if name not in known:
            more = (
                nearest(str(name), known) or "name it there: `vars:` with one `name: value` a line"
            )
            raise ProjectError(f"project.yml has no variable '{name}'", hint=more)
        try:
            render_literal(value)
        except TypeError as problem:
            raise ProjectError(f"--vars cannot give '{name}' this value", hint=hint) from problem
    return found


def render_literal(value: Any) -> str:  # noqa: ANN401  # any YAML value
    """A value as DuckDB writes it; raises TypeError where it cannot.

    >>> render_literal(["it's", 1, None, True])
    "['it''s', 1, NULL, TRUE]"
    >>> print(render_literal({"a": 0.5}))
    {'a': 0.5}
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, (int, float)):
        if not isfinite(value):
            return f"('{value}'::DOUBLE)"
        return repr(value) if value >= 0 else f"({value!r})"  # 1-$x must not begin a comment
    if isinstance(value, str):
        lines = [quote.text(line) for line in value.split("\n")]
        return lines[0] if len(lines) == 1 else f"({' || chr(10) || '.join(lines)})"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value}'"
    if isinstance(value, date):
        return f"DATE '{value}'"
    if isinstance(value, list):
        return f"[{', '.join(map(render_literal, value))}]"
    if isinstance(value, dict):
        return quote.struct({str(name): render_literal(item) for name, item in value.items()})
    raise TypeError(type(value).__name__)


def dump_values(values: Mapping[str, Any]) -> str:
    """Values as text that keeps their types; equal values give equal text.

    >>> dump_values({"day": date(2024, 5, 1), "text": "2024-05-01"})
    "{day: 2024-05-01, text: '2024-05-01'}"
    """
    import yaml

    plain = yaml.safe_dump(dict(values), default_flow_style=True, allow_unicode=True, width=10**9)
    return str(plain).strip()


def load_values(text: str) -> dict[str, Any]:
    """What `dumped` wrote."""
    import yaml

    return yaml.safe_load(text) or {}


def list_variables(sql: str) -> tuple[str, ...]:
    """The variables that SQL names, each once.

    >>> list_variables("SELECT $year, getvariable('genre'), '$no' WHERE y > $year")
    ('year', 'genre')
    """
    return tuple(dict.fromkeys(name for name, _, _, _ in _find_variables(sql)))


def fill_variables(sql: str, values: Mapping[str, Any], *, source: str, line: int = 1) -> str:
    """SQL that begins at `line` of the file `source`, with literals for its variables.

    >>> fill_variables("SELECT * FROM films WHERE year > $year", {"year": 1990}, source="a.sql")
    'SELECT * FROM films WHERE year > 1990'
    """
    pieces, end = [], 0
    for name, start, after, at in _find_variables(sql):
        if name not in values:
            hint = nearest(name, values) or "name it in project.yml: `vars:`, or quote the text"
            raise ModelError(f"{source}:{line + at - 1}: there is no variable '{name}'", hint=hint)
        pieces += [sql[end:start], render_literal(values[name])]
        end = after
    return "".join([*pieces, sql[end:]])


def render_constant(sql: str, values: Mapping[str, Any]) -> str | None:
    """The text of an expression that is nothing but one variable; None of any other.

    Only where the text is sure to be what DuckDB would make of it.
    """
    names = list(_find_variables(sql))
    if len(names) != 1 or names[0][1:3] != (0, len(sql)):
        return None
    value = values.get(names[0][0])
    plain = isinstance(value, (str, int)) and not isinstance(value, bool)
    return str(value) if plain else None


def _find_variables(sql: str) -> Iterator[tuple[str, int, int, int]]:
    """Each variable: its name, where it begins and ends, and its line, counted from 1."""
    if "$" not in sql and VARIABLE_FUNCTION not in sql.lower():
        return
    from sqlglot import tokenize
    from sqlglot.errors import SqlglotError

    try:
        tokens = tokenize(sql, read="duckdb")
    except SqlglotError:  # whoever parses it will say so
        return
    found = []
    for token, after in pairwise(tokens):
        if (
            token.text == "$"
            and after.start == token.end + 1
            and VARIABLE_NAME.fullmatch(after.text)
        ):
            found.append((token.start, after.end + 1, after.text))
    for number in range(len(tokens) - 3):
        word, opening, name, closing = tokens[number : number + 4]
        called = (
            word.text.lower() == VARIABLE_FUNCTION and opening.text == "(" and closing.text == ")"
        )
        if called and name.token_type.name == "STRING":
            found.append((word.start, closing.end + 1, name.text))
    for start, end, variable in sorted(found):
        yield variable, start, end, _find_line(sql, start)


def _find_line(sql: str, place: int) -> int:
    """The line of a place; a token's own is that of its end."""
    return sql.count("\n", 0, place) + 1
