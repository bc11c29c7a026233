"""The registry: the types of providers in project.yml, and the class of each.

Other packages add theirs to the entry-point group `enrich.providers`: a name, and a class with
`from_settings(opening)` that keeps the Provider protocol.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from enrich.errors import ProjectError
from enrich.providers.openai.presets import PRESETS
from enrich.providers.opening import Opening

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.manifest.settings import YamlSettings
    from enrich.providers import Provider

ENTRY_POINT_GROUP = "enrich.providers"
BUILT_IN = {
    "local": ("enrich.providers.local", "LocalProvider"),
    **dict.fromkeys(PRESETS, ("enrich.providers.openai", "OpenAIProvider")),
    "anthropic": ("enrich.providers.anthropic", "AnthropicProvider"),
    "mistral": ("enrich.providers.mistral", "MistralProvider"),
    "gemini": ("enrich.providers.gemini", "GeminiProvider"),
    "ray": ("enrich.providers.ray.provider", "RayProvider"),
}
"""The modules and classes of enrich's own providers by type. They are imported when they are
used."""


def open_provider(
    name: str, settings: YamlSettings, *, root: Path, work: Path, environment: Mapping[str, str]
) -> Provider:
    """Returns the provider that project.yml calls `name`, with every `${NAME}` in its settings
    replaced. Raises ProjectError or ProviderError."""
    # Without a `type`, a name that is a type means that type; any other name is most likely a
    # server that speaks OpenAI's API. A preset must be asked for by `type`: a server that somebody
    # called `vllm` before there were presets keeps its key, its prices and its Batch API.
    usual = name if name in ("local", "openai") or _find_entry_points(name) else "openai"
    kind = settings.read_text("type", usual)
    opening = Opening(
        name=name,
        kind=kind,
        settings=settings.expand(environment),
        written=settings,
        root=root,
        work=work,
        environment=environment,
    )
    found: Provider = _load_class(kind, settings).from_settings(opening)
    return found


def _load_class(kind: str, settings: YamlSettings) -> Any:  # noqa: ANN401  # a class with from_settings
    """Returns the class of a type. Raises ProjectError if there is none."""
    if kind in BUILT_IN:
        module, name = BUILT_IN[kind]
        return getattr(import_module(module), name)
    found = _find_entry_points(kind)
    if not found:
        known = (*BUILT_IN, *(each.name for each in entry_points(group=ENTRY_POINT_GROUP)))
        settings.read_choice("type", tuple(dict.fromkeys(known)), "")
    try:
        return found[0].load()
    except Exception as problem:  # a module of another package may raise anything
        message = f"the provider type '{kind}' of {found[0].value} cannot be loaded: {problem}"
        raise ProjectError(message, hint="check the package that provides it") from problem


def _find_entry_points(kind: str) -> list[Any]:
    """Returns the entry points of this name in other packages."""
    return list(entry_points(group=ENTRY_POINT_GROUP, name=kind))
