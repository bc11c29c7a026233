"""Replies: what comes of a request."""

from __future__ import annotations

from typing import Any, NamedTuple


class EngineReply(NamedTuple):
    """What came of a request: an HTTP status, and a body; a refusal is a reply, too. The body is an
    object, unless a server has answered with other JSON."""

    status: int
    body: Any
