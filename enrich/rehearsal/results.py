"""Results: the output and error files of one batch, written line by line."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from enrich.rehearsal.llm import ExecutedRequest
    from enrich.rehearsal.settings import RehearsalSettings

NEVER_RUN_MESSAGES = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed because the batch was cancelled.",
}


class ResultFiles:
    """Writes result lines in the shapes of the Batch API, or as a quirk says.

    It is a context manager. Outside of it no file is open, because a batch may stay half done.
    """

    def __init__(
        self, output: Path, errors: Path, *, name: str, settings: RehearsalSettings
    ) -> None:
        quirks = settings.quirks
        self.output = output
        self.errors = output if quirks.one_file else errors
        self._name = name
        self._quirks = quirks
        self._rewrite = settings.rewrite
        self._doubled: list[bytes] = []
        self._sequence = 0

    def __enter__(self) -> ResultFiles:
        self._output = self.output.open("ab")
        self._errors = self._output if self._quirks.one_file else self.errors.open("ab")
        if self._quirks.bom:
            self._write_bom()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._output.close()
        self._errors.close()

    def write_executed(self, custom_id: str, outcome: ExecutedRequest) -> None:
        """Write the line of an executed request: to the output file if its status is 200."""
        self._sequence += 1
        response = {
            "status_code": outcome.status,
            "request_id": f"req_{self._name}{self._sequence:08d}" if outcome.status else "",
            "body": outcome.body,
        }
        if self._quirks.body_as_string:
            response["body"] = json.dumps(outcome.body)
        line = self.render_line(custom_id, response=response, error=None)
        if outcome.fault == "bad_byte":
            line = line.replace(b'"batch_req_', b'"batch_\xffreq_', 1)
        if outcome.status != 200:
            self._errors.write(line)
            return
        self._output.write(line)
        if outcome.fault == "doubled":
            self._doubled.append(line)

    def write_not_executed(self, custom_id: str, code: str) -> None:
        """Write the line of a request that never ran, with the reason of the batch."""
        self._sequence += 1
        error = {"code": code, "message": NEVER_RUN_MESSAGES[code]}
        self._errors.write(self.render_line(custom_id, response=None, error=error))

    def finish(self) -> None:
        """Write the lines that are to appear twice."""
        self._output.writelines(self._doubled)
        self._doubled = []

    def render_line(
        self, custom_id: str, *, response: dict[str, Any] | None, error: object
    ) -> bytes:
        """Returns a result line."""
        line: dict[str, Any] = {
            "id": f"batch_req_{self._name}{self._sequence:08d}",
            "custom_id": custom_id,
        }
        if response is not None or not self._quirks.no_response_key:
            line["response"] = response
        good = response is not None and response["status_code"] == 200
        if not good or not self._quirks.no_error_key:
            line["error"] = error
        end = b"\r\n" if self._quirks.crlf else b"\n"
        return self._encode_line(line) + end * (1 + self._quirks.blank_lines)

    def _encode_line(self, line: dict[str, Any]) -> bytes:
        """Returns a line as bytes, or what `rewrite` turns it into."""
        known = line if self._rewrite is None else self._rewrite(line)
        if isinstance(known, bytes):
            return known
        text = json.dumps(known, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")

    def _write_bom(self) -> None:
        """Start empty files with a byte order mark."""
        for file in (self._output, self._errors):
            if not file.tell():
                file.write(BOM_UTF8)
                file.flush()
