"""Envelopes: how `/v1/chat/completions` and `/v1/responses` wrap an answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enrich.rehearsal import pictures
from enrich.rehearsal.bill import Usage
from enrich.rehearsal.objections import CHAT_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_CACHED_TOKENS = 1024
"""The tokens below which a prompt is not cached (OpenAI's guide to prompt caching)."""


@dataclass(frozen=True, kw_only=True)
class LlmAnswer:
    """What the llm said: a text or the reason for a refusal; `cut` if it ran out of tokens,
    `broken` if it failed halfway, `empty` if there is no content."""

    text: str = ""
    refusal: str = ""
    cut: bool = False
    broken: bool = False
    empty: bool = False


def estimate_usage(
    prompt: str, answer: LlmAnswer, *, hidden: int, body: Mapping[str, Any]
) -> Usage:
    """Returns an estimate: four characters make a token, the first half of a long prompt is
    cached, and pictures count by their size."""
    text = len(prompt) - sum(len(url) for url, _ in pictures.list_images(body))
    tokens = max(1, text // 4)
    # Prefixes are cached in steps of 128 tokens (the same guide).
    cached = tokens // 2 // 128 * 128 if tokens >= MIN_CACHED_TOKENS else 0
    written = max(1, len(answer.text or answer.refusal) // 4)
    return Usage(tokens + pictures.bill_pictures(body), cached, written, hidden)


def wrap_answer(
    body: Mapping[str, Any], key: str, answer: LlmAnswer, usage: Usage, *, endpoint: str
) -> dict[str, Any]:
    """Returns the body of the HTTP 200 response that carries this answer."""
    make = _render_completion if endpoint == CHAT_PATH else _render_response
    return make(body, key, answer, usage)


def _render_completion(
    body: Mapping[str, Any], key: str, answer: LlmAnswer, usage: Usage
) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if answer.refusal or answer.empty else answer.text,
        "refusal": answer.refusal or None,
        "annotations": [],
    }
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "length" if answer.cut else "error" if answer.broken else "stop",
    }
    return {
        "id": f"chatcmpl-{key}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model"),
        "choices": [choice],
        "usage": {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.total,
            "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": usage.thoughts, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_rehearsal",
    }


def _render_response(
    body: Mapping[str, Any], key: str, answer: LlmAnswer, usage: Usage
) -> dict[str, Any]:
    """Returns a response, with a reasoning item before the message if reasoning is requested."""
    if answer.refusal:
        part: dict[str, Any] = {"type": "refusal", "refusal": answer.refusal}
    else:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    status = "incomplete" if answer.cut else "failed" if answer.broken else "completed"
    message = {
        "id": f"msg_{key}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [part],
    }
    reasoning = {"id": f"rs_{key}", "type": "reasoning", "summary": []}
    return {
        "id": f"resp_{key}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if answer.cut else None,
        "instructions": body.get("instructions"),
        "model": body.get("model"),
        "output": [reasoning] * bool(body.get("reasoning")) + [message] * (not answer.empty),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {},
        "usage": render_usage(usage),
    }


def render_usage(usage: Usage) -> dict[str, Any]:
    """Returns usage under the names of the Responses API, which batches use for every endpoint."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.thoughts},
        "total_tokens": usage.total,
    }
