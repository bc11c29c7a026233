"""Replies: what comes of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class EngineReply(NamedTuple):
    """What came of a request: an HTTP status, and a body; a refusal is a reply, too."""

    status: int
    body: Mapping[str, Any]
