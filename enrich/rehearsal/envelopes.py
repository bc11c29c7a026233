"""Envelopes: how an answer is wrapped by `/v1/chat/completions` and by `/v1/responses`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enrich.rehearsal import pictures
from enrich.rehearsal.bill import Usage
from enrich.rehearsal.objections import CHAT

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHEABLE = 1024
"""Prompts shorter than this are not cached (OpenAI's prompt caching guide)."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the llm said: a text or, when it refused, why; `cut` when it ran out of tokens,
    `broken` when it failed in the middle, `empty` when nothing came of it."""

    text: str = ""
    refusal: str = ""
    cut: bool = False
    broken: bool = False
    empty: bool = False


def usage_of(prompt: str, answer: Answer, *, hidden: int, body: Mapping[str, Any]) -> Usage:
    """An estimate by lengths: four characters a token, the first half of a long prompt cached;
    pictures by their size."""
    text = len(prompt) - sum(len(url) for url, _ in pictures.images(body))
    tokens = max(1, text // 4)
    cached = tokens // 2 // 128 * 128 if tokens >= CACHEABLE else 0
    written = max(1, len(answer.text or answer.refusal) // 4)
    return Usage(tokens + pictures.tokens(body), cached, written, hidden)


def wrap(
    body: Mapping[str, Any], key: str, answer: Answer, usage: Usage, *, endpoint: str
) -> dict[str, Any]:
    """The body of the HTTP 200 response that carries this answer."""
    make = _completion if endpoint == CHAT else _response
    return make(body, key, answer, usage)


def _completion(body: Mapping[str, Any], key: str, answer: Answer, usage: Usage) -> dict[str, Any]:
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
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_rehearsal",
    }


def _response(body: Mapping[str, Any], key: str, answer: Answer, usage: Usage) -> dict[str, Any]:
    """The Responses API puts a reasoning item before the message when reasoning is asked for."""
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
        "usage": batch_usage(usage),
    }


def batch_usage(usage: Usage) -> dict[str, Any]:
    """Usage under the names of the Responses API, which batches use for every endpoint."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total,
    }
