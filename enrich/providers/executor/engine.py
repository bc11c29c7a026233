"""The engine: whatever answers a single request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from enrich.providers.executor.folder import Folder

    OpenEngines = Callable[[Folder], Sequence["Engine"]]
    """Opens the engines of a batch, which may keep files in its folder. Raises EngineFailed."""


class EngineFailed(Exception):
    """The engine cannot be opened, so its batch fails; the message says why."""


class EngineReply(NamedTuple):
    """The answer to a request: an HTTP status and a body. A refusal is a reply, too."""

    status: int
    body: Mapping[str, Any]


def _stay_cold(body: Mapping[str, Any]) -> None:
    """Does nothing, for engines that need no warming."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """`answer` returns the reply to a request's body, and is called by `slots` threads at the same
    time. An exception ends the worker, and the row is asked again by the next one. If there are
    several requests, `warm` is called once, before them, with the body of the first."""

    answer: Callable[[Mapping[str, Any]], EngineReply]
    slots: int = 1
    warm: Callable[[Mapping[str, Any]], None] = _stay_cold
