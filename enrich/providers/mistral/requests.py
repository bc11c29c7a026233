"""Request files: lines of the Batch API become lines of Mistral's, and name the job's llm."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from enrich.errors import ProviderError
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.providers.openai.connection import Connection

PIECE = 1 << 16


@contextmanager
def open_translated(path: Path) -> Iterator[Path]:
    """Yields a file of the same name with the same requests as Mistral wants them, which is removed
    afterwards. Raises ProviderError if they cannot be the requests of one job."""
    with TemporaryDirectory(
        dir=path.parent, prefix="mistral-", ignore_cleanup_errors=True
    ) as folder:
        translated = Path(folder) / path.name
        with path.open("rb") as lines, open_private(translated, "wb") as out:
            for request in _check_requests(lines):
                line = {"custom_id": request["custom_id"], "body": request["body"]}
                text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
                out.write(text.encode("utf-8", "backslashreplace") + b"\n")
        yield translated


def _check_requests(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Yields the requests. Raises ProviderError for a second llm or custom_id."""
    # Mistral would answer a custom_id twice, and nothing could tell the two apart. Hashes are
    # enough to know, and take the same memory however long the ids are.
    seen: set[int] = set()
    llm = None
    for number, text in enumerate(lines, start=1):
        request: dict[str, Any] = json.loads(text)
        custom_id, named = request["custom_id"], request["body"].get("model")
        what = ""
        if hash(custom_id) in seen:
            what = f"line {number} of the request file has the custom_id of another"
        elif llm is not None and named != llm:
            what = f"line {number} of the request file names another llm than the first"
        if what:
            raise ProviderError(what, hint="a batch has one llm, and each custom_id once")
        seen.add(hash(custom_id))
        llm = named
        yield request


def read_llm(connection: Connection, file: str) -> str:
    """Returns the llm that an uploaded request file names in its first line; no more than that is
    read. Raises ProviderError."""
    # A job names its llm itself, and whoever submits a file need not be who uploaded it.
    from enrich.providers.bounds import ANSWER_BYTES, Unreadable, read_id

    coming = connection.client.files.with_streaming_response.content(file)
    first = bytearray()
    with connection.translate_errors(), ExitStack() as stack:
        answer = connection.ask(lambda _: coming.__enter__())
        stack.push(coming)
        for piece in answer.iter_bytes(PIECE):
            first += piece
            if b"\n" in piece:
                break
            if len(first) > ANSWER_BYTES:
                raise Unreadable("the first line of a request file is too long")
        return read_id(json.loads(first.partition(b"\n")[0])["body"]["model"], "the llm")
