"""Errors of Anthropic's SDK, said again as those of OpenAI's, whose meaning is known."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.errors import ProviderError
    from enrich.providers.openai.errors import Translator


@contextmanager
def translate_message_errors(translator: Translator, *, creating: bool = False) -> Iterator[None]:
    """Translates errors of Anthropic's SDK that are raised in the block. While `creating`, a lost
    answer is Unclear."""
    import anthropic
    import openai

    from enrich.providers.bounds import Unreadable

    with translator.translate_errors(creating=creating):
        try:
            yield
        except anthropic.APIStatusError as problem:
            # Both SDKs are made by the same generator, and name the errors alike.
            kind = getattr(openai, type(problem).__name__, openai.APIStatusError)
            message, response = problem.message, problem.response
            raise kind(message, response=response, body=problem.body) from problem
        except anthropic.APIConnectionError as problem:
            raised = openai.APIConnectionError(message=problem.message, request=problem.request)
            raise raised from problem.__cause__
        except anthropic.AnthropicError as problem:
            raise Unreadable(str(problem)) from problem


def is_gone(problem: ProviderError) -> bool:
    """Whether an error says that what was asked for is not there."""
    import openai

    return isinstance(problem.__context__, openai.NotFoundError)
