"""Answers are proved: shapes of result lines that servers write, and the outcome of each."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from folders import opened, settings, write

from enrich.errors import ProviderError
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enrich.rehearsal.faults import ErrorContent
    from enrich.rehearsal.settings import Rewrite

Line = dict[str, Any]
Shape = tuple["Callable[[Line], Line | bytes]", str, str | None]
"""What the server makes of a good line; the outcome; the answer, or part of the error."""

GOOD = '{"kind":"tree"}'


def play(root: Path, shapes: dict[str, Shape], *, front: str, output: str) -> dict[str, Any]:
    """Ask one row for each shape, once; gives what became of each: outcome, and answer or error."""
    names = list(shapes)

    def rewrite(line: Line) -> Line | bytes:
        return shapes[names[int(line["custom_id"])]][0](deepcopy(line))

    return ask(root, rewrite, names, front=front, output=output)


def ask(
    root: Path, rewrite: Rewrite, names: list[str], *, front: str, output: str
) -> dict[str, Any]:
    with Rehearsal(rewrite=rewrite) as server:
        write(
            root,
            {
                "project.yml": settings(server),
                "models/kinds.sql": f"SELECT range AS id FROM range({len(names)})\n",
                "models/kinds.prompt.md": f"---\nkey: id\noutput: {output}\n{front}"
                "max_attempts: 1\n---\nuser:\nWhat is number {{ id }}? Answer as JSON.\n",
            },
        )
        project = opened(root)
        project.run("kinds")
        found = project.sql(
            "SELECT id, outcome, error, kind FROM enrich.kinds LEFT JOIN kinds USING (id)"
        )
    return {
        names[id_]: (outcome, answer if outcome == "ok" else error)
        for id_, outcome, error, answer in found
    }


def check(found: dict[str, Any], shapes: dict[str, Shape]) -> None:
    """Every shape has its outcome, and its answer or the words of its error."""
    wrong = {
        name: (found.get(name), wanted, part)
        for name, (_, wanted, part) in shapes.items()
        if found.get(name, ("", ""))[0] != wanted
        or (wanted == "ok" and found[name][1] != part)
        or (wanted != "ok" and (part or "") not in (found[name][1] or ""))
    }
    assert wrong == {}


def says(content: object, finish: str | None = "stop") -> Callable[[Line], Line]:
    """A chat completion with this content."""

    def change(line: Line) -> Line:
        choice = line["response"]["body"]["choices"][0]
        choice["message"]["content"] = content
        choice["finish_reason"] = finish
        return line

    return change


def body(value: object, status: object = 200) -> Callable[[Line], Line]:
    """A response with this body."""

    def change(line: Line) -> Line:
        line["response"] = {"status_code": status, "request_id": "r", "body": value}
        return line

    return change


def raw(text: bytes) -> Callable[[Line], bytes]:
    """A good line in which ash is put in the answer's place: bytes that need not be JSON."""

    def change(line: Line) -> bytes:
        said = says('{"kind":"MARK"}')(line)
        return json.dumps(said).encode().replace(b"MARK", text)

    return change


def without(*steps: str) -> Callable[[Line], Line]:
    """A good line without what stands at the end of these steps."""

    def change(line: Line) -> Line:
        inner = says(GOOD)(line)
        for step in steps[:-1]:
            inner = inner[step]
        del inner[steps[-1]]
        return line

    return change


def failed(error: object) -> Callable[[Line], Line]:
    """A line without a response, and with this error."""
    return lambda line: line | {"response": None, "error": error}


ENDINGS: dict[str, Shape] = {
    **{
        f"ends {finish}": (says(GOOD, finish), "ok", "tree")
        for finish in ("stop", "STOP", "end_turn", "eos_token", "FINISH_REASON_STOP", "", None)
    },
    **{
        f"cut {finish}": (says('{"kind":"tr', finish), "truncated", "cut off")
        for finish in (
            "length",
            "max_tokens",
            "MAX_TOKENS",
            "maxTokens",
            "model_length",
            "max_output_tokens",
            "model_context_window_exceeded",
            "FINISH_REASON_MAX_TOKENS",
            "token_limit",
        )
    },
    **{
        f"filtered {finish}": (says(GOOD, finish), "refused", "filter")
        for finish in (
            "content_filter",
            "SAFETY",
            "RECITATION",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "refusal",
            "guardrail_intervened",
        )
    },
    **{
        f"other {finish}": (says(GOOD, finish), "error", f"ended with '{finish}'")
        for finish in ("error", "tool_calls", "function_call", "abort", "OTHER", "cancelled", "x")
    },
    "whole, then blanks": (says(GOOD + "\n " * 40, "length"), "ok", "tree"),
    "whole, then more": (says(GOOD + " and", "length"), "truncated", "cut off"),
    "cut in a fence": (says('```json\n{"kind":"tr', "length"), "truncated", "cut off"),
    "thought until the limit": (says("<think>hm", "length"), "truncated", "cut off"),
}
CONTENTS: dict[str, Shape] = {
    "null": (says(None), "error", "no answer"),
    "absent": (without("response", "body", "choices"), "error", "no answer"),
    "no choice": (body({"choices": []}), "error", "no answer"),
    "empty": (says(""), "invalid", "not JSON"),
    "parts": (
        says([{"type": "text", "text": '{"kind":'}, {"type": "text", "text": '"tree"}'}]),
        "ok",
        "tree",
    ),
    "thinking parts": (
        says(
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": '{"kind":"no"}'}]},
                {"type": "text", "text": GOOD},
            ]
        ),
        "ok",
        "tree",
    ),
    "one part": (says({"type": "text", "text": GOOD}), "ok", "tree"),
    "plain parts": (says(['{"kind":', '"tree"}']), "ok", "tree"),
    "an object": (says({"kind": "tree"}), "ok", "tree"),
    "no part is said": (says([{"type": "reasoning", "text": GOOD}]), "error", "no answer"),
    "refusing part": (says([{"type": "refusal", "refusal": "I won't"}]), "refused", "I won't"),
    "thoughts": (says(f"<think>maybe {{}} \n</think>\n\n{GOOD}"), "ok", "tree"),
    "thoughts, unopened": (says(f"maybe\n</think>\n\n{GOOD}"), "ok", "tree"),
    "thoughts in brackets": (says(f"[THINK]a[/THINK]{GOOD}"), "ok", "tree"),
    "channels": (
        says(
            f"<|channel|>analysis<|message|>{{}}<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}"
        ),
        "ok",
        "tree",
    ),
    "only thoughts": (says(f"<think>{GOOD}"), "invalid", "not JSON"),
    "fence": (says(f"```json\n{GOOD}\n```"), "ok", "tree"),
    "fence in capitals": (says(f"```JSON\n{GOOD}\n```"), "ok", "tree"),
    "sentences around a fence": (
        says(f"Sure:\n```Json\n{GOOD}\n```\nAnything else?"),
        "ok",
        "tree",
    ),
    "sentences around": (says(f"Sure! {GOOD} Bye."), "ok", "tree"),
    "two fences": (says(f'```\n{GOOD}\n```\n```\n{{"kind":"shrub"}}\n```'), "invalid", "not JSON"),
    "two objects": (says(f'{GOOD} or {{"kind":"shrub"}}'), "invalid", "not JSON"),
    "trailing comma": (says('{"kind":"tree",}'), "invalid", "not JSON"),
    "comma in a text": (says('{"kind":"tree, ]"}'), "ok", "tree, ]"),
    "trailing comma in a fence": (says('```\n{"kind":"tree",}\n```'), "invalid", "not JSON"),
    "a list": (says("[1]"), "invalid", "not a JSON object"),
}
ERRORS: dict[str, Shape] = {
    "only an error": (body({"error": {"message": "out of memory"}}), "error", "out of memory"),
    "error as text": (body({"error": "out of memory"}), "error", "out of memory"),
    "error beside an answer": (
        lambda line: body(
            {**says(GOOD)(line)["response"]["body"], "error": {"message": "upstream died"}}
        )(line),
        "error",
        "upstream died",
    ),
    "error in a choice": (
        body(
            {
                "choices": [
                    {
                        "error": {"message": "upstream died"},
                        "message": {"content": "{"},
                        "finish_reason": "error",
                    }
                ]
            }
        ),
        "error",
        "upstream died",
    ),
    "detail": (
        body({"detail": [{"loc": ["body"], "msg": "field required"}]}, 422),
        "error",
        "field required",
    ),
    "detail as text": (body({"detail": "no such model"}, 404), "error", "no such model"),
    "list": (body([{"error": {"message": "quota", "code": 429}}], 429), "error", "quota"),
    "text": (body("upstream timed out", 504), "error", "upstream timed out"),
    "html": (
        body(
            "<html><head><style>p {}</style></head><body><h1>502 Bad  Gateway</h1></body></html>",
            502,
        ),
        "error",
        "502 Bad Gateway",
    ),
    "nothing": (body({}, 500), "error", "HTTP status 500"),
    "lost": (body({}, 0), "error", "lost"),
    "error line": (failed({"code": "server_error", "message": "boom"}), "error", "boom"),
    "error line as text": (failed("boom"), "error", "boom"),
    "nested error line": (failed({"error": {"message": "boom"}}), "error", "boom"),
    "code alone": (failed({"code": "server_error"}), "error", "server_error"),
    "filtered by Azure": (
        body(
            {
                "error": {
                    "message": "The response was filtered",
                    "code": "content_filter",
                    "status": 400,
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
            400,
        ),
        "refused",
        "The response was filtered",
    ),
    "filtered, in a line": (
        failed({"code": "content_filter", "message": "filtered"}),
        "refused",
        "filtered",
    ),
    "expired": (failed({"code": "batch_expired", "message": "too late"}), "expired", "too late"),
}
LINES: dict[str, Shape] = {
    "byte that is not UTF-8": (raw(b"tr\xffee"), "ok", "tr\ufffdee"),
    "lone surrogate": (
        lambda line: (
            json.dumps(says("@")(line)).encode().replace(b'"@"', b'"{\\"kind\\":\\"a\\ud800\\"}"')
        ),
        "ok",
        "a\ufffd",
    ),
    "NUL before a line": (
        lambda line: b"\0\0" + json.dumps(says(GOOD)(line)).encode(),
        "ok",
        "tree",
    ),
    "control character": (raw(b"tr\x01ee"), "invalid", "not JSON"),
    "broken off": (
        lambda line: json.dumps(says(GOOD)(line)).encode()[:-9],
        "invalid",
        "line is not JSON",
    ),
    "no status": (without("response", "status_code"), "ok", "tree"),
    "status as text": (
        lambda line: body(says(GOOD)(line)["response"]["body"], "200")(line),
        "ok",
        "tree",
    ),
    "no response around": (
        lambda line: {"custom_id": line["custom_id"], "body": says(GOOD)(line)["response"]["body"]},
        "ok",
        "tree",
    ),
    "body as response": (
        lambda line: {
            "custom_id": line["custom_id"],
            "response": says(GOOD)(line)["response"]["body"],
        },
        "ok",
        "tree",
    ),
    "no status, no answer": (body({}, None), "error", "lost"),
    "strange usage": (
        lambda line: body({**says(GOOD)(line)["response"]["body"], "usage": "many"})(line),
        "ok",
        "tree",
    ),
    "garbage first": (
        lambda line: (
            json.dumps(body({}, 200)(deepcopy(line))).encode()
            + b"\n"
            + json.dumps(without("response", "status_code")(line)).encode()
        ),
        "ok",
        "tree",
    ),
    "two on one line": (
        lambda line: (
            json.dumps(failed("x")({"custom_id": "999"})).encode()
            + json.dumps(says(GOOD)(line)).encode()
        ),
        "ok",
        "tree",
    ),
    "huge": (
        says(json.dumps({"kind": "tree"})[:-1] + ',"more":"' + "x" * (5 << 20) + '"}'),
        "ok",
        "tree",
    ),
}


def test_json_is_ok_only_if_it_is_proved(tmp_path: Path) -> None:
    """Endings, contents, errors and lines of every shape, over chat completions."""
    shapes = ENDINGS | CONTENTS | ERRORS | LINES
    check(play(tmp_path, shapes, front="", output="kind VARCHAR NOT NULL"), shapes)


TEXTS: dict[str, Shape] = {
    "plain": (says("A tree."), "ok", "A tree."),
    "null": (says(None), "error", "no answer"),
    "blank": (says(" \n"), "invalid", "empty"),
    "thoughts": (says("<think>hm\n</think>\n\nA tree."), "ok", "A tree."),
    "thoughts, unopened": (says("hm\n</think>\n\nA tree."), "ok", "A tree."),
    "thoughts in capitals": (says("<THINKING>hm</THINKING>A tree."), "ok", "A tree."),
    "only thoughts": (says("<think>hm"), "invalid", "empty"),
    "tag inside": (says("HTML has no <think> tag."), "ok", "HTML has no <think> tag."),
    "half a sentence": (says("A tr", "MAX_TOKENS"), "truncated", "cut off"),
    "broken": (says("A tr", "error"), "error", "ended with 'error'"),
    "limit": (says("A tree.   ", "length"), "truncated", "cut off"),
    "parts": (
        says([{"type": "thinking", "thinking": "no"}, {"type": "text", "text": "A tree."}]),
        "ok",
        "A tree.",
    ),
    "error": (body({"error": {"message": "boom"}}), "error", "boom"),
    "byte": (raw(b"\xff"), "ok", '{"kind":"\ufffd"}'),
    "broken off": (
        lambda line: json.dumps(says("A tree.")(line)).encode()[:-9],
        "invalid",
        "line is not JSON",
    ),
}


@pytest.mark.few(0)
def test_text_is_ok_only_if_it_is_proved(tmp_path: Path) -> None:
    """Texts are published without thoughts, and never where nothing or half of it came."""
    for nullable in ("", " NOT NULL"):
        root = tmp_path / (nullable.strip() or "nullable")
        found = play(root, TEXTS, front="response_format: text\n", output=f"kind VARCHAR{nullable}")
        check(found, TEXTS)


def items(*output: Line, status: str = "completed", **more: object) -> Callable[[Line], Line]:
    """A response of the Responses API with these items."""
    return lambda line: body(
        {**line["response"]["body"], "status": status, "output": list(output), **more}
    )(line)


def message(content: object, **more: object) -> Line:
    said = [{"type": "output_text", "text": content}] if isinstance(content, str) else content
    return {"type": "message", "role": "assistant", "content": said, **more}


THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
RESPONSES: dict[str, Shape] = {
    "message": (items(message(GOOD)), "ok", "tree"),
    "reasoning first": (items(THOUGHT, message(GOOD)), "ok", "tree"),
    "commentary first": (
        items(message('{"kind":"no"}', phase="commentary"), message(GOOD, phase="final_answer")),
        "ok",
        "tree",
    ),
    "several messages": (items(message('{"kind":"no"}'), message(GOOD)), "ok", "tree"),
    "only commentary": (items(message(GOOD, phase="commentary")), "error", "no answer"),
    "content as text": (
        body({"status": "completed", "output": [{"type": "message", "content": GOOD}]}),
        "ok",
        "tree",
    ),
    "failed": (
        items(status="failed", error={"code": "server_error", "message": "boom"}),
        "error",
        "boom",
    ),
    "failed with half an answer": (
        items(message(GOOD), status="failed", error={"message": "boom"}),
        "error",
        "boom",
    ),
    "cancelled": (items(message(GOOD), status="cancelled"), "error", "ended with 'cancelled'"),
    "in progress": (
        items(message(GOOD), status="in_progress"),
        "error",
        "ended with 'in_progress'",
    ),
    "limit": (
        items(
            message('{"ki'), status="incomplete", incomplete_details={"reason": "max_output_tokens"}
        ),
        "truncated",
        "cut off",
    ),
    "filter": (
        items(message(GOOD), status="incomplete", incomplete_details={"reason": "content_filter"}),
        "refused",
        "filter",
    ),
    "incomplete": (items(message(GOOD), status="incomplete"), "error", "ended with 'incomplete'"),
    "refusal": (items(message([{"type": "refusal", "refusal": "I won't"}])), "refused", "I won't"),
    "no output": (items(), "error", "no answer"),
}


def test_responses_are_ok_only_if_they_are_proved(tmp_path: Path) -> None:
    """The final message is the answer, and nothing before it."""
    found = play(
        tmp_path, RESPONSES, front="endpoint: /v1/responses\n", output="kind VARCHAR NOT NULL"
    )
    check(found, RESPONSES)


@pytest.mark.few(0)
def test_a_line_larger_than_duckdb_usually_takes_is_read(tmp_path: Path) -> None:
    """45 MB in one line, beside a usual one and one that is not JSON: none blocks its batch."""
    shapes: dict[str, Shape] = {
        "usual": (says(GOOD), "ok", "tree"),
        "huge": (says(GOOD + " " * (45 << 20)), "ok", "tree"),
        "broken": (
            lambda line: json.dumps(says(GOOD)(line)).encode()[:-9],
            "invalid",
            "line is not JSON",
        ),
    }
    check(play(tmp_path, shapes, front="", output="kind VARCHAR NOT NULL"), shapes)


BODIES: dict[str, ErrorContent] = {
    "OpenAI": {"error": {"message": "no quota"}},
    "FastAPI": {"detail": [{"loc": ["body"], "msg": "no quota"}]},
    "a detail": {"detail": "no quota"},
    "Google": [{"error": {"message": "no quota", "code": 429}}],
    "a message": {"message": "no quota"},
    "an error as text": {"error": "no quota"},
    "problem details": {"type": "about:blank", "title": "no quota"},
    "text": b"no quota",
    "HTML": b"<html><style>p {}</style><body><h1>no\n quota</h1></body></html>",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_http_error_shows_the_servers_own_words(tmp_path: Path, body: ErrorContent) -> None:
    """Whatever shape it has them in, as one line without markup."""
    with Rehearsal() as server:
        server.script("POST /v1/files", [(402, body)])
        write(
            tmp_path,
            {
                "project.yml": settings(server),
                "models/kinds.sql": "SELECT 1 AS id\n",
                "models/kinds.prompt.md": "---\nkey: id\noutput: kind VARCHAR\n---\n"
                "user:\n{{ id }}\n",
            },
        )
        with pytest.raises(ProviderError, match=r"answered 402: no quota$"):
            opened(tmp_path).run()
