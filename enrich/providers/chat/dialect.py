"""Dialects: how a chat server is asked, and how its answers are read."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.providers.chat.settings import ChatSettings

DIALECTS = {"anthropic": ("enrich.providers.anthropic.dialect", "MessagesDialect")}
"""The module and the class of each dialect by its name in `ChatSettings`."""


class Dialect(Protocol):
    """Turns requests in the form of OpenAI's API into those of a server, and answers back."""

    def name_headers(self, settings: ChatSettings) -> Mapping[str, str]:
        """Returns the headers of every request, besides those of the account."""

    def locate(self, settings: ChatSettings, request: Mapping[str, Any]) -> str:
        """Returns where a request goes."""

    def encode(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the body that is sent. Called for bodies that were accepted before only."""

    def decode(self, document: Any) -> Any:  # noqa: ANN401  # a server may send anything
        """Returns an answer with status 200 in OpenAI's form."""


class OpenAIDialect:
    """OpenAI's own, which most servers speak."""

    def name_headers(self, settings: ChatSettings) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def locate(self, settings: ChatSettings, request: Mapping[str, Any]) -> str:
        return settings.locate(request)

    def encode(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return body

    def decode(self, document: Any) -> Any:  # noqa: ANN401
        return document


def load_dialect(name: str) -> Dialect:
    """Returns the dialect of this name; "" is OpenAI's."""
    if not name:
        return OpenAIDialect()
    module, found = DIALECTS[name]
    return cast("Dialect", getattr(import_module(module), found)())
