"""The workspace: a project's settings, files, models and providers, opened for one process."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.db.files import Files
from enrich.errors import Locked, ProjectError, nearest
from enrich.manifest import hidden, loading, variables
from enrich.manifest.config import Config
from enrich.manifest.sources import resolve_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.data_test import DataTest
    from enrich.manifest.graph import Graph
    from enrich.pipeline.listener import Listener
    from enrich.providers import Provider


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A project as every command needs it.

    `variables` are those of project.yml with the command line's; `environment` is where `${NAME}`
    and keys are looked up. Models are read when they are first asked for, and then remembered.
    """

    config: Config
    files: Files
    listener: Listener
    environment: Mapping[str, str]
    variables: Mapping[str, Any]
    _providers: dict[str, Provider] = field(default_factory=dict, repr=False)
    _loaded: dict[str, tuple[Graph, tuple[DataTest, ...]]] = field(default_factory=dict, repr=False)
    _told: set[str] = field(default_factory=set, repr=False)

    @classmethod
    def from_folder(
        cls,
        path: Path,
        *,
        listener: Listener,
        lock_timeout: float | None = None,
        verbose: bool = False,
        environment: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Workspace:
        """The project in a folder. `lock_timeout` (seconds) and the `overrides` of its variables
        win over project.yml. Raises ProjectError where that is missing or wrong."""
        config = Config.from_folder(path)
        environment = os.environ if environment is None else environment
        for name in overrides or {}:
            if name not in config.variables:
                hint = nearest(name, config.variables)
                raise ProjectError(f"project.yml has no variable '{name}'", hint=hint)
        return cls(
            config=config,
            files=_files(
                config,
                environment,
                listener,
                lock_timeout=config.lock_timeout if lock_timeout is None else lock_timeout,
                verbose=verbose,
            ),
            listener=listener,
            environment=environment,
            variables={**config.variables, **(overrides or {})},
        )

    def with_variables(self, values: Mapping[str, Any]) -> Workspace:
        """The same project with other values of its variables: what a model that waited was told
        when it was begun."""
        return replace(self, variables=values)

    @property
    def graph(self) -> Graph:
        """Which model reads which."""
        return self._load()[0]

    @property
    def sql_tests(self) -> tuple[DataTest, ...]:
        """The tests that are SQL files."""
        return self._load()[1]

    def _load(self) -> tuple[Graph, tuple[DataTest, ...]]:
        key = variables.dump_values(self.variables)
        if key not in self._loaded:
            tests = loading.load_tests(self.config, self.variables)
            found = loading.load_graph(self.config, self.variables)
            for problem in found.broken.values():
                self.say_once(f"{problem.message} ({problem.hint})")
            for sentence in found.unread:
                self.say_once(sentence)
            self._loaded[key] = self._look_behind(found), tests
        return self._loaded[key]

    def _look_behind(self, found: Graph) -> Graph:
        """The graph with what models read behind the user's macros and views. The warehouse is
        only asked where a model names what is no model, seed, source or function of DuckDB's."""
        if not self.config.warehouse.exists() or not hidden.may_hide(found):
            return found
        try:
            with self.files.open_warehouse("read") as database:
                return replace(found, models=hidden.resolve_reads(database, found.models))
        except Locked as problem:
            self.listener.say(f"{problem.message}: what macros and views hide is not known")
            return found

    def open_provider(self, name: str) -> Provider:
        """The provider that project.yml calls `name`."""
        from enrich.providers.registry import open_provider

        if name not in self.config.providers:
            hint = nearest(name, self.config.providers)
            raise ProjectError(f"project.yml names no provider '{name}'", hint=hint)
        if name not in self._providers:
            self._providers[name] = open_provider(
                name,
                self.config.providers[name],
                root=self.config.root,
                work=self.files.work,
                environment=self.environment,
            )
        return self._providers[name]

    def say_once(self, sentence: str) -> None:
        """Say a sentence, unless it was said before."""
        if sentence not in self._told:
            self.listener.say(sentence)
            self._told.add(sentence)


def _files(
    config: Config,
    environment: Mapping[str, str],
    listener: Listener,
    *,
    lock_timeout: float,
    verbose: bool,
) -> Files:
    """The project's databases, and what SQL may read; copies where the folder cannot be written."""
    attached = tuple(resolve_address(each, environment, config.root) for each in config.attached)
    beside = (config.seeds, *(path for source in config.sources for path in source.reach))
    beside += tuple(Path(each.path) for each in attached if each.type == "duckdb")
    files = Files(
        root=config.root,
        warehouse=config.warehouse,
        ledger=config.ledger,
        work=config.work,
        lock_timeout=lock_timeout,
        say=listener.say,
        verbose=verbose,
        reach=config.reach if config.reach is None else (*config.reach, *beside),
        memory_limit=config.memory_limit,
        attached=attached,
        storage=config.storage,
    )
    return files if files.writable else files.on_copies()
