"""Rejections: requests that cannot be answered, and why."""

from __future__ import annotations

from enrich.providers.executor.reply import EngineReply


class RejectedRequest(Exception):
    """A request that the engine cannot answer; the message says why."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        """`status` is the HTTP status of its row."""
        super().__init__(message)
        self.status = status


def make_rejection(error: Exception) -> EngineReply:
    """Returns the reply to a request that was rejected, in the form of OpenAI's errors."""
    status = error.status if isinstance(error, RejectedRequest) else 400
    kind = "invalid_request_error" if status < 500 else "server_error"
    return EngineReply(status, {"error": {"code": status, "type": kind, "message": str(error)}})
