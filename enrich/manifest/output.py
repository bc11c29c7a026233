"""The output: column DDL, the one declaration of what the llm must return.

Three things follow from it: the JSON Schema that is sent to the provider, by OpenAI's rules for
strict structured outputs (all properties are required, no others are allowed, and null needs a
union of types); the types of the published table; and, in `compiler`, the reader of the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from enrich.errors import ModelError
from enrich.manifest.column_type import DdlPlace, count_key_tokens, render_object
from enrich.manifest.families import FAMILIES, LENGTH_LABEL, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot import exp
    from sqlglot.tokenizer_core import Token

    from enrich.manifest.column_type import ColumnType

SIZED_TEXTS = ("VARCHAR", "TEXT", "CHAR", "BPCHAR", "NVARCHAR", "STRING")
"""Types of text whose length means something."""

BRACKET_DEPTHS = {
    "L_PAREN": 1,
    "L_BRACKET": 1,
    "L_BRACE": 1,
    "R_PAREN": -1,
    "R_BRACKET": -1,
    "R_BRACE": -1,
}
QUOTED_TOKENS = ("STRING", "IDENTIFIER")
OWN_NAMES = "_enrich"
"""How the columns begin that enrich needs to judge an answer."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """An output column."""

    name: str
    type: ColumnType
    required: bool
    description: str
    bounds: tuple[tuple[str, int | float], ...]

    @property
    def is_free_text(self) -> bool:
        """Whether no two answers are likely to be the same."""
        return self.type.family.choose_measure(self.type) == "text"

    def render_schema(self) -> dict[str, Any]:
        """Returns the JSON Schema of the column's value, with its comment and its CHECKs."""
        family = self.type.family
        bounds = {word: limit for word, limit in self.bounds if word in family.limits}
        schema = self.type.render_schema(required=self.required) | bounds
        # The comment comes first because it says what to answer; the rest says in which form.
        said = "; ".join(filter(None, (self.description, family.describe(self.type))))
        return schema | ({"description": said} if said else {})


@dataclass(frozen=True, kw_only=True)
class Output:
    """The columns that the llm must return, and the CHECKs as written that answers must pass."""

    ddl: str
    columns: tuple[Column, ...]
    checks: tuple[str, ...]

    @property
    def is_text(self) -> bool:
        """Whether it is a single VARCHAR, as `response_format: text` needs it."""
        return len(self.columns) == 1 and self.columns[0].type.family is FAMILIES.text

    @property
    def is_vector(self) -> bool:
        """Whether it is a single vector, as an endpoint for embeddings returns it."""
        return len(self.columns) == 1 and self.columns[0].type.family is FAMILIES.vector

    @property
    def has_vector(self) -> bool:
        """Whether there is a vector anywhere in it."""
        return any(_has_vector(column.type) for column in self.columns)

    def render_schema(self) -> dict[str, Any]:
        """Returns the JSON Schema of an answer."""
        return render_object({column.name: column.render_schema() for column in self.columns})

    def count_tokens(self) -> float:
        """Returns an estimate of the tokens of an answer."""
        if self.is_vector:
            return 0.0
        return sum(
            count_key_tokens(column.name) + column.type.family.count_tokens(column.type)
            for column in self.columns
        )

    @classmethod
    def parse(cls, ddl: str, *, source: str, line: int = 1) -> Output:
        """Reads column DDL that starts at `line` of the file `source`. Raises ModelError."""
        columns: list[Column] = []
        checks: list[str] = []
        for text, at in _split_items(ddl, source=source, line=line):
            column, found = _parse_item(text, source=source, line=at)
            checks += found
            if column is None:
                continue
            if column.name.lower() in {known.name.lower() for known in columns}:
                message = f"{source}:{at}: duplicate output column '{column.name}'"
                raise ModelError(message, hint="rename one of them")
            columns.append(column)
        if not columns:
            hint = "write it as in CREATE TABLE: summary VARCHAR NOT NULL"
            raise ModelError(f"{source}:{line}: the output has no column", hint=hint)
        return cls(ddl=ddl, columns=tuple(columns), checks=tuple(checks))


def _has_vector(kind: ColumnType) -> bool:
    return kind.family is FAMILIES.vector or any(_has_vector(part.type) for part in kind.parts)


def _split_items(ddl: str, *, source: str, line: int) -> Iterator[tuple[str, int]]:
    """Yields each item of the list as written, with its comment, and the line that it starts on."""
    from sqlglot.errors import TokenError
    from sqlglot.tokenizer_core import TokenType

    try:
        tokens = _tokenize(ddl)
    except TokenError as problem:
        hint = "close every quote and every bracket"
        raise ModelError(f"{source}:{line}: the output cannot be read", hint=hint) from problem
    # Items are cut out before they are parsed: a comment after a comma is about the column before
    # the comma, and sqlglot would attach it to the next column.
    depth = 0
    start = 0
    while start < len(ddl):
        cut = len(ddl)
        for token in tokens:
            if token.start < start:
                continue
            depth += _count_depth(token)
            if token.token_type == TokenType.COMMA and depth == 0:
                cut = token.start
                break
        after = min(cut + 1, len(ddl))
        newline = ddl.find("\n", after)
        rest = ddl[after : newline if newline >= 0 else len(ddl)]
        comment = rest if rest.lstrip().startswith("--") else ""
        text = f"{ddl[start:cut]} {comment}"
        if ddl[start:cut].strip():
            lead = len(ddl[start:cut]) - len(ddl[start:cut].lstrip())
            yield text.strip(), line + ddl[: start + lead].count("\n")
        start = after + len(comment)


def _tokenize(sql: str) -> list[Token]:
    """Returns the tokens of a text. Raises TokenError."""
    from sqlglot import tokenize

    return tokenize(sql, read="duckdb")


def _count_depth(token: Token) -> int:
    """Returns 1 for an opening bracket, -1 for a closing one, and 0 for other tokens."""
    # By its type: a label or a quoted name may be a bracket, too.
    return BRACKET_DEPTHS.get(token.token_type.name, 0)


def _parse_item(text: str, *, source: str, line: int) -> tuple[Column | None, list[str]]:
    """Returns one column and its CHECKs, or None and a CHECK of its own. Raises ModelError."""
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    hint = "write it as in CREATE TABLE: mood ENUM('light', 'dark') NOT NULL  -- what it means"
    try:
        # The bracket is on a line of its own, or a comment at the end would swallow it.
        table = parse_one(f"CREATE TABLE t (\n{_mark_lengths(text)}\n)", read="duckdb")
        items = table.this.expressions
    except (SqlglotError, AttributeError, RecursionError) as problem:
        message = f"{source}:{line}: this output column cannot be read: {_cut_first_line(text)}"
        raise ModelError(message, hint=hint) from problem
    checks = list(_find_checks(text))
    if len(items) == 1 and isinstance(items[0], (exp.CheckColumnConstraint, exp.Constraint)):
        return None, checks
    if len(items) != 1 or not isinstance(items[0], exp.ColumnDef) or not items[0].args.get("kind"):
        message = f"{source}:{line}: this is not a column: {_cut_first_line(text)}"
        raise ModelError(message, hint=hint)
    return _make_column(items[0], source=source, line=line), checks


def _make_column(item: exp.ColumnDef, *, source: str, line: int) -> Column:
    """Returns the column of a definition as sqlglot parsed it. Raises ModelError."""
    from sqlglot import exp

    if item.name.lower().startswith(OWN_NAMES):
        hint = "choose another name"
        raise ModelError(f"{source}:{line}: '{item.name}' is a name of enrich's own", hint=hint)
    required = False
    bounds: list[tuple[str, int | float]] = []
    for constraint in item.constraints:
        if isinstance(constraint.kind, exp.CheckColumnConstraint):
            bounds += _find_bounds(constraint.kind.this, item.name)
        elif isinstance(constraint.kind, exp.NotNullColumnConstraint):
            required = not constraint.kind.args.get("allow_null")
        elif not isinstance(constraint.kind, exp.CommentColumnConstraint):
            what = constraint.kind.sql("duckdb")
            message = f"{source}:{line}: '{item.name}' cannot have {what}"
            raise ModelError(message, hint="an output column takes NOT NULL and CHECK (...)")
    # sqlglot attaches a comment to whichever node precedes it: the type, a label or a constraint.
    comments = [comment.strip() for node in item.walk() for comment in node.comments or ()]
    return Column(
        name=item.name,
        type=parse_type(item.args["kind"], DdlPlace(source, line)),
        required=required,
        description=" ".join(comments),
        bounds=tuple(bounds),
    )


def _mark_lengths(text: str) -> str:
    """Returns the text with an ENUM of one label instead of each VARCHAR(n)."""
    # sqlglot 30.30 drops the length of a text in DuckDB's dialect, except in a list. An ENUM keeps
    # its labels, so the length travels as a label; `EnumFamily.parse` turns it back.
    tokens = _tokenize(text)
    # From the end, so that the positions of earlier tokens stay valid.
    for number in range(len(tokens) - 4, -1, -1):
        name, opening, length, closing = tokens[number : number + 4]
        sized = name.text.upper() in SIZED_TEXTS and opening.text == "(" and closing.text == ")"
        if sized and length.text.isdigit():
            text = (
                f"{text[: name.start]}ENUM('{LENGTH_LABEL}{length.text}'){text[closing.end + 1 :]}"
            )
    return text


def _cut_first_line(text: str) -> str:
    """Returns the first line of a text."""
    return text.strip().splitlines()[0].strip()


def _find_checks(text: str) -> Iterator[str]:
    """Yields what is between the brackets of each CHECK, character for character."""
    # Not as sqlglot renders it: DuckDB gets what the user wrote, so that its errors point there.
    tokens = _tokenize(text)
    for number, token in enumerate(tokens):
        if token.text.upper() != "CHECK" or token.token_type.name in QUOTED_TOKENS:
            continue
        if number + 1 >= len(tokens) or tokens[number + 1].token_type.name != "L_PAREN":
            continue
        depth = 0
        for closing in tokens[number + 1 :]:
            depth += _count_depth(closing)
            if depth == 0:
                yield text[tokens[number + 1].start + 1 : closing.start].strip()
                break


def _find_bounds(check: exp.Expr, column: str) -> Iterator[tuple[str, int | float]]:
    """Yields the parts of a CHECK that JSON Schema can express: limits of a number or of the length
    of a list."""
    from sqlglot import exp

    # Only AND: of two sides of an OR, neither has to hold.
    if isinstance(check, (exp.And, exp.Paren)):
        for side in check.iter_expressions():
            yield from _find_bounds(side, column)
        return
    subject = check.this
    sized = isinstance(subject, (exp.Length, exp.ArraySize))
    named = subject.this if sized else subject
    if not isinstance(named, exp.Column) or named.name.lower() != column.lower():
        return
    least, most = ("minItems", "maxItems") if sized else ("minimum", "maximum")
    limits: list[tuple[str, exp.Expr, int]] = []
    if isinstance(check, exp.Between):
        limits = [(least, check.args["low"], 0), (most, check.args["high"], 0)]
    elif isinstance(check, exp.EQ):
        limits = [(least, check.expression, 0), (most, check.expression, 0)]
    elif isinstance(check, (exp.GTE, exp.GT)):
        limits = [(least, check.expression, int(isinstance(check, exp.GT)))]
    elif isinstance(check, (exp.LTE, exp.LT)):
        limits = [(most, check.expression, -int(isinstance(check, exp.LT)))]
    for word, limit, step in limits:
        number = _read_number(limit)
        if number is None:
            continue
        # Lengths are whole numbers, so `> 2` becomes `minItems: 3`, as JSON Schema has no exclusive
        # limit of a length. Other limits become exclusive ones.
        if step and not (sized and isinstance(number, int)):
            yield word.replace("m", "exclusiveM", 1), number
        else:
            yield word, number + step


def _read_number(node: exp.Expr) -> int | float | None:
    """Returns the value of a literal number; None for any other expression."""
    from sqlglot import exp

    if isinstance(node, exp.Neg):
        inner = _read_number(node.this)
        return None if inner is None else -inner
    if not isinstance(node, exp.Literal) or node.is_string:
        return None
    try:
        return int(node.this)
    except ValueError:
        number = float(node.this)
        return number if isfinite(number) else None
