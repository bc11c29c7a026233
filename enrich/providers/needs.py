"""Needs: what the requests of a model ask of a server, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.prompt import Endpoint, ResponseFormat

USUAL_VALUES: Mapping[str, Any] = {
    "temperature": 1,
    "top_p": 1,
    "n": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
}
"""The defaults of OpenAI's API: to ask for them is to ask for nothing."""


@dataclass(frozen=True, kw_only=True)
class RequestNeeds:
    """What every request of a model has, as far as a server may not know it. Parameters with their
    usual values are left out."""

    llm: str
    endpoint: Endpoint
    response_format: ResponseFormat
    images: bool
    params: Mapping[str, Any]

    @property
    def unusual(self) -> tuple[str, ...]:
        """The parameters that are set to something other than their defaults."""
        return tuple(
            name
            for name, value in self.params.items()
            if value is not None and (name not in USUAL_VALUES or value != USUAL_VALUES[name])
        )


@dataclass(frozen=True, kw_only=True)
class Objection:
    """Why a server may refuse the requests of a model: `what`, and what to do about it (`hint`).
    `setting` is the one to change: a parameter, or a key of the prompt or of the provider; "" for
    none. Where it is not `certain`, the server is left to decide."""

    setting: str
    what: str
    hint: str
    certain: bool = False
