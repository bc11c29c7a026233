"""Immediate answers: the few requests of a preview, through the synchronous endpoint."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

from enrich.errors import ProviderError, Unavailable, Unclear
from enrich.providers.openai.errors import is_out_of_money
from enrich.providers.openai.words import extract_words
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import openai

    from enrich.providers.openai.connection import Connection

SIDE_BY_SIDE = 8
"""How many requests are asked at the same time without the Batch API."""
RETRY_PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try of a call that was refused for now, unless the provider says how
long to wait."""
LONGEST_PAUSE = 20.0
DIGITS = re.compile(r"\d+")


class _Refusal(ProviderError):
    """A request of a preview was refused; `response` is what its result line says."""

    def __init__(self, message: str, response: dict[str, Any]) -> None:
        """A refused request costs nothing."""
        hint = "change the prompt, its params or the llm; nothing was charged"
        super().__init__(message, hint=hint)
        self.response = response


def answer_requests(connection: Connection, requests: Path, results: Path) -> None:
    """Asks the requests one by one, a few at the same time, and writes a line for each answer.

    A call whose answer was lost is not repeated and gets no line. Raises ProviderError only if no
    request was answered, or if all were refused in the same way: the cause is then in what they
    share.
    """
    lines = [json.loads(line) for line in requests.read_bytes().split(b"\n") if line]
    with open_private(results, "ab") as out:
        preview = _Preview(connection=connection, out=out)
        pool = ThreadPoolExecutor(SIDE_BY_SIDE)
        try:
            for asked in [pool.submit(preview.ask, line) for line in lines]:
                asked.result()
        finally:
            # Waits for the calls that have started, even after Ctrl-C: they are paid for.
            pool.shutdown(cancel_futures=True)
    preview.raise_shared_refusal(len(lines))


@dataclass(kw_only=True)
class _Preview:
    """The requests of one preview, and what went wrong with them."""

    connection: Connection
    out: IO[bytes]
    problems: list[ProviderError] = field(default_factory=list)
    refusals: list[ProviderError] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def ask(self, line: Mapping[str, Any]) -> None:
        """Answers one request, and writes its line if it has one."""
        try:
            answered = {"response": self._answer_line(line), "error": None}
        except _Refusal as problem:
            self.refusals.append(problem)
            answered = {"response": problem.response, "error": None}
        except Unclear as problem:
            self.problems.append(problem)
            return
        except ProviderError as problem:
            self.problems.append(problem)
            error = {"code": "not_answered", "message": problem.message}
            answered = {"response": None, "error": error}
        known = {"custom_id": line["custom_id"], **answered}
        text = self.connection.account.sure_secrets.redact(json.dumps(known))
        with self.lock:
            self.out.write(text.encode() + b"\n")
            self.out.flush()

    def raise_shared_refusal(self, requests: int) -> None:
        """Raises what went wrong with all requests, unless one was answered or may have been."""
        lost = any(isinstance(problem, Unclear) for problem in self.problems)
        if len(self.problems) == requests and not lost:
            raise self.problems[0]
        # Digits are ignored, because messages name positions, numbers of tokens and ids.
        alike = len({DIGITS.sub("", str(problem)) for problem in self.refusals}) == 1
        if len(self.refusals) == requests and alike:
            raise ProviderError(self.refusals[0].message, hint=self.refusals[0].hint)

    def _answer_line(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the result of `_post_line`, with further tries while the provider is busy or
        cannot be reached."""
        for pause in RETRY_PAUSES:
            try:
                return self._post_line(line)
            except Unavailable as problem:
                time.sleep(min(_read_pause(problem, pause), LONGEST_PAUSE))
        return self._post_line(line)

    def _post_line(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the `response` of a result line, also if only this request was refused. Raises
        ProviderError."""
        import openai

        from enrich.providers.bounds import call_within

        # Without the SDK's retries: a repeated request is paid for twice if the first answer was
        # lost, and `RETRY_PAUSES` covers the calls that are safe to repeat.
        client = self.connection.client.with_options(max_retries=0)
        path = line["url"].removeprefix("/v1")
        tier = self.connection.account.service_tier
        body_sent = {**({"service_tier": tier} if tier else {}), **line["body"]}
        with self.connection.translate_errors(creating=True):
            try:
                body: Any = call_within(
                    self.connection.account.timeout,
                    lambda: client.post(path, body=body_sent, cast_to=object),
                )
            except openai.APIStatusError as problem:
                return self._judge_refusal(problem)
        return {"status_code": 200, "body": body}

    def _judge_refusal(self, problem: openai.APIStatusError) -> dict[str, Any]:
        """Returns the response of a request that a content filter refused, because the cause is in
        its row. Raises _Refusal if the cause may be in what all rows share, and otherwise what the
        status means."""
        status, connection = problem.status_code, self.connection
        if status == 503 or (status == 429 and not is_out_of_money(problem)):
            connection.raise_refused(problem, creating=False)
        if status not in (400, 413, 422):
            raise problem
        words = connection.account.redact(extract_words(problem))
        said = {"message": words, "code": problem.code}
        response = {"status_code": status, "body": {"error": said}}
        if "content" in str(problem.code or ""):
            return response
        raise _Refusal(f"{connection.name} answered {status}: {words}", response) from problem


def _read_pause(problem: ProviderError, usual: float) -> float:
    """Returns the seconds that a provider asks to wait (Retry-After), or the usual ones."""
    response = getattr(problem.__context__, "response", None)
    try:
        asked = float(response.headers["retry-after"]) if response is not None else usual
    except (KeyError, ValueError):
        return usual
    return asked if asked >= 0 else usual  # neither a time in the past nor NaN
