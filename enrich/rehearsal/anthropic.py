"""Anthropic's Message Batches API: its routes, documents, results and errors.

Everything is as the types of anthropic-sdk-python 2.14, the API reference and the guide to batch
processing have it: the requests come with the create, which refuses a bad or repeated custom_id at
once; what is wrong with their parameters is only said in the results; and until a batch has ended,
it counts all of its requests as `processing`. A batch moves on when it is listed, too: it has no
other way to end for whoever does not know its id.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from enrich.rehearsal.batch import TERMINAL_STATUSES
from enrich.rehearsal.entries import (
    FAILED_MESSAGE,
    MessageResults,
    MessagesLlm,
    accept_entries,
    check_entries,
    read_words,
)
from enrich.rehearsal.messages import (
    VERSIONS,
    render_message,
    render_message_error,
)
from enrich.rehearsal.objections import CHAT_PATH
from enrich.rehearsal.replies import ApiError, HttpReply
from enrich.rehearsal.routes import Api, find_route
from enrich.rehearsal.validation import parse_object

if TYPE_CHECKING:
    from collections.abc import Callable
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
LARGEST_CREATE = 256_000_000
MOST_IN_BATCH = 100_000
MOST_ON_PAGE = 1_000


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
        check_entries(entries)
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
            raise ApiError(status, read_words(outcome.body))
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


def _render_time(seconds: int | None) -> str | None:
    """Returns a time as RFC 3339 has it."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
