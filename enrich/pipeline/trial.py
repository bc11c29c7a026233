"""Trials: a tiny request of each kind that models need, for `enrich debug --ask`.

They are sent as those of a preview are, but they are no rows: no answer is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from enrich.compiler.body import RequestBody, render_line_start
from enrich.errors import EnrichError, ProviderError, Unavailable, count_nouns
from enrich.manifest.column_type import BYTES_PER_TOKEN
from enrich.manifest.prompt import Prompt
from enrich.pipeline.finding import Finding
from enrich.pipeline.remedy import find_remedy
from enrich.pricing.estimate import LIMIT_PARAMETERS
from enrich.pricing.price import format_usd
from enrich.pricing.reasoning import is_reasoning
from enrich.providers.capabilities import answer_now, choose_endpoint, quote_price

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from enrich.manifest.model import Model
    from enrich.pipeline.flow import Flow
    from enrich.providers import Provider

TrialKind = Literal["text", "schema", "JSON mode", "image", "length", "embedding"]

# A red square of 16 x 16 pixels: some servers refuse smaller pictures.
SQUARE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAMAAAAoLQ9TAAAAA1BMVEX/AAAZ4gk3AAAADUlE"
    "QVR42mNgGAXIAAABEAABf80DtQAAAABJRU5ErkJggg=="
)
SETTINGS = {
    "text": "response_format: text\noutput: answer VARCHAR",
    "schema": "response_format: json_schema\noutput: answer ENUM('yes', 'no') NOT NULL",
    "JSON mode": "response_format: json_object\noutput: answer VARCHAR",
}
QUESTIONS: Mapping[TrialKind, str] = {
    "text": "Reply with the one word {{ word }}.",
    "schema": "Reply with the answer {{ word }}.",
    "JSON mode": 'Reply with this JSON and nothing else: {"answer": "{{ word }}"}',
    "image": f"Say {{{{ word }}}} if this square is red, otherwise its color.\n\n![]({SQUARE})",
    "length": "Say {{ word }}, and then count from one to a hundred in words.",
    "embedding": "Say {{ word }}.",
}
SHORT_LIMITS = {"/v1/chat/completions": 5, "/v1/responses": 16}
"""Output tokens that the question about length allows; /v1/responses takes no less."""
SHORT_ANSWER, THOUGHTFUL_ANSWER, SMALL_PICTURE = 20, 300, 300
"""Tokens that an answer takes, one of an llm that thinks, and the picture: for the estimate."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One tiny request, of a kind that `model` needs. `line` is that of a request file."""

    kind: TrialKind
    model: Model
    limit: str
    line: str


def ask_trials(flow: Flow, provider: Provider, models: Sequence[Model]) -> Iterator[Finding]:
    """Ask each llm of these models, all of this provider, one question of each kind that they need.
    Says before what that costs, and yields a finding for each question."""
    by_llm: dict[str, list[Model]] = {}
    for model in models:
        prompt = model.own_prompt
        llm = prompt.llm or choose_endpoint(provider, prompt.endpoint).llm
        if llm:  # a model without one is reported with the models
            by_llm.setdefault(llm, []).append(model)
    for llm, asked in sorted(by_llm.items()):
        what = f"ask {llm}"
        try:
            trials = [_write_trial(flow, llm, *each) for each in _list_kinds(asked)]
        except EnrichError as problem:  # the warehouse is locked, for instance
            yield Finding(what=what, verdict="fail", detail=problem.message, hint=problem.hint)
            continue
        cost = format_usd(_estimate_cost(provider, llm, trials))
        many = count_nouns(len(trials), "tiny request")
        flow.listener.say(f"asking {llm} ({provider.name}) {many}, for about {cost}")
        for trial in trials:
            yield _try_one(flow, provider, trial, what=what)


def _list_kinds(models: Sequence[Model]) -> Iterator[tuple[TrialKind, Model]]:
    """Yields each kind of request that the models need, with the first model that needs it."""
    forms = {model.own_prompt.response_format: model for model in reversed(models)}
    pictured = next((model for model in models if model.own_prompt.images), None)
    worded = next((model for model in models if not model.own_prompt.embeds), None)
    needed: dict[TrialKind, Model | None] = {
        "text": worded,
        "schema": forms.get("json_schema"),
        "JSON mode": forms.get("json_object"),
        "image": pictured,
        "length": worded,
        "embedding": forms.get("vector"),
    }
    yield from ((kind, model) for kind, model in needed.items() if model is not None)


def _write_trial(flow: Flow, llm: str, kind: TrialKind, model: Model) -> Trial:
    """Returns the question of a kind with the parameters of a model's requests."""
    own = model.own_prompt
    params = own.merge_params(flow.config.params)
    limit = next((name for name in LIMIT_PARAMETERS if name in params), "")
    if not limit:
        limit = "max_completion_tokens" if is_reasoning(llm) else "max_tokens"
        limit = "max_output_tokens" if own.endpoint == "/v1/responses" else limit
    if kind == "length":
        params[limit] = SHORT_LIMITS[own.endpoint]
    form = (
        f"output: vector {own.output.columns[0].type.sql}"
        if own.embeds
        else SETTINGS.get(kind, SETTINGS["text"])
    )
    text = f"---\nkey: id\nendpoint: {own.endpoint}\n{form}\n---\nuser:\n{QUESTIONS[kind]}\n"
    prompt = Prompt.parse(text, source="enrich debug --ask", values={})
    body = RequestBody.from_prompt(prompt, llm=llm, params=params)
    with flow.files.open_warehouse("read") as database, database.open_bare() as bare:
        (tail,) = bare.fetch_one(f"SELECT {body.tail} FROM (SELECT 'yes' AS word) AS inputs")
    start = render_line_start(body.endpoint, body.prefix)
    return Trial(kind=kind, model=model, limit=limit, line=f'{{"custom_id":"1"{start}{tail}}}\n')


def _estimate_cost(provider: Provider, llm: str, trials: Sequence[Trial]) -> float | None:
    """Returns about what these requests cost in USD, None if the price is not known."""
    price = quote_price(provider, llm, now=True)
    if price is None:
        return None
    each = THOUGHTFUL_ANSWER if is_reasoning(llm) else SHORT_ANSWER
    shown = SMALL_PICTURE * sum(trial.kind == "image" for trial in trials)
    taken = sum(len(trial.line) for trial in trials) / BYTES_PER_TOKEN
    given = each * sum(trial.kind != "length" for trial in trials)
    return price.price_tokens(input_tokens=taken + shown, output_tokens=given)


def _try_one(flow: Flow, provider: Provider, trial: Trial, *, what: str) -> Finding:
    """Ask one question. Returns whether it works, and what to do if not."""
    prompt = trial.model.own_prompt
    try:
        reply = _send_line(flow, provider, trial.line)
    except EnrichError as problem:
        if not isinstance(problem, ProviderError) or isinstance(problem, Unavailable):
            detail = f"{trial.kind}: no answer: {problem.message}"
            return Finding(what=what, verdict="fail", detail=detail, hint=problem.hint)
        hint = find_remedy(problem.message, prompt, flow.config, provider=provider.name)
        detail = f"{trial.kind}: refused: {problem.message}"
        return Finding(what=what, verdict="fail", detail=detail, hint=hint or problem.hint)
    if trial.kind == "embedding":
        return _judge_vector(trial, reply, what=what)
    text, ending = _read_answer(reply)
    return _judge_trial(trial, text, ending, what=what)


def _judge_trial(trial: Trial, text: str, ending: str, *, what: str) -> Finding:
    """Returns whether an answer is what was asked for."""
    said = f"'{text[:40]}'" if text else "nothing"
    if trial.kind == "length":
        if ending == "length":
            detail = f"length: works, an answer that reaches `{trial.limit}` says so"
            return Finding(what=what, verdict="ok", detail=detail)
        detail = f"length: with a low `{trial.limit}` it ended with '{ending}': {said}"
        hint = "a limit may have no effect here, or answers that reach it may look complete"
        return Finding(what=what, verdict="warn", detail=detail, hint=hint)
    fits = bool(text.strip()) if trial.kind in ("text", "image") else _is_answer(text)
    if fits:
        return Finding(what=what, verdict="ok", detail=f"{trial.kind}: works, it said {said}")
    hint = f"try another `response_format` in {trial.model.own_prompt.source}, or another llm"
    detail = f"{trial.kind}: it was taken, but the answer is {said}, which ended with '{ending}'"
    return Finding(what=what, verdict="warn", detail=detail, hint=hint)


def _judge_vector(trial: Trial, body: Mapping[str, Any], *, what: str) -> Finding:
    """Returns whether an answer is a vector of the length that the output holds."""
    data = body.get("data")
    vector = data[0].get("embedding") if isinstance(data, list) and data else None
    length = len(vector) if isinstance(vector, list) else 0
    if length == trial.model.own_prompt.output.columns[0].type.length:
        detail = f"embedding: works, it has {length} numbers"
        return Finding(what=what, verdict="ok", detail=detail)
    hint = f"write FLOAT[{length}] in {trial.model.own_prompt.source}" if length else "see its docs"
    detail = f"embedding: it has {length} numbers, which do not fit the output"
    return Finding(what=what, verdict="fail", detail=detail, hint=hint)


def _send_line(flow: Flow, provider: Provider, line: str) -> Mapping[str, Any]:
    """Has one request answered now. Returns the body of the response. Raises ProviderError."""
    flow.files.work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=flow.files.work, prefix="ask-") as folder:
        requests, results = Path(folder) / "requests.jsonl", Path(folder) / "results.jsonl"
        requests.write_text(line, encoding="utf-8")
        answer_now(provider, requests, results)
        found = results.read_bytes().splitlines() if results.exists() else []
    known = json.loads(found[0]) if found else {}
    response = known.get("response") or {}
    body = response.get("body") or {}
    if response.get("status_code") == 200 and isinstance(body, dict):
        return body
    problem = known.get("error") or (body.get("error") if isinstance(body, dict) else None) or {}
    words = problem.get("message") if isinstance(problem, dict) else str(problem)
    message = f"{provider.name} answered {response.get('status_code', 'nothing')}: {words or '-'}"
    raise ProviderError(message, hint="try again; `enrich preview` asks about rows")


def _read_answer(body: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the text of an answer, of either endpoint, and how it ended."""
    choices = body.get("choices")
    if isinstance(choices, list) and choices:
        text = (choices[0].get("message") or {}).get("content")
        return text if isinstance(text, str) else "", str(choices[0].get("finish_reason") or "")
    parts = [part for item in body.get("output") or [] for part in item.get("content") or []]
    text = "".join(str(part.get("text") or "") for part in parts)
    cut = (body.get("incomplete_details") or {}).get("reason") == "max_output_tokens"
    return text, "length" if cut else str(body.get("status") or "")


def _is_answer(text: str) -> bool:
    """Whether a text is the JSON that was asked for."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and "answer" in found
