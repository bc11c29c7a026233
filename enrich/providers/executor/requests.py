"""Requests: the lines of a request file, and what makes a whole file invalid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class InvalidFile(Exception):
    """A line makes the whole file invalid; `code` is the code of the Batch API for it."""

    def __init__(self, code: str, message: str) -> None:
        """`code` is for machines, `message` is a clause for people."""
        super().__init__(message)
        self.code = code


class RequestLine(NamedTuple):
    """Where a request lies in its file, in bytes."""

    custom_id: str
    start: int
    size: int


def read_requests(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the requests of a checked file."""
    with path.open("rb") as file:
        for text in file:
            yield json.loads(text)


def count_requests(path: Path, endpoint: str) -> int:
    """Returns the number of requests. Raises InvalidFile for the first line that the Batch API
    would refuse."""
    with path.open("rb") as file:
        return sum(1 for _ in index_requests(file, endpoint))


def index_requests(lines: Iterable[bytes], endpoint: str) -> Iterator[RequestLine]:
    """Yields where each request lies. Raises InvalidFile for the first line that the Batch API
    would refuse."""
    # The API stops at the first bad line, too, and fails the batch before anything is answered.
    seen: set[str] = set()
    start = 0
    for number, text in enumerate(lines, start=1):
        try:
            custom_id = _check_line(text, endpoint)
            if custom_id in seen:
                message = f"custom_id {custom_id!r} occurs twice"
                raise InvalidFile("duplicate_custom_id", message)
        except InvalidFile as error:
            raise InvalidFile(error.code, f"line {number}: {error}") from error
        seen.add(custom_id)
        yield RequestLine(custom_id, start, len(text))
        start += len(text)
    if not seen:
        raise InvalidFile("empty_file", "the file has no requests")


def _check_line(text: bytes, endpoint: str) -> str:
    """Returns the custom_id of a line. Raises InvalidFile if the line is not a request."""
    try:
        request = json.loads(text)
    except ValueError as error:
        raise InvalidFile("invalid_json_line", "this is not JSON") from error
    if not isinstance(request, dict):
        raise InvalidFile("invalid_json_line", "this is not a JSON object")
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str):
        raise InvalidFile("missing_required_parameter", "`custom_id` is missing or not text")
    if request.get("method") != "POST":
        raise InvalidFile("invalid_method", "`method` is not POST")
    if request.get("url") != endpoint:
        raise InvalidFile("invalid_url", f"`url` is not the batch's endpoint, {endpoint}")
    if not isinstance(request.get("body"), dict):
        raise InvalidFile("missing_required_parameter", "`body` is missing or not an object")
    if request["body"].get("stream"):
        raise InvalidFile("streaming_unsupported", "batches do not support `stream`")
    return custom_id
