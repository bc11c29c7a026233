"""Replies: the response to one HTTP call, and OpenAI's error objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class HttpReply:
    """A response: a JSON document, bytes of HTML, or a file to stream.

    `lost` means that the call has taken effect but the response is never sent.
    """

    status: int = 200
    document: dict[str, Any] | list[Any] | bytes = field(default_factory=dict)
    file: Path | None = None
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False


class ApiError(Exception):
    """A call is refused; `document` is the error object that says why."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.document = render_error(message, code=code, param=param, kind=kind)


def render_error(
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    kind: str = "invalid_request_error",
) -> dict[str, Any]:
    """Returns the body that error responses have at OpenAI, over HTTP and in error files."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def render_failure(status: int, code: str | None = None) -> dict[str, Any]:
    """Returns the error object of a status, for a request that has nothing wrong with it."""
    kind, usual, message = STATUS_ERRORS.get(
        status, ("invalid_request_error", None, "Rehearsed error.")
    )
    return render_error(message, code=code or usual, kind=kind)


STATUS_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", "invalid_request", "The request was rejected."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "access_denied", "This project has no access to this."),
    404: ("invalid_request_error", None, "Not found."),
    408: ("server_error", "timeout", "The request timed out."),
    409: ("invalid_request_error", None, "The request conflicts with another one."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
    500: ("server_error", "server_error", "The server had an error while processing your request."),
    502: ("server_error", "bad_gateway", "Bad gateway."),
    503: ("server_error", "overloaded", "The engine is currently overloaded."),
}
