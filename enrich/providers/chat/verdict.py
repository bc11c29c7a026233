"""Verdicts: what an HTTP answer to one row means, for the row and for the batch."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from enrich.providers.executor.reply import EngineReply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Meaning = Literal["answer", "busy", "faulty", "lost", "hopeless"]
"""`lost`: the request was sent and the connection broke: it may have been answered, and billed."""

BUSY_STATUSES = frozenset({429, 498, 503, 529})
"""The server is there and takes no more now: the row is asked again, and that is no attempt. 498 is
Groq's for its flex tier, where OpenAI answers 429 (`resource_unavailable`)."""
FAULTY_STATUSES = frozenset({408, 409, 425, 500, 502, 504})
"""Something broke on the way: the row is asked again, but not for ever, for it may be the cause."""
BAD_GATEWAY = 502
"""The one with which a gateway says that the server behind it is away."""
HOPELESS_STATUSES = frozenset({401, 402, 403, 404, 405})
"""No row will fare better."""
NO_MONEY_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
UNUSABLE_CODE = "unusable_answer"
"""The code of an answer with a good status that nothing can be read from."""
STREAM_STARTS = ("data:", "event:", "id:", "retry:", ": ")
"""How server-sent events begin."""
STREAMED = (
    "the server streams its answer, which cannot be read: turn that off in the server's "
    "configuration (`stream: false`), or check base_url"
)
HINTS = {
    401: "check the API key: its variable, or api_key: in project.yml",
    402: "the account's balance is used up: see the provider's billing page",
    403: "the key may not do this: check its project and its permissions",
    404: "check base_url, and the llm's name: enrich debug asks for both",
    429: "the account's quota or budget is used up: see the provider's billing page",
}


@dataclass(frozen=True, kw_only=True)
class RowVerdict:
    """What an answer means, in words, and the reply that it makes of its row, if it makes one."""

    meaning: Meaning
    reply: EngineReply
    words: str = ""
    code: str = ""
    tokens: int = 0


def judge_answer(
    status: int,
    body: bytes,
    decode: Callable[[Any], Any] = lambda document: document,
    *,
    charset: str = "",
    trouble: str = "",
) -> RowVerdict:
    """What an answer with this status and body means; `decode` turns the document of a good one
    into that of OpenAI's API. `charset` is what the server says of the body, and `trouble` why it
    could not be received whole."""
    text = _decode_text(body, charset)
    document = _parse(text)
    if status == 200:
        document = decode(document)
        if not _is_error(document):
            return _take(document, trouble or _find_flaw(document, text))
    words, code = _words(document, text)
    said = {"error": {"message": words, "code": code}}
    reply = EngineReply(status if status != 200 else 500, said)
    if status in BUSY_STATUSES and code not in NO_MONEY_CODES:
        return RowVerdict(meaning="busy", reply=reply, words=words, code=code)
    if status in HOPELESS_STATUSES or status == 429 or 300 <= status < 400:
        hint = f" ({HINTS[status]})" if status in HINTS else ""
        words = f"the server answered {status}: {words}{hint}"
        return RowVerdict(meaning="hopeless", reply=reply, words=words)
    if status in FAULTY_STATUSES or status == 200:
        return RowVerdict(meaning="faulty", reply=reply, words=words, code=code)
    return RowVerdict(meaning="answer", reply=reply, words=words, code=code)


def _is_error(document: object) -> bool:
    """Whether a server says with a good status that it has no answer."""
    if not isinstance(document, dict):
        return False
    return bool(document.get("error")) and not document.get("choices")


def _take(document: Any, flaw: str) -> RowVerdict:  # noqa: ANN401  # any JSON
    """The verdict on what came with a good status: it has been paid for, so that it is the answer,
    whatever it is."""
    if flaw:
        said = {"error": {"message": flaw, "code": UNUSABLE_CODE}}
        return RowVerdict(meaning="answer", reply=EngineReply(200, said), words=flaw)
    usage = document.get("usage") if isinstance(document, dict) else None
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else 0
    counted = tokens if isinstance(tokens, int) and tokens > 0 else 0
    return RowVerdict(meaning="answer", reply=EngineReply(200, document), tokens=counted)


def _find_flaw(document: object, text: str) -> str:
    """Says why nothing can be read from what came with a good status; "" if something may be."""
    if isinstance(document, (dict, list, str)):
        return ""
    said = " ".join(text[:200].split())
    if said.startswith(STREAM_STARTS):
        return STREAMED
    return f"the answer is no chat completion: {said}" if said else "the answer is empty"


def _decode_text(body: bytes, charset: str) -> str:
    """Returns the text of a body: UTF-8, as JSON has to be, or else what the server calls it. Bytes
    that are neither become U+FFFD, as in the results of batches."""
    try:
        return body.decode(json.detect_encoding(body))
    except UnicodeDecodeError:
        with suppress(LookupError, ValueError):  # a name that is none of a text encoding
            return body.decode(charset, "replace")
        return body.decode(errors="replace")


def _parse(text: str) -> Any:  # noqa: ANN401  # any JSON
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _words(document: Any, text: str) -> tuple[str, str]:  # noqa: ANN401  # any JSON
    """What a server says is wrong, and its code for it."""
    error = document.get("error", document) if isinstance(document, dict) else None
    if isinstance(error, str):
        return error[:500], ""
    if isinstance(error, dict):
        found: Mapping[str, Any] = error
        words = found.get("message") or found.get("detail") or ""
        code = found.get("code") or found.get("type") or ""
        if words:
            return str(words)[:500], str(code)
    return " ".join(text[:200].split()) or "an empty answer", ""
