"""Errors of Mistral's SDK, said again as those of OpenAI's, whose meaning is known."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mistralai.client.errors import MistralError

    from enrich.providers.openai.errors import Translator


@contextmanager
def translate_job_errors(translator: Translator, *, creating: bool = False) -> Iterator[None]:
    """Translates errors of Mistral's SDK that are raised in the block. While `creating`, a lost
    answer is Unclear."""
    import httpx2
    import openai
    from mistralai.client.errors import MistralError, NoResponseError

    from enrich.providers.bounds import Unreadable

    with translator.translate_errors(creating=creating):
        try:
            yield
        except MistralError as problem:
            _raise_answered(problem)
        except NoResponseError as problem:
            raise Unreadable("it is empty") from problem
        except httpx2.RequestError as problem:
            raise openai.APIConnectionError(request=problem.request) from problem


def _raise_answered(problem: MistralError) -> None:
    """Raises OpenAI's error for a status, or Unreadable for an answer of another shape."""
    import openai

    from enrich.providers.bounds import Unreadable

    if problem.status_code < 300:
        raise Unreadable("it is not one of Mistral's API") from problem
    try:
        body = json.loads(problem.body)
    except ValueError:
        body = problem.body
    answered = problem.raw_response
    raise openai.APIStatusError(problem.message, response=answered, body=body) from problem
