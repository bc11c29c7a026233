"""The graph: which model reads which, in what order they run, and which of them a command means."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from enrich.errors import ProjectError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.errors import EnrichError
    from enrich.model import Model

TAG = "tag:"
WILD = "*?["


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

    def tables(self, name: str) -> tuple[str, ...]:
        """What a model reads besides models: seeds and sources as they are called, others as the
        SELECT names them, in lower case."""
        lowered = {leaf.lower(): leaf for leaf in self.leaves}
        others = self.models[name].reads - {parent.lower() for parent in self.parents[name]}
        return tuple(sorted(lowered.get(table, table) for table in others))

    def before(self, name: str) -> frozenset[str]:
        """Every model that this one depends on."""
        return _reached(name, self.parents)

    def after(self, name: str) -> frozenset[str]:
        """Every model that depends on this one."""
        children: dict[str, set[str]] = {other: set() for other in self.models}
        for child, parents in self.parents.items():
            for parent in parents:
                children[parent].add(child)
        return _reached(name, children)

    def unstable(self, name: str) -> tuple[str, ...]:
        """What may give a model other rows or texts each time: in itself, and in the plain models
        before it, for those are made anew."""
        before = [self.models[other] for other in sorted(self.before(name))]
        plain = [model for model in before if model.prompt is None]
        return tuple(word for model in (self.models[name], *plain) for word in model.unstable)

    def select(self, terms: Iterable[str] = (), exclude: Iterable[str] = ()) -> tuple[Model, ...]:
        """The models that any of `terms` means and none of `exclude`, in the order they run; all,
        where there are no terms.

        A term is `name`, a pattern such as `movies_*`, `tag:word`, or a file or folder of models;
        `+term` also means what it depends on, and `term+` what depends on it.
        """
        words = list(terms)
        wanted = {name for term in words for name in self._meant(term)}
        left_out = {name for term in exclude for name in self._meant(term)}
        found = (set(self.models) if not words else wanted) - left_out
        if not found and self.models:
            raise ProjectError("no model is left to work on", hint="enrich list shows all of them")
        return tuple(self.models[name] for name in self.order if name in found)

    def one(self, name: str) -> Model:
        """The model of this name. Raises what is wrong with it, if it cannot be read."""
        if name in self.broken:
            raise self.broken[name]
        if name not in self.models:
            hint = nearest(name, self.models) or "models/ holds no NAME.sql yet"
            raise ProjectError(f"there is no model '{name}'", hint=hint)
        return self.models[name]

    def _meant(self, term: str) -> set[str]:
        core = term.removeprefix("+").removesuffix("+")
        named = self._named(core)
        above = {other for name in named for other in self.before(name)} if term[:1] == "+" else ()
        below = {other for name in named for other in self.after(name)} if term[-1:] == "+" else ()
        return named | {*above, *below}

    def _named(self, word: str) -> set[str]:
        if word.startswith(TAG):
            tag = word.removeprefix(TAG)
            tags = {tag for model in self.models.values() for tag in model.tags}
            if tag not in tags:
                hint = nearest(tag, tags) or "a prompt has `tags: [word]`, a SELECT `-- tags: word`"
                raise ProjectError(f"no model has the tag '{tag}'", hint=hint)
            return {name for name, model in self.models.items() if tag in model.tags}
        if "/" in word or word.endswith((".sql", ".md")):
            return self._stored(word)
        if any(letter in word for letter in WILD):
            found = {name for name in self.models if fnmatchcase(name, word)}
            if not found:
                raise ProjectError(f"no model is called '{word}'", hint=nearest(word, self.models))
            return found
        return {self.one(word).name}

    def _stored(self, word: str) -> set[str]:
        """The models in a file or below a folder."""
        path = word.removeprefix("./").rstrip("/")
        stem = path.removesuffix(".sql").removesuffix(".prompt.md")
        found = {
            name
            for name, model in self.models.items()
            if model.source.removesuffix(".sql") == stem or model.source.startswith(f"{path}/")
        }
        if not found:
            hint = nearest(path, (model.source for model in self.models.values()))
            raise ProjectError(f"no model is in '{word}'", hint=hint)
        return found


def _reached(name: str, steps: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """All that can be reached from `name`, without it."""
    found: set[str] = set()
    todo = [name]
    while todo:
        for other in steps[todo.pop()]:
            if other not in found:
                found.add(other)
                todo.append(other)
    return frozenset(found)
