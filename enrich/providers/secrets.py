"""Secrets: texts that must not occur in anything that is written or shown, in whatever form."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

STARS = "***"
SHORTEST = 4
"""Shorter values do not count as secrets: they would be found everywhere."""
SEARCH_CHUNK = 1 << 20


@dataclass(frozen=True)
class Secrets:
    """Texts that are replaced by stars: as they are, and as Python, JSON and URLs write them."""

    # Servers repeat what they were sent in their errors, encoded in one of these ways.

    values: tuple[str, ...] = ()

    @classmethod
    def from_values(cls, values: Iterable[str]) -> Secrets:
        """Returns the secrets among these values: those that are long enough."""
        return cls(tuple(dict.fromkeys(value for value in values if len(value) >= SHORTEST)))

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """Every form of every secret, the longest first."""
        # The longest first: if one secret contains another, the shorter one would leave the rest.
        found = {
            form
            for value in self.values
            for form in (
                value,
                repr(value)[1:-1],
                json.dumps(value)[1:-1],
                json.dumps(value, ensure_ascii=False)[1:-1],
                quote(value, safe=""),
                quote_plus(value),
                quote(value),
            )
        }
        return tuple(sorted(found, key=lambda form: (-len(form), form)))

    def redact(self, text: str) -> str:
        """Returns a text without any form of a secret.
        >>> Secrets.from_values(["sk-a/b+c"]).redact("no sk-a/b+c, no sk-a%2Fb%2Bc")
        'no ***, no ***'
        """
        for form in self.forms:
            text = text.replace(form, STARS)
        return text

    def clean(self, path: Path) -> None:
        """Removes the secrets from a file, if a server wrote any into it."""
        # Nearly no file contains one, and searching is much faster than writing it again.
        if not self.forms or not self._is_in(path):
            return
        pattern = re.compile(b"|".join(re.escape(form.encode()) for form in self.forms))
        part = path.with_suffix(".clean")
        with path.open("rb") as lines, open_private(part, "wb") as clean:
            for line in lines:
                clean.write(pattern.sub(STARS.encode(), line))
        part.replace(path)

    def _is_in(self, path: Path) -> bool:
        """Whether a file contains any form of a secret, possibly across two chunks."""
        forms = [form.encode() for form in self.forms]
        longest = max(map(len, forms))
        tail = b""
        with path.open("rb") as file:
            while chunk := file.read(SEARCH_CHUNK):
                seen = tail + chunk
                if any(form in seen for form in forms):
                    return True
                tail = seen[-longest:]
        return False


def is_sendable(value: str) -> bool:
    """Whether HTTP can send a text in a header (RFC 9110: visible letters, spaces, tabs)."""
    return all(char == "\t" or (32 <= ord(char) <= 255 and ord(char) != 127) for char in value)
