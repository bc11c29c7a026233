"""The dialect: how `POST /v1/messages` is asked in place of a chat completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enrich.providers.anthropic.message import translate_message
from enrich.providers.anthropic.request import translate_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.providers.chat.settings import ChatSettings


class MessagesDialect:
    """Anthropic's Messages API, as `enrich.providers.chat.dialect` has it."""

    def name_headers(self, settings: ChatSettings) -> Mapping[str, str]:
        """Returns the version of the API, without which it answers nothing."""
        return {"anthropic-version": settings.api_version}

    def locate(self, settings: ChatSettings, request: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Returns where messages are asked for."""
        return f"{settings.url.removesuffix('/v1')}/v1/messages"

    def encode(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the parameters of a message."""
        return translate_body(body)

    def decode(self, document: Any) -> Any:  # noqa: ANN401
        """Returns a message as a chat completion."""
        return translate_message(document)
