"""The graph: which model reads which, and in what order the models run."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from enrich.errors import ProjectError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.errors import EnrichError
    from enrich.manifest.model import Model


@dataclass(frozen=True)
class Graph:
    """The models of a project by name.

    `leaves` maps the names of seeds and sources, which models may read too, to what they are.
    `broken` maps the names of models that cannot be read to what is wrong with them. `unread` are
    sentences on files that are ignored.
    """

    models: Mapping[str, Model]
    leaves: Mapping[str, str]
    broken: Mapping[str, EnrichError] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    @cached_property
    def parents(self) -> Mapping[str, frozenset[str]]:
        """The models that each model reads."""
        lowered = {name.lower(): name for name in self.models}
        return {
            name: frozenset(lowered[table] for table in model.reads if table in lowered)
            for name, model in self.models.items()
        }

    @cached_property
    def order(self) -> tuple[str, ...]:
        """All models, each after those that it reads. Raises ProjectError for a cycle."""
        try:
            return tuple(TopologicalSorter(self.parents).static_order())
        except CycleError as problem:
            # graphlib lists a cycle from a model to what reads it, with the first model again at
            # the end; people follow it the other way.
            circle = list(reversed(problem.args[1]))
            if len(circle) == 2:
                message = f"{self.models[circle[0]].source}: '{circle[0]}' reads its own table"
                hint = "read the source table instead"
            else:
                message = f"these models read each other in a circle: {' -> '.join(circle)}"
                hint = "change the SELECT of one of them so that it no longer reads the next"
            raise ProjectError(message, hint=hint) from problem

    def list_tables(self, name: str) -> tuple[str, ...]:
        """Returns the tables that a model reads besides other models: seeds and sources with their
        names as spelled, all others in lower case."""
        lowered = {leaf.lower(): leaf for leaf in self.leaves}
        others = self.models[name].reads - {parent.lower() for parent in self.parents[name]}
        return tuple(sorted(lowered.get(table, table) for table in others))

    @cached_property
    def children(self) -> Mapping[str, frozenset[str]]:
        """The models that read each model."""
        return {
            name: frozenset(other for other, parents in self.parents.items() if name in parents)
            for name in self.models
        }

    def find_ancestors(self, name: str) -> frozenset[str]:
        """Returns the names of all models that this one depends on."""
        return frozenset(find_reachable([name], self.parents))

    def find_unstable(self, name: str) -> tuple[str, ...]:
        """Returns what may give a model other rows or texts in each run: in itself, and in the
        plain models that it depends on."""
        # Models that ask an llm end the search: their answers are kept, so what is unstable before
        # them has been settled in a table. Plain models are created again in every run.
        before = [self.models[other] for other in sorted(self.find_ancestors(name))]
        plain = [model for model in before if not model.asks]
        return tuple(word for model in (self.models[name], *plain) for word in model.unstable)

    def find_model(self, name: str) -> Model:
        """Returns the model of this name. Raises ProjectError if there is none, and what is wrong
        with it if it cannot be read."""
        if name in self.broken:
            raise self.broken[name]
        if name not in self.models:
            hint = nearest(name, self.models) or "there is no NAME.sql in models/ yet"
            raise ProjectError(f"there is no model '{name}'", hint=hint)
        return self.models[name]


def find_reachable(
    names: Iterable[str], edges: Mapping[str, Iterable[str]], *, steps: int | None = None
) -> set[str]:
    """Returns all names that can be reached from `names` in at most `steps` steps; None sets no
    limit. `names` themselves are only included if a path leads back to them."""
    found: set[str] = set()
    edge = set(names)
    while edge and steps != 0:
        edge = {other for name in edge for other in edges[name]} - found
        found |= edge
        steps = None if steps is None else steps - 1
    return found
