"""Mistral's Batch API: its jobs, its form of lines, documents of files and errors.

Everything is as the types of mistralai 3.7 and docs.mistral.ai (API reference, Batch Inference)
have it: an upload is checked line by line (422), a job names its llm, and nobody minds if two lines
have the same custom_id. A row that was not answered in time has no line in any file.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from enrich.rehearsal.embeddings import EMBEDDINGS_PATH
from enrich.rehearsal.objections import CHAT_PATH
from enrich.rehearsal.replies import ApiError, HttpReply, render_failure
from enrich.rehearsal.results import ResultFiles
from enrich.rehearsal.routes import Api, find_route
from enrich.rehearsal.validation import AcceptedFile, BatchError, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from enrich.rehearsal.batch import PlayedBatch
    from enrich.rehearsal.batches import Batches
    from enrich.rehearsal.files import FileStore, StoredFile
    from enrich.rehearsal.llm import ExecutedRequest, Llm
    from enrich.rehearsal.routes import Request
    from enrich.rehearsal.settings import RehearsalSettings

PLAIN_ROUTES = (
    "DELETE /v1/files/{id}",
    "GET /v1/files/{id}/content",
    "GET /v1/models/{id}",
    f"POST {CHAT_PATH}",
    f"POST {EMBEDDINGS_PATH}",
)
"""The routes whose calls and answers are those of OpenAI's API."""
MISTRAL_ROUTES = (
    "POST /v1/files",
    "GET /v1/files",
    "GET /v1/files/{id}",
    "POST /v1/batch/jobs",
    "GET /v1/batch/jobs",
    "GET /v1/batch/jobs/{id}",
    "POST /v1/batch/jobs/{id}/cancel",
)
JOB_WORDS = {
    "validating": "QUEUED",
    "in_progress": "RUNNING",
    "finalizing": "RUNNING",
    "completed": "SUCCESS",
    "failed": "FAILED",
    "expired": "TIMEOUT_EXCEEDED",
    "cancelling": "CANCELLATION_REQUESTED",
    "cancelled": "CANCELLED",
}
JOB_ENDPOINTS = (CHAT_PATH, EMBEDDINGS_PATH)
"""The endpoints that a rehearsal can execute; Mistral has a few more."""
LONGEST_JOB = 168
"""Hours."""
LARGEST_PAGE = 1_000


class MistralLlm:
    """The llm, asked for embeddings in Mistral's words: theirs have an id, and `output_dimension`
    is how long they are."""

    def __init__(self, llm: Llm) -> None:
        self._llm = llm

    def execute(
        self, body: Mapping[str, Any], *, endpoint: str, custom_id: str = ""
    ) -> ExecutedRequest:
        """Execute a request once."""
        if endpoint != EMBEDDINGS_PATH:
            return self._llm.execute(body, endpoint=endpoint, custom_id=custom_id)
        asked = dict(body)
        if "output_dimension" in asked:
            asked["dimensions"] = asked.pop("output_dimension")
        outcome = self._llm.execute(asked, endpoint=endpoint, custom_id=custom_id)
        if outcome.status != 200:
            return outcome
        return replace(outcome, body={"id": "embd_rehearsal", **outcome.body})


class MistralApi:
    """Answers calls; raises ApiError for those it refuses."""

    routes: ClassVar[tuple[str, ...]] = (*MISTRAL_ROUTES, *PLAIN_ROUTES)
    base_path: ClassVar[str] = "/v1"

    def __init__(
        self, settings: RehearsalSettings, files: FileStore, batches: Batches, llm: Llm
    ) -> None:
        self._settings = settings
        self._files = files
        self._batches = batches
        self._llm = MistralLlm(llm)
        self._openai = Api(settings, files, batches, self._llm)
        self._llms: dict[str, str] = {}
        handlers: tuple[Callable[[Request], HttpReply], ...] = (
            self._upload,
            self._list_files,
            lambda request: HttpReply(document=_render_file(files.get(request.id))),
            self._create,
            self._list_jobs,
            self._retrieve,
            self._cancel,
        )
        self._handlers = dict(zip(MISTRAL_ROUTES, handlers, strict=True))

    @staticmethod
    def find_route(method: str, path: str) -> tuple[str, str]:
        return find_route(method, path, MistralApi.routes)

    @staticmethod
    def render_failure(status: int, code: str | None = None) -> dict[str, Any]:
        return _render_problem(render_failure(status, code), status)

    def answer(self, request: Request) -> HttpReply:
        try:
            if request.route in PLAIN_ROUTES:
                return self._openai.answer(request)
            self._openai.authorize(request.authorization)
            if request.route not in self._handlers:
                raise ApiError(404, "no Route matched with those values")
            return self._handlers[request.route](request)
        except ApiError as error:
            error.document = _render_problem(error.document, error.status)
            raise

    def _upload(self, request: Request) -> HttpReply:
        """Store a file of which every line is an object with a `body`."""
        document = self._openai.answer(request).document
        file = self._files.get(document["id"])  # type: ignore[call-overload]  # it is an object
        with file.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not _is_request(line):
                    self._files.delete(file.id)
                    raise ApiError(422, f"Invalid line {number}: `body` is missing or no object.")
        return HttpReply(document=_render_file(file))

    def _list_files(self, request: Request) -> HttpReply:
        purpose = request.get_option("purpose")
        found = [f for f in self._files.list_visible() if purpose in ("", f.purpose)]
        return _render_list(request, [_render_file(file) for file in reversed(found)])

    def _create(self, request: Request) -> HttpReply:
        asked = request.json()
        llm, hours, files = (asked.get(key) for key in ("model", "timeout_hours", "input_files"))
        if not isinstance(llm, str) or not llm:
            raise ApiError(422, "model: Field required")
        if not isinstance(files, list) or len(files) != 1 or not self._files.find(files[0]):
            raise ApiError(404, f"Input files not found: {files}")
        if hours is not None and (not isinstance(hours, int) or not 1 <= hours <= LONGEST_JOB):
            raise ApiError(422, f"timeout_hours: Input should be from 1 to {LONGEST_JOB}")
        if asked.get("endpoint") not in JOB_ENDPOINTS:
            raise ApiError(422, f"endpoint: Input should be one of {', '.join(JOB_ENDPOINTS)}")
        made: dict[str, Any] = {"endpoint": asked["endpoint"], "completion_window": "24h"}
        made |= {"input_file_id": files[0], "metadata": asked.get("metadata")}
        accept = partial(accept_job_file, llm=llm)
        job = self._batches.create(made, accept=accept, results=MistralResults, llm=self._llm)
        self._llms[job.id] = llm
        return HttpReply(document=self._render_job(job))

    def _list_jobs(self, request: Request) -> HttpReply:
        """List the jobs, newest first. This does not advance them."""
        if self._settings.quirks.no_list:
            raise ApiError(404, "no Route matched with those values")
        jobs = [self._render_job(job) for job in reversed(self._batches.list_all())]
        status = request.get_option("status")
        return _render_list(request, [job for job in jobs if status in ("", job["status"])])

    def _retrieve(self, request: Request) -> HttpReply:
        job = self._batches.get(request.id)
        self._batches.advance(job)
        return HttpReply(document=self._render_job(job))

    def _cancel(self, request: Request) -> HttpReply:
        job = self._batches.get(request.id)
        try:
            job.cancel()
        except ApiError as error:
            raise ApiError(400, "Job has already ended.") from error
        return HttpReply(document=self._render_job(job))

    def _render_job(self, job: PlayedBatch) -> dict[str, Any]:
        """Returns the object of a job, from that of the batch that it is."""
        known = job.render_document()
        counts = known.get("request_counts") or {"total": 0, "completed": 0, "failed": 0}
        errors = (known["errors"] or {"data": []})["data"]
        return {
            "id": known["id"],
            "object": "batch",
            "input_files": [known["input_file_id"]],
            "endpoint": known["endpoint"],
            "model": self._llms.get(job.id),
            "agent_id": None,
            "metadata": known["metadata"],
            "status": JOB_WORDS.get(known["status"], known["status"].upper()),
            "errors": [{"message": error["message"], "count": 1} for error in errors],
            "output_file": known["output_file_id"],
            "error_file": known["error_file_id"],
            "created_at": known["created_at"],
            "started_at": known["in_progress_at"],
            "completed_at": known["completed_at"],
            "total_requests": counts["total"],
            "completed_requests": counts["completed"] + counts["failed"],
            "succeeded_requests": counts["completed"],
            "failed_requests": counts["failed"],
        }


class MistralResults(ResultFiles):
    """Writes the lines of Mistral's result files."""

    def write_not_executed(self, custom_id: str, code: str) -> None:
        """Write nothing: a request that was not answered has no line."""

    def render_line(
        self, custom_id: str, *, response: dict[str, Any] | None, error: object
    ) -> bytes:
        if response is not None:
            body, status = response["body"], response["status_code"]
            good = status == 200
            if not good and isinstance(body, dict):
                error = (body.get("error") or {}).get("message") or "Internal error"
            response = {"status_code": status, "body": body if good else None}
        return super().render_line(custom_id, response=response, error=error)


def accept_job_file(
    path: Path, *, endpoint: str, settings: RehearsalSettings, llm: str
) -> AcceptedFile:
    """Read the input file of a job once, line by line. Raises BatchError if it cannot be run."""

    def read(line: bytes) -> dict[str, Any]:
        known = parse_object(line)
        body = {**known["body"], "model": llm}
        return {"custom_id": known.get("custom_id"), "url": endpoint, "body": body}

    offsets, place = array("Q"), 0
    with path.open("rb") as lines:
        for line in lines:
            offsets.append(place)
            place += len(line)
    if not offsets:
        raise BatchError("empty_file", "The input file is empty.")
    if len(offsets) > settings.max_requests:
        raise BatchError("too_many", f"More than {settings.max_requests} requests.")
    if llm in settings.unknown_llms:
        raise BatchError("invalid_model", f"Invalid model: {llm}")
    return AcceptedFile(offsets, llm, place // 4, read)


def _is_request(line: bytes) -> bool:
    try:
        return isinstance(parse_object(line).get("body"), dict)
    except (ValueError, RecursionError):
        return False


def _render_problem(document: dict[str, Any], status: int) -> dict[str, Any]:
    """Returns the error document of a status, from that of OpenAI's API."""
    known = document.get("error", document)
    message = known.get("message", "")
    if status == 422:
        return {"detail": [{"type": "value_error", "loc": ["body"], "msg": message}]}
    if status in (401, 404):
        return {"detail": message}
    code = known.get("code")
    return {"object": "error", "message": message, "type": known.get("type"), "code": code}


def _render_file(file: StoredFile) -> dict[str, Any]:
    """Returns the object of a file."""
    is_upload = file.purpose == "batch"
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "filename": file.filename,
        "purpose": "batch",
        "sample_type": "batch_request" if is_upload else "batch_result",
        "source": "upload" if is_upload else "mistral",
        "num_lines": None,
        "deleted": False,
    }


def _render_list(request: Request, items: Sequence[dict[str, Any]]) -> HttpReply:
    """Returns one page of a list; pages are numbered from 0."""
    page, size = request.get_option("page", "0"), request.get_option("page_size", "100")
    if not page.isdigit() or not size.isdigit() or not 1 <= int(size) <= LARGEST_PAGE:
        raise ApiError(422, f"page_size: Input should be from 1 to {LARGEST_PAGE}")
    start = int(page) * int(size)
    shown = list(items[start : start + int(size)])
    return HttpReply(document={"object": "list", "data": shown, "total": len(items)})
