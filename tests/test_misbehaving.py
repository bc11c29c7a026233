"""A server that misbehaves costs bounded time and memory, and leaves nothing that cannot go on."""

from __future__ import annotations

import gzip
import json
import sys
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import Ears, opened, plants
from hostile import Answer, Hostile

from enrich.cli import main
from enrich.errors import ProviderError
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UPLOAD, CREATE, POLL = "POST /v1/files", "POST /v1/batches", "GET /v1/batches/"
LIST, CONTENT, FILES = "GET /v1/batches?", "content", "GET /v1/files?"
ESCAPE = "\x1b]0;owned\x07\x1b[31mred\u202e\x9b31m"
READABLE = "returned an answer that cannot be read"


def at(route: str, call: str) -> bool:
    """Whether a call is one of a route."""
    return (
        call.endswith(route)
        if route == CONTENT
        else call.startswith(route)
        and ((route != UPLOAD and route != POLL and route != CREATE) or CONTENT not in call)
    )


class Twist:
    """Changes the first `times` answers of one route."""

    def __init__(self, route: str, change: Callable[[Answer], object], times: int = 2) -> None:
        self.route, self.change, self.left = route, change, times

    def __call__(self, method: str, path: str, answer: Answer) -> Answer | None:
        if self.left and at(self.route, f"{method} {path}") and answer.status < 300:
            self.left -= 1
            self.change(answer)
        return None


def body(text: str | bytes) -> Callable[[Answer], None]:
    def change(answer: Answer) -> None:
        answer.body = text.encode() if isinstance(text, str) else text

    return change


def member(**changes: Any) -> Callable[[Answer], None]:
    return lambda answer: answer.json(**changes)


DEEP = "[" * 100_000 + "]" * 100_000
TWISTS: dict[str, Callable[[Answer], object]] = {
    "a bomb": Answer.bomb,
    "deep": body(DEEP),
    "deep inside": lambda answer: body(answer.body[:-1] + b', "errors": ' + DEEP.encode() + b"}")(
        answer
    ),
    "id null": member(id=None),
    "id empty": member(id=""),
    "id enormous": member(id="b" * 5_000_000),
    "id a list": member(id=["x"]),
    "id dots": member(id="../files"),
    "id escape": member(id=ESCAPE),
    "a list": body("[]"),
    "a text": body('"hello"'),
    "null": body("null"),
    "nothing": body(""),
    "no JSON": body(b"\xff\xfe\x00"),
    "infinite": body('{"id": Infinity, "status": NaN, "request_counts": 1e999}'),
    "packed otherwise": lambda answer: answer.headers.update({"Content-Encoding": "br"}),
    "not packed": lambda answer: answer.headers.update({"Content-Encoding": "gzip"}),
}
COUNTS: dict[str, Any] = {
    "infinite": {"total": float("inf"), "completed": float("nan"), "failed": float("-inf")},
    "huge": {"total": 10**30, "completed": 10**30, "failed": -5},
    "words": {"total": "many", "completed": [], "failed": {}},
    "a text": "three",
    "a list": [1, 2, 3],
}


SOME = ("a bomb", "deep inside", "id null", "id enormous", "a list", "nothing", "no JSON")


@pytest.mark.parametrize(
    ("route", "twist"),
    [(CREATE, twist) for twist in TWISTS] + [(r, twist) for r in (UPLOAD, POLL) for twist in SOME],
)
@pytest.mark.few(4)
def test_an_answer_that_cannot_be_used_is_asked_for_again(
    tmp_path: Path, route: str, twist: str
) -> None:
    """One sentence says so; the create whose answer it was is found, not made again."""
    with Rehearsal() as server, Hostile(server, Twist(route, TWISTS[twist], 1)) as between:
        root = plants(tmp_path, server, base_url=between.base_url)
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert (state.ok, state.busy, server.bill.total) == (4, False, 4)
        assert server.bill.repeated == {}
        if route != UPLOAD or twist not in ("packed otherwise",):
            assert any(READABLE in sentence for sentence in ears.said) or twist in ("a list",)


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.few(2)
def test_counts_that_cannot_be_are_no_counts(tmp_path: Path, counts: str) -> None:
    twist = Twist(POLL, member(request_counts=COUNTS[counts]), 1_000)
    with Rehearsal() as server, Hostile(server, twist) as between:
        (state,) = opened(plants(tmp_path, server, base_url=between.base_url)).run()
        assert (state.ok, server.bill.total) == (4, 4)


@pytest.mark.parametrize(
    "errors",
    [
        "no {} such llm",
        ["no {} such llm"],
        {"data": "no {} such llm"},
        {"data": ["no {} such llm"]},
        {"message": "no {} such llm", "code": {"a": 1}, "line": "x"},
        {"data": [{"error": {"detail": "no {} such llm"}, "code": "c" * 5_000_000}]},
        [[[["no {} such llm"]]]],
        [{"message": "no {} such llm" + "x" * 1_000_000}],
    ],
)
def test_the_words_of_a_failed_batch_are_said_in_any_shape(tmp_path: Path, errors: Any) -> None:
    """One line of them, that moves no cursor."""
    said = json.loads(json.dumps(errors).replace("{}", json.dumps(ESCAPE)[1:-1]))
    failed = member(status="failed", errors=said, output_file_id=None, error_file_id=None)
    with Rehearsal() as server, Hostile(server, Twist(POLL, failed, 1_000)) as between:
        root = plants(tmp_path, server, base_url=between.base_url)
        result = CliRunner().invoke(main, ["--project", str(root), "run"])
        assert result.exit_code == 1, result.output
        assert "such llm" in result.output
        assert not set("\x1b\x07\x9b\u202e") & set(result.output)
        assert len(result.output) < 3_000


@pytest.mark.parametrize("route", [UPLOAD, CREATE, POLL])
@pytest.mark.few(1)
def test_no_word_of_a_server_moves_the_cursor(tmp_path: Path, route: str) -> None:
    def refuse(answer: Answer) -> None:
        answer.status = 400
        answer.body = json.dumps({"error": {"message": ESCAPE, "code": ESCAPE}}).encode()

    with Rehearsal() as server, Hostile(server, Twist(route, refuse, 1_000)) as between:
        root = plants(tmp_path, server, base_url=between.base_url)
        for command in (["run"], ["status"], ["preview", "kinds"], ["debug"]):
            result = CliRunner().invoke(main, ["--project", str(root), *command])
            assert not set("\x1b\x07\x9b\u202e") & set(result.output), command
    assert "\x1b" not in (root / ".enrich/enrich.log").read_text()


@pytest.mark.parametrize("kind", ["escape", "enormous", "null", "number"])
@pytest.mark.few(1)
def test_a_status_is_a_short_word(tmp_path: Path, kind: str) -> None:
    status = {"escape": ESCAPE, "enormous": "x" * 5_000_000, "null": None, "number": 3}[kind]
    twist = Twist(POLL, member(status=status), 2)
    with Rehearsal() as server, Hostile(server, twist) as between:
        ears = Ears()
        (state,) = opened(plants(tmp_path, server, base_url=between.base_url), ears).run()
        assert state.ok == 4
        assert any(READABLE in sentence for sentence in ears.said)


@pytest.mark.parametrize("file", [None, 5, ["x"], "", "../x", "f" * 5_000_000, ESCAPE])
@pytest.mark.few(2)
def test_a_result_file_is_named_so_that_it_can_be_fetched(tmp_path: Path, file: Any) -> None:
    """Until then the batch has not ended."""
    twist = Twist(POLL, member(output_file_id=file), 2)
    with Rehearsal() as server, Hostile(server, twist) as between:
        (state,) = opened(plants(tmp_path, server, base_url=between.base_url)).run()
        assert (state.ok, server.bill.total) == (4, 4)


def test_an_answer_about_another_batch_is_not_taken_for_this_one(tmp_path: Path) -> None:
    with (
        Rehearsal() as server,
        Hostile(server, Twist(POLL, member(id="batch_else", status="failed"), 2)) as between,
    ):
        ears = Ears()
        (state,) = opened(plants(tmp_path, server, base_url=between.base_url), ears).run()
        assert state.ok == 4
        assert any("speaks of another" in sentence for sentence in ears.said)


SAME = [{"id": "batch_1", "object": "batch"}, {"id": None}, "odd", {"metadata": "x"}, {"id": "b"}]


@pytest.mark.parametrize("grows", [False, True])
def test_a_list_without_an_end_is_left(
    tmp_path: Path, grows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the batch was made is then not known: it is not made again."""
    monkeypatch.setattr("enrich.providers.openai.connection.MOST_PAGES", 30)
    lost, asked = Twist(CREATE, body("{}"), 1), count()
    broken = [True]

    def both(method: str, path: str, answer: Answer) -> None:
        lost(method, path, answer)
        if broken and at(LIST, f"{method} {path}"):
            answer.status = 200
            data = [{"id": f"batch_{next(asked)}"}] if grows else SAME
            answer.body = json.dumps({"object": "list", "has_more": True, "data": data}).encode()

    with Rehearsal() as server, Hostile(server, both) as between:
        root = plants(tmp_path, server, base_url=between.base_url)
        with pytest.raises(ProviderError, match="does not end, or repeats itself") as refused:
            opened(root).run()
        assert "enrich cancel --forget" in refused.value.hint
        broken.clear()
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (4, 4)


@pytest.mark.parametrize("slow_head", [True, False])
@pytest.mark.parametrize("route", [UPLOAD, CREATE, POLL, CONTENT])
@pytest.mark.few(4)
def test_a_timeout_bounds_a_whole_call(tmp_path: Path, route: str, slow_head: bool) -> None:
    """Also where a byte comes now and then, each well within it."""

    def drip(answer: Answer) -> None:
        answer.drip, answer.slow_head = 0.05, slow_head
        answer.body += b" " * 1_000

    with Rehearsal() as server, Hostile(server, Twist(route, drip, 1)) as between:
        ears = Ears()
        root = plants(tmp_path, server, base_url=between.base_url, timeout=0.5)
        (state,) = opened(root, ears).run()
        assert (state.ok, server.bill.total) == (4, 4)
        assert any("did not answer within 0.5 seconds" in sentence for sentence in ears.said)


@pytest.mark.few(0)
def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    """A gigabyte of blanks, in a body of one megabyte: wherever one may come."""
    if sys.platform == "win32":
        pytest.skip("does not tell its memory")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for route in (UPLOAD, POLL):
        with (
            Rehearsal() as server,
            Hostile(server, Twist(route, lambda answer: answer.bomb(1 << 30), 1)) as between,
        ):
            root = plants(tmp_path / route.split()[0], server, base_url=between.base_url)
            (state,) = opened(root).run()
            assert state.ok == 4
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown * (1 if sys.platform == "darwin" else 1024) < 400 << 20


def test_a_packed_result_file_is_unpacked_and_whole(tmp_path: Path) -> None:
    """One that is cut off is fetched again."""

    def packed(answer: Answer) -> None:
        answer.body = gzip.compress(answer.body)
        answer.headers["Content-Encoding"] = "gzip"
        if cut.left % 2:
            answer.body = answer.body[: len(answer.body) // 2]

    cut = Twist(CONTENT, packed, 2)
    with Rehearsal() as server, Hostile(server, cut) as between:
        ears = Ears()
        (state,) = opened(plants(tmp_path, server, base_url=between.base_url), ears).run()
        assert state.ok == 4
