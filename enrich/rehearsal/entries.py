"""Entries: the requests in a batch of Anthropic's, and the lines of its results."""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.llm import ExecutedRequest
from enrich.rehearsal.messages import read_params, render_message, render_message_error
from enrich.rehearsal.replies import ApiError
from enrich.rehearsal.results import ResultFiles
from enrich.rehearsal.validation import AcceptedFile, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.rehearsal.llm import Llm
    from enrich.rehearsal.settings import RehearsalSettings

CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
NEVER_RUN_TYPES = {"batch_expired": "expired", "batch_cancelled": "canceled"}
FAILED_MESSAGE = "Internal server error"


class MessagesLlm:
    """The llm, asked with the parameters of messages in a version of the API."""

    def __init__(self, llm: Llm, version: str) -> None:
        self._llm = llm
        self._version = version

    def execute(
        self, body: Mapping[str, Any], *, endpoint: str, custom_id: str = ""
    ) -> ExecutedRequest:
        """Execute a request once, unless the API refuses it."""
        try:
            asked = read_params(body, version=self._version)
        except ApiError as error:
            return ExecutedRequest(status=error.status, body=error.document)
        return self._llm.execute(asked, endpoint=endpoint, custom_id=custom_id)


class MessageResults(ResultFiles):
    """Writes the one file of a batch's results."""

    def __init__(
        self, output: Path, errors: Path, *, name: str, settings: RehearsalSettings
    ) -> None:
        super().__init__(output, errors, name=name, settings=settings)
        self.errors = output

    def write_executed(self, custom_id: str, outcome: ExecutedRequest) -> None:
        """Write the line of an executed request."""
        response = {"status_code": outcome.status, "body": outcome.body}
        line = self.render_line(custom_id, response=response, error=None)
        if outcome.fault == "bad_byte":
            line = line.replace(b'"msg_', b'"msg_\xff', 1)
        self._output.write(line)
        if outcome.fault == "doubled":
            self._doubled.append(line)

    def render_line(
        self, custom_id: str, *, response: dict[str, Any] | None, error: object
    ) -> bytes:
        if response is None:
            code = error["code"] if isinstance(error, dict) else ""
            result: dict[str, Any] = {"type": NEVER_RUN_TYPES[code]}
        elif response["status_code"] == 200:
            result = {"type": "succeeded", "message": render_message(response["body"])}
        else:
            words = read_words(response["body"])
            said = render_message_error(response["status_code"] or 500, words)
            result = {"type": "errored", "error": said}
        return self._encode_line({"custom_id": custom_id, "result": result}) + b"\n"


def accept_entries(path: Path, *, endpoint: str, **_: object) -> AcceptedFile:
    """Read the stored requests once, line by line."""

    def read(line: bytes) -> dict[str, Any]:
        entry = parse_object(line)
        return {"custom_id": entry["custom_id"], "url": endpoint, "body": entry["params"]}

    offsets, place = array("Q"), 0
    with path.open("rb") as lines:
        for line in lines:
            offsets.append(place)
            place += len(line)
    return AcceptedFile(offsets, "", 0, read)


def check_entries(entries: list[Any]) -> None:
    """Raise ApiError for what makes a create fail at once."""
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        place = f"requests.{number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("params"), dict):
            raise ApiError(400, f"{place}.params: Field required")
        custom_id = entry.get("custom_id")
        if not isinstance(custom_id, str):
            raise ApiError(400, f"{place}.custom_id: Field required")
        if len(custom_id) > 64:
            raise ApiError(400, f"{place}.custom_id: String should have at most 64 characters")
        if not CUSTOM_ID.fullmatch(custom_id):
            message = f"{place}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"
            raise ApiError(400, message)
        if custom_id in seen:
            raise ApiError(400, f"{place}.custom_id: '{custom_id}' is a duplicate")
        if entry.keys() != {"custom_id", "params"}:
            raise ApiError(400, f"{place}: Extra inputs are not permitted")
        seen.add(custom_id)


def read_words(document: dict[str, Any]) -> str:
    """Returns the message of one of OpenAI's errors."""
    return str((document.get("error") or {}).get("message") or FAILED_MESSAGE)
