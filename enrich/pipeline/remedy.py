"""Remedies: what to change, and in which line, so that a server takes the requests of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.manifest.place import find_place
from enrich.providers.refusal import IMAGE, read_refusal

if TYPE_CHECKING:
    from enrich.manifest.config import Config
    from enrich.manifest.prompt import Prompt

OTHER_FORMATS = {
    "json_schema": "response_format: json_object, and name the keys of the answer in the prompt",
    "json_object": "response_format: json_schema",
    "text": "another llm",
}
"""What to try if a server does not know a format."""


def find_remedy(words: str, prompt: Prompt, config: Config, *, provider: str) -> str:
    """Returns what to do about a refusal in these words, as one sentence that names the file and
    the line; "" if they are not about a part of the request that the project decides."""
    params = prompt.merge_params(config.params)
    refusal = read_refusal(words, params)
    if refusal is None:
        return ""
    part = refusal.part
    if part == IMAGE:
        if not prompt.images:
            return ""
        place = f"{prompt.source}:{prompt.images[0].line}"
        return f"{place}: take an llm that reads images, with `llm:`, or remove the image"
    if part == "text.format":
        part = "response_format"
    place = find_place(prompt, config, part, provider=provider.partition(":")[0])
    if part == "response_format":
        return f"{place}: try {OTHER_FORMATS[prompt.response_format]}"
    if part == "service_tier":
        return f"{place}: remove `service_tier`, or take an llm that has this tier"
    if refusal.instead and refusal.instead not in params:
        return f"{place}: rename `{part}` to `{refusal.instead}`"
    if refusal.values:
        return f"{place}: set `{part}` to one of {refusal.values}"
    return f"{place}: remove `{part}`"
