"""Forecast: what a run of several models would do, in order. Nothing is kept or sent."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from enrich.db.creation import make_folder
from enrich.errors import DiskError, EnrichError, Locked, ProjectError, ProviderError
from enrich.ledger.run import RunOptions
from enrich.manifest import selection
from enrich.pipeline import draft
from enrich.pipeline.deliver import find_copy
from enrich.pipeline.flow import FlowState
from enrich.pipeline.lock import hold_project
from enrich.pipeline.plan import Plan
from enrich.pipeline.preview import settle_previews
from enrich.pipeline.seed import load_seeds
from enrich.providers.capabilities import check_provider

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from enrich.manifest.model import Model
    from enrich.pipeline.flow import Flow


def foresee_models(
    flow: Flow,
    picked: Sequence[Model],
    provider: str | None,
    options: RunOptions,
    *,
    apart: bool = False,
) -> list[Plan]:
    """Load changed seeds, then plan these models in the order in which a run would start them.
    Returns their plans in the order of the models.

    A model with a problem has no plan; the problem is among the command's. A model that reads one
    whose answers will change names it in `after`. What an earlier model would ask is not asked by
    the later ones unless they are planned `apart`. Raises the first problem if there is no plan.
    """
    flow = replace(flow, silent=True)
    with hold_project(flow.files):
        load_seeds(flow)
        flow.check(picked, provider, planned=True, refresh=options.full_refresh)
        settle_previews(flow.files, flow.workspace.open_provider)
    with TemporaryDirectory(dir=make_folder(flow.files.work), prefix="plan-") as folder:
        plans = _foresee_each(flow, picked, provider, options, None if apart else Path(folder))
    if not plans:
        _raise_first(flow)
    return [_add_place(flow, plans[each.name]) for each in picked if each.name in plans]


def _foresee_each(
    flow: Flow,
    picked: Sequence[Model],
    provider: str | None,
    options: RunOptions,
    folder: Path | None,
) -> dict[str, Plan]:
    """Returns the plans of these models by name. In `folder`, each model's plan keeps what it would
    send for the plans after it."""
    plans: dict[str, Plan] = {}
    waits: dict[str, tuple[str, ...]] = {}
    for each in _order_starts(flow, picked):
        upstream = sorted(flow.list_upstream(each, picked))
        spoiled = flow.find_spoiled(each)
        if spoiled is not None and each.name not in flow.found.problems:
            flow.fail(each.name, spoiled)
        if each.name in flow.found.problems:
            waits[each.name] = (each.name,)
            continue
        after = tuple(dict.fromkeys(name for other in upstream for name in waits[other]))
        if not each.asks or after:
            plans[each.name] = Plan(model=each.name, kind=each.kind, after=after)
            waits[each.name] = after
            continue
        built = [flow.graph.models[name] for name, queue in waits.items() if not queue]
        keep = folder / f"{len(plans)}.parquet" if folder else None
        try:
            found = _foresee_one(flow, each, provider, options, built, keep)
        except (Locked, DiskError):
            raise
        except EnrichError as problem:
            flow.fail(each.name, problem)
            waits[each.name] = (each.name,)
            continue
        plans[each.name] = found
        options = options.foresee(found.spend, keep if found.paid else None)
        waits[each.name] = () if found.settled else (each.name,)
    return plans


def _order_starts(flow: Flow, picked: Sequence[Model]) -> Iterator[Model]:
    """Yields these models in the order in which a run starts them: first those that wait for none
    of the others, then as the queue does."""
    left = {each.name: flow.list_upstream(each, picked) for each in picked}
    first = True
    while left:
        ready = [name for name, after in left.items() if not left.keys() & set(after)]
        for name in ready if first else sorted(ready, key=lambda name: (left[name], name)):
            yield flow.graph.models[name]
        left = {name: after for name, after in left.items() if name not in ready}
        first = False


def _raise_first(flow: Flow) -> None:
    """Report all problems but the first, which is raised, if there are any."""
    problems = list(flow.found.problems.items())
    for name, problem in problems[1:]:
        flow.report(name, problem)
    for _, problem in problems[:1]:
        raise problem


def _add_place(flow: Flow, plan: Plan) -> Plan:
    """Returns a plan with a note on where the table is copied to."""
    try:
        found = find_copy(flow, flow.graph.models[plan.model])
    except EnrichError as problem:
        flow.fail(plan.model, problem)
        return plan
    if found is None:
        return plan
    state = ", which is behind its table" if found.behind else ""
    return replace(plan, notes=(*plan.notes, f"its table is copied to {found.place}{state}"))


def find_changed(flow: Flow, reason: str) -> set[str]:
    """Returns the models that have rows to ask, for any reason or for one that contains `reason`.

    Without a reason, models that wait for such a model, or for what another one has asked, are
    included: they may have rows to ask.
    """
    models = flow.graph.models.values()
    if not any(model.asks for model in models):
        return set()
    picked = selection.select_models(flow.graph)
    return {
        plan.model
        for plan in foresee_models(flow, picked, None, RunOptions(), apart=True)
        if (not reason and (plan.after or "shared" in plan.states))
        or any(reason in words for words in plan.reasons)
    }


def pick_models(flow: Flow, names: Sequence[str], exclude: Sequence[str] = ()) -> tuple[Model, ...]:
    """Returns the models that a command's arguments select; none if none of them has changed.

    Raises ProjectError if the project contains no models.
    """
    graph = flow.graph
    # With a state of its own: problems found while looking for changes are not the command's.
    changed = partial(find_changed, replace(flow, found=FlowState()))
    picked = selection.select_models(graph, names, exclude, changed=changed)
    if not picked and graph.models:
        flow.listener.say("nothing has changed")
        return ()
    for problem in graph.broken.values() if not picked else ():
        raise problem
    if not picked:
        hint = "write models/NAME.sql and models/NAME.prompt.md"
        raise ProjectError(f"{flow.config.models} contains no models yet", hint=hint)
    return picked


def _foresee_one(
    flow: Flow,
    model: Model,
    provider: str | None,
    options: RunOptions,
    built: Sequence[Model],
    keep: Path | None,
) -> Plan:
    """Returns a model's plan; reports if its provider could not answer it now. `built` are the
    models before it; plain ones among them may not have been built yet. `keep`: see
    `draft.foresee_run`."""
    chosen = flow.open_provider(model, provider)
    prompt = model.own_prompt
    try:
        check_provider(chosen, images=bool(prompt.images), endpoint=prompt.endpoint)
    except ProviderError as problem:
        # A plan needs no key and no connection, so this is no reason to refuse one.
        flow.listener.say(f"{model.name} cannot be run yet: {problem.message}; {problem.hint}")
    views = [view for view in built if not view.asks]
    found = draft.foresee_run(
        flow.files, flow.config, chosen, model, options, views=views, keep=keep
    )
    prices = flow.find_other_prices(chosen, found.llm, options.due_at)
    return found.with_notes(flow.graph.find_unstable(model.name), prices)
