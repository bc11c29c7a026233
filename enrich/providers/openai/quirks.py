"""Quirks: what a preset's server, or a reasoning llm, is known not to take."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enrich.pricing.reasoning import is_reasoning
from enrich.providers.needs import Objection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.providers.needs import RequestNeeds
    from enrich.providers.openai.presets import Preset

LIMITING_LLM = re.compile(r"(?:^|/)(?:o[134](?:-|$)|gpt-5)")
"""OpenAI's llms that call the limit `max_completion_tokens`."""
STOPLESS_LLM = re.compile(r"(?:^|/)(?:o3|o4-mini|gpt-5(?:-(?!chat)|$))")
# OpenAI's guide to reasoning models lists them; the API reference says so of `stop`.
REASONING_REFUSES = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
)
RESPONSES_NAMES = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning: {effort: ...}",
}
"""Parameters of /v1/chat/completions under the names of /v1/responses."""


def list_preset_objections(kind: str, preset: Preset, needs: RequestNeeds) -> Iterator[Objection]:
    """Yields what speaks against requests to the server of the type `kind`."""
    # What a server does not know at one endpoint it may know at the other (DeepSeek's schemas).
    chat = needs.endpoint == "/v1/chat/completions"
    formats = {"json_schema": preset.schema, "json_object": preset.json_mode}
    if chat and formats.get(needs.response_format) == "no":
        known = [word for word, support in formats.items() if support != "no"]
        hint = f"response_format: {(known or ['text'])[0]}"
        if known == ["json_object"]:
            hint += ", and name the keys of the answer in the prompt, as JSON"
        yield Objection(
            setting="response_format",
            what=f"{kind} has no {needs.response_format}",
            hint=hint,
            certain=True,
        )
    if needs.images and preset.images == "no":
        hint = "remove the image from the prompt, or take another provider"
        yield Objection(setting="", what=f"{kind} reads no images", hint=hint, certain=True)
    for name in needs.unusual:
        if chat and name in preset.refused:
            yield _refuse(name, preset.refused[name], whose=kind, certain=True)


def list_llm_objections(needs: RequestNeeds) -> Iterator[Objection]:
    """Yields what speaks against these requests because of the llm's name, or of the endpoint."""
    if needs.endpoint == "/v1/responses":
        for name in needs.unusual:
            if name in RESPONSES_NAMES:
                yield _refuse(name, RESPONSES_NAMES[name], whose=needs.endpoint)
    elif "max_tokens" in needs.unusual and LIMITING_LLM.search(needs.llm):
        yield _refuse("max_tokens", "max_completion_tokens", whose=needs.llm)
    refused = REASONING_REFUSES if is_reasoning(needs.llm) else ()
    if STOPLESS_LLM.search(needs.llm):
        refused = (*refused, "stop")
    for name in needs.unusual:
        if name in refused:
            yield _refuse(name, "", whose=needs.llm)


def _refuse(name: str, instead: str, *, whose: str, certain: bool = False) -> Objection:
    """An objection to a parameter."""
    hint = f"rename it to `{instead}`" if instead else "remove it"
    what = f"{whose} takes no `{name}`" if certain else f"{whose} most likely takes no `{name}`"
    return Objection(setting=name, what=what, hint=hint, certain=certain)
