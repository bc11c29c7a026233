"""Messages: an answer, or a line of results, becomes one of OpenAI's API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from enrich.providers.anthropic.marks import MARKED, restore_id

if TYPE_CHECKING:
    from collections.abc import Mapping

STOP_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""Why an answer ended, in OpenAI's words; another reason is kept as it is."""
ERROR_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The HTTP status of each type of error (the API reference on errors)."""
NEVER_RUN = {
    "expired": ("batch_expired", "it was not answered before its batch expired"),
    "canceled": ("batch_cancelled", "it was not answered before its batch was cancelled"),
}
REFUSED = "the llm refused to answer"


def translate_message(message: Any) -> Any:  # noqa: ANN401  # a server may send anything
    """Returns a message as a chat completion; whatever is none, as it is."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    reason = message.get("stop_reason")
    texts = [
        str(block.get("text") or "")
        for block in message["content"]
        if isinstance(block, dict) and block.get("type") == "text"
    ]
    refusal = _read_refusal(message) if reason == "refusal" else None
    said = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": refusal}
    if refusal:
        said["content"] = None
    finish = STOP_REASONS.get(str(reason), reason)
    return {
        "id": message.get("id"),
        "object": "chat.completion",
        "model": message.get("model"),
        "choices": [{"index": 0, "message": said, "finish_reason": finish}],
        "usage": _translate_usage(message.get("usage")),
    }


def _read_refusal(message: Mapping[str, Any]) -> str:
    """Returns the words of a refusal."""
    details = message.get("stop_details")
    said = (
        details.get("explanation") or details.get("category") if isinstance(details, dict) else ""
    )
    return str(said or REFUSED)


def _translate_usage(usage: Any) -> dict[str, Any]:  # noqa: ANN401
    """Returns the tokens under OpenAI's names. Anthropic counts what is written to its cache, or
    read from it, beside the rest of the input; OpenAI counts it in."""
    known = usage if isinstance(usage, dict) else {}
    cached = _count(known, "cache_read_input_tokens")
    given = cached + _count(known, "input_tokens") + _count(known, "cache_creation_input_tokens")
    taken = _count(known, "output_tokens")
    details = known.get("output_tokens_details")
    thought = _count(details, "thinking_tokens") if isinstance(details, dict) else 0
    return {
        "prompt_tokens": given,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens": taken,
        "completion_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": given + taken,
    }


def _count(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def translate_line(line: bytes, replaced: Mapping[str, str]) -> bytes:
    """Returns a line of results as one of the Batch API. `replaced` is as in `restore_id`. A line
    that is not JSON stays as it is, but for the mark of its custom_id: its reader can make more of
    it."""
    try:
        known = json.loads(line.decode(errors="replace"), strict=False)
        result, custom_id = known["result"], restore_id(str(known["custom_id"]), replaced)
    except (ValueError, KeyError, TypeError, RecursionError):
        return _unmark(line, replaced)
    made = {"custom_id": custom_id, **_translate_result(result)}
    text = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _unmark(line: bytes, replaced: Mapping[str, str]) -> bytes:
    """Returns a broken line with its custom_id as it was."""
    start, key, rest = line.partition(b'"custom_id"')
    before, quote, value = rest.partition(b'"')
    marked = value[: value.find(b'"')].decode(errors="replace")
    if not MARKED.fullmatch(marked):
        return line
    mine = restore_id(marked, replaced).encode()
    return start + key + before + quote + mine + value[len(marked) :]


def _translate_result(result: Any) -> dict[str, Any]:  # noqa: ANN401
    """Returns the `response` and `error` of a result."""
    kind = result.get("type") if isinstance(result, dict) else None
    if kind == "succeeded":
        body = translate_message(result.get("message"))
        return {"response": {"status_code": 200, "body": body}, "error": None}
    if kind in NEVER_RUN:
        code, message = NEVER_RUN[kind]
        return {"response": None, "error": {"code": code, "message": message}}
    error = result.get("error") if isinstance(result, dict) else None
    inner = error.get("error") if isinstance(error, dict) else None
    said: Mapping[str, Any] = next((e for e in (inner, error) if isinstance(e, dict)), {})
    code = str(said.get("type") or "api_error")
    body = {"error": {"message": said.get("message") or kind, "type": code, "code": code}}
    status = ERROR_STATUSES.get(code, 500)
    return {"response": {"status_code": status, "body": body}, "error": None}
