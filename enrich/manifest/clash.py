"""Clashes: copies of two tables that would be in one place, or one inside the other."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from enrich.errors import EnrichError, ProjectError
from enrich.manifest.destination import FolderDestination, TableDestination, find_destination

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enrich.manifest.config import Config
    from enrich.manifest.destination import Destination
    from enrich.manifest.model import Model


def find_clashes(config: Config, models: Iterable[Model]) -> dict[str, ProjectError]:
    """Returns what is wrong with the models whose copies would be in one place, or one inside the
    other, by name."""
    placed: dict[str, Destination] = {}
    found: dict[str, ProjectError] = {}
    for model in models:
        with suppress(EnrichError):  # what is wrong with one alone is said where it is checked
            destination = find_destination(config, model)
            if destination is None:
                continue
            other = placed.setdefault(_spell_place(destination), destination)
            if other is not destination:
                found[model.name] = _explain_clash(destination, other)
                found[other.model] = _explain_clash(other, destination)
    for spelled, inner in placed.items():
        above = spelled
        while above := above.rpartition("/")[0]:
            if above in placed:
                found[inner.model] = _explain_clash(inner, placed[above])
                found[placed[above].model] = _explain_clash(placed[above], inner)
    return found


def _spell_place(destination: Destination) -> str:
    """Returns a text that is the same for the same place, and longer for what is inside it."""
    if isinstance(destination, FolderDestination):
        return destination.path.resolve().as_posix()
    if isinstance(destination, TableDestination):
        return destination.said.to.lower()
    return destination.said.to.rstrip("/")


def _explain_clash(destination: Destination, other: Destination) -> ProjectError:
    own, its = _spell_place(destination), _spell_place(other)
    how = "is" if own == its else "is inside" if own.startswith(its) else "holds"
    message = f"{destination.source}: {destination.said.to} {how} the copy of {other.model}"
    return ProjectError(message, hint="publish each table to a place of its own")
