"""What a worker is told: where to ask and how fast. Keys go by its environment, never to disk."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

SECRETS_VARIABLE = "ENRICH_CHAT_SECRETS"
"""The environment variable by which a worker gets its headers, and what must not be written."""


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    """How a server is asked. `url` is that of its API, such as https://host/v1, `timeout` is in
    seconds, `concurrency` is the most requests at once, and `requests` and `tokens` are limits for
    a minute; None: no such limit. `service_tier` goes into each request; "": none."""

    name: str
    url: str
    timeout: float
    concurrency: int | None = None
    requests: int | None = None
    tokens: int | None = None
    service_tier: str = ""


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
