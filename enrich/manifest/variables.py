"""Variables: values from `vars:` and `--var` for SQL and templates.

`$name` and `getvariable('name')` are replaced by literals before anything else looks at the SQL. So
a view has the same value for whoever reads it, and a value that is part of a request is part of its
fingerprint.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

from enrich.db.quote import quote_text, render_struct
from enrich.errors import ModelError, ProjectError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from enrich.manifest.settings import YamlSettings

VARIABLE_NAME = re.compile(r"[A-Za-z_]\w*")
VARIABLE_FUNCTION = "getvariable"
"""DuckDB's own function for variables."""
UNDECLARED_HINT = "declare it there: `vars:` with one `name: value` on each line"


def read_variables(settings: YamlSettings) -> dict[str, Any]:
    """Returns the variables under `vars:`. Raises ProjectError."""
    found = settings.read_mapping("vars")
    for name, value in (settings.values.get("vars") or {}).items():
        if not isinstance(name, str):
            hint = f"quote it, because YAML reads it as {name!r}"
            raise settings.make_error("vars", "has a name that is not text", hint=hint)
        if not VARIABLE_NAME.fullmatch(name):
            hint = "use letters, digits and _: in SQL it is $name"
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
    """Returns the variables in `NAME=VALUE` words of the command line. Raises ProjectError.
    >>> parse_assignments(["year=1990", "genre=drama"], {"year": 0, "genre": ""})
    {'year': 1990, 'genre': 'drama'}
    """
    import yaml

    # Values are YAML, as in project.yml: `--var year=1990` is a number there too.
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ProjectError(f"--var {word} has no value", hint=f"--var {name}=1990")
        if name not in known:
            hint = nearest(name, known) or UNDECLARED_HINT
            raise ProjectError(f"project.yml has no variable '{name}'", hint=hint)
        try:
            found[name] = yaml.safe_load(text)
            render_literal(found[name])
        except (yaml.YAMLError, ValueError, TypeError) as problem:
            hint = f"quote it: --var '{name}=\"...\"'"
            raise ProjectError(f"--var {name} cannot be read", hint=hint) from problem
    return found


def parse_mapping(text: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the variables in the YAML mapping that `--vars` takes. Raises ProjectError.
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
            more = nearest(str(name), known) or UNDECLARED_HINT
            raise ProjectError(f"project.yml has no variable '{name}'", hint=more)
        try:
            render_literal(value)
        except TypeError as problem:
            what = f"--vars has a value for '{name}' that SQL cannot express"
            raise ProjectError(what, hint=hint) from problem
    return found


def render_literal(value: Any) -> str:  # noqa: ANN401  # any YAML value
    """Returns a value as a literal in DuckDB's SQL. Raises TypeError if there is none.
    >>> render_literal(["it's", 1, None, True])
    "['it''s', 1, NULL, TRUE]"
    >>> print(render_literal({"a": 0.5}))
    {'a': 0.5}
    """
    if value is None:
        return "NULL"
    # Before int: True is an int in Python. A datetime is a date in the same way.
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, (int, float)):
        # SQL has no literal for these.
        if not isfinite(value):
            return f"('{value}'::DOUBLE)"
        # In brackets, or `1-$x` would become `1--5`, where a comment starts.
        return repr(value) if value >= 0 else f"({value!r})"
    if isinstance(value, str):
        # A newline in the literal would move every later line, and DuckDB's errors name lines.
        lines = [quote_text(line) for line in value.split("\n")]
        return lines[0] if len(lines) == 1 else f"({' || chr(10) || '.join(lines)})"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value}'"
    if isinstance(value, date):
        return f"DATE '{value}'"
    if isinstance(value, list):
        return f"[{', '.join(map(render_literal, value))}]"
    if isinstance(value, dict):
        return render_struct({str(name): render_literal(item) for name, item in value.items()})
    raise TypeError(type(value).__name__)


def dump_values(values: Mapping[str, Any]) -> str:
    """Returns variables as a text that keeps the types of their values; equal variables have equal
    texts.
    >>> dump_values({"day": date(2024, 5, 1), "text": "2024-05-01"})
    "{day: 2024-05-01, text: '2024-05-01'}"
    """
    import yaml

    # On one line: YAML would otherwise wrap it at 80 characters.
    plain = yaml.safe_dump(dict(values), default_flow_style=True, allow_unicode=True, width=10**9)
    return str(plain).strip()


def load_values(text: str) -> dict[str, Any]:
    """Returns the variables in a text from `dump_values`."""
    import yaml

    return yaml.safe_load(text) or {}


def list_variables(sql: str) -> tuple[str, ...]:
    """Returns the variables that SQL names, each of them once.
    >>> list_variables("SELECT $year, getvariable('genre'), '$no' WHERE y > $year")
    ('year', 'genre')
    """
    return tuple(dict.fromkeys(name for name, _, _, _ in _find_variables(sql)))


def fill_variables(sql: str, values: Mapping[str, Any], *, source: str, line: int = 1) -> str:
    """Returns SQL, which starts at `line` of the file `source`, with literals for its variables.

    Raises ModelError for a variable that does not exist.
    >>> fill_variables("SELECT * FROM films WHERE year > $year", {"year": 1990}, source="a.sql")
    'SELECT * FROM films WHERE year > 1990'
    """
    pieces, end = [], 0
    for name, start, after, at in _find_variables(sql):
        if name not in values:
            hint = nearest(name, values) or "declare it in project.yml: `vars:`, or quote the text"
            raise ModelError(f"{source}:{line + at - 1}: there is no variable '{name}'", hint=hint)
        pieces += [sql[end:start], render_literal(values[name])]
        end = after
    return "".join([*pieces, sql[end:]])


def render_constant(sql: str, values: Mapping[str, Any]) -> str | None:
    """Returns the text of an expression that is only a variable; None for any other expression."""
    names = list(_find_variables(sql))
    if len(names) != 1 or names[0][1:3] != (0, len(sql)):
        return None
    value = values.get(names[0][0])
    # Only if Python's text is certainly the one that DuckDB would make of it: not so for a float, a
    # date or a boolean.
    plain = isinstance(value, (str, int)) and not isinstance(value, bool)
    return str(value) if plain else None


def _find_variables(sql: str) -> Iterator[tuple[str, int, int, int]]:
    """Yields each variable: its name, where it starts and ends, and its line, counted from 1."""
    # Most SQL has none, and importing sqlglot takes 0.2 s.
    if "$" not in sql and VARIABLE_FUNCTION not in sql.lower():
        return
    from sqlglot import tokenize
    from sqlglot.errors import SqlglotError

    try:
        tokens = tokenize(sql, read="duckdb")
    except SqlglotError:  # whoever parses the SQL next reports it
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
    """Returns the line of a position."""
    # Not the token's own line, which in sqlglot is the one where the token ends.
    return sql.count("\n", 0, place) + 1
