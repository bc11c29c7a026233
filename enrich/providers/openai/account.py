"""The account: where to connect and as whom, and which parts of it are secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from enrich.providers.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

OPENAI_URL = "https://api.openai.com/v1"
SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|pass", re.I)
"""The names of headers that contain a secret."""
SURE_LENGTH = 8
"""A secret of at least this many characters does not occur in an answer by chance."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where to connect and as whom. `timeout` is in seconds. `service_tier` is asked for where
    requests are answered at once. `named` are the environment variables that the settings name,
    with their values. Never written to any file."""

    api_key: str = field(repr=False)
    base_url: str = ""
    organization: str = ""
    project: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    azure_endpoint: str = ""
    api_version: str = ""
    timeout: float = 600.0
    service_tier: str = ""
    key_variable: str = "OPENAI_API_KEY"
    named: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """Where requests go, without a user name or password. A variable's value in the path is
        replaced by a hash."""
        # The URL is part of every fingerprint and is shown to people. The value may be secret, but
        # another value may be another deployment, so it cannot just be left out.
        parts = urlsplit(self.azure_endpoint or self.base_url or OPENAI_URL)
        host = parts.netloc.rpartition("@")[2]
        path = self.hide_named(parts.path.rstrip("/"))
        return urlunsplit((parts.scheme, host, path, "", ""))

    def hide_named(self, text: str) -> str:
        """Returns a text with a hash in place of the value of each variable that settings name."""
        for name, value in self.named.items():
            digest = sha256(value.encode()).hexdigest()[:8]
            text = text.replace(value, f"${{{name}}}-{digest}")
        return text

    @cached_property
    def secrets(self) -> Secrets:
        """Everything configured that may be secret: messages show a server's words without it."""
        found = (self.api_key, *self.headers.values(), *self.named.values(), self._password)
        return Secrets.from_values(found)

    @property
    def _password(self) -> str:
        """The password in the address; "" if it has none."""
        return unquote(urlsplit(self.azure_endpoint or self.base_url).password or "")

    @cached_property
    def sure_secrets(self) -> Secrets:
        """What is certainly secret, and too long to occur in an answer by chance."""
        # Answers are data: a header such as `x-team: movies` must not cut words out of them.
        headers = (value for name, value in self.headers.items() if SECRET_HEADER.search(name))
        found = (self.api_key, *headers, *self.named.values(), self._password)
        return Secrets.from_values(value for value in found if len(value) >= SURE_LENGTH)

    @property
    def chat_headers(self) -> dict[str, str]:
        """The headers of a request that goes without the SDK, as the SDK would send them."""
        named = {"OpenAI-Organization": self.organization, "OpenAI-Project": self.project}
        key = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        if self.azure_endpoint:
            key = {"api-key": self.api_key}
        return {**key, **{name: value for name, value in named.items() if value}, **self.headers}

    def redact(self, text: str) -> str:
        """`text` without any secret of this account."""
        return self.secrets.redact(text)


def is_url(text: str) -> bool:
    """Whether a text is the URL of an HTTP server.

    >>> is_url("https://host/v1"), is_url("host/v1"), is_url("https://host:0")
    (True, False, False)
    """
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
