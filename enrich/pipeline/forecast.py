"""Forecast: what a run of several models would do, one after the other. Nothing is kept or sent."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from enrich.errors import DiskError, EnrichError, Locked, ProjectError, ProviderError
from enrich.ledger.run import RunOptions
from enrich.manifest import selection
from enrich.pipeline import draft
from enrich.pipeline.flow import Found
from enrich.pipeline.lock import hold_project
from enrich.pipeline.plan import Plan
from enrich.pipeline.preview import settle_previews
from enrich.pipeline.seed import load_seeds
from enrich.providers.capabilities import check_provider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.manifest.model import Model
    from enrich.pipeline.flow import Flow


def foresee_models(
    flow: Flow, picked: Sequence[Model], provider: str | None, options: RunOptions
) -> list[Plan]:
    """The plans of these models, in their order, once their seeds are loaded. A model that fails
    has none, and its problem is among the command's; what waits for another's answers says for
    whose. Raises the first problem if there is no plan at all."""
    with hold_project(flow.files):
        load_seeds(flow)
        flow.check(picked, provider, ready=False, refresh=options.full_refresh)
        settle_previews(flow.files)
    plans: list[Plan] = []
    waits: dict[str, tuple[str, ...]] = {}
    for each in picked:
        upstream = sorted(flow.upstream(each, picked))
        if flow.find_spoiled(each) or each.name in flow.found.problems:
            waits[each.name] = (each.name,)
            continue
        after = tuple(dict.fromkeys(name for other in upstream for name in waits[other]))
        if not each.asks or after:
            plans.append(Plan(model=each.name, kind=each.kind, after=after))
            waits[each.name] = after
            continue
        built = [flow.graph.models[name] for name, queue in waits.items() if not queue]
        try:
            found = _foresee_one(flow, each, provider, options, built)
        except (Locked, DiskError):
            raise
        except EnrichError as problem:
            flow.fail(each.name, problem)
            waits[each.name] = (each.name,)
            continue
        plans.append(found)
        # Models share a command's budget, so each is planned on what those before it leave.
        options = replace(options, foreseen=options.foreseen + found.spend)
        waits[each.name] = () if found.settled else (each.name,)
    for first in flow.found.problems.values() if not plans else ():
        raise first
    return plans


def find_changed(flow: Flow, reason: str) -> set[str]:
    """The models that have something to ask, for any reason or one whose words hold `reason`.

    Nobody knows that of models that wait for such a one, so they count.
    """
    models = flow.graph.models.values()
    if not any(model.asks for model in models):
        return set()
    picked = selection.select_models(flow.graph)
    return {
        plan.model
        for plan in foresee_models(flow, picked, None, RunOptions())
        if (plan.after and not reason) or any(reason in words for words in plan.reasons)
    }


def pick_models(flow: Flow, names: Sequence[str], exclude: Sequence[str] = ()) -> tuple[Model, ...]:
    """The models that a command works on: those that its words mean. None, where nothing of what
    they mean has changed. Raises ProjectError where the project holds no model."""
    graph = flow.graph
    changed = partial(find_changed, replace(flow, found=Found()))
    picked = selection.select_models(graph, names, exclude, changed=changed)
    if not picked and graph.models:
        flow.listener.say("nothing has changed")
        return ()
    for problem in graph.broken.values() if not picked else ():
        raise problem
    if not picked:
        hint = "write models/NAME.sql and models/NAME.prompt.md"
        raise ProjectError(f"{flow.config.models} holds no model yet", hint=hint)
    return picked


def _foresee_one(
    flow: Flow, model: Model, provider: str | None, options: RunOptions, built: Sequence[Model]
) -> Plan:
    """A model's plan; says so where its provider could not answer now. `built` are the models
    before it, of which the plain ones need not be there yet."""
    chosen = flow.provider_of(model, provider)
    prompt = model.own_prompt
    try:
        check_provider(chosen, images=bool(prompt.images), endpoint=prompt.endpoint)
    except ProviderError as problem:
        flow.listener.say(f"{model.name} cannot be run yet: {problem.message}; {problem.hint}")
    views = [view for view in built if not view.asks]
    found = draft.foresee(flow.files, flow.config, chosen, model, options, views=views)
    return found.noted(flow.graph.find_unstable(model.name))
