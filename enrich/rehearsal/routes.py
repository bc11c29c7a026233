"""Routes: what each call of the Files and Batches API does, free of sockets."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from enrich.rehearsal.bodies import Form, too_large
from enrich.rehearsal.objections import CHAT, RESPONSES
from enrich.rehearsal.replies import ApiError, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from enrich.rehearsal.batches import Batches
    from enrich.rehearsal.bodies import Body, Part
    from enrich.rehearsal.files import Files
    from enrich.rehearsal.llm import Llm
    from enrich.rehearsal.settings import Settings

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
    f"POST {CHAT}",
    f"POST {RESPONSES}",
)
LARGEST_DOCUMENT = 64_000_000


def route_of(method: str, path: str) -> tuple[str, str]:
    """The route a call takes, "" for none, and the id in its path.

    >>> route_of("GET", "/v1/batches/b1?x=1")
    ('GET /v1/batches/{id}', 'b1')
    >>> route_of("GET", "/v2/batches")
    ('', '')
    """
    plain = f"{method} {urlsplit(path).path.rstrip('/')}"
    if plain in ROUTES:
        return plain, ""
    steps = plain.split("/")
    if len(steps) < 4:
        return "", ""
    ident, steps[3] = unquote(steps[3]), "{id}"
    route = "/".join(steps)
    return (route, ident) if route in ROUTES else ("", "")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call, as the routes see it."""

    route: str
    id: str
    path: str
    authorization: str
    body: Body

    def option(self, name: str, default: str = "") -> str:
        return parse_qs(urlsplit(self.path).query).get(name, [default])[-1]

    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        try:
            document = json.loads(self.body.all(limit=LARGEST_DOCUMENT))
        except ValueError as error:
            message = "We could not parse the JSON body of your request."
            raise ApiError(400, message) from error
        if not isinstance(document, dict):
            raise ApiError(400, "The body of your request is not a JSON object.")
        return document


class Api:
    """Answers calls; raises ApiError for those it refuses."""

    def __init__(self, settings: Settings, files: Files, batches: Batches, llm: Llm) -> None:
        self._settings = settings
        self._files = files
        self._batches = batches
        self._llm = llm
        self._short = 0
        handlers: tuple[Callable[[Request], Reply], ...] = (
            self._upload,
            self._list_files,
            lambda request: Reply(document=files.retrieve(request.id)),
            lambda request: Reply(document=files.delete(request.id)),
            self._content,
            lambda request: Reply(document=batches.create(request.json()).document()),
            self._list_batches,
            self._retrieve,
            self._cancel,
            self._model,
            self._complete,
            self._complete,
        )
        self._handlers = dict(zip(ROUTES, handlers, strict=True))

    def answer(self, request: Request) -> Reply:
        self._authorize(request.authorization)
        chat_alone = self._settings.quirks.no_batches and "/v1/chat/" not in request.route
        if request.route not in self._handlers or (chat_alone and "models" not in request.route):
            raise ApiError(404, f"Invalid URL ({request.path}).")
        return self._handlers[request.route](request)

    def _model(self, request: Request) -> Reply:
        """Any llm is there, but those that the settings name."""
        if request.id in self._settings.unknown_llms:
            message = f"The model '{request.id}' does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found")
        return Reply(document={"id": request.id, "object": "model", "owned_by": "rehearsal"})

    def _authorize(self, given: str) -> None:
        """Any key will do unless the settings name one."""
        key = self._settings.api_key
        if key is None or hmac.compare_digest(given.encode(), f"Bearer {key}".encode()):
            return
        message = "Incorrect API key provided." if given else "You didn't provide an API key."
        raise ApiError(401, message, code="invalid_api_key")

    def _upload(self, request: Request) -> Reply:
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
        return Reply(document=file.document())

    def _content(self, request: Request) -> Reply:
        """A file's bytes; of a result file, with this quirk, at first only half of its lines."""
        file = self._files.get(request.id)
        if file.purpose == "batch" or self._short >= self._settings.quirks.short_files:
            return Reply(file=file.path)
        self._short += 1
        lines = file.path.read_bytes().splitlines(keepends=True)
        half = self._files.new_path()
        half.write_bytes(b"".join(lines[: len(lines) // 2]))
        return Reply(file=half)

    def _save(self, part: Part, path: Path) -> None:
        size, limit = 0, self._settings.max_bytes
        with path.open("wb") as file:
            for piece in part.content:
                size += len(piece)
                if size <= limit:
                    file.write(piece)
        if size > limit:
            path.unlink()
            raise too_large(limit)

    def _list_files(self, request: Request) -> Reply:
        found, purpose = self._files.listed(), request.option("purpose")
        if purpose:
            found = [file for file in found if file.purpose == purpose]
        if request.option("order", "desc") == "desc":
            found.reverse()
        return _page(request, found, limit=10_000, largest=10_000)

    def _list_batches(self, request: Request) -> Reply:
        """Newest first; reading the list lets no time pass."""
        if self._settings.quirks.no_list:
            raise ApiError(404, f"Invalid URL ({request.path}).")
        return _page(request, self._batches.all()[::-1], limit=20, largest=100)

    def _retrieve(self, request: Request) -> Reply:
        batch = self._batches.get(request.id)
        self._batches.advance(batch)
        return Reply(document=batch.document())

    def _cancel(self, request: Request) -> Reply:
        batch = self._batches.get(request.id)
        batch.cancel()
        return Reply(document=batch.document())

    def _complete(self, request: Request) -> Reply:
        """One request, answered now; `dropped` means that the paid answer never arrives."""
        body = request.json()
        if body.get("stream"):
            raise ApiError(400, "A rehearsal does not stream.", param="stream")
        outcome = self._llm.execute(body, endpoint=request.route.removeprefix("POST "))
        if outcome.status == 0:
            return Reply(status=500, document=outcome.body)
        return Reply(status=outcome.status, document=outcome.body, lost=outcome.fault == "dropped")


class _Listed(Protocol):
    @property
    def id(self) -> str: ...

    def document(self) -> dict[str, Any]: ...


def _page(request: Request, items: Sequence[_Listed], *, limit: int, largest: int) -> Reply:
    """One page of a list, in the form of OpenAI's cursor pages."""
    size = request.option("limit", str(limit))
    if not size.isdigit() or not 1 <= int(size) <= largest:
        message = f"Invalid 'limit': expected a number from 1 to {largest}."
        raise ApiError(400, message, code="invalid_value", param="limit")
    after = request.option("after")
    ids = [item.id for item in items]
    if after and after not in ids:
        raise ApiError(404, f"No item found with id '{after}'.", param="after")
    start = ids.index(after) + 1 if after else 0
    page = items[start : start + int(size)]
    return Reply(
        document={
            "object": "list",
            "data": [item.document() for item in page],
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": start + int(size) < len(items),
        }
    )
