"""Anthropic's Message Batches API: its routes, documents, results and errors.

Everything is as the types of anthropic-sdk-python 2.14, the API reference and the guide to batch
processing have it: the requests come with the create, which refuses a bad or repeated custom_id at
once; what is wrong with their parameters is only said in the results; and until a batch has ended,
it counts all of its requests as `processing`. A batch moves on when it is listed, too: it has no
other way to end for whoever does not know its id.
"""

from __future__ import annotations

import json
import re
from array import array
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from enrich.rehearsal.batch import TERMINAL_STATUSES
from enrich.rehearsal.llm import ExecutedRequest
from enrich.rehearsal.messages import (
    VERSIONS,
    read_params,
    render_message,
    render_message_error,
)
from enrich.rehearsal.objections import CHAT_PATH
from enrich.rehearsal.replies import ApiError, HttpReply
from enrich.rehearsal.results import ResultFiles
from enrich.rehearsal.routes import Api, find_route
from enrich.rehearsal.validation import AcceptedFile, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from enrich.rehearsal.batch import PlayedBatch
    from enrich.rehearsal.batches import Batches
    from enrich.rehearsal.files import FileStore
    from enrich.rehearsal.llm import Llm
    from enrich.rehearsal.routes import Request
    from enrich.rehearsal.settings import RehearsalSettings

MESSAGE_ROUTES = (
    "POST /v1/messages/batches",
    "GET /v1/messages/batches",
    "GET /v1/messages/batches/{id}",
    "GET /v1/messages/batches/{id}/results",
    "POST /v1/messages/batches/{id}/cancel",
    "GET /v1/models/{id}",
    "POST /v1/messages",
)
CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
LARGEST_CREATE = 256_000_000
MOST_IN_BATCH = 100_000
MOST_ON_PAGE = 1_000
NEVER_RUN_TYPES = {"batch_expired": "expired", "batch_cancelled": "canceled"}
FAILED_MESSAGE = "Internal server error"


class AnthropicApi:
    """Answers calls; raises ApiError for those it refuses."""

    routes: ClassVar[tuple[str, ...]] = MESSAGE_ROUTES
    base_path: ClassVar[str] = ""

    def __init__(
        self, settings: RehearsalSettings, files: FileStore, batches: Batches, llm: Llm
    ) -> None:
        self._settings = settings
        self._files = files
        self._batches = batches
        self._llm = llm
        self._openai = Api(settings, files, batches, llm)
        self._totals: dict[str, int] = {}
        self._tokens: dict[str, int] = {}
        handlers: tuple[Callable[[Request], HttpReply], ...] = (
            self._create,
            self._list,
            self._retrieve,
            self._send_results,
            self._cancel,
            self._retrieve_model,
            self._answer_now,
        )
        self._handlers = dict(zip(MESSAGE_ROUTES, handlers, strict=True))

    @staticmethod
    def find_route(method: str, path: str) -> tuple[str, str]:
        return find_route(method, path, MESSAGE_ROUTES)

    @staticmethod
    def render_failure(status: int, code: str | None = None) -> dict[str, Any]:
        return render_message_error(status, code or "Rehearsed error.")

    def answer(self, request: Request) -> HttpReply:
        try:
            key = request.headers.get("x-api-key")
            self._openai.authorize(f"Bearer {key}" if key else request.authorization)
            if request.headers.get("anthropic-version") not in VERSIONS:
                raise ApiError(400, "anthropic-version: header is required")
            if request.route not in self._handlers:
                raise ApiError(404, "Not found")
            return self._handlers[request.route](request)
        except ApiError as error:
            error.document = render_message_error(error.status, str(error))
            raise

    def _create(self, request: Request) -> HttpReply:
        """Store the requests as lines, and begin with them at once."""
        limit = min(LARGEST_CREATE, self._settings.max_bytes)
        content = request.body.read_all(limit=limit)
        try:
            asked = parse_object(content)
        except (ValueError, RecursionError) as error:
            raise ApiError(400, "The request body is not valid JSON.") from error
        entries = asked.get("requests")
        if not isinstance(entries, list) or not entries:
            raise ApiError(400, "requests: List should have at least 1 item after validation")
        if len(entries) > min(MOST_IN_BATCH, self._settings.max_requests):
            raise ApiError(400, "requests: List has too many items")
        if asked.keys() != {"requests"}:
            raise ApiError(400, f"{sorted(asked)}: Extra inputs are not permitted")
        _check_entries(entries)
        self._check_queue(len(content) // 4)
        path = self._files.new_path()
        with path.open("w", encoding="utf-8") as lines:
            lines.writelines(f"{json.dumps(entry)}\n" for entry in entries)
        file = self._files.add(path, filename="requests.jsonl", purpose="batch")
        batch = self._batches.create(
            {"input_file_id": file.id, "endpoint": CHAT_PATH, "completion_window": "24h"},
            accept=accept_entries,
            results=MessageResults,
            llm=MessagesLlm(self._llm, str(request.headers["anthropic-version"])),
        )
        self._totals[batch.id] = len(entries)
        self._tokens[batch.id] = len(content) // 4
        self._batches.advance(batch)
        return HttpReply(document=self._render(batch, request))

    def _check_queue(self, tokens: int) -> None:
        """Raise ApiError 429 if the queue is too full for as many tokens."""
        limit = self._settings.enqueued_tokens
        waiting = [b for b in self._batches.list_all() if b.status not in TERMINAL_STATUSES]
        if limit is not None and sum(self._tokens[batch.id] for batch in waiting) + tokens > limit:
            raise ApiError(429, "Too many batch requests are in the processing queue.")

    def _list(self, request: Request) -> HttpReply:
        """List the batches, newest first. All of them move on."""
        size, after = request.get_option("limit", "20"), request.get_option("after_id")
        if not size.isdigit() or not 1 <= int(size) <= MOST_ON_PAGE:
            raise ApiError(400, f"limit: Input should be from 1 to {MOST_ON_PAGE}")
        batches = self._batches.list_all()[::-1]
        ids = [batch.id for batch in batches]
        if after and after not in ids:
            raise ApiError(400, "after_id: no such batch")
        start = ids.index(after) + 1 if after else 0
        page = batches[start : start + int(size)]
        for batch in page:
            self._batches.advance(batch)
        document = {
            "data": [self._render(batch, request) for batch in page],
            "has_more": start + int(size) < len(batches),
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
        }
        return HttpReply(document=document)

    def _retrieve(self, request: Request) -> HttpReply:
        batch = self._batches.get(request.id)
        self._batches.advance(batch)
        return HttpReply(document=self._render(batch, request))

    def _cancel(self, request: Request) -> HttpReply:
        batch = self._batches.get(request.id)
        try:
            batch.cancel()
        except ApiError as error:
            raise ApiError(400, "The batch has ended and cannot be canceled.") from error
        return HttpReply(document=self._render(batch, request))

    def _send_results(self, request: Request) -> HttpReply:
        batch = self._batches.get(request.id)
        known = batch.render_document()
        if batch.status == "failed":
            return HttpReply(file=self._write_failed(batch))
        if not known["output_file_id"]:
            raise ApiError(404, "The batch has no results.")
        return HttpReply(file=self._files.get(known["output_file_id"]).path)

    def _write_failed(self, batch: PlayedBatch) -> Path:
        """Write results in which each request met an error of the server."""
        made = self._files.new_path()
        error = render_message_error(500, FAILED_MESSAGE)
        with self._files.get(batch.input_file_id).path.open() as entries, made.open("w") as lines:
            for entry in entries:
                known = {"custom_id": json.loads(entry)["custom_id"]}
                result = {"type": "errored", "error": error}
                lines.write(json.dumps(known | {"result": result}) + "\n")
        return made

    def _retrieve_model(self, request: Request) -> HttpReply:
        """Every llm exists, except those that the settings name."""
        if request.id in self._settings.unknown_llms:
            raise ApiError(404, f"model: {request.id}")
        made = {"type": "model", "id": request.id, "display_name": request.id}
        return HttpReply(document={**made, "lifecycle": "active"})

    def _answer_now(self, request: Request) -> HttpReply:
        """Answer one request now; with `dropped`, the billed answer never arrives."""
        llm = MessagesLlm(self._llm, str(request.headers["anthropic-version"]))
        outcome = llm.execute(request.json(), endpoint=CHAT_PATH)
        if outcome.status != 200:
            status = outcome.status or 500
            raise ApiError(status, _read_words(outcome.body))
        return HttpReply(document=render_message(outcome.body), lost=outcome.fault == "dropped")

    def _render(self, batch: PlayedBatch, request: Request) -> dict[str, Any]:
        """Returns the object of a batch."""
        known = batch.render_document()
        has_ended = known["status"] in TERMINAL_STATUSES
        is_canceled = known["status"] in ("cancelling", "cancelled")
        has_results = bool(known["output_file_id"]) or known["status"] == "failed"
        url = f"http://{request.headers['Host']}/v1/messages/batches/{batch.id}/results"
        ended = [known[f"{status}_at"] for status in TERMINAL_STATUSES if known[f"{status}_at"]]
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended"
            if has_ended
            else "canceling"
            if is_canceled
            else "in_progress",
            "request_counts": self._count(known),
            "created_at": _render_time(known["created_at"]),
            "expires_at": _render_time(known["expires_at"]),
            "ended_at": _render_time(ended[0]) if ended else None,
            "cancel_initiated_at": _render_time(known["cancelling_at"]),
            "archived_at": None,
            "results_url": url if has_ended and has_results else None,
        }

    def _count(self, known: dict[str, Any]) -> dict[str, int]:
        """Returns the counts, which stay at `processing` until a batch has ended."""
        names = ("processing", "succeeded", "errored", "canceled", "expired")
        counts, total, status = dict.fromkeys(names, 0), self._totals[known["id"]], known["status"]
        if status not in TERMINAL_STATUSES:
            return counts | {"processing": total}
        if status == "failed":
            return counts | {"errored": total}
        found = known["request_counts"]
        counts |= {"succeeded": found["completed"], "errored": found["failed"]}
        left = total - found["completed"] - found["failed"]
        return counts | {"expired" if status == "expired" else "canceled": left}


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
            words = _read_words(response["body"])
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


def _check_entries(entries: list[Any]) -> None:
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


def _read_words(document: dict[str, Any]) -> str:
    """Returns the message of one of OpenAI's errors."""
    return str((document.get("error") or {}).get("message") or FAILED_MESSAGE)


def _render_time(seconds: int | None) -> str | None:
    """Returns a time as RFC 3339 has it."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
