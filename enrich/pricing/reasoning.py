"""Reasoning: llms that are known by their name to think before they answer, which is billed."""

from __future__ import annotations

import re

# `gpt-5.1` and later may be told not to think, and `gpt-5-chat-latest` never does.
REASONING_LLM = re.compile(r"(?:^|/)(?:o[134](?:-|$)|gpt-5(?:-(?!chat)|$))")


def is_reasoning(llm: str) -> bool:
    """Whether an llm of OpenAI's always thinks before it answers.

    >>> [is_reasoning(llm) for llm in ("o3", "openai/gpt-5-mini", "gpt-5-chat-latest", "gpt-4o")]
    [True, True, False, False]
    """
    return REASONING_LLM.search(llm) is not None
