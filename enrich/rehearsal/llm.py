"""The llm: executes one request, bills it and injects the faults of requests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.answers import (
    canonicalize,
    compose_answer,
    find_output_format,
    hash_canonical,
    list_json_types,
    resolve_reference,
)
from enrich.rehearsal.bill import Usage
from enrich.rehearsal.dice import Dice
from enrich.rehearsal.embeddings import EMBEDDINGS_PATH, embed_input, object_to_embedding
from enrich.rehearsal.envelopes import LlmAnswer, estimate_usage, wrap_answer
from enrich.rehearsal.objections import object_to, refuse_parts
from enrich.rehearsal.packs import find_item_schema, leave_out
from enrich.rehearsal.replies import ApiError, render_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.rehearsal.bill import Till
    from enrich.rehearsal.settings import RehearsalSettings

HTTP_FAULTS = {"http_400": 400, "http_429": 429, "http_500": 500}
LIMIT_PARTS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
EXTREME_COUNT = 50
"""The items of a list, and hundreds of characters of a text, that are more than a check allows."""


@dataclass(frozen=True, kw_only=True)
class ExecutedRequest:
    """One execution: the HTTP status, the response's body, the fault that hit it and its tokens."""

    status: int
    body: dict[str, Any]
    fault: str = ""
    usage: Usage = field(default_factory=Usage)


class Llm:
    """Answers requests. Apart from faults, the same body always gets the same answer."""

    def __init__(self, settings: RehearsalSettings, till: Till) -> None:
        self._settings = settings
        self._till = till

    def execute(
        self, body: Mapping[str, Any], *, endpoint: str, custom_id: str = ""
    ) -> ExecutedRequest:
        """Execute a request once. HTTP 200 is billed, whether the answer is usable or not."""
        prompt = canonicalize(body)
        key = hash_canonical(prompt)
        attempt = self._till.count_attempt(key)
        try:
            self._check(body, endpoint)
        except ApiError as error:
            return ExecutedRequest(status=error.status, body=error.document)
        settings = self._settings
        fault = settings.faults.pick_request_fault(settings.seed, custom_id or key, attempt)
        if fault in HTTP_FAULTS:
            status = HTTP_FAULTS[fault]
            return ExecutedRequest(status=status, body=render_failure(status), fault=fault)
        if fault == "status_0":
            return ExecutedRequest(status=0, body={}, fault=fault)
        if endpoint == EMBEDDINGS_PATH:
            document, usage = embed_input(body, fault)
        else:
            answer = spoil_answer(body, key, fault)
            usage = self._estimate_usage(body, prompt, answer)
            document = wrap_answer(body, key, answer, usage, endpoint=endpoint)
        self._till.charge(key, usage, str(body.get("service_tier", "default")))
        return ExecutedRequest(status=200, body=document, fault=fault, usage=usage)

    def _check(self, body: Mapping[str, Any], endpoint: str) -> None:
        """Raise ApiError for a body that the endpoint, its llm or the settings refuse."""
        if endpoint == EMBEDDINGS_PATH:
            object_to_embedding(body)
        else:
            object_to(body, endpoint)
        refuses = self._settings.refuses
        refuse_parts(body, (*refuses.get("", ()), *refuses.get(str(body.get("model")), ())))
        if body.get("model") in self._settings.unknown_llms:
            raise _make_unknown_error(body.get("model"))

    def _estimate_usage(self, body: Mapping[str, Any], prompt: str, answer: LlmAnswer) -> Usage:
        quirks = self._settings.quirks
        usage = estimate_usage(prompt, answer, hidden=quirks.reasoning, body=body)
        return replace(usage, output=usage.output + quirks.thoughts, thoughts=quirks.thoughts)


def _make_unknown_error(llm: object) -> ApiError:
    message = f"The model `{llm}` does not exist or you do not have access to it."
    return ApiError(404, message, code="model_not_found", param="model")


def spoil_answer(body: Mapping[str, Any], key: str, fault: str) -> LlmAnswer:
    """Returns the answer to a body, after the fault has damaged it, or its own limit cut it."""
    text = compose_answer(body, key)
    limits = [body[name] for name in LIMIT_PARTS if isinstance(body.get(name), int)]
    if not fault and limits and len(text) > 4 * min(limits):
        return LlmAnswer(text=text[: 4 * min(limits)], cut=True)
    if fault == "refused":
        return LlmAnswer(refusal="I'm sorry, but I can't assist with that request.")
    if fault == "truncated":
        return LlmAnswer(text=text[: max(1, len(text) // 2)], cut=True)
    if fault in ("no_content", "unfinished"):
        half = text[: max(1, len(text) // 2)]
        return LlmAnswer(text=half, empty=fault == "no_content", broken=fault == "unfinished")
    kind, schema = find_output_format(body)
    if fault == "malformed" and kind != "text":
        return LlmAnswer(text="Here is the JSON you asked for:\n" + text[: max(1, len(text) // 2)])
    if fault == "off_check" and kind == "text":
        return LlmAnswer(text=(text + " ") * EXTREME_COUNT * 2)
    if fault in {"off_schema", "off_check", "left_out"} and schema is not None:
        bent = _bend_value(json.loads(text), schema, Dice(key), fault)
        return LlmAnswer(text=json.dumps(bent, ensure_ascii=False))
    return LlmAnswer(text=text)


def _bend_value(value: Any, schema: Mapping[str, Any], dice: Dice, fault: str) -> object:  # noqa: ANN401  # any JSON
    """Returns the value after a fault; in the answer to a pack, it hits one input."""
    item = find_item_schema(schema)
    if fault == "left_out":
        return leave_out(value, dice) if item is not None else value
    bend = _break_schema if fault == "off_schema" else _break_checks
    if item is None:
        return bend(value, schema, dice)
    hit = dice.pick(value["answers"])
    hit["answer"] = bend(hit["answer"], item, dice)
    return value


def _break_schema(value: object, schema: Mapping[str, Any], dice: Dice) -> object:
    """Returns the value without a key, with a wrong type or with an unlisted label."""
    if not isinstance(value, dict) or not value:
        return {"unexpected": True}
    labels = [name for name in value if "enum" in _find_property(schema, name)]
    way = dice.pick(["key", "type", "label"] if labels else ["key", "type"])
    name = dice.pick(labels if way == "label" else list(value))
    if way == "key":
        return {other: inner for other, inner in value.items() if other != name}
    return {**value, name: "unlisted" if way == "label" else {"unexpected": True}}


def _break_checks(value: object, schema: Mapping[str, Any], dice: Dice) -> object:
    """Returns lists, texts and numbers of the right type and of an extreme size."""
    if not isinstance(value, dict):
        return value
    long = dice.throw() < 0.5
    return {
        name: inner if "enum" in _find_property(schema, name) else _make_extreme(inner, long=long)
        for name, inner in value.items()
    }


def _make_extreme(value: object, *, long: bool) -> object:
    if isinstance(value, list):
        return (value * EXTREME_COUNT)[:EXTREME_COUNT] if long else []
    if isinstance(value, str):
        return (value + " ") * EXTREME_COUNT * 10 if long else ""
    if isinstance(value, bool) or value is None or isinstance(value, dict):
        return value
    return 10**12 if long else -(10**12)


def _find_property(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Returns the schema of a property of the root, through references and null unions."""
    inner = resolve_reference(
        schema, (resolve_reference(schema, schema).get("properties") or {}).get(name) or {}
    )
    for branch in inner.get("anyOf") or []:
        if list_json_types(resolve_reference(schema, branch)) != ["null"]:
            return resolve_reference(schema, branch)
    return inner
