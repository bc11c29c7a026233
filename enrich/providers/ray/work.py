"""Work: what an actor is told about its engine. What may be secret never lies on the storage."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class ActorSettings:
    """What a job's settings hold, on the storage. `actors`: how many; None: as many as fit.
    `resources`: what each is given, by Ray's names. `weights` is the path of a GGUF on the nodes,
    or "" where a server answers."""

    actors: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    timeout: float = 600.0
    concurrency: int | None = None
    weights: str = ""
    slots: int = 4
    context: int = 4096

    @property
    def threads(self) -> int | None:
        """How many threads llama.cpp is given; None: one for each core of the node."""
        return max(1, int(self.resources["CPU"])) if "CPU" in self.resources else None


@dataclass(frozen=True, kw_only=True)
class HiddenSettings:
    """What only the processes of the cluster get: the address of a server, or the command that
    starts one (`serve`), with its `environment`, the headers of each request, and the texts that
    messages (`hidden`) and answers (`sure`) must not hold."""

    url: str = ""
    serve: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    sure: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Returns them as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> HiddenSettings:
        """Returns those that `to_json` has written."""
        values: dict[str, Any] = json.loads(text)
        lists = {name: tuple(values[name]) for name in ("hidden", "sure")}
        return cls(**{**values, **lists})
