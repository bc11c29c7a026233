"""Errors of calls that go without an SDK, said again as those of OpenAI's."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from enrich.providers.openai.errors import Translator

GONE = frozenset({403, 404})
"""What Google answers for a file that is not there: a 403 does not tell it from another's."""


@contextmanager
def translate_file_errors(translator: Translator) -> Iterator[None]:
    """Translates what goes wrong with a connection in the block, and what `check_answer` raises."""
    import httpx2
    import openai

    with translator.translate_errors():
        try:
            yield
        except httpx2.RequestError as problem:
            raise openai.APIConnectionError(request=problem.request) from problem


def check_answer(answer: httpx2.Response) -> None:
    """Raises openai.APIStatusError for an answer that is not a success."""
    import openai

    if answer.status_code < 300:
        return
    text = answer.read().decode(errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = text
    raise openai.APIStatusError(f"HTTP {answer.status_code}", response=answer, body=body)


def is_gone(problem: BaseException) -> bool:
    """Whether an error says that a file is not there."""
    import openai

    said = problem.__context__
    return isinstance(said, openai.APIStatusError) and said.status_code in GONE
