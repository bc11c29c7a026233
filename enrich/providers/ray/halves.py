"""Halves: how secrets reach the nodes, although Ray shows and the storage keeps what it is given.

Ray keeps the environment of a job and shows it to whoever may open its dashboard; the storage keeps
files. So the secrets are combined with random bytes of the same length, used once. One half goes by
the environment, the other by the storage, where the driver removes it. Either alone is noise.
"""

from __future__ import annotations

import secrets

HALF_VARIABLE = "ENRICH_RAY_HALF"
"""The variable of a job's environment with one half, in hexadecimal."""


def split_halves(text: str) -> tuple[bytes, bytes]:
    """Returns two halves, neither of which says anything but the length of the text.

    >>> join_halves(*split_halves("sk-1"))
    'sk-1'
    """
    content = text.encode()
    pad = secrets.token_bytes(len(content))
    return pad, bytes(a ^ b for a, b in zip(content, pad, strict=True))


def join_halves(one: bytes, other: bytes) -> str:
    """Returns the text of two halves."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True)).decode()
