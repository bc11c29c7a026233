"""Selection: which models a command is about, in dbt's syntax.

A term is `name`, a pattern such as `movies_*`, `tag:word`, `path:models/x`, a file or folder, or
`changed:`. `+term` adds the models that it depends on, and `term+` those that depend on it;
`2+term` goes at most two steps up. `a,b` selects the models that both terms select.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from enrich.errors import ProjectError, nearest
from enrich.manifest.graph import find_reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model

SELECTION_TERM = re.compile(r"(?:(\d*)\+)?(.*?)(?:\+(\d*))?")
TAG_PREFIX, PATH_PREFIX, CHANGED_PREFIX = "tag:", "path:", "changed:"
WILDCARDS = "*?["


def select_models(
    graph: Graph,
    terms: Iterable[str] = (),
    exclude: Iterable[str] = (),
    *,
    changed: Callable[[str], set[str]] | None = None,
) -> tuple[Model, ...]:
    """Returns the models that any of `terms` and none of `exclude` selects, in the order in which
    they run; without terms, all models count as selected.

    `changed` returns the names of the models that have something to ask, for the reason that
    follows `changed:`, if there is one. Raises ProjectError if nothing is left.
    """
    words = list(terms)
    known = changed or _refuse_changed
    wanted, left_out = match_terms(graph, words, known), match_terms(graph, exclude, known)
    found = (wanted if words else set(graph.models)) - left_out
    # That no model has changed is an answer, and a nightly job should not fail for it.
    asked = any(CHANGED_PREFIX in word for word in words)
    if not found and graph.models and not asked:
        raise ProjectError("no model is left to work on", hint="enrich list shows all models")
    return tuple(graph.models[name] for name in graph.order if name in found)


def match_terms(graph: Graph, terms: Iterable[str], changed: Callable[[str], set[str]]) -> set[str]:
    """Returns the names of the models that any of the terms selects. `changed` is as for
    `select_models`."""
    found: set[str] = set()
    for each in terms:
        # As in dbt, one argument may hold several terms: --select "a b".
        for term in each.split():
            parts = [_match_term(graph, part, changed) for part in term.split(",")]
            found |= set.intersection(*parts)
    return found


def _match_term(graph: Graph, term: str, changed: Callable[[str], set[str]]) -> set[str]:
    match = SELECTION_TERM.fullmatch(term)
    before, core, after = match.groups() if match else (None, term, None)
    named = (
        changed(core.removeprefix(CHANGED_PREFIX))
        if core.startswith(CHANGED_PREFIX)
        else _match_core(graph, core)
    )
    found = set(named)
    if before is not None:
        found |= find_reachable(named, graph.parents, steps=int(before) if before else None)
    if after is not None:
        found |= find_reachable(named, graph.children, steps=int(after) if after else None)
    return found


def _match_core(graph: Graph, word: str) -> set[str]:
    if word.startswith(TAG_PREFIX):
        return _match_tag(graph, word.removeprefix(TAG_PREFIX))
    if word.startswith(PATH_PREFIX):
        return _match_path(graph, word.removeprefix(PATH_PREFIX))
    if any(letter in word for letter in WILDCARDS) and "/" not in word:
        found = {name for name in graph.models if fnmatchcase(name, word)}
        if not found:
            raise ProjectError(f"no model matches '{word}'", hint=nearest(word, graph.models))
        return found
    if "/" in word or word.endswith((".sql", ".md")):
        return _match_path(graph, word)
    return {graph.find_model(word).name}


def _match_tag(graph: Graph, tag: str) -> set[str]:
    found = {name for name, model in graph.models.items() if tag in model.tags}
    if not found:
        tags = {tag for model in graph.models.values() for tag in model.tags}
        hint = nearest(tag, tags) or "a prompt sets `tags: [word]`, a SELECT `-- tags: word`"
        raise ProjectError(f"no model has the tag '{tag}'", hint=hint)
    return found


def _match_path(graph: Graph, word: str) -> set[str]:
    """Returns the models in a file, below a folder, or in files that match a pattern."""
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


def _refuse_changed(_: str) -> set[str]:
    hint = "use `changed:` with plan, run or list"
    raise ProjectError("this command cannot tell which models have changed", hint=hint)
