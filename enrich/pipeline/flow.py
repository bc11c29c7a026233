"""Flow: one command working on a project, and what it has found so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from enrich.compiler.compilation import describe_select
from enrich.errors import DiskError, EnrichError, InputError, Locked
from enrich.manifest.clash import find_clashes
from enrich.manifest.destination import check_destination
from enrich.pipeline.plan import OtherPrices
from enrich.pipeline.publish import check_answers, check_names
from enrich.pipeline.run import check_model
from enrich.pipeline.unbuilt import explain_unbuilt
from enrich.providers.capabilities import (
    NOW,
    choose_endpoint,
    choose_now,
    is_at_once,
    quote_price,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from enrich.db.files import DatabaseFiles
    from enrich.ledger.run import Run
    from enrich.ledger.state import State
    from enrich.manifest.config import Config
    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model
    from enrich.pipeline.listener import Listener
    from enrich.pipeline.test import Result
    from enrich.pipeline.workspace import Workspace
    from enrich.providers import Provider


@dataclass(kw_only=True)
class FlowState:
    """What a command has found so far.

    By model: the `results` of tests, the `problems` that kept it from being started or published,
    and the states of plain models that were `built`. By name in lower case: the seeds and sources
    that are `spoiled`, because they could not be loaded. The models of runs that were `started` are
    published in the next turn, because other rows may have answers now. The first of the `runs` of
    each model is the command's own, if the model is.
    """

    results: dict[str, tuple[Result, ...]] = field(default_factory=dict)
    problems: dict[str, EnrichError] = field(default_factory=dict)
    built: dict[str, State] = field(default_factory=dict)
    spoiled: dict[str, EnrichError] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    runs: dict[str, Run] = field(default_factory=dict)

    @property
    def tests(self) -> tuple[Result, ...]:
        """The results of all tests that have run."""
        return tuple(result for results in self.results.values() for result in results)


@dataclass(frozen=True, kw_only=True)
class Flow:
    """One command at work. `accept_drift`: drift tests only warn. `fail_fast`: a model that cannot
    be started, or that its tests hold back, ends the command. Problems of models are reported as
    they are found unless the command is `silent` about them, because it raises them at its end."""

    workspace: Workspace
    found: FlowState = field(default_factory=FlowState)
    accept_drift: bool = False
    fail_fast: bool = False
    silent: bool = False

    @property
    def files(self) -> DatabaseFiles:
        return self.workspace.files

    @property
    def config(self) -> Config:
        return self.workspace.config

    @property
    def listener(self) -> Listener:
        return self.workspace.listener

    @property
    def graph(self) -> Graph:
        return self.workspace.graph

    def with_variables(self, values: Mapping[str, Any]) -> Flow:
        """Returns the same command with other values of its variables, for a model that was queued
        with these."""
        # `found` is shared with the copy on purpose: it is one command.
        return replace(self, workspace=self.workspace.with_variables(values))

    def open_provider(self, model: Model, override: str | None = None) -> Provider:
        """Returns the provider that answers a model."""
        provider = self.workspace.open_provider(self.name_provider(model, override))
        return choose_endpoint(provider, model.own_prompt.endpoint)

    def name_provider(self, model: Model, override: str | None = None) -> str:
        """Returns the name of the provider that answers a model; `override` is the command
        line's, and one that is only an ending, such as `:now`, is added to the model's own."""
        own = (model.prompt.provider if model.prompt else "") or self.config.provider
        if override and override.startswith(":"):
            return f"{own.removesuffix(override)}{override}"
        return override or own

    def find_other_prices(
        self, provider: Provider, llm: str, due_at: datetime | None
    ) -> OtherPrices:
        """Returns what an llm costs the other way: in a batch, or at once."""
        base = provider.name.removesuffix(NOW)
        if base != provider.name:
            return OtherPrices(in_batch=quote_price(self.workspace.open_provider(base), llm))
        if due_at is None or is_at_once(provider):
            return OtherPrices()
        now = choose_now(provider)  # said before anything is sent, if it cannot
        return OtherPrices(at_once=quote_price(now, llm, now=True), due_at=due_at)

    def find_enrichment_model(self, name: str) -> Model:
        """Returns the enrichment model of this name. Raises ProjectError if it is a plain one."""
        picked = self.graph.find_model(name)
        _ = picked.own_prompt  # raises for a plain model
        return picked

    def list_upstream(self, model: Model, picked: Sequence[Model]) -> tuple[str, ...]:
        """Returns the picked models that this one depends on."""
        before = self.graph.find_ancestors(model.name)
        return tuple(other.name for other in picked if other.name in before)

    def fail(self, name: str, problem: EnrichError) -> None:
        """Record a model's problem and report it; with `fail_fast`, raise it."""
        if self.fail_fast:
            raise problem
        if not self.silent:
            self.report(name, problem)
        self.found.problems[name] = problem

    def report(self, name: str, problem: EnrichError) -> None:
        """Report a model's problem in one line; one that an earlier model has, such as a seed that
        both read, by the name of that."""
        earlier = takewhile(lambda known: known[0] != name, self.found.problems.items())
        same = next((other for other, known in earlier if known is problem), "")
        if same:
            self.listener.say(f"{name} failed for the same reason as {same}")
            return
        hint = f" ({problem.hint})" if problem.hint and "\n" not in problem.hint else ""
        self.listener.say(f"{name} failed: {problem.message}{hint}")

    def check(
        self,
        picked: Sequence[Model],
        provider: str | None,
        *,
        planned: bool = False,
        refresh: bool = False,
    ) -> None:
        """Compile every model that does not wait for another one, before anything is spent.

        `planned`: enrichment models are compiled when they are planned, which is next. `refresh`: a
        plain model may replace a table of answers. A model with a problem does not stop the others.
        """
        with self.files.open_warehouse("read") as database:
            for each in picked:
                check_names(database, each)
        for each in picked:
            try:
                with self.files.open_warehouse("read") as database:
                    check_answers(database, each, refresh=refresh)
                # What waits for another model is compiled when that is finished, and its table is
                # there.
                if not self.list_upstream(each, picked) and not self.find_spoiled(each):
                    self.check_one(each, provider, ready=True, planned=planned)
            except (Locked, DiskError):  # these concern every model
                raise
            except EnrichError as problem:
                self.fail(each.name, problem)

    def check_one(
        self,
        model: Model,
        provider: str | None,
        *,
        ready: bool = False,
        planned: bool = False,
    ) -> None:
        """Compile one model against the warehouse as it is now, unless it is one to be `planned`.
        `ready`: its provider must be able to answer now."""
        check_destination(self.config, model)
        if model.name in self.clashes:
            raise self.clashes[model.name]
        self.check_upstream(model)
        if model.asks and planned:
            return
        if model.asks:
            chosen = self.open_provider(model, provider)
            check_model(self.files, self.config, chosen, model, ready=ready)
            return
        with self.files.open_warehouse("read", attached=model.texts) as database:
            describe_select(database, model)

    @cached_property
    def clashes(self) -> Mapping[str, EnrichError]:
        """What is wrong with models whose copies would be in each other's places, by name."""
        return find_clashes(self.config, self.graph.models.values())

    def find_spoiled(self, model: Model) -> EnrichError | None:
        """Returns why a seed, source or model that this model reads could not be loaded, or None.

        What it reads through plain models counts as well.
        """
        # An enrichment model before it stays as it was published, whatever has become of its seeds.
        before = (self.graph.models[name] for name in self.graph.find_ancestors(model.name))
        readers = (model, *(each for each in before if not each.asks))
        broken = {name.lower(): problem for name, problem in self.graph.broken.items()}
        spoiled = broken | self.found.spoiled
        names = sorted({name for each in readers for name in each.reads} & spoiled.keys())
        return spoiled[names[0]] if names else None

    def check_seeds(self, model: Model) -> None:
        """Raises the problem of a seed or source that this model reads and that could not be
        loaded."""
        problem = self.find_spoiled(model)
        if problem is not None:
            raise problem

    def check_upstream(self, model: Model) -> None:
        """Raises EnrichError if a seed, source or model that this model reads is missing, or if it
        reads a database that it may not."""
        self.check_seeds(model)
        for each in self.config.attached:
            if not each.readable and any(
                n.startswith(f"{each.name.lower()}.") for n in model.reads
            ):
                message = f"{model.source}: models do not read the database '{each.name}'"
                hint = f"set external_access: true, for DuckDB's extension for {each.type}"
                raise InputError(message, hint=hint)
        for name in self.find_unbuilt(model):
            why, hint = explain_unbuilt(self.files, name, command=f"enrich run +{model.name}")
            raise InputError(f"{model.source}: it reads '{name}', which {why}", hint=hint)

    def find_unbuilt(self, model: Model) -> tuple[str, ...]:
        """Returns the models that this one reads and that are not in the warehouse."""
        names = sorted(self.graph.parents[model.name])
        if not names:
            return ()
        with self.files.open_warehouse("read") as database:
            return tuple(n for n in names if not database.call("exists", schema="main", name=n))

    def check_built(self, name: str) -> None:
        """Raises InputError if a model is not in the warehouse."""
        if not self.are_built({name}):
            why, hint = explain_unbuilt(self.files, name, command=f"enrich run +{name}")
            raise InputError(f"'{name}' {why}", hint=hint)

    def are_built(self, names: set[str]) -> bool:
        """Whether the warehouse has tables or views of all these names."""
        if not names:
            return True
        with self.files.open_warehouse("read") as database:
            return all(database.call("exists", schema="main", name=name) for name in names)
