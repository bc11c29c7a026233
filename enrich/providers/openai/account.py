"""The account: where to connect and as whom, and which of it is secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from enrich.providers.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

OPENAI_URL = "https://api.openai.com/v1"
SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|pass", re.I)
"""Headers that carry a secret, by their names."""
SURE_LENGTH = 8
"""A secret of so many letters is no word that an answer holds by chance."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where to connect and as whom; `timeout` is in seconds. `named` are environment variables that
    its settings name, with their values. Never written anywhere."""

    api_key: str = field(repr=False)
    base_url: str = ""
    organization: str = ""
    project: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    azure_endpoint: str = ""
    api_version: str = ""
    timeout: float = 600.0
    named: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """Where requests go, without a name or password that the address may hold. The value of a
        variable in its path is known by its hash: it may be a secret."""
        parts = urlsplit(self.azure_endpoint or self.base_url or OPENAI_URL)
        host = parts.netloc.rpartition("@")[2]
        path = parts.path.rstrip("/")
        for name, value in self.named.items():
            digest = sha256(value.encode()).hexdigest()[:8]
            path = path.replace(value, f"${{{name}}}-{digest}")
        return urlunsplit((parts.scheme, host, path, "", ""))

    @cached_property
    def secrets(self) -> Secrets:
        """All that is configured and may be one: what a server's words are shown without."""
        return Secrets.from_values((self.api_key, *self.headers.values(), *self.named.values()))

    @cached_property
    def sure_secrets(self) -> Secrets:
        """What is one for sure, and no word that an answer could hold by chance."""
        headers = (value for name, value in self.headers.items() if SECRET_HEADER.search(name))
        found = (self.api_key, *headers, *self.named.values())
        return Secrets.from_values(value for value in found if len(value) >= SURE_LENGTH)

    def redact(self, text: str) -> str:
        """`text` without any secret of this account."""
        return self.secrets.redact(text)


def is_url(text: str) -> bool:
    """Whether a text is an address that HTTP can be spoken to.

    >>> is_url("https://host/v1"), is_url("host/v1"), is_url("https://host:0")
    (True, False, False)
    """
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
