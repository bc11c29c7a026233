"""Words: what a server says when something is wrong, as one line of plain letters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import openai

WORD_KEYS = (
    "message",
    "error",
    "detail",
    "msg",
    "errors",
    "error_description",
    "description",
    "title",
)
"""Where servers put their words: OpenAI, FastAPI, Google, OAuth, problem details (RFC 9457)."""
STYLE = re.compile(r"<(style|script)\b.*?</\1>", re.I | re.S)
MARKUP = re.compile(r"</?[A-Za-z!][^>]*>")
LONGEST_PAGE = 20_000
"""Letters of an error page that are looked at."""
LONGEST_SENTENCE = 300
LONGEST_CODE = 64
MOST_ERRORS = 10
"""How many errors of a list are looked at."""
DEEPEST_WORDS = 5
"""How deep a server's words may stand in the body of an error."""


def extract_words(problem: openai.APIStatusError) -> str:
    """The server's own words, in whatever shape it has them, as one line without markup."""
    return flatten_words(find_words(problem.body) or problem.message.split("\n")[0])


def flatten_words(said: str) -> str:
    """A server's words as one line of plain letters.

    >>> flatten_words("<h1>Bad\\n Gateway</h1>")
    'Bad Gateway'
    """
    plain = MARKUP.sub(" ", STYLE.sub(" ", said[:LONGEST_PAGE]))
    letters = "".join(char if char.isprintable() else " " for char in plain)
    return " ".join(letters.split())[:LONGEST_SENTENCE]


def find_words(body: object, depth: int = 0) -> str:
    """The first text of an error body that stands where servers put their words.

    >>> find_words({"detail": [{"msg": "no such llm"}]})
    'no such llm'
    """
    if isinstance(body, str):
        return body
    inside: Iterable[object] = ()
    if isinstance(body, list):
        inside = body[:MOST_ERRORS]
    elif isinstance(body, dict):
        inside = (body.get(key) for key in WORD_KEYS)
    if depth == DEEPEST_WORDS:
        return ""
    return next(filter(None, (find_words(each, depth + 1) for each in inside)), "")


def find_first_error(errors: object) -> tuple[str, str]:
    """The code and the sentence of a batch's first error: OpenAI wraps the list in an object, some
    servers do not, and some give a text."""
    listed = errors.get("data") or [errors] if isinstance(errors, dict) else errors
    first = listed[0] if isinstance(listed, list) and listed else listed
    if not isinstance(first, dict):
        return "", flatten_words(find_words(first))
    code = first.get("code")
    code = flatten_words(code)[:LONGEST_CODE] if isinstance(code, str) else ""
    message = flatten_words(find_words(first)) or code
    line = first.get("line")
    has_line = isinstance(line, int) and message
    return code, f"{message} (line {line} of the request file)" if has_line else message
