"""Gemini's API: the batches and the chat of its OpenAI part, and files by Google's own calls.

Everything is as ai.google.dev (OpenAI compatibility, Files API) and the source of google-genai 3.6
have it: an upload has two calls, of which the second goes to an address that the first one says; a
file is named `files/ID`; a batch takes no metadata and keeps none.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from enrich.rehearsal.replies import ApiError, HttpReply, render_failure
from enrich.rehearsal.routes import Api, find_route, render_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.rehearsal.batch import PlayedBatch
    from enrich.rehearsal.batches import Batches
    from enrich.rehearsal.files import FileStore, StoredFile
    from enrich.rehearsal.llm import Llm
    from enrich.rehearsal.routes import Request
    from enrich.rehearsal.settings import RehearsalSettings

START_ROUTE = "POST /upload/v1beta/files"
UPLOAD_ROUTE = "POST /upload/v1beta/files?upload_id={id}"
GOOGLE_ROUTES = (
    START_ROUTE,
    UPLOAD_ROUTE,
    "GET /v1beta/files",
    "GET /v1beta/files/{id}",
    "DELETE /v1beta/files/{id}",
    "GET /download/v1beta/files/{id}:download",
)
BATCH_ROUTES = (
    "POST /v1beta/openai/batches",
    "GET /v1beta/openai/batches",
    "GET /v1beta/openai/batches/{id}",
    "POST /v1beta/openai/batches/{id}/cancel",
)
CHAT_ROUTES = ("GET /v1beta/openai/models/{id}", "POST /v1beta/openai/chat/completions")
"""The routes whose calls and answers are those of OpenAI's API."""
CREATE_FIELDS = frozenset({"input_file_id", "endpoint", "completion_window"})
FILE_PREFIX = "files/"
BATCH_PREFIX = "batches/"
LIFE_SECONDS = 48 * 3600
"""How long a file is kept."""
STATUS_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class GeminiApi:
    """Answers calls; raises ApiError for those it refuses."""

    routes: ClassVar[tuple[str, ...]] = (*GOOGLE_ROUTES, *BATCH_ROUTES, *CHAT_ROUTES)
    base_path: ClassVar[str] = "/v1beta/openai"

    def __init__(
        self, settings: RehearsalSettings, files: FileStore, batches: Batches, llm: Llm
    ) -> None:
        self._settings = settings
        self._files = files
        self._batches = batches
        self._openai = Api(settings, files, batches, llm)
        self._uploads: dict[str, tuple[str, int]] = {}
        handlers: tuple[Callable[[Request], HttpReply], ...] = (
            self._start_upload,
            self._finish_upload,
            self._list_files,
            lambda request: HttpReply(document=self._render_file(self._get_file(request.id))),
            self._delete,
            lambda request: HttpReply(file=self._get_file(request.id).path),
            self._create,
            self._list_batches,
            self._retrieve,
            self._cancel,
        )
        self._handlers = dict(zip((*GOOGLE_ROUTES, *BATCH_ROUTES), handlers, strict=True))

    @staticmethod
    def find_route(method: str, path: str) -> tuple[str, str]:
        upload = parse_qs(urlsplit(path).query).get("upload_id")
        route, ident = find_route(method, path, GeminiApi.routes)
        return (UPLOAD_ROUTE, upload[0]) if route == START_ROUTE and upload else (route, ident)

    @staticmethod
    def render_failure(status: int, code: str | None = None) -> dict[str, Any]:
        return _render_refusal(render_failure(status, code), status)

    def answer(self, request: Request) -> HttpReply:
        try:
            return self._answer(request)
        except ApiError as error:
            error.document = _render_refusal(error.document, error.status)
            raise

    def _answer(self, request: Request) -> HttpReply:
        if request.route in CHAT_ROUTES:
            return self._openai.answer(request, request.route.replace("/v1beta/openai", "/v1"))
        if request.route in BATCH_ROUTES:
            self._openai.authorize(request.authorization)
        elif request.route != UPLOAD_ROUTE:  # which holds its own permission
            self._authorize(str(request.headers.get("x-goog-api-key", "")))
        if request.route not in self._handlers:
            raise ApiError(404, "Requested entity was not found.")
        return self._handlers[request.route](request)

    def _authorize(self, given: str) -> None:
        """Accept any key in Google's own header, unless the settings name one."""
        key = self._settings.api_key
        if not given or (key is not None and not hmac.compare_digest(given, key)):
            raise ApiError(403, "Method doesn't allow unregistered callers.")

    def _start_upload(self, request: Request) -> HttpReply:
        headers = request.headers
        asked = headers.get("X-Goog-Upload-Protocol"), headers.get("X-Goog-Upload-Command")
        length = str(headers.get("X-Goog-Upload-Header-Content-Length", ""))
        if asked != ("resumable", "start") or not length.isdigit():
            raise ApiError(400, "Invalid start of a resumable upload.")
        if int(length) > self._settings.max_bytes:
            raise ApiError(400, "The file is too large.")
        upload = f"upload{len(self._uploads)}"
        named = request.json().get("file") or {}
        name = named.get("display_name") or named.get("displayName") or ""
        self._uploads[upload] = name, int(length)
        path = f"/upload/v1beta/files?upload_id={upload}&upload_protocol=resumable"
        # Another host than the one that was asked, as behind a gateway.
        where = {"X-Goog-Upload-URL": f"https://upload.invalid{path}"}
        return HttpReply(headers=where)

    def _finish_upload(self, request: Request) -> HttpReply:
        """Store the content, which comes in one piece."""
        headers = request.headers
        command = headers.get("X-Goog-Upload-Command"), headers.get("X-Goog-Upload-Offset")
        if request.id not in self._uploads or command != ("upload, finalize", "0"):
            raise ApiError(400, "Invalid rest of a resumable upload.")
        name, length = self._uploads.pop(request.id)
        path, size = self._files.new_path(), 0
        with path.open("wb") as file:
            while piece := request.body.read():
                size += len(piece)
                file.write(piece)
        if size != length:
            raise ApiError(400, f"The upload has {size} bytes instead of {length}.")
        stored = self._files.add(path, filename=name, purpose="batch")
        return HttpReply(document={"file": self._render_file(stored)})

    def _list_files(self, request: Request) -> HttpReply:
        found, size = self._files.list_visible()[::-1], request.get_option("pageSize", "10")
        if not size.isdigit() or not 1 <= int(size) <= 100:
            raise ApiError(400, "pageSize must be from 1 to 100.")
        start = int(request.get_option("pageToken", "0"))
        end = start + int(size)
        page: dict[str, Any] = {"files": [self._render_file(file) for file in found[start:end]]}
        return HttpReply(document=page | ({"nextPageToken": str(end)} if end < len(found) else {}))

    def _delete(self, request: Request) -> HttpReply:
        self._files.delete(self._get_file(request.id).id)
        return HttpReply()

    def _get_file(self, ident: str) -> StoredFile:
        file = self._files.find(ident)
        if file is None:
            what = f"You do not have permission to access the File {ident} or it may not exist."
            raise ApiError(403, what)
        return file

    def _render_file(self, file: StoredFile) -> dict[str, Any]:
        """Returns Google's object of a file."""
        return {
            "name": f"{FILE_PREFIX}{file.id}",
            "displayName": file.filename,
            "mimeType": "application/jsonl",
            "sizeBytes": str(file.bytes),
            "createTime": _render_time(file.created_at),
            "expirationTime": _render_time(file.created_at + LIFE_SECONDS),
            "state": "ACTIVE" if self._files.check_ready(file) else "PROCESSING",
        }

    def _create(self, request: Request) -> HttpReply:
        asked = request.json()
        for name in asked.keys() - CREATE_FIELDS:
            what = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
            raise ApiError(400, what)
        ident = str(asked.get("input_file_id", "")).removeprefix(FILE_PREFIX)
        self._get_file(ident)
        batch = self._batches.create({**asked, "input_file_id": ident})
        return HttpReply(document=_render_batch(batch))

    def _list_batches(self, request: Request) -> HttpReply:
        """List the batches, newest first. This does not advance them."""
        if self._settings.quirks.no_list:
            raise ApiError(404, "Requested entity was not found.")
        found = self._batches.list_all()[::-1]
        return render_page(request, found, limit=20, largest=100, render=_render_batch)

    def _retrieve(self, request: Request) -> HttpReply:
        batch = self._batches.get(request.id.removeprefix(BATCH_PREFIX))
        self._batches.advance(batch)
        return HttpReply(document=_render_batch(batch))

    def _cancel(self, request: Request) -> HttpReply:
        batch = self._batches.get(request.id.removeprefix(BATCH_PREFIX))
        batch.cancel()
        return HttpReply(document=_render_batch(batch))


def _render_batch(batch: PlayedBatch) -> dict[str, Any]:
    """Returns OpenAI's object of a batch, with Google's names and without metadata."""
    known = batch.render_document()
    del known["metadata"]
    known["id"] = f"{BATCH_PREFIX}{batch.id}"
    for kind in ("input", "output", "error"):
        if known[f"{kind}_file_id"]:
            known[f"{kind}_file_id"] = f"{FILE_PREFIX}{known[f'{kind}_file_id']}"
    return known


def _render_refusal(document: dict[str, Any], status: int) -> dict[str, Any]:
    """Returns Google's error document of a status, from that of OpenAI's API."""
    message = document.get("error", document).get("message", "")
    word = STATUS_WORDS.get(status, "UNKNOWN")
    return {"error": {"code": status, "message": message, "status": word}}


def _render_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
