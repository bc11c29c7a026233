"""Presets: servers that people have, in one line of project.yml each.

Addresses and names of keys are those of each server's own documentation of its OpenAI-compatible
API (docs.ollama.com, docs.vllm.ai, console.groq.com, openrouter.ai/docs, api-docs.deepseek.com,
docs.mistral.ai, docs.together.ai, docs.fireworks.ai, ai.google.dev/gemini-api/docs/openai).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

ApiWay = Literal["auto", "batch", "chat"]
"""How batches are answered; `auto`: the server is asked once whether it lists batches."""

PROBE_SECONDS = 10.0
"""How long to wait for a server that is only asked whether it is there, or what it speaks."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What `type: NAME` stands for: the address, the environment variable that holds the key ("":
    none is needed), the llm of a prompt that names none ("": it must be named), and the API.
    `is_free`: whose electricity it is, pays."""

    base_url: str = ""
    key_variable: str = ""
    llm: str = ""
    api: ApiWay = "chat"
    is_free: bool = False


PRESETS: Mapping[str, Preset] = {
    "openai": Preset(key_variable="OPENAI_API_KEY", llm="gpt-4o-mini", api="auto"),
    "ollama": Preset(base_url="http://localhost:11434/v1", is_free=True),
    "vllm": Preset(base_url="http://localhost:8000/v1", is_free=True),
    "llama-server": Preset(base_url="http://localhost:8080/v1", is_free=True),
    "lmstudio": Preset(base_url="http://localhost:1234/v1", is_free=True),
    "groq": Preset(
        base_url="https://api.groq.com/openai/v1", key_variable="GROQ_API_KEY", api="batch"
    ),
    "openrouter": Preset(
        base_url="https://openrouter.ai/api/v1", key_variable="OPENROUTER_API_KEY"
    ),
    "deepseek": Preset(base_url="https://api.deepseek.com/v1", key_variable="DEEPSEEK_API_KEY"),
    "mistral": Preset(
        base_url="https://api.mistral.ai/v1", key_variable="MISTRAL_API_KEY", api="batch"
    ),
    "together": Preset(base_url="https://api.together.xyz/v1", key_variable="TOGETHER_API_KEY"),
    "fireworks": Preset(
        base_url="https://api.fireworks.ai/inference/v1", key_variable="FIREWORKS_API_KEY"
    ),
    "gemini": Preset(
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_variable="GEMINI_API_KEY",
        api="batch",
    ),
}
"""By `type`. Any other server is `type: openai` with its `base_url`."""
