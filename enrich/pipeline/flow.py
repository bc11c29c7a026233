"""Flow: one command at work on a project, and what it has found so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from enrich.compiler.compilation import described
from enrich.errors import DiskError, EnrichError, InputError, Locked
from enrich.pipeline.publish import check_answers, check_names
from enrich.pipeline.run import check_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enrich.db.files import Files
    from enrich.ledger.state import State
    from enrich.manifest.config import Config
    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model
    from enrich.pipeline.listener import Listener
    from enrich.pipeline.test import Result
    from enrich.pipeline.workspace import Workspace
    from enrich.providers import Provider


@dataclass(kw_only=True)
class Found:
    """What a command has found so far: by model the `results` of tests, the `problems` that kept it
    from being begun or published, and the plain models that were `built`; and by name in lower
    case the seeds and sources that are `spoiled`, which could not be loaded."""

    results: dict[str, tuple[Result, ...]] = field(default_factory=dict)
    problems: dict[str, EnrichError] = field(default_factory=dict)
    built: dict[str, State] = field(default_factory=dict)
    spoiled: dict[str, EnrichError] = field(default_factory=dict)

    @property
    def tests(self) -> tuple[Result, ...]:
        """The results of all tests that were run."""
        return tuple(result for results in self.results.values() for result in results)


@dataclass(frozen=True, kw_only=True)
class Flow:
    """One command at work. `accept_drift`: what a drift test finds is only told. `fail_fast`: a
    model that cannot be begun, or that its tests hold back, ends the command."""

    workspace: Workspace
    found: Found = field(default_factory=Found)
    accept_drift: bool = False
    fail_fast: bool = False

    @property
    def files(self) -> Files:
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
        """The same command for a model that was begun with these values of variables."""
        return replace(self, workspace=self.workspace.with_variables(values))

    def provider_of(self, model: Model, override: str | None = None) -> Provider:
        """The provider that answers a model, opened."""
        return self.workspace.open_provider(self.provider_name(model, override))

    def provider_name(self, model: Model, override: str | None = None) -> str:
        """The name of the provider that answers a model."""
        own = model.prompt.provider if model.prompt else ""
        return override or own or self.config.provider

    def one(self, name: str) -> Model:
        """The model of this name, which must ask. Raises ProjectError where it is a plain one."""
        picked = self.graph.find_model(name)
        _ = picked.own_prompt
        return picked

    def upstream(self, model: Model, picked: Sequence[Model]) -> tuple[str, ...]:
        """Those of the picked models that this one depends on."""
        before = self.graph.find_ancestors(model.name)
        return tuple(other.name for other in picked if other.name in before)

    def fail(self, name: str, problem: EnrichError) -> None:
        """A model cannot be begun; others go on, unless they must not."""
        if self.fail_fast:
            raise problem
        self.listener.say(f"{name} failed: {problem.message} ({problem.hint})")
        self.found.problems[name] = problem

    def check(
        self,
        picked: Sequence[Model],
        provider: str | None,
        *,
        ready: bool = True,
        refresh: bool = False,
    ) -> None:
        """Compile whatever does not wait for another model, before anything is spent; `ready`:
        its provider must be able to answer now, `refresh`: a plain model may replace answers. What
        is wrong with one model stops no other."""
        with self.files.open_warehouse("read") as database:
            for each in picked:
                check_names(database, each)
        for each in picked:
            try:
                with self.files.open_warehouse("read") as database:
                    check_answers(database, each, refresh=refresh)
                if not self.upstream(each, picked) and not self.find_spoiled(each):
                    self.check_one(each, provider, ready=ready)
            except (Locked, DiskError):
                raise
            except EnrichError as problem:
                self.fail(each.name, problem)

    def check_one(self, model: Model, provider: str | None, *, ready: bool = False) -> None:
        """Compile one model against the warehouse as it is."""
        self.check_upstream(model)
        if model.asks:
            chosen = self.provider_of(model, provider)
            check_model(self.files, self.config, chosen, model, ready=ready)
            return
        with self.files.open_warehouse("read", attached=True) as database:
            described(database, model)

    def find_spoiled(self, model: Model) -> EnrichError | None:
        """Why a seed, a source or a model that one reads, itself or behind plain models, is not
        there."""
        before = (self.graph.models[name] for name in self.graph.find_ancestors(model.name))
        readers = (model, *(each for each in before if not each.asks))
        broken = {name.lower(): problem for name, problem in self.graph.broken.items()}
        spoiled = broken | self.found.spoiled
        names = sorted({name for each in readers for name in each.reads} & spoiled.keys())
        return spoiled[names[0]] if names else None

    def check_seeds(self, model: Model) -> None:
        """The seeds and sources that a model reads must have been loaded as they are now."""
        problem = self.find_spoiled(model)
        if problem is not None:
            raise problem

    def check_upstream(self, model: Model) -> None:
        """What a model reads must be there: its seeds, and the models that are not run with it."""
        self.check_seeds(model)
        for name in self.find_unbuilt(model):
            message = f"{model.source}: it reads '{name}', which has not been run yet"
            raise InputError(message, hint=f"enrich run +{model.name}")

    def find_unbuilt(self, model: Model) -> tuple[str, ...]:
        """The models that this one reads, and that are not in the warehouse."""
        names = sorted(self.graph.parents[model.name])
        if not names:
            return ()
        with self.files.open_warehouse("read") as database:
            return tuple(n for n in names if not database.call("exists", schema="main", name=n))

    def check_built(self, name: str) -> None:
        """A model must have been built."""
        if not self.are_built({name}):
            raise InputError(f"'{name}' has not been run yet", hint=f"enrich run +{name}")

    def are_built(self, names: set[str]) -> bool:
        """Whether the warehouse has tables of all these names."""
        if not names:
            return True
        with self.files.open_warehouse("read") as database:
            return all(database.call("exists", schema="main", name=name) for name in names)
