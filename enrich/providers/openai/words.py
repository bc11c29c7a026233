"""Words: what a server says if something is wrong, as one line of printable characters."""

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
"""The keys of messages in errors of OpenAI, FastAPI, Google, OAuth and problem details (RFC
9457)."""
STYLE = re.compile(r"<(style|script)\b.*?</\1>", re.I | re.S)
MARKUP = re.compile(r"</?[A-Za-z!][^>]*>")
LONGEST_PAGE = 20_000
"""Characters of an error page that are read."""
LONGEST_SENTENCE = 300
LONGEST_CODE = 64
MOST_ERRORS = 10
"""How many errors of a list are read."""
DEEPEST_WORDS = 5
"""How deep in the body of an error a server's words are searched."""


def extract_words(problem: openai.APIStatusError) -> str:
    """Returns the server's own words, whatever their shape, as one line without markup."""
    return flatten_words(find_words(problem.body) or problem.message.split("\n")[0])


def flatten_words(said: str) -> str:
    """Returns a server's words as one line of printable characters.
    >>> flatten_words("<h1>Bad\\n Gateway</h1>")
    'Bad Gateway'
    """
    # Proxies answer in HTML. What is not printable could control the user's terminal.
    plain = MARKUP.sub(" ", STYLE.sub(" ", said[:LONGEST_PAGE]))
    letters = "".join(char if char.isprintable() else " " for char in plain)
    return " ".join(letters.split())[:LONGEST_SENTENCE]


def find_words(body: object, depth: int = 0) -> str:
    """Returns the first text in an error body that is where servers put their words.
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
    """Returns the code and the sentence of a batch's first error."""
    # OpenAI wraps the list in an object with `data`. Groq sends the bare list, and others a text.
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
