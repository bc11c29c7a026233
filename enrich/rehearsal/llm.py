"""The llm: executes one request, bills it and lets go wrong what is to go wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.answers import canonical, compose, key_of, kinds, output_format, resolve
from enrich.rehearsal.bill import Usage
from enrich.rehearsal.dice import Dice
from enrich.rehearsal.envelopes import Answer, usage_of, wrap
from enrich.rehearsal.objections import object_to
from enrich.rehearsal.replies import ApiError, failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.rehearsal.bill import Till
    from enrich.rehearsal.settings import Settings

HTTP_FAULTS = {"http_400": 400, "http_429": 429, "http_500": 500}
ENOUGH = 50
"""Items in a list, and hundreds of characters in a text, that no check expects."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One execution: the HTTP status, the response's body, what hit it and what it costs."""

    status: int
    body: dict[str, Any]
    fault: str = ""
    usage: Usage = field(default_factory=Usage)


class Llm:
    """Answers requests; the same body always gets the same answer, faults aside."""

    def __init__(self, settings: Settings, till: Till) -> None:
        self._settings = settings
        self._till = till

    def execute(self, body: Mapping[str, Any], *, endpoint: str, custom_id: str = "") -> Outcome:
        """Execute a request once. HTTP 200 is billed, whatever the answer is worth."""
        prompt = canonical(body)
        key = key_of(prompt)
        attempt = self._till.attempt(key)
        try:
            object_to(body, endpoint)
            if body.get("model") in self._settings.unknown_llms:
                raise _unknown(body.get("model"))
        except ApiError as error:
            return Outcome(status=error.status, body=error.document)
        settings = self._settings
        fault = settings.faults.of_request(settings.seed, custom_id or key, attempt)
        if fault in HTTP_FAULTS:
            status = HTTP_FAULTS[fault]
            return Outcome(status=status, body=failure(status), fault=fault)
        if fault == "status_0":
            return Outcome(status=0, body={}, fault=fault)
        answer = spoil(body, key, fault)
        usage = usage_of(prompt, answer, hidden=settings.quirks.reasoning, body=body)
        self._till.charge(key, usage)
        document = wrap(body, key, answer, usage, endpoint=endpoint)
        return Outcome(status=200, body=document, fault=fault, usage=usage)


def _unknown(llm: object) -> ApiError:
    message = f"The model `{llm}` does not exist or you do not have access to it."
    return ApiError(404, message, code="model_not_found", param="model")


def spoil(body: Mapping[str, Any], key: str, fault: str) -> Answer:
    """The answer to a body, as the fault leaves it."""
    text = compose(body, key)
    if fault == "refused":
        return Answer(refusal="I'm sorry, but I can't assist with that request.")
    if fault == "truncated":
        return Answer(text=text[: max(1, len(text) // 2)], cut=True)
    if fault in ("no_content", "unfinished"):
        half = text[: max(1, len(text) // 2)]
        return Answer(text=half, empty=fault == "no_content", broken=fault == "unfinished")
    kind, schema = output_format(body)
    if fault == "malformed" and kind != "text":
        return Answer(text="Here is the JSON you asked for:\n" + text[: max(1, len(text) // 2)])
    if fault == "off_check" and kind == "text":
        return Answer(text=(text + " ") * ENOUGH * 2)
    if fault in {"off_schema", "off_check"} and schema is not None:
        dice = Dice(key)
        value = json.loads(text)
        bend = _off_schema if fault == "off_schema" else _off_check
        return Answer(text=json.dumps(bend(value, schema, dice), ensure_ascii=False))
    return Answer(text=text)


def _off_schema(value: object, schema: Mapping[str, Any], dice: Dice) -> object:
    """A key less, a value of the wrong type or an unlisted label."""
    if not isinstance(value, dict) or not value:
        return {"unexpected": True}
    labels = [name for name in value if "enum" in _property(schema, name)]
    way = dice.pick(["key", "type", "label"] if labels else ["key", "type"])
    name = dice.pick(labels if way == "label" else list(value))
    if way == "key":
        return {other: inner for other, inner in value.items() if other != name}
    return {**value, name: "unlisted" if way == "label" else {"unexpected": True}}


def _off_check(value: object, schema: Mapping[str, Any], dice: Dice) -> object:
    """Every list, text and number of the right type and of an extreme size."""
    if not isinstance(value, dict):
        return value
    long = dice.throw() < 0.5
    return {
        name: inner if "enum" in _property(schema, name) else _extreme(inner, long=long)
        for name, inner in value.items()
    }


def _extreme(value: object, *, long: bool) -> object:
    if isinstance(value, list):
        return (value * ENOUGH)[:ENOUGH] if long else []
    if isinstance(value, str):
        return (value + " ") * ENOUGH * 10 if long else ""
    if isinstance(value, bool) or value is None or isinstance(value, dict):
        return value
    return 10**12 if long else -(10**12)


def _property(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The schema of a property of the root, through references and null unions."""
    inner = resolve(schema, (resolve(schema, schema).get("properties") or {}).get(name) or {})
    for branch in inner.get("anyOf") or []:
        if kinds(resolve(schema, branch)) != ["null"]:
            return resolve(schema, branch)
    return inner
