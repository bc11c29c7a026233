"""The graph: which model reads which, in what order they run, and which of them a command means."""

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
    """The models of a project, by name; each reads others and the tables of `leaves`, which are
    seeds and sources by name, and what they are. `broken` says why other models cannot be read, and
    `unread` which files stand for nothing."""

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
        """Every model after those it reads. Raises ProjectError where they go in a circle."""
        try:
            return tuple(TopologicalSorter(self.parents).static_order())
        except CycleError as problem:
            circle = list(reversed(problem.args[1]))
            if len(circle) == 2:
                message = f"{self.models[circle[0]].source}: '{circle[0]}' reads its own table"
                hint = "read the source table instead"
            else:
                message = f"these models read each other in a circle: {' -> '.join(circle)}"
                hint = "break it at one of them"
            raise ProjectError(message, hint=hint) from problem

    def list_tables(self, name: str) -> tuple[str, ...]:
        """What a model reads besides models: seeds and sources as they are called, others as the
        SELECT names them, in lower case."""
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
        """Every model that this one depends on."""
        return frozenset(find_reachable([name], self.parents))

    def find_unstable(self, name: str) -> tuple[str, ...]:
        """What may give a model other rows or texts each time: in itself, and in the plain models
        before it, for those are made anew."""
        before = [self.models[other] for other in sorted(self.find_ancestors(name))]
        plain = [model for model in before if not model.asks]
        return tuple(word for model in (self.models[name], *plain) for word in model.unstable)

    def find_model(self, name: str) -> Model:
        """The model of this name. Raises what is wrong with it, if it cannot be read."""
        if name in self.broken:
            raise self.broken[name]
        if name not in self.models:
            hint = nearest(name, self.models) or "models/ holds no NAME.sql yet"
            raise ProjectError(f"there is no model '{name}'", hint=hint)
        return self.models[name]


def find_reachable(
    names: Iterable[str], edges: Mapping[str, Iterable[str]], *, steps: int | None = None
) -> set[str]:
    """All that can be reached from `names` in so many steps, without themselves unless a path leads
    back."""
    found: set[str] = set()
    edge = set(names)
    while edge and steps != 0:
        edge = {other for name in edge for other in edges[name]} - found
        found |= edge
        steps = None if steps is None else steps - 1
    return found
