"""What a worker is told: where to ask and how fast. Keys go by its environment, never to disk."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRETS_VARIABLE = "ENRICH_CHAT_SECRETS"
"""The environment variable by which a worker gets its headers, and what must not be written."""


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    """How a server is asked. `url` is that of its API, such as https://host/v1, `timeout` is in
    seconds, `concurrency` is the most requests at once, and `requests` and `tokens` are limits for
    a minute; None: no such limit. With `api_version`, the server is Azure's, where each llm has an
    address of its own. `service_tier` goes into each request; "": none."""

    name: str
    url: str
    timeout: float
    concurrency: int | None = None
    requests: int | None = None
    tokens: int | None = None
    api_version: str = ""
    service_tier: str = ""

    def locate(self, request: Mapping[str, Any]) -> str:
        """Returns where a request goes.

        >>> here = ChatSettings(name="x", url="https://host/openai", timeout=60, api_version="2")
        >>> here.locate({"url": "/v1/chat/completions", "body": {"model": "gpt"}})
        'https://host/openai/deployments/gpt/chat/completions?api-version=2'
        """
        path = str(request["url"]).removeprefix("/v1")
        if not self.api_version:
            return f"{self.url}{path}"
        deployment = quote(str(request["body"].get("model", "")), safe="")
        version = quote(self.api_version)
        return f"{self.url}/deployments/{deployment}{path}?api-version={version}"


@dataclass(frozen=True, kw_only=True)
class ChatSecrets:
    """The headers of each request; `hidden` are the texts that no message may show, and `sure`
    those of them that no answer can hold by chance."""

    headers: dict[str, str]
    hidden: tuple[str, ...] = ()
    sure: tuple[str, ...] = ()

    def to_environment(self) -> dict[str, str]:
        """The environment variable that holds them, for a child process."""
        return {SECRETS_VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> ChatSecrets:
        """Those of this process, which forgets them."""
        values = json.loads(os.environ.pop(SECRETS_VARIABLE, '{"headers": {}}'))
        hidden, sure = (tuple(values.get(name, ())) for name in ("hidden", "sure"))
        return cls(headers=values["headers"], hidden=hidden, sure=sure)
