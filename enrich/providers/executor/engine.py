"""The engine: whatever answers one request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from enrich.providers.executor.folder import Folder

    OpenEngines = Callable[[Folder], Sequence["Engine"]]
    """Opens the engines of a batch, which may keep files in its folder; raises EngineFailed."""


class EngineFailed(Exception):
    """The engine cannot be opened; the text says why, and the batch has failed."""


class EngineReply(NamedTuple):
    """What came of a request: an HTTP status, and a body; a refusal is a reply, too."""

    status: int
    body: Mapping[str, Any]


def _stay_cold(body: Mapping[str, Any]) -> None:
    """An engine that need not be warmed."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """`answer` gives the reply to a request's body, and is called by `slots` threads at once. What
    it raises ends the worker, and the row is asked again. `warm` is called once before, with the
    body of the first of several requests."""

    answer: Callable[[Mapping[str, Any]], EngineReply]
    slots: int = 1
    warm: Callable[[Mapping[str, Any]], None] = _stay_cold
