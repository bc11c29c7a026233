"""Debug: what is there, what can be reached, and what would go wrong. Nothing is sent or spent."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

from enrich.errors import EnrichError, Locked
from enrich.ledger import copy
from enrich.ledger.batch import unread
from enrich.ledger.queue import list_waiting
from enrich.manifest import selection
from enrich.pipeline.seed import load_seeds
from enrich.providers.capabilities import check_provider, has_llm, quote_price

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from pathlib import Path

    from enrich.manifest.model import Model
    from enrich.manifest.prompt import Prompt
    from enrich.pipeline.flow import Flow
    from enrich.providers import Provider

PACKAGES = ("enrich", "duckdb", "sqlglot", "openai", "click", "rich")
EXTRAS = {"xllamacpp": "pip install 'enrich[local]' for the embedded llm"}
ROOM = 1_000_000_000
"""Bytes below which a disk counts as nearly full."""

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at; `hint` says what to do where it is not ok."""

    what: str
    verdict: Verdict
    detail: str
    hint: str = ""


def versions() -> Iterator[Finding]:
    """What enrich stands on."""
    yield Finding(what="python", verdict="ok", detail=platform.python_version())
    for name in PACKAGES:
        yield Finding(what=name, verdict="ok", detail=version(name))
    for name, hint in EXTRAS.items():
        try:
            yield Finding(what=name, verdict="ok", detail=version(name))
        except PackageNotFoundError:
            yield Finding(what=name, verdict="warn", detail="not installed", hint=hint)


def find_findings(flow: Flow, *, provider: str | None) -> Iterator[Finding]:
    """Look at the files, models and providers of a project; seeds that changed are loaded."""
    config = flow.config
    yield Finding(what="project.yml", verdict="ok", detail=str(config.root / "project.yml"))
    free = shutil.disk_usage(config.root).free
    room = f"{free / 1e9:,.1f} GB free"
    if free < ROOM:
        yield Finding(what="disk", verdict="warn", detail=room, hint="make room before a long run")
    else:
        yield Finding(what="disk", verdict="ok", detail=room)
    locked = False
    for name, path in (("warehouse", config.warehouse), ("ledger", config.ledger)):
        found = _file(flow, name, path)
        locked = locked or found.verdict != "ok"
        yield found
    if not locked:
        yield from _under_way(flow)
        yield from _last_export(flow)
    try:
        graph = flow.graph
    except EnrichError as problem:
        yield _failed("models", problem)
        return
    tests = len(flow.workspace.sql_tests)
    many = f"{_many(len(graph.models), 'model')}, {_many(tests, 'SQL test')}"
    yield Finding(what="models", verdict="ok", detail=many)
    asked = [model for model in graph.models.values() if model.asks]
    by_provider: dict[str, list[Model]] = {}
    for model in asked:
        by_provider.setdefault(flow.provider_name(model, provider), []).append(model)
    unusable: set[str] = set()
    for name, models in by_provider.items():
        found_here = list(_provider(flow, name, models))
        if any(found.verdict == "fail" for found in found_here):
            unusable.add(name)
        yield from found_here
    if not locked:
        yield from _models(flow, provider, unusable)


def _many(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _failed(what: str, problem: EnrichError) -> Finding:
    return Finding(what=what, verdict="fail", detail=problem.message, hint=problem.hint)


def _file(flow: Flow, name: str, path: Path) -> Finding:
    """Whether a database can be opened now; one that is absent is made by the first run."""
    if not path.exists():
        return Finding(
            what=name,
            verdict="ok",
            detail=f"{path.name} is not there yet: it is made when it is needed",
        )
    files = replace(flow.files, lock_timeout=0.0, say=lambda _: None)
    try:
        with files.open_warehouse("read") if name == "warehouse" else files.open_ledger("read"):
            pass
    except Locked as problem:
        return Finding(what=name, verdict="warn", detail=problem.message, hint=problem.hint)
    except EnrichError as problem:
        return _failed(name, problem)
    size = f"{path.stat().st_size / 1e6:,.1f} MB"
    return Finding(what=name, verdict="ok", detail=f"{path.name}, {size}, nobody holds it")


def _under_way(flow: Flow) -> Iterator[Finding]:
    """What is left of earlier commands."""
    if not flow.config.ledger.exists():
        return
    with flow.files.open_ledger() as database:
        left, queue = unread(database), list_waiting(database)
    held = [batch for batch in left if batch.held]
    going = f"{len(left) - len(held)} batches under way, {len(queue)} models wait"
    if held:
        hint = "raise the budget and run again, or: enrich cancel"
        detail = f"{going}, {len(held)} batches held by {held[0].held}"
        yield Finding(what="batches", verdict="warn", detail=detail, hint=hint)
    else:
        yield Finding(what="batches", verdict="ok", detail=going)


def _last_export(flow: Flow) -> Iterator[Finding]:
    """How old the newest copy of the ledger is."""
    if not flow.config.ledger.exists():
        return
    made = copy.last(flow.files, flow.config.backup)
    if made is None:
        hint = "enrich ledger export DIR makes one, `backup: DIR` in project.yml one after each run"
        detail = "the ledger is the only copy of what was paid for: there is no export of it"
        yield Finding(what="export", verdict="warn", detail=detail, hint=hint)
        return
    with flow.files.open_ledger("read") as database:
        same = copy.ledger_state(database) == made.state
    old = _age(datetime.now(UTC) - made.exported_at)
    rest = "the ledger has not changed since" if same else "the ledger has changed since"
    yield Finding(what="export", verdict="ok", detail=f"{made.folder}, {old} old; {rest}")


def _age(passed: timedelta) -> str:
    """How long ago, in one unit."""
    minutes = int(passed.total_seconds() // 60)
    if minutes < 120:
        return _many(minutes, "minute")
    return _many(minutes // 60, "hour") if minutes < 2880 else _many(passed.days, "day")


def _provider(flow: Flow, name: str, models: list[Model]) -> Iterator[Finding]:
    """Whether a provider can be used, is reached, and has the llms that models name."""
    what = f"provider {name}"
    try:
        provider = flow.workspace.open_provider(name)
        endpoint = next(model.own_prompt.endpoint for model in models)
        check_provider(provider, images=False, endpoint=endpoint)
    except EnrichError as problem:
        yield _failed(what, problem)
        return
    for llm in sorted({(model.prompt and model.prompt.llm) or provider.llm for model in models}):
        try:
            there = has_llm(provider, llm)
        except EnrichError as problem:
            yield _failed(what, problem)
            return
        yield _llm(what, llm, there)
    for model in models:
        if model.prompt:
            yield from _price(flow, provider, model.prompt, what)


def _llm(what: str, llm: str, there: bool | None) -> Finding:
    if there is None:
        hint = f"try it: enrich preview MODEL -n 1 asks {llm} for one row"
        detail = f"is reached, and does not tell whether it has {llm}"
        return Finding(what=what, verdict="warn", detail=detail, hint=hint)
    if there:
        return Finding(what=what, verdict="ok", detail=f"is reached, and has {llm}")
    hint = "name another by `llm:`, in the prompt or under the provider in project.yml"
    return Finding(what=what, verdict="fail", detail=f"has no llm '{llm}'", hint=hint)


def _price(flow: Flow, provider: Provider, prompt: Prompt, what: str) -> Iterator[Finding]:
    """Nobody knows what a run costs whose llm has no price; with a budget it is refused."""
    llm = prompt.llm or provider.llm
    if quote_price(provider, llm) is not None:
        return
    budgets = (flow.config.budget, prompt.budget)
    bound = any(amount is not None for b in budgets for amount in (b.run, b.model, b.month))
    detail = f"nobody knows the price of {llm}"
    hint = "set it under `prices:` of the provider in project.yml"
    yield Finding(what=what, verdict="fail" if bound else "warn", detail=detail, hint=hint)


def _models(flow: Flow, provider: str | None, unusable: set[str]) -> Iterator[Finding]:
    """Whether each model compiles against the warehouse as it stands, and its provider can answer
    it, if that is not `unusable` altogether."""
    try:
        problems = load_seeds(flow)[1]
    except EnrichError as problem:
        problems = [problem]
    if problems:
        yield _failed("seeds, sources", problems[0])
    for name, broken in flow.graph.broken.items():
        yield _failed(f"model {name}", broken)
    for model in selection.select_models(flow.graph):
        what = f"model {model.name}"
        missing = flow.find_unbuilt(model)
        if missing:
            detail = f"reads {', '.join(missing)}, which have not been run yet"
            hint = f"enrich run +{model.name}"
            yield Finding(what=what, verdict="warn", detail=detail, hint=hint)
            continue
        try:
            flow.check_one(
                model, provider, ready=flow.provider_name(model, provider) not in unusable
            )
        except EnrichError as problem:
            yield _failed(what, problem)
            continue
        yield Finding(what=what, verdict="ok", detail=model.source)
