"""Files: sent, found by their display names, deleted and streamed to disk, by Google's REST calls.

The calls are those of ai.google.dev (Files API): a resumable upload in one piece, a list in pages,
and a download of its own.
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from enrich.errors import ProviderError, Unavailable
from enrich.providers.gemini.errors import check_answer, is_gone, translate_file_errors
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx2

    from enrich.providers.openai.connection import Connection

VERSION = "v1beta"
OPENAI_PART = f"/{VERSION}/openai"
"""How the address of the part that speaks OpenAI's API ends."""
LINES_TYPE = "application/jsonl"
FILES_A_PAGE = 100
MOST_FILE_PAGES = 1_000
DOWNLOADED_PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class GeminiFiles:
    """The files of the account that `plain` connects with."""

    plain: Connection

    @property
    def root(self) -> str:
        """The address of the API, without version and part."""
        return self.plain.account.base_url.rstrip("/").removesuffix(OPENAI_PART)

    @cached_property
    def client(self) -> httpx2.Client:
        """The HTTP client, which is closed with this object."""
        self.plain.check_key()
        import httpx2

        from enrich.providers import bounds

        account = self.plain.account
        made = httpx2.Client(
            follow_redirects=False,  # it would carry headers and rows to wherever it leads
            headers={
                **account.headers,
                "Accept-Encoding": "gzip",
                "x-goog-api-key": account.api_key,
            },
            event_hooks=bounds.make_hooks(account.timeout),
            timeout=account.timeout,
        )
        weakref.finalize(self, made.close)
        return made

    def send(self, path: Path) -> str:
        """Uploads a request file once and returns its name. Raises ProviderError."""
        from enrich.providers.bounds import SLOWEST_RATE, Unreadable, call_within, read_id

        size = path.stat().st_size
        start = {
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(size),
            "X-Goog-Upload-Header-Content-Type": LINES_TYPE,
        }
        rest = {
            "X-Goog-Upload-Offset": "0",
            "X-Goog-Upload-Command": "upload, finalize",
            "Content-Length": str(size),
        }
        named = {"file": {"display_name": path.name}}
        with translate_file_errors(self.plain), path.open("rb") as lines:
            started = self._request("POST", f"/upload/{VERSION}/files", headers=start, json=named)
            place = urlsplit(started.headers.get("x-goog-upload-url", ""))
            if not place.path:
                raise Unreadable("it says no address for the file")
            # Only path and query: rows go to nobody but the server that was asked.
            where = f"{self._origin}{place.path}?{place.query}"
            answer = call_within(
                self.plain.account.timeout + size / SLOWEST_RATE,
                lambda: self.client.post(where, headers=rest, content=lines),
            )
            check_answer(answer)
            return read_id(answer.json()["file"]["name"], "the uploaded file")

    def list_named(self, name: str) -> tuple[str, ...]:
        """Returns the names of the files with this display name, newest first. Raises
        ProviderError."""
        found = [
            (str(file.get("createTime", "")), str(file["name"]))
            for file in self._list_all()
            if file.get("displayName") == name
        ]
        return tuple(dict.fromkeys(file for _, file in sorted(found, reverse=True)))

    def _list_all(self) -> Iterator[dict[str, Any]]:
        """Yields all files, page by page."""
        options = {"pageSize": str(FILES_A_PAGE)}
        for _ in range(MOST_FILE_PAGES):
            with translate_file_errors(self.plain):
                page = self._request("GET", f"/{VERSION}/files", params=options).json()
                files, token = page.get("files") or [], page.get("nextPageToken")
            yield from files
            if not token or token == options.get("pageToken"):
                return
            options["pageToken"] = str(token)
        what = f"{self.plain.name} returned a list of files that does not end"
        raise ProviderError(what, hint=f"check base_url: {self.plain.account.url}")

    def is_ready(self, file: str) -> bool:
        """Whether Google has processed a file; True if it does not say."""
        try:
            with translate_file_errors(self.plain):
                known = self._request("GET", f"/{VERSION}/{file}").json()
                return str(known.get("state", "")) != "PROCESSING"
        except Unavailable:
            raise
        except ProviderError:
            return True

    def delete(self, file: str) -> None:
        """Deletes a file; does nothing if it is gone."""
        try:
            with translate_file_errors(self.plain):
                self._request("DELETE", f"/{VERSION}/{file}")
        except ProviderError as problem:
            if not is_gone(problem):
                raise

    def download(self, file: str, path: Path) -> None:
        """Streams a result file to `path`, either all of it or nothing. Raises ProviderError, also
        for a file that is gone for good."""
        try:
            self._stream(file, path)
        except ProviderError as problem:
            if not is_gone(problem):
                raise
            what = f"{self.plain.name} no longer has the result file {file}"
            hint = (
                "Gemini keeps files for 48 hours; give up the batch, so that its rows can be asked "
                "again: enrich cancel --forget"
            )
            raise ProviderError(what, hint=hint) from problem

    def _stream(self, file: str, path: Path) -> None:
        """Writes a file beside `path`, renames it, and removes secrets from it."""
        from enrich.providers.bounds import call_within

        part, account = path.with_suffix(".part"), self.plain.account
        where = f"{self.root}/download/{VERSION}/{file}:download"
        with translate_file_errors(self.plain), ExitStack() as stack:
            coming = self.client.stream("GET", where, params={"alt": "media"})
            answer = call_within(account.timeout, coming.__enter__)
            stack.push(coming)
            check_answer(answer)
            out = stack.enter_context(open_private(part, "wb"))
            for piece in answer.iter_bytes(DOWNLOADED_PIECE):
                out.write(piece)
        part.replace(path)
        account.sure_secrets.clean(path)

    @property
    def _origin(self) -> str:
        """The scheme and the host of the API."""
        parts = urlsplit(self.root)
        return f"{parts.scheme}://{parts.netloc}"

    def _request(self, method: str, path: str, **options: Any) -> httpx2.Response:  # noqa: ANN401  # httpx2's
        """Returns the answer of a call that succeeded, within the timeout."""
        from enrich.providers.bounds import call_within

        answer = call_within(
            self.plain.account.timeout,
            lambda: self.client.request(method, f"{self.root}{path}", **options),
        )
        check_answer(answer)
        return answer
