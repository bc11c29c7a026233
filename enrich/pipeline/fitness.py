"""Fitness: whether a server takes what the requests of a model have, as far as it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.errors import ModelError
from enrich.manifest.params import find_slip
from enrich.manifest.place import find_place
from enrich.providers.capabilities import list_objections
from enrich.providers.needs import Objection, RequestNeeds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from enrich.manifest.config import Config
    from enrich.manifest.model import Model
    from enrich.manifest.prompt import Prompt
    from enrich.providers import Provider


def check_fitness(config: Config, provider: Provider, model: Model) -> None:
    """Raises ModelError if the model has no llm, or needs what its server is known not to have."""
    prompt = model.own_prompt
    if not prompt.llm and not provider.llm:
        what = f"{prompt.source}: it names no llm, and provider '{provider.name}' has no usual one"
        hint = f"llm: NAME in the prompt, or under providers: {provider.name}: in project.yml"
        raise ModelError(what, hint=hint)
    for each in _list_objections(config, provider, prompt):
        if each.certain:
            place = _locate(config, provider, prompt, each)
            raise ModelError(f"{place}: {each.what}", hint=each.hint)


def list_doubts(config: Config, provider: Provider, model: Model) -> tuple[str, ...]:
    """Returns a sentence for each reason why the server may refuse the model's requests, or take
    them otherwise than meant."""
    prompt = model.own_prompt
    return tuple(
        f"{_locate(config, provider, prompt, each)}: {each.what}: {each.hint}"
        for each in _list_objections(config, provider, prompt)
        if not each.certain
    )


def _list_objections(config: Config, provider: Provider, prompt: Prompt) -> list[Objection]:
    """Returns what the server has against the requests to any of the prompt's llms."""
    needs = (
        RequestNeeds(
            llm=llm,
            endpoint=prompt.endpoint,
            response_format=prompt.response_format,
            images=bool(prompt.images),
            params=prompt.merge_params(config.params),
        )
        for llm in (prompt.llm or provider.llm, *prompt.fallbacks)
    )
    # Most of them are about the server, whichever llm is asked.
    found = (each for need in needs for each in list_objections(provider, need))
    return list(dict.fromkeys((*found, *_list_slips(prompt.merge_params(config.params)))))


def _list_slips(params: Iterable[str]) -> Iterator[Objection]:
    """Yields the parameters whose names are probably misspelled."""
    for name in params:
        if meant := find_slip(name):
            what, hint = f"no server is known to have '{name}'", f"did you mean '{meant}'?"
            yield Objection(setting=name, what=what, hint=hint)


def _locate(config: Config, provider: Provider, prompt: Prompt, objection: Objection) -> str:
    base = provider.name.partition(":")[0]
    return find_place(prompt, config, objection.setting, provider=base)
