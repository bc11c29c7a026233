"""Requests: the body of a chat completion becomes the parameters of a message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from enrich.providers.anthropic.schema import simplify_schema
from enrich.providers.needs import USUAL_VALUES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

USUAL_MAX_TOKENS = 8192
"""How long an answer may be where a prompt does not say so: Anthropic insists on a number."""
SAMPLING = ("temperature", "top_p", "top_k")
"""Parameters that API version 2026-10-21 refuses, whatever their values."""
LAST_SAMPLING_VERSION = "2023-06-01"
OWN_PARAMETERS = (
    *("model", "thinking", "cache_control", "inference_geo", "service_tier"),
    *("stop_sequences", "tools", "tool_choice"),
)
"""Parameters that are sent as they are."""
EFFORTS = ("low", "medium", "high", "xhigh", "max")
LENGTH_NAMES = ("max_tokens", "max_completion_tokens")
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
DATA_URL = re.compile(r"data:(?P<type>[^;,]*);base64,(?P<data>.*)", re.S)
IGNORED = {"stream": False, **USUAL_VALUES}
"""Parameters that say nothing if they have this value."""


class Untranslatable(Exception):
    """A request that Anthropic cannot be asked; the text is a clause, `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Both are for people."""
        super().__init__(message)
        self.hint = hint


def translate_body(body: Mapping[str, Any], *, sampling: bool = True) -> dict[str, Any]:
    """Returns the parameters of the message that a chat completion's body asks for. Without
    `sampling`, the API version refuses the parameters of SAMPLING. Raises Untranslatable."""
    system, messages = _translate_messages(body.get("messages"))
    made: dict[str, Any] = {"max_tokens": USUAL_MAX_TOKENS}
    # Before the messages, so that whatever is the same in all rows comes first.
    for name, value in body.items():
        says_nothing = value is None or (name in IGNORED and value == IGNORED[name])
        if name != "messages" and not says_nothing:
            _merge(made, translate_parameter(name, value, sampling=sampling))
    if system:
        made["system"] = system
    return {**made, "messages": messages}


def _merge(made: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Adds parameters; those of `output_config` may come from several."""
    for name, value in more.items():
        both = isinstance(value, dict) and isinstance(made.get(name), dict)
        made[name] = {**made[name], **value} if both else value


def translate_parameter(name: str, value: Any, *, sampling: bool) -> dict[str, Any]:  # noqa: ANN401
    """Returns what a parameter becomes. Raises Untranslatable."""
    if name in SAMPLING and not sampling:
        what = f"the API of Anthropic no longer takes `{name}`"
        hint = f"remove it, or set api_version: '{LAST_SAMPLING_VERSION}' under providers: for an "
        raise Untranslatable(what, f"{hint}older llm")
    if name in SAMPLING or name in OWN_PARAMETERS or name == "output_config":
        return {name: value}
    if name in LENGTH_NAMES:
        return {"max_tokens": value}
    if name == "stop":
        return {"stop_sequences": [value] if isinstance(value, str) else value}
    if name == "user":
        return {"metadata": {"user_id": value}}
    if name == "reasoning_effort" and value in EFFORTS:
        return {"output_config": {"effort": value}}
    if name == "response_format" and isinstance(value, dict):
        return _translate_format(value)
    raise Untranslatable(f"Anthropic takes no `{name}: {value}`"[:200], "remove it")


def _translate_format(form: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a `response_format` becomes. Raises Untranslatable."""
    kind, nested = form.get("type"), form.get("json_schema")
    if kind == "text":
        return {}
    if kind == "json_schema" and isinstance(nested, dict):
        schema = simplify_schema(nested.get("schema") or {})
        return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    what = f"Anthropic has no response format '{kind}'"
    raise Untranslatable(what, "leave out response_format:, so that the output is the schema")


def _translate_messages(messages: Any) -> tuple[str, list[dict[str, Any]]]:  # noqa: ANN401
    """Returns the system prompt, and the other messages. Raises Untranslatable."""
    system: list[str] = []
    made: list[dict[str, Any]] = []
    for message in messages if isinstance(messages, list) else []:
        role, content = message.get("role"), message.get("content")
        if role in ("system", "developer"):
            system.append(_read_text(content))
        elif role in ("user", "assistant"):
            parts = content if isinstance(content, str) else list(_translate_parts(content))
            made.append({"role": role, "content": parts})
        else:
            raise Untranslatable(f"Anthropic has no messages of the role '{role}'")
    if not made:
        raise Untranslatable("there is no message from the user", "add a part `user:` to it")
    return "\n\n".join(system), made


def _read_text(content: Any) -> str:  # noqa: ANN401  # a text or parts
    """Returns the text of a system message. Raises Untranslatable."""
    if isinstance(content, str):
        return content
    parts = list(_translate_parts(content))
    if any(part["type"] != "text" for part in parts):
        raise Untranslatable("a system message holds a picture", "move it to the part `user:`")
    return "".join(part["text"] for part in parts)


def _translate_parts(content: Any) -> Iterable[dict[str, Any]]:  # noqa: ANN401
    """Yields the blocks of a content in parts. Raises Untranslatable."""
    for part in content if isinstance(content, list) else []:
        kind = part.get("type")
        if kind == "text":
            yield {"type": "text", "text": part["text"]}
        elif kind == "image_url":
            shown = part["image_url"]
            yield _translate_image(str(shown["url"] if isinstance(shown, dict) else shown))
        else:
            raise Untranslatable(f"Anthropic takes no part of the type '{kind}'")


def _translate_image(url: str) -> dict[str, Any]:
    """Returns the block of a picture. Raises Untranslatable."""
    found = DATA_URL.fullmatch(url)
    if not found:
        if not url.startswith("https://"):
            what = f"Anthropic fetches no picture from {url[:60]}"
            raise Untranslatable(what, "name an https address, or a file")
        return {"type": "image", "source": {"type": "url", "url": url}}
    kind = found["type"].lower().replace("image/jpg", "image/jpeg")
    if kind not in IMAGE_TYPES:
        what = f"Anthropic takes no pictures of the type '{kind}'"
        raise Untranslatable(what, f"convert them to one of {', '.join(IMAGE_TYPES)}")
    source = {"type": "base64", "media_type": kind, "data": found["data"]}
    return {"type": "image", "source": source}
