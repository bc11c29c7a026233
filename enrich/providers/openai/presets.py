"""Presets: servers that people have, in one line of project.yml each.

Addresses and names of keys are those of each server's own documentation of its OpenAI-compatible
API (docs.ollama.com, docs.vllm.ai, console.groq.com, openrouter.ai/docs, api-docs.deepseek.com,
docs.mistral.ai, docs.together.ai, docs.fireworks.ai, ai.google.dev/gemini-api/docs/openai).

So is what each of them does not take, as far as it is certain. What is not certain, or depends on
the llm, is left to the server:

- Ollama (docs.ollama.com/api/openai-compatibility) lists the fields it reads, and reads no others.
- LM Studio answers `json_object` with "'response_format.type' must be 'json_schema' or 'text'"
  (lmstudio-ai/lmstudio-bug-tracker#189).
- Groq (console.groq.com/docs/openai) refuses logprobs, top_logprobs and logit_bias with a 400, and
  more than one answer (`n`); its service tiers are in console.groq.com/docs/service-tiers.
- DeepSeek's /chat/completions (api-docs.deepseek.com/api/create-chat-completion) has the formats
  `text` and `json_object`; another is "This response_format type is unavailable now".
- Mistral (docs.mistral.ai/api) forbids fields that it does not know; its seed is `random_seed`,
  and its limit `max_tokens`.
- Anthropic (platform.claude.com/docs/en/api/messages) forbids fields that it does not know.
- OpenRouter (openrouter.ai/docs/api-reference/overview) passes a parameter on to the servers that
  know it, and leaves it out for the others.
- Schemas: docs.fireworks.ai/structured-responses, docs.together.ai/docs/json-mode,
  openrouter.ai/docs/structured-outputs, console.groq.com/docs/structured-outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

ApiWay = Literal["auto", "batch", "chat"]
"""How batches are answered; `auto`: the server is asked once whether it lists batches."""

PROBE_SECONDS = 10.0
"""How long to wait for a server that is only asked whether it is there, or what it speaks."""


Support = Literal["yes", "some", "no"]
"""Whether a server has something; `some`: it depends on the llm."""

BY_ADDRESS = "address"
FREE = "free"
OWN_TIERS: tuple[str, ...] = ()
"""A server of one's own has no service tiers."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What `type: NAME` stands for.

    The address, the environment variable that holds the key ("": none is needed), the llm of a
    prompt that names none and that of an embedding ("": it must be named), and the API. Whether the
    server has answers by a JSON Schema, JSON mode and `images`. The parameters that it refuses,
    each with what to take in its place ("": nothing). Its `service_tiers`; None if they are not
    known. `prices`: the seller in genai-prices, `address` for the one that its address tells, or
    `free`, where the electricity is your own.
    """

    base_url: str = ""
    key_variable: str = ""
    llm: str = ""
    embedding_llm: str = ""
    api: ApiWay = "chat"
    schema: Support = "some"
    json_mode: Support = "some"
    images: Support = "some"
    refused: Mapping[str, str] = field(default_factory=dict)
    service_tiers: tuple[str, ...] | None = None
    prices: str = BY_ADDRESS

    @property
    def is_free(self) -> bool:
        """Whether its answers cost nothing."""
        return self.prices == FREE


PRESETS: Mapping[str, Preset] = {
    "openai": Preset(
        key_variable="OPENAI_API_KEY",
        llm="gpt-4o-mini",
        embedding_llm="text-embedding-3-small",
        api="auto",
    ),
    "ollama": Preset(
        base_url="http://localhost:11434/v1",
        schema="yes",
        json_mode="yes",
        service_tiers=OWN_TIERS,
        prices=FREE,
    ),
    "vllm": Preset(
        base_url="http://localhost:8000/v1",
        schema="yes",
        json_mode="yes",
        service_tiers=OWN_TIERS,
        prices=FREE,
    ),
    "llama-server": Preset(
        base_url="http://localhost:8080/v1",
        schema="yes",
        json_mode="yes",
        service_tiers=OWN_TIERS,
        prices=FREE,
    ),
    "lmstudio": Preset(
        base_url="http://localhost:1234/v1",
        schema="yes",
        json_mode="no",
        service_tiers=OWN_TIERS,
        prices=FREE,
    ),
    "groq": Preset(
        base_url="https://api.groq.com/openai/v1",
        key_variable="GROQ_API_KEY",
        api="batch",
        json_mode="yes",
        refused={"logprobs": "", "top_logprobs": "", "logit_bias": "", "n": ""},
        service_tiers=("auto", "on_demand", "flex", "performance"),
        prices="groq",
    ),
    "openrouter": Preset(
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        prices="openrouter",
    ),
    "deepseek": Preset(
        base_url="https://api.deepseek.com/v1",
        key_variable="DEEPSEEK_API_KEY",
        schema="no",
        json_mode="yes",
        service_tiers=(),
        prices="deepseek",
    ),
    "mistral": Preset(
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        embedding_llm="mistral-embed",
        api="batch",
        schema="yes",
        json_mode="yes",
        refused={"seed": "random_seed", "max_completion_tokens": "max_tokens"},
        prices="mistral",
    ),
    "together": Preset(
        base_url="https://api.together.xyz/v1",
        key_variable="TOGETHER_API_KEY",
        prices="together",
    ),
    "anthropic": Preset(
        base_url="https://api.anthropic.com",
        key_variable="ANTHROPIC_API_KEY",
        api="batch",
        schema="yes",
        json_mode="no",
        refused={"seed": "", "logprobs": "", "top_logprobs": "", "logit_bias": "", "n": ""},
        service_tiers=("auto", "standard_only"),
        prices="anthropic",
    ),
    "fireworks": Preset(
        base_url="https://api.fireworks.ai/inference/v1",
        key_variable="FIREWORKS_API_KEY",
        schema="yes",
        json_mode="yes",
        prices="fireworks",
    ),
    "gemini": Preset(
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_variable="GEMINI_API_KEY",
        embedding_llm="gemini-embedding-001",
        api="batch",
        schema="yes",
        json_mode="yes",
        prices="google",
    ),
}
"""By `type`. Any other server is `type: openai` with its `base_url`."""
