"""DatabaseFiles: request files are sent, found and deleted; result files are streamed to disk."""

from __future__ import annotations

import re
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from enrich.errors import ProviderError, Unavailable
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.providers.openai.connection import Connection

PENDING_WORDS = frozenset({"pending", "uploading", "processing", "queued", "running", "notrunning"})
"""Statuses of a file that is not ready for a batch yet, on Azure and on similar servers."""
DOWNLOAD_CHUNK = 1 << 20


def send_file(connection: Connection, path: Path) -> str:
    """Uploads a request file once and returns its id. Raises ProviderError."""
    from enrich.providers.bounds import read_id

    # Without the SDK's retries: enrich would not know of the file of a try that seemed to fail, and
    # could never delete it.
    with connection.translate_errors(), path.open("rb") as lines:
        named = (path.name, lines, "application/jsonl")
        made = connection.ask(
            lambda client: client.with_options(max_retries=0).files.create(
                file=named, purpose="batch"
            ),
            sent=path.stat().st_size,
        )
        return read_id(made.id, "the uploaded file")


def list_named(connection: Connection, name: str) -> tuple[str, ...]:
    """Returns the ids of the files of this name, newest first; none if a server has no such
    list."""
    try:
        files = connection.list_items(
            lambda client: client.files.list(purpose="batch", order="desc")
        )
        found = (file for file in files if getattr(file, "filename", "") == name)
        return tuple(str(file.id) for file in found)
    except Unavailable:
        raise
    except ProviderError:
        return ()


def is_processed(connection: Connection, file: str) -> bool:
    """Whether a file is ready, according to `GET /v1/files/{id}`; True if a server does not have
    that route."""
    try:
        found = connection.ask(lambda client: client.files.retrieve(file))
    except Unavailable:
        raise
    except ProviderError:
        return True
    status = getattr(found, "status", "")
    return re.sub("[^a-z]", "", str(status or "").lower()) not in PENDING_WORDS


def delete_file(connection: Connection, file: str) -> None:
    """Deletes a file; does nothing if it is gone."""
    import openai

    from enrich.providers.bounds import call_within

    with connection.translate_errors(), suppress(openai.NotFoundError):
        call_within(connection.account.timeout, lambda: connection.client.files.delete(file))


def download_file(connection: Connection, file: str, path: Path) -> None:
    """Streams a result file to `path`, either all of it or nothing. Raises ProviderError, also for
    a file that is gone for good."""
    import openai

    try:
        _stream_file(connection, file, path)
    except ProviderError as problem:
        if not isinstance(problem.__context__, openai.NotFoundError):
            raise
        what = f"{connection.name} no longer has the result file {file}"
        hint = "give up the batch, so that its rows can be asked again: enrich cancel --forget"
        raise ProviderError(what, hint=hint) from problem


def _stream_file(connection: Connection, file: str, path: Path) -> None:
    """Writes a file beside `path`, renames it, and removes secrets from it."""
    part = path.with_suffix(".part")
    coming = connection.client.files.with_streaming_response.content(file)
    with connection.translate_errors(), ExitStack() as stack:
        answer = connection.ask(lambda _: coming.__enter__())
        stack.push(coming)
        out = stack.enter_context(open_private(part, "wb"))
        for chunk in answer.iter_bytes(DOWNLOAD_CHUNK):
            out.write(chunk)
    part.replace(path)
    connection.account.sure_secrets.clean(path)
