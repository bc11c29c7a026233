"""Templates: text with DuckDB expressions in `{{ }}` and Markdown images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

# The text in brackets may itself contain brackets. What is in quotes is Markdown's title, which
# enrich uses for the detail at which the llm looks at the image.
IMAGE_MARKUP = re.compile(
    r'!\[(?:[^\]\n]|\](?!\())*\]\(\s*(\S.*?)(?:\s+"(auto|low|high|original)")?\s*\)'
)


@dataclass(frozen=True)
class Expression:
    """A DuckDB expression as the user wrote it, and its line in the file."""

    sql: str
    line: int


@dataclass(frozen=True)
class Text:
    """Literal text and expressions, which are concatenated; NULL counts as empty text."""

    pieces: tuple[str | Expression, ...]


@dataclass(frozen=True)
class Image:
    """An image: a URL, the path of a file, or a BLOB; `detail` says how closely the llm should look
    at it, "" for its default."""

    source: str | Expression
    detail: str
    line: int


TemplatePart = Text | Image


def parse_template(text: str, *, source: str, line: int) -> tuple[TemplatePart, ...]:
    """Splits a message that starts at `line` of the file `source` into text and images.

    Newlines around an image only lay out the file, and are not part of the text. Raises ModelError.
    """
    pieces = list(_split_pieces(text, source=source, line=line))
    # Expressions are replaced by a mark while images are searched: brackets in SQL are not
    # Markdown. A NUL cannot be in the text of a prompt.
    marked = "".join(piece if isinstance(piece, str) else "\x00" for piece in pieces)
    expressions = [piece for piece in pieces if isinstance(piece, Expression)]
    parts: list[TemplatePart] = []
    start = 0
    for match in IMAGE_MARKUP.finditer(marked):
        before = marked[start : match.start()].strip("\n")
        if before.strip():
            parts.append(_join_text(before, marked[:start].count("\x00"), expressions))
        at = line + marked[: match.start()].count("\n")
        where = marked[: match.start(1)].count("\x00")
        parts.append(
            Image(_read_source(match[1], where, expressions, source, at), match[2] or "", at)
        )
        start = match.end()
    rest = marked[start:].lstrip("\n") if parts else marked
    if rest.strip() or not parts:
        parts.append(_join_text(rest, marked[:start].count("\x00"), expressions))
    return tuple(parts)


def _join_text(marked: str, skipped: int, expressions: list[Expression]) -> Text:
    """Returns a text with its expressions again in the places of their marks; the first `skipped`
    expressions are in front of it."""
    pieces: list[str | Expression] = []
    for number, literal in enumerate(marked.split("\x00")):
        if number:
            pieces.append(expressions[skipped + number - 1])
        if literal:
            pieces.append(literal)
    return Text(tuple(pieces))


def _read_source(
    marked: str, skipped: int, expressions: list[Expression], source: str, line: int
) -> str | Expression:
    """Returns what an image shows: one expression or a fixed address. Raises ModelError."""
    if marked == "\x00":
        return expressions[skipped]
    if "\x00" in marked:
        hint = "put all of it into the expression: ![photo]({{ 'https://host/' || file_name }})"
        raise ModelError(
            f"{source}:{line}: an image is one {{{{ expression }}}} or one fixed address", hint=hint
        )
    return marked


def _split_pieces(text: str, *, source: str, line: int) -> Iterator[str | Expression]:
    """Yields the literal texts and the expressions of a message. Raises ModelError."""
    position = 0
    while (opening := text.find("{{", position)) >= 0:
        if opening > position:
            yield text[position:opening]
        at = line + text[:opening].count("\n")
        closing = _find_closing(text, opening + 2)
        if closing < 0:
            hint = "close it with }}, and close every quote inside it"
            raise ModelError(f"{source}:{at}: '{{{{' is never closed", hint=hint)
        expression = text[opening + 2 : closing].strip()
        if not expression:
            raise ModelError(f"{source}:{at}: '{{{{ }}}}' is empty", hint="name a column in it")
        yield Expression(expression, at)
        position = closing + 2
    if position < len(text):
        yield text[position:]


def mask_expressions(text: str) -> str:
    """Returns a text of the same length and lines, without what is in its `{{ }}`.

    >>> mask_expressions("a {{ b }} c")
    'a \\x00\\x00\\x00\\x00\\x00\\x00\\x00 c'
    """
    shown, position = [], 0
    while (opening := text.find("{{", position)) >= 0:
        end = _find_closing(text, opening + 2) + 2
        if end < 2:  # `parse_template` reports that it is never closed
            break
        shown += [text[position:opening], re.sub(r"[^\n]", "\0", text[opening:end])]
        position = end
    return "".join((*shown, text[position:]))


def _find_closing(text: str, position: int) -> int:
    """Returns the position of the `}}` that closes an expression, -1 if there is none. Braces in
    quotes or of a struct do not count."""
    depth = 0
    quote = ""
    while position < len(text):
        char = text[position]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            if depth == 0:
                return position if text.startswith("}}", position) else -1
            depth -= 1
        position += 1
    return -1
