"""The request: a body of the chat API as llama.cpp takes it, and its answer as a reply."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from enrich.providers.executor.reply import EngineReply
from enrich.providers.local.images import inline_images
from enrich.providers.local.rejection import RejectedRequest, make_rejection
from enrich.providers.local.settings import CHAT_ENDPOINT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.providers.executor.folder import Job

USUAL_MAX_TOKENS = 512
STEADYING = {"repeat_penalty": 1.1, "repeat_last_n": 256}
"""Parameters that keep small llms from repeating themselves (llama.cpp's server README): of 60
summaries of films, 22 did not end without them, and 4 with them."""
STEADYING_MORE = {"repeat_penalty": 1.3, "repeat_last_n": 512, "temperature": 0.3}
"""The same for a second try after an answer that did not end."""
TOKEN_MAXIMA = frozenset({"max_tokens", "max_completion_tokens"})
AT_MOST = re.compile(r"at most (\d+) characters")
PENALTIES = frozenset({"repeat_penalty", "frequency_penalty", "presence_penalty", "dry_multiplier"})
"""A request that sets one of these has its own way of avoiding repetition."""


class ChatEngine(Protocol):
    """What answers bodies: `Llama`, which is only loaded in a worker."""

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns a completion or `{"error": ...}`."""


def answer_body(llama: ChatEngine, body: Mapping[str, Any], job: Job) -> EngineReply:
    """Returns the reply to a request of a job; an error is a reply, too."""
    try:
        prepared = prepare_body(body, job)
        found = llama.ask(prepared)
        # An answer at the limit most likely repeats itself, so it is tried once more. Not if the
        # request sets a limit: then the answer may end there as intended.
        may_repeat = not (PENALTIES | TOKEN_MAXIMA) & body.keys()
        if may_repeat and _is_cut_off(found):
            again = llama.ask({**prepared, **STEADYING_MORE})
            found = found if _is_cut_off(again) else again
    except (RejectedRequest, ValueError, RuntimeError) as error:
        return make_rejection(error)
    if "choices" in found:
        found.pop("timings", None)
        return EngineReply(200, {**found, "model": job.llm})
    return EngineReply(_read_status(found), found)


def _is_cut_off(body: Mapping[str, Any]) -> bool:
    """Whether an answer ended at its maximum number of tokens."""
    choices = body.get("choices") or [{}]
    return bool(choices[0].get("finish_reason") == "length")


def _read_status(body: Mapping[str, Any]) -> int:
    """Returns the HTTP status in an error, or 400."""
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 400


def prepare_body(body: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """Returns a body as the engine takes it. Raises RejectedRequest if it cannot be answered."""
    # By default greedy and seeded, so that the same request gets the same answer; only a second
    # attempt may differ. Without a maximum, an llm that repeats itself would never end.
    if job.endpoint != CHAT_ENDPOINT:
        raise RejectedRequest(f"a local llm only answers {CHAT_ENDPOINT}, not {job.endpoint}")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise RejectedRequest("`messages` is empty")
    attempt = _read_attempt(job)
    own: dict[str, Any] = {"temperature": 0.3 if attempt > 1 else 0}
    own["seed"] = attempt if attempt > 1 else 0
    if all(body.get(limit) is None for limit in TOKEN_MAXIMA):
        own["max_tokens"] = USUAL_MAX_TOKENS
    if body.get("response_format") is not None:
        own["response_format"] = _add_lengths(body["response_format"])
    own |= {} if PENALTIES & body.keys() else STEADYING
    given = {k: v for k, v in body.items() if v is not None and k != "response_format"}
    return {**own, **given, "messages": [inline_images(each) for each in body["messages"]]}


def _add_lengths(schema: Any) -> Any:  # noqa: ANN401  # any JSON
    """Returns a response format in which texts have the maximum length of their columns."""
    # OpenAI's strict schemas do not allow `maxLength`, so enrich states it in the description (see
    # `manifest.families`). llama.cpp's grammars can enforce it.
    if isinstance(schema, list):
        return [_add_lengths(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _add_lengths(value) for key, value in schema.items()}
    said = AT_MOST.search(str(found.get("description", "")))
    kind = found.get("type")
    is_text = kind == "string" or (isinstance(kind, list) and "string" in kind)
    return found | {"maxLength": int(said[1])} if said and is_text else found


def _read_attempt(job: Job) -> int:
    """Returns which attempt at its rows a batch is, counted from 1."""
    number = job.metadata.get("attempt", "")
    return int(number) if number.isdecimal() else 1
