"""Workspace: a project's settings, files, models and providers, opened for one process."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.db.complaint import find_missing_table
from enrich.db.files import DatabaseFiles
from enrich.db.quote import quote_name
from enrich.errors import DatabaseError, EnrichError, Locked, ProjectError, nearest
from enrich.manifest import variables
from enrich.manifest.config import Config
from enrich.manifest.place import find_place
from enrich.manifest.sources import resolve_address
from enrich.providers.capabilities import NOW, choose_now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.data_test import DataTest
    from enrich.manifest.graph import Graph
    from enrich.pipeline.listener import Listener
    from enrich.providers import Provider


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A project as every command needs it.

    `variables` are those of project.yml with the command line's overrides. `${NAME}` and API keys
    are looked up in `environment`. Models are parsed on first use, and then cached.
    """

    config: Config
    files: DatabaseFiles
    listener: Listener
    environment: Mapping[str, str]
    variables: Mapping[str, Any]
    _providers: dict[str, Provider] = field(default_factory=dict, repr=False)
    _loaded: dict[str, tuple[Graph, tuple[DataTest, ...]]] = field(default_factory=dict, repr=False)
    _said: set[str] = field(default_factory=set, repr=False)

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
        """Open the project in a folder. `lock_timeout` (seconds) and the `overrides` of variables
        take precedence over project.yml. Raises ProjectError if that is missing or invalid."""
        config = Config.from_folder(path)
        # An empty mapping is an environment as well, so None is asked for and not its truth.
        environment = os.environ if environment is None else environment
        for name in overrides or {}:
            if name not in config.variables:
                hint = nearest(name, config.variables)
                raise ProjectError(f"project.yml has no variable '{name}'", hint=hint)
        return cls(
            config=config,
            files=_open_files(
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
        """Returns the same project with other values of its variables: those that a queued model
        was queued with."""
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
        # Imported here, because `status` seldom needs the models.
        from enrich.manifest import loading
        from enrich.pipeline.tested import check_targets

        # A variable may be anywhere in a model, so each set of values has models of its own.
        key = variables.dump_values(self.variables)
        if key not in self._loaded:
            tests = loading.load_tests(self.config, self.variables)
            found = loading.load_graph(self.config, self.variables)
            for problem in found.broken.values():
                self.say_once(f"{problem.message} ({problem.hint})")
            for sentence in found.unread:
                self.say_once(sentence)
            graph = self._look_behind(found)
            checked, unread = check_targets(graph, tests, self._find_missing)
            faults = [checked.broken[name] for name in checked.broken.keys() - graph.broken.keys()]
            for sentence in (*unread, *(f"{each.message} ({each.hint})" for each in faults)):
                self.say_once(sentence)
            self._loaded[key] = checked, tests
        return self._loaded[key]

    def _look_behind(self, found: Graph) -> Graph:
        """Returns the graph with what models read through the user's macros and views.

        The warehouse is opened only if a model names something that is not a model, a seed, a
        source or a function of DuckDB's.
        """
        from enrich.manifest import hidden

        if not self.config.warehouse.exists() or not hidden.may_hide(found):
            return found
        try:
            with self.files.open_warehouse("read") as database:
                return replace(found, models=hidden.resolve_reads(database, found.models))
        except Locked as problem:
            self.listener.say(f"{problem.message}: what macros and views read is not known")
            return found

    def _find_missing(self, names: set[str]) -> set[str]:
        """Returns which of these tables are not in the warehouse, as far as it can be looked at."""
        if not self.config.warehouse.exists():
            return names
        missing = set()
        try:
            with self.files.open_warehouse("read") as database:
                for name in names:
                    try:
                        database.describe(f"FROM {quote_name(name)}")
                    except DatabaseError as problem:
                        missing |= {name} if find_missing_table(problem) else set()
        except EnrichError:  # it is locked or damaged, which whoever needs it reports
            return set()
        return missing

    def open_provider(self, name: str) -> Provider:
        """Returns the provider that project.yml calls `name`; `NAME:now` is the same provider,
        answering batches at once. Raises ProjectError if there is none."""
        # Imported here, because providers load packages such as openai that most commands do
        # without.
        from enrich.providers.registry import open_provider

        base = name.removesuffix(NOW)
        if name not in self.config.providers and base != name:
            return choose_now(self.open_provider(base))
        if name not in self.config.providers:
            raise self._miss_provider(base)
        if name not in self._providers:
            self._providers[name] = open_provider(
                name,
                self.config.providers[name],
                root=self.config.root,
                work=self.files.work,
                environment=self.environment,
            )
        return self._providers[name]

    def _miss_provider(self, name: str) -> ProjectError:
        """Returns the error that there is no provider of this name, with the prompt that names it,
        if one does."""
        hint = nearest(name, self.config.providers)
        with suppress(EnrichError):  # what is wrong with other files is reported elsewhere
            for model in self.graph.models.values():
                if model.prompt and model.prompt.provider.removesuffix(NOW) == name:
                    place = find_place(model.prompt, self.config, "provider")
                    what = f"{place}: project.yml has no provider '{name}'"
                    return ProjectError(what, hint=hint)
        return ProjectError(f"project.yml names no provider '{name}'", hint=hint)

    def say_once(self, sentence: str) -> None:
        """Report a sentence, unless it has been reported before."""
        if sentence not in self._said:
            self.listener.say(sentence)
            self._said.add(sentence)


def _open_files(
    config: Config,
    environment: Mapping[str, str],
    listener: Listener,
    *,
    lock_timeout: float,
    verbose: bool,
) -> DatabaseFiles:
    """Returns the project's databases with what SQL may read; copies if the folder is read-only."""
    attached = tuple(
        resolve_address(each, environment, config.root) for each in config.attached if each.readable
    )
    beside = (config.seeds, *(path for source in config.sources for path in source.reach))
    beside += tuple(Path(each.path) for each in attached if each.type == "duckdb")
    # Sources and attached DuckDB files may be outside of the project: naming them in project.yml
    # is the permission to read them.
    files = DatabaseFiles(
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
    return files if files.is_writable else files.use_copies()
