"""Debug: check files, models and providers, before a run depends on them. Nothing is spent, unless
it is told to ask."""

from __future__ import annotations

import platform
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from enrich.db.complaint import lacks_folder, miss_folder
from enrich.errors import EnrichError, Locked, count_nouns
from enrich.ledger import export
from enrich.ledger.batch import list_unread
from enrich.ledger.compaction import measure_used
from enrich.ledger.queue import list_waiting
from enrich.manifest import selection
from enrich.manifest.destination import find_destination
from enrich.pipeline.deliver import check_place
from enrich.pipeline.finding import Finding
from enrich.pipeline.fitness import list_doubts
from enrich.pipeline.seed import load_seeds
from enrich.pipeline.trial import ask_trials
from enrich.providers.capabilities import (
    check_provider,
    choose_endpoint,
    describe_api,
    has_llm,
    quote_price,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from pathlib import Path

    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model
    from enrich.manifest.prompt import Prompt
    from enrich.pipeline.flow import Flow
    from enrich.providers import Provider

REQUIRED_PACKAGES = ("enrich", "duckdb", "sqlglot", "openai", "click", "rich")
OPTIONAL_PACKAGES = {"xllamacpp": "pip install 'enrich[local]' for the embedded llm"}
LOW_DISK_BYTES = 1_000_000_000
"""Free bytes below which the disk gets a warning."""
MUCH_UNUSED_BYTES = 50_000_000
"""Unused bytes of the ledger that are worth a word, if they are more than a third of it."""


def check_versions() -> Iterator[Finding]:
    """Report the versions of Python and of the packages that enrich uses."""
    yield Finding(what="python", verdict="ok", detail=platform.python_version())
    for name in REQUIRED_PACKAGES:
        yield Finding(what=name, verdict="ok", detail=version(name))
    for name, hint in OPTIONAL_PACKAGES.items():
        try:
            yield Finding(what=name, verdict="ok", detail=version(name))
        except PackageNotFoundError:
            yield Finding(what=name, verdict="warn", detail="not installed", hint=hint)


def find_findings(flow: Flow, *, provider: str | None, ask: bool = False) -> Iterator[Finding]:
    """Check the files, models and providers of a project. Seeds that have changed are loaded.
    `ask`: also send each llm a tiny request of each kind that its models need."""
    # From the cheap checks to the slow ones: each finding is shown as soon as it is known.
    config = flow.config
    yield Finding(what="project.yml", verdict="ok", detail=str(config.root / "project.yml"))
    yield _check_disk(config.root)
    locked = False
    for name, path in (("warehouse", config.warehouse), ("ledger", config.ledger)):
        found = _check_database(flow, name, path)
        locked = locked or found.verdict != "ok"
        yield found
    if not locked:  # or each of these checks would wait for the lock
        yield from _check_batches(flow)
        yield from _check_export(flow)
    try:
        graph = flow.graph
    except EnrichError as problem:
        yield _report_failure("models", problem)
        return
    tests = len(flow.workspace.sql_tests)
    many = f"{count_nouns(len(graph.models), 'model')}, {count_nouns(tests, 'SQL test')}"
    circle = _find_circle(graph)
    if circle is None:
        yield Finding(what="models", verdict="ok", detail=many)
    else:
        yield _report_failure("models", circle)
    asked = [model for model in graph.models.values() if model.asks]
    by_provider: dict[str, list[Model]] = {}
    for model in asked:
        by_provider.setdefault(flow.name_provider(model, provider), []).append(model)
    unusable: set[str] = set()
    for name, models in by_provider.items():
        found_here = list(_check_one_provider(flow, name, models))
        if any(found.verdict == "fail" for found in found_here):
            unusable.add(name)
        yield from found_here
        if ask and name not in unusable:
            yield from ask_trials(flow, flow.workspace.open_provider(name), models)
    yield from _check_places(flow)
    if not locked and circle is None:
        yield from _check_models(flow, provider, unusable)


def _find_circle(graph: Graph) -> EnrichError | None:
    """Returns the error that models read each other in a circle; None if they do not."""
    try:
        _ = graph.order
    except EnrichError as problem:
        return problem
    return None


def _check_places(flow: Flow) -> Iterator[Finding]:
    """Check that the places that tables are copied to can be reached."""
    for model in flow.graph.models.values():
        try:
            destination = find_destination(flow.config, model)
            if destination is None:
                continue
            check_place(flow, destination)
        except EnrichError as problem:
            yield _report_failure(f"copy of {model.name}", problem)
            continue
        detail = f"{destination.said.to} can be reached"
        yield Finding(what=f"copy of {model.name}", verdict="ok", detail=detail)


def _check_disk(folder: Path) -> Finding:
    """Check that the disk has room for a run."""
    free = shutil.disk_usage(folder).free
    room = f"{free / 1e9:,.1f} GB free"
    if free < LOW_DISK_BYTES:
        hint = "free some disk space before a long run"
        return Finding(what="disk", verdict="warn", detail=room, hint=hint)
    return Finding(what="disk", verdict="ok", detail=room)


def _report_failure(what: str, problem: EnrichError) -> Finding:
    return Finding(what=what, verdict="fail", detail=problem.message, hint=problem.hint)


def _check_database(flow: Flow, name: str, path: Path) -> Finding:
    """Check that a database can be opened now, or does not exist yet."""
    if lacks_folder(path):
        return _report_failure(name, miss_folder(path))
    if not path.exists():
        return Finding(
            what=name,
            verdict="ok",
            detail=f"{path.name} does not exist yet: it is created when it is needed",
        )
    # Who asks whether something is locked does not want to wait until it is not.
    files = replace(flow.files, lock_timeout=0.0, say=lambda _: None)
    try:
        with files.open_warehouse("read") if name == "warehouse" else files.open_ledger("read"):
            pass
    except Locked as problem:
        return Finding(what=name, verdict="warn", detail=problem.message, hint=problem.hint)
    except EnrichError as problem:
        return _report_failure(name, problem)
    size = path.stat().st_size
    detail = f"{path.name}, {size / 1e6:,.1f} MB, not locked"
    unused = size - measure_used(files) if name == "ledger" else 0
    if unused > max(MUCH_UNUSED_BYTES, size / 3):
        hint = "enrich ledger vacuum gives that back to the disk"
        detail = f"{detail}, of which {unused / 1e6:,.1f} MB are unused"
        return Finding(what=name, verdict="warn", detail=detail, hint=hint)
    return Finding(what=name, verdict="ok", detail=detail)


def _check_batches(flow: Flow) -> Iterator[Finding]:
    """Report open batches and waiting models of earlier commands."""
    if not flow.config.ledger.exists():
        return
    with flow.files.open_ledger() as database:
        left = [batch for batch in list_unread(database) if not batch.shared]
        queue = list_waiting(database)
    held = [batch for batch in left if batch.is_unaffordable]
    going = (
        f"{count_nouns(len(left) - len(held), 'batch')} under way, "
        f"{count_nouns(len(queue), 'model')} waiting"
    )
    if held:
        hint = "raise the budget and run again, or: enrich cancel"
        detail = f"{going}, {count_nouns(len(held), 'batch')} held by {held[0].held}"
        yield Finding(what="batches", verdict="warn", detail=detail, hint=hint)
    else:
        yield Finding(what="batches", verdict="ok", detail=going)


def _check_export(flow: Flow) -> Iterator[Finding]:
    """Report the age of the newest copy of the ledger."""
    if not flow.config.ledger.exists():
        return
    made = export.find_newest_export(flow.files, flow.config.backup)
    if made is None:
        hint = (
            "enrich ledger export DIR makes one; `backup: DIR` in project.yml, one after each run"
        )
        detail = "the ledger is the only copy of what was paid for: there is no export of it"
        yield Finding(what="export", verdict="warn", detail=detail, hint=hint)
        return
    with flow.files.open_ledger("read") as database:
        same = export.hash_ledger(database) == made.state
    old = _format_age(datetime.now(UTC) - made.exported_at)
    rest = "the ledger has not changed since" if same else "the ledger has changed since"
    yield Finding(what="export", verdict="ok", detail=f"{made.folder}, {old} old; {rest}")


def _format_age(passed: timedelta) -> str:
    """Returns a time span in minutes, hours or days."""
    # Only two units up: "90 minutes" says more than "1 hour", and "40 hours" more than "1 day".
    minutes = int(passed.total_seconds() // 60)
    if minutes < 120:
        return count_nouns(minutes, "minute")
    return count_nouns(minutes // 60, "hour") if minutes < 2880 else count_nouns(passed.days, "day")


def _check_one_provider(flow: Flow, name: str, models: list[Model]) -> Iterator[Finding]:
    """Check that a provider is usable and reachable, and has the llms that its models name."""
    what = f"provider {name}"
    try:
        provider = flow.workspace.open_provider(name)
        endpoints = dict.fromkeys(model.own_prompt.endpoint for model in models)
        chosen = {endpoint: choose_endpoint(provider, endpoint) for endpoint in endpoints}
        for endpoint, each in chosen.items():
            check_provider(each, images=False, endpoint=endpoint)
        api = describe_api(provider)
        if api:
            yield Finding(what=what, verdict="ok", detail=api)
    except EnrichError as problem:
        yield _report_failure(what, problem)
        return
    prompts = [model.own_prompt for model in models]
    named = {llm for each in prompts for llm in _list_llms(each, chosen[each.endpoint])}
    for llm in sorted(named - {""}):  # `_check_models` reports a model without one
        try:
            there = has_llm(provider, llm)
        except EnrichError as problem:  # one failure to reach it is enough
            yield _report_failure(what, problem)
            return
        yield _report_llm(what, llm, there)
    for prompt in prompts:
        yield from _check_price(flow, chosen[prompt.endpoint], prompt, what)


def _list_llms(prompt: Prompt, provider: Provider) -> tuple[str, ...]:
    """Returns the llms that a prompt is sent to."""
    return (prompt.llm or provider.llm, *prompt.fallbacks)


def _report_llm(what: str, llm: str, there: bool | None) -> Finding:
    if there is None:
        hint = f"try it: enrich preview MODEL -n 1 asks {llm} for one row"
        detail = f"is reachable, but does not say whether it has {llm}"
        return Finding(what=what, verdict="warn", detail=detail, hint=hint)
    if there:
        return Finding(what=what, verdict="ok", detail=f"is reachable and has {llm}")
    hint = "choose another with `llm:`, in the prompt or under the provider in project.yml"
    return Finding(what=what, verdict="fail", detail=f"has no llm '{llm}'", hint=hint)


def _check_price(flow: Flow, provider: Provider, prompt: Prompt, what: str) -> Iterator[Finding]:
    """Report llms without a known price: a failure with a budget, which then refuses the run."""
    unpriced = [llm for llm in _list_llms(prompt, provider) if quote_price(provider, llm) is None]
    budgets = (flow.config.budget, prompt.budget)
    bound = any(amount is not None for b in budgets for amount in (b.run, b.model, b.month))
    hint = "set it under `prices:` of the provider in project.yml"
    for llm in unpriced:
        detail = f"the price of {llm} is not known"
        yield Finding(what=what, verdict="fail" if bound else "warn", detail=detail, hint=hint)


def _check_models(flow: Flow, provider: str | None, unusable: set[str]) -> Iterator[Finding]:
    """Check that each model compiles against the warehouse, and that its provider can answer it.

    `unusable` providers have been reported already, so their models are only compiled.
    """
    try:
        problems = load_seeds(flow)[1]
    except EnrichError as problem:
        problems = [problem]
    if problems:
        yield _report_failure("seeds, sources", problems[0])
    for name, broken in flow.graph.broken.items():
        yield _report_failure(f"model {name}", broken)
    for model in selection.select_models(flow.graph):
        what = f"model {model.name}"
        missing = flow.find_unbuilt(model)
        if missing:
            have = "has" if len(missing) == 1 else "have"
            detail = f"reads {', '.join(missing)}, which {have} not been run yet"
            hint = f"enrich run +{model.name}"
            yield Finding(what=what, verdict="warn", detail=detail, hint=hint)
            continue
        try:
            flow.check_one(
                model, provider, ready=flow.name_provider(model, provider) not in unusable
            )
        except EnrichError as problem:
            yield _report_failure(what, problem)
            continue
        yield Finding(what=what, verdict="ok", detail=model.source)
        if model.asks:
            chosen = flow.open_provider(model, provider)
            for doubt in list_doubts(flow.config, chosen, model):
                yield Finding(what=what, verdict="warn", detail=doubt)
