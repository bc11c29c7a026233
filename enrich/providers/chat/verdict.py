"""Verdicts: what an HTTP answer to one row means, for the row and for the batch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from enrich.providers.executor.reply import EngineReply

if TYPE_CHECKING:
    from collections.abc import Mapping

Meaning = Literal["answer", "busy", "faulty", "lost", "hopeless"]
"""`lost`: the request was sent and the connection broke: it may have been answered, and billed."""

BUSY_STATUSES = frozenset({429, 498, 503, 529})
"""The server is there and takes no more now: the row is asked again, and that is no attempt. 498 is
Groq's for its flex tier, where OpenAI answers 429 (`resource_unavailable`)."""
FAULTY_STATUSES = frozenset({408, 409, 425, 500, 502, 504})
"""Something broke on the way: the row is asked again, but not for ever, for it may be the cause."""
HOPELESS_STATUSES = frozenset({401, 402, 403, 404, 405})
"""No row will fare better."""
NO_MONEY_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
HINTS = {
    401: "check the API key: OPENAI_API_KEY, or api_key: in project.yml",
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


def judge_answer(status: int, body: bytes) -> RowVerdict:
    """What an answer with this status and body means."""
    document = _parse(body)
    if status == 200 and isinstance(document, dict) and not document.get("error"):
        usage = document.get("usage")
        tokens = usage.get("total_tokens") if isinstance(usage, dict) else 0
        counted = tokens if isinstance(tokens, int) and tokens > 0 else 0
        return RowVerdict(meaning="answer", reply=EngineReply(200, document), tokens=counted)
    words, code = _words(document, body)
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


def _parse(body: bytes) -> Any:  # noqa: ANN401  # any JSON
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _words(document: Any, body: bytes) -> tuple[str, str]:  # noqa: ANN401  # any JSON
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
    text = " ".join(body[:200].decode(errors="replace").split())
    return text or "an empty answer", ""
