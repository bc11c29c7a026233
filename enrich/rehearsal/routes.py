"""Routes: what each call of the Files and Batches API does, without any sockets."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from enrich.rehearsal.bodies import Form, make_size_error
from enrich.rehearsal.embeddings import EMBEDDINGS_PATH
from enrich.rehearsal.objections import CHAT_PATH, RESPONSES_PATH
from enrich.rehearsal.replies import ApiError, HttpReply, render_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from email.message import Message
    from pathlib import Path

    from enrich.rehearsal.batches import Batches
    from enrich.rehearsal.bodies import FormField, RequestBody
    from enrich.rehearsal.execution import Executes
    from enrich.rehearsal.files import FileStore
    from enrich.rehearsal.settings import RehearsalSettings

ROUTES = (
    "POST /v1/files",
    "GET /v1/files",
    "GET /v1/files/{id}",
    "DELETE /v1/files/{id}",
    "GET /v1/files/{id}/content",
    "POST /v1/batches",
    "GET /v1/batches",
    "GET /v1/batches/{id}",
    "POST /v1/batches/{id}/cancel",
    "GET /v1/models/{id}",
    f"POST {CHAT_PATH}",
    f"POST {RESPONSES_PATH}",
    f"POST {EMBEDDINGS_PATH}",
)
CHAT_SERVER_ROUTES = ("GET /v1/models/{id}", f"POST {CHAT_PATH}", f"POST {EMBEDDINGS_PATH}")
"""The routes of a server that has no Batch API."""
MAX_DOCUMENT_BYTES = 64_000_000
"""The largest JSON body. OpenAI takes about 50 MB of images in one request."""


def find_route(method: str, path: str, routes: tuple[str, ...] = ROUTES) -> tuple[str, str]:
    """Returns the route of a call, or "", and the id in its path.

    >>> find_route("GET", "/v1/batches/b1?x=1")
    ('GET /v1/batches/{id}', 'b1')
    >>> find_route("GET", "/v2/batches")
    ('', '')
    """
    plain = f"{method} {urlsplit(path).path.rstrip('/')}"
    if plain in routes:
        return plain, ""
    for route in routes:
        start, has_id, end = route.partition("{id}")
        if not has_id:
            continue
        ident = plain.removeprefix(start).removesuffix(end)
        if len(ident) + len(start) + len(end) == len(plain) and ident and "/" not in ident:
            return route, unquote(ident)
    return "", ""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call, as the routes see it."""

    route: str
    id: str
    path: str
    headers: Message
    body: RequestBody

    @property
    def authorization(self) -> str:
        return str(self.headers.get("Authorization", ""))

    def get_option(self, name: str, default: str = "") -> str:
        return parse_qs(urlsplit(self.path).query).get(name, [default])[-1]

    def json(self) -> dict[str, Any]:
        """Returns the body, which must be a JSON object."""
        try:
            document = json.loads(self.body.read_all(limit=MAX_DOCUMENT_BYTES))
        except ValueError as error:
            message = "We could not parse the JSON body of your request."
            raise ApiError(400, message) from error
        if not isinstance(document, dict):
            raise ApiError(400, "The body of your request is not a JSON object.")
        return document


class Api:
    """Answers calls; raises ApiError for those it refuses."""

    routes: ClassVar[tuple[str, ...]] = ROUTES
    base_path: ClassVar[str] = "/v1"

    def __init__(
        self, settings: RehearsalSettings, files: FileStore, batches: Batches, llm: Executes
    ) -> None:
        self._settings = settings
        self._files = files
        self._batches = batches
        self._llm = llm
        self._times_short = 0
        handlers: tuple[Callable[[Request], HttpReply], ...] = (
            self._upload,
            self._list_files,
            lambda request: HttpReply(document=files.retrieve(request.id)),
            lambda request: HttpReply(document=files.delete(request.id)),
            self._send_content,
            lambda request: HttpReply(document=batches.create(request.json()).render_document()),
            self._list_batches,
            self._retrieve,
            self._cancel,
            self._retrieve_model,
            self._answer_now,
            self._answer_now,
            self._answer_now,
        )
        self._handlers = dict(zip(ROUTES, handlers, strict=True))

    @staticmethod
    def find_route(method: str, path: str) -> tuple[str, str]:
        return find_route(method, path)

    @staticmethod
    def render_failure(status: int, code: str | None = None) -> dict[str, Any]:
        return render_failure(status, code)

    def answer(self, request: Request, route: str = "") -> HttpReply:
        """Answers a call; `route` is the one to play if another API calls it otherwise."""
        route = route or request.route
        self.authorize(request.authorization)
        known = CHAT_SERVER_ROUTES if self._settings.api == "chat" else self._handlers
        if route not in known:
            raise ApiError(404, f"Invalid URL ({request.path}).")
        return self._handlers[route](replace(request, route=route))

    def _retrieve_model(self, request: Request) -> HttpReply:
        """Every llm exists, except those that the settings name."""
        if request.id in self._settings.unknown_llms:
            message = f"The model '{request.id}' does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found")
        return HttpReply(document={"id": request.id, "object": "model", "owned_by": "rehearsal"})

    def authorize(self, given: str) -> None:
        """Accept any key, unless the settings name one."""
        key = self._settings.api_key
        if key is None or hmac.compare_digest(given.encode(), f"Bearer {key}".encode()):
            return
        message = "Incorrect API key provided." if given else "You didn't provide an API key."
        raise ApiError(401, message, code="invalid_api_key")

    def _upload(self, request: Request) -> HttpReply:
        path, filename, purpose = self._files.new_path(), "", ""
        for part in Form(request.body):
            if part.name == "file":
                filename = part.filename
                self._save(part, path)
            elif part.name == "purpose":
                purpose = b"".join(part.content).decode("utf-8", "replace")
            else:
                for _ in part.content:
                    pass
        if not path.exists():
            raise ApiError(400, "Missing required parameter: 'file'.", param="file")
        if purpose != "batch":
            raise ApiError(400, f"'{purpose}' is not one of ['batch'].", param="purpose")
        if not filename.endswith(".jsonl"):
            message = f"Invalid file format for Batch API: '{filename}'. Must be .jsonl"
            raise ApiError(400, message, param="file")
        file = self._files.add(path, filename=filename, purpose=purpose)
        return HttpReply(document=file.render_document())

    def _send_content(self, request: Request) -> HttpReply:
        """Send a file; with the quirk `short_files`, at first only half of a result file."""
        file = self._files.get(request.id)
        if file.purpose == "batch" or self._times_short >= self._settings.quirks.short_files:
            return HttpReply(file=file.path)
        self._times_short += 1
        lines = file.path.read_bytes().splitlines(keepends=True)
        half = self._files.new_path()
        half.write_bytes(b"".join(lines[: len(lines) // 2]))
        return HttpReply(file=half)

    def _save(self, part: FormField, path: Path) -> None:
        size, limit = 0, self._settings.max_bytes
        with path.open("wb") as file:
            for piece in part.content:
                size += len(piece)
                # A file that is too large is read to its end anyway: a client that is still sending
                # would see a broken connection instead of the error.
                if size <= limit:
                    file.write(piece)
        if size > limit:
            path.unlink()
            raise make_size_error(limit)

    def _list_files(self, request: Request) -> HttpReply:
        found, purpose = self._files.list_visible(), request.get_option("purpose")
        if purpose:
            found = [file for file in found if file.purpose == purpose]
        if request.get_option("order", "desc") == "desc":
            found.reverse()
        return render_page(request, found, limit=10_000, largest=10_000)

    def _list_batches(self, request: Request) -> HttpReply:
        """List the batches, newest first. This does not advance them."""
        if self._settings.quirks.no_list:
            raise ApiError(404, f"Invalid URL ({request.path}).")
        return render_page(request, self._batches.list_all()[::-1], limit=20, largest=100)

    def _retrieve(self, request: Request) -> HttpReply:
        batch = self._batches.get(request.id)
        self._batches.advance(batch)
        return HttpReply(document=batch.render_document())

    def _cancel(self, request: Request) -> HttpReply:
        batch = self._batches.get(request.id)
        batch.cancel()
        return HttpReply(document=batch.render_document())

    def _answer_now(self, request: Request) -> HttpReply:
        """Answer one request now; with `dropped`, the billed answer never arrives."""
        body = request.json()
        if body.get("stream"):
            raise ApiError(400, "A rehearsal does not stream.", param="stream")
        outcome = self._llm.execute(body, endpoint=request.route.removeprefix("POST "))
        if outcome.status == 0:
            return HttpReply(status=500, document=outcome.body)
        return HttpReply(
            status=outcome.status, document=outcome.body, lost=outcome.fault == "dropped"
        )


class _Listed(Protocol):
    @property
    def id(self) -> str: ...

    def render_document(self) -> dict[str, Any]: ...


ListedT = TypeVar("ListedT", bound=_Listed)


def render_page(
    request: Request,
    items: Sequence[ListedT],
    *,
    limit: int,
    largest: int,
    render: Callable[[ListedT], dict[str, Any]] = lambda item: item.render_document(),
) -> HttpReply:
    """Returns one page of a list, in the form of OpenAI's cursor pages."""
    size = request.get_option("limit", str(limit))
    if not size.isdigit() or not 1 <= int(size) <= largest:
        message = f"Invalid 'limit': expected a number from 1 to {largest}."
        raise ApiError(400, message, code="invalid_value", param="limit")
    after = request.get_option("after")
    ids = [item.id for item in items]
    if after and after not in ids:
        raise ApiError(404, f"No item found with id '{after}'.", param="after")
    start = ids.index(after) + 1 if after else 0
    page = items[start : start + int(size)]
    return HttpReply(
        document={
            "object": "list",
            "data": [render(item) for item in page],
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": start + int(size) < len(items),
        }
    )
