"""Messages: Anthropic's form of requests and answers, for the llm that takes OpenAI's.

What is refused is what the Messages API refuses in version 2026-10-21, or in 2023-06-01, as the
reference, the guide to structured outputs and the notes on the versions have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enrich.rehearsal.replies import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSIONS = ("2023-06-01", "2026-10-21")
KNOWN_PARAMETERS = frozenset(
    (
        *("model", "messages", "max_tokens", "system", "stop_sequences", "stream", "metadata"),
        *("output_config", "thinking", "cache_control", "inference_geo", "service_tier"),
        *("tools", "tool_choice", "container"),
    )
)
OLD_PARAMETERS = frozenset(("temperature", "top_p", "top_k"))
"""Those that only the older version takes."""
ROLES = ("user", "assistant", "system")
REFUSED_IN_SCHEMAS = frozenset(
    (
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "maxItems", "uniqueItems"),
    )
)
PICTURE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
ERROR_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The type of each status; that of others is `api_error`."""


def render_message_error(status: int, message: str) -> dict[str, Any]:
    """Returns the body of an error response."""
    kind = ERROR_KINDS.get(status, "api_error")
    error = {"type": kind, "message": message}
    return {"type": "error", "error": error, "request_id": "req_rehearsal"}


def read_params(params: Mapping[str, Any], *, version: str) -> dict[str, Any]:
    """Returns the chat completion that parameters ask for. Raises ApiError 400 for those that the
    API refuses."""
    known = KNOWN_PARAMETERS | (OLD_PARAMETERS if version == VERSIONS[0] else frozenset())
    for name in params:
        if name not in known:
            raise ApiError(400, f"{name}: Extra inputs are not permitted")
    for name in ("model", "messages", "max_tokens"):
        if params.get(name) is None:
            raise ApiError(400, f"{name}: Field required")
    if not isinstance(params["max_tokens"], int) or params["max_tokens"] < 1:
        raise ApiError(400, "max_tokens: Input should be greater than or equal to 1")
    if params.get("stream"):
        raise ApiError(400, "stream: A rehearsal does not stream.")
    body: dict[str, Any] = {"model": params["model"], "max_tokens": params["max_tokens"]}
    body |= {name: params[name] for name in sorted(OLD_PARAMETERS & params.keys())}
    if form := (params.get("output_config") or {}).get("format"):
        body["response_format"] = _read_format(form)
    body["messages"] = list(_read_messages(params))
    return body


def _read_format(form: Mapping[str, Any]) -> dict[str, Any]:
    schema = form.get("schema")
    if form.get("type") != "json_schema" or not isinstance(schema, dict):
        raise ApiError(400, "output_config.format.type: Input should be 'json_schema'")
    _check_schema(schema)
    nested = {"name": "answer", "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": nested}


def _check_schema(schema: Mapping[str, Any]) -> None:
    """Raise ApiError for what structured outputs do not take."""
    for name in REFUSED_IN_SCHEMAS & schema.keys():
        kind = schema.get("type")
        message = f"output_config.format.schema: For '{kind}' type, property '{name}' is not "
        raise ApiError(400, f"{message}supported")
    if schema.get("minItems", 0) not in (0, 1):
        message = "output_config.format.schema: For 'array' type, 'minItems' values other than "
        raise ApiError(400, f"{message}0 or 1 are not supported")
    if "properties" in schema and schema.get("additionalProperties") is not False:
        message = "output_config.format.schema: For 'object' type, 'additionalProperties' must be "
        raise ApiError(400, f"{message}explicitly set to false")
    for name in ("properties", "$defs", "definitions"):
        for inner in (schema.get(name) or {}).values():
            _check_schema(inner)
    for inner in (*(schema.get("anyOf") or ()), *(schema.get("allOf") or ())):
        _check_schema(inner)
    if isinstance(schema.get("items"), dict):
        _check_schema(schema["items"])


def _read_messages(params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if not isinstance(params["messages"], list) or not params["messages"]:
        raise ApiError(400, "messages: at least one message is required")
    if params.get("system"):
        yield {"role": "system", "content": _read_blocks(params["system"], "system")}
    for number, message in enumerate(params["messages"]):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ROLES:
            raise ApiError(400, f"messages.{number}.role: Input should be 'user' or 'assistant'")
        place = f"messages.{number}.content"
        yield {"role": role, "content": _read_blocks(message.get("content"), place)}


def _read_blocks(content: object, place: str) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        if not content:
            raise ApiError(400, f"{place}: text content blocks must be non-empty")
        return content
    if not isinstance(content, list):
        raise ApiError(400, f"{place}: Input should be a valid list")
    return [_read_block(block, f"{place}.{number}") for number, block in enumerate(content)]


def _read_block(block: Mapping[str, Any], place: str) -> dict[str, Any]:
    kind, source = block.get("type"), block.get("source") or {}
    if kind == "text" and isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    if kind != "image":
        raise ApiError(400, f"{place}: Input tag '{kind}' does not match any of the expected tags")
    if source.get("type") == "url":
        return {"type": "image_url", "image_url": {"url": str(source.get("url"))}}
    if source.get("type") != "base64" or source.get("media_type") not in PICTURE_TYPES:
        message = f"{place}.image.source.media_type: Input should be one of {PICTURE_TYPES}"
        raise ApiError(400, message)
    url = f"data:{source['media_type']};base64,{source.get('data')}"
    return {"type": "image_url", "image_url": {"url": url}}


def render_message(completion: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the message that a chat completion of the llm is."""
    choice, usage = completion["choices"][0], completion["usage"]
    said, cached = choice["message"], usage["prompt_tokens_details"]["cached_tokens"]
    reason = {"length": "max_tokens", "error": "pause_turn"}.get(
        choice["finish_reason"], "end_turn"
    )
    text = said["content"]
    if said["refusal"]:
        reason, text = "refusal", None
    details = {"type": "refusal", "category": None, "explanation": said["refusal"]}
    return {
        "id": str(completion["id"]).replace("chatcmpl-", "msg_"),
        "type": "message",
        "role": "assistant",
        "model": completion["model"],
        "content": [] if text is None else [{"type": "text", "text": text}],
        "stop_reason": reason,
        "stop_sequence": None,
        "stop_details": details if said["refusal"] else None,
        "usage": {
            "input_tokens": usage["prompt_tokens"] - cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached,
            "output_tokens": usage["completion_tokens"],
            "service_tier": "standard",
        },
    }
