"""Selection: which models a command means, in dbt's words.

A term is `name`, a pattern such as `movies_*`, `tag:word`, `path:models/x`, a file or folder, or
`changed:`. `+term` adds what it depends on and `term+` what depends on it; `2+term` goes two steps
up. `a,b` are the models that both terms mean.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from enrich.errors import ProjectError, nearest
from enrich.manifest.graph import reached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model

TERM = re.compile(r"(?:(\d*)\+)?(.*?)(?:\+(\d*))?")
TAG, PATH, CHANGED = "tag:", "path:", "changed:"
WILD = "*?["


def select(
    graph: Graph,
    terms: Iterable[str] = (),
    exclude: Iterable[str] = (),
    *,
    changed: Callable[[str], set[str]] | None = None,
) -> tuple[Model, ...]:
    """The models that any of `terms` means and none of `exclude`, in the order they run; all, where
    there are no terms. `changed` gives those that have something to ask, of the reason that stands
    after `changed:`, if one does."""
    words = list(terms)
    known = changed or _unknown
    wanted, left_out = meant(graph, words, known), meant(graph, exclude, known)
    found = (wanted if words else set(graph.models)) - left_out
    asked = any(CHANGED in word for word in words)  # it may well be none
    if not found and graph.models and not asked:
        raise ProjectError("no model is left to work on", hint="enrich list shows all of them")
    return tuple(graph.models[name] for name in graph.order if name in found)


def meant(graph: Graph, terms: Iterable[str], changed: Callable[[str], set[str]]) -> set[str]:
    """The names of the models that any of the terms means; `changed` gives those that have
    something to ask, of the reason that stands after `changed:`, if one does."""
    found: set[str] = set()
    for each in terms:
        for term in each.split():
            parts = [_meant(graph, part, changed) for part in term.split(",")]
            found |= set.intersection(*parts)
    return found


def _meant(graph: Graph, term: str, changed: Callable[[str], set[str]]) -> set[str]:
    match = TERM.fullmatch(term)
    before, core, after = match.groups() if match else (None, term, None)
    named = changed(core.removeprefix(CHANGED)) if core.startswith(CHANGED) else _named(graph, core)
    found = set(named)
    if before is not None:
        found |= reached(named, graph.parents, steps=int(before) if before else None)
    if after is not None:
        found |= reached(named, graph.children, steps=int(after) if after else None)
    return found


def _named(graph: Graph, word: str) -> set[str]:
    if word.startswith(TAG):
        return _tagged(graph, word.removeprefix(TAG))
    if word.startswith(PATH):
        return _stored(graph, word.removeprefix(PATH))
    if any(letter in word for letter in WILD) and "/" not in word:
        found = {name for name in graph.models if fnmatchcase(name, word)}
        if not found:
            raise ProjectError(f"no model is called '{word}'", hint=nearest(word, graph.models))
        return found
    if "/" in word or word.endswith((".sql", ".md")):
        return _stored(graph, word)
    return {graph.one(word).name}


def _tagged(graph: Graph, tag: str) -> set[str]:
    found = {name for name, model in graph.models.items() if tag in model.tags}
    if not found:
        tags = {tag for model in graph.models.values() for tag in model.tags}
        hint = nearest(tag, tags) or "a prompt has `tags: [word]`, a SELECT `-- tags: word`"
        raise ProjectError(f"no model has the tag '{tag}'", hint=hint)
    return found


def _stored(graph: Graph, word: str) -> set[str]:
    """The models in a file, below a folder, or in files that a pattern matches."""
    path = word.removeprefix("./").rstrip("/")
    stem = path.removesuffix(".sql").removesuffix(".prompt.md")
    found = {
        name
        for name, model in graph.models.items()
        if model.source.removesuffix(".sql") == stem
        or model.source.startswith(f"{path}/")
        or fnmatchcase(model.source, path)
    }
    if not found:
        hint = nearest(path, (model.source for model in graph.models.values()))
        raise ProjectError(f"no model is in '{word}'", hint=hint)
    return found


def _unknown(_: str) -> set[str]:
    raise ProjectError(
        "nobody knows here which models have changed", hint="plan, run and list know: changed:"
    )
