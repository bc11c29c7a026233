"""Chat: servers that speak nothing but /v1/chat/completions answer batches all the same."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import Ears, opened, plants, settings, write
from hostile import Answer, Hostile

import enrich
from enrich import cli
from enrich.errors import ProviderError
from enrich.pricing.price import FREE_PRICE
from enrich.providers.chat.level import FALL, FIRST_LEVEL, Level
from enrich.providers.chat.pacing import MinuteLimit, read_pause
from enrich.providers.chat.verdict import judge_answer
from enrich.providers.openai.presets import PRESETS
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.ledger.state import State

REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "providers.md"
CHAT = "POST /v1/chat/completions"
SAID = '{"choices": [{"message": {"content": "an élm"}, "finish_reason": "stop"}]}'
if sys.platform == "win32":
    KILL = signal.SIGTERM  # Python ends the process at once there
else:
    KILL = signal.SIGKILL


def chat_alone(**more: Any) -> Rehearsal:
    """A server without a Batch API."""
    return Rehearsal(api="chat", **more)


def garden(root: Path, server: Rehearsal, rows: int, **more: Any) -> Path:
    """A project of so many plants, whose provider has more settings."""
    plants(root, server)
    listed = "".join(f"{number},plant {number},\n" for number in range(rows))
    write(root, {"seeds/plants.csv": f"id,name,note\n{listed}"})
    write(root, {"project.yml": settings(server, **more)})
    return root


def one(root: Path, ears: Ears | None = None, **options: Any) -> State:
    (state,) = opened(root, ears).run(**options)
    return state


def workers(root: Path) -> list[int]:
    """The processes that work for a project."""
    return [int(path.read_text()) for path in root.glob(".enrich/chat/**/pid")]


def wait_for(what: Any, seconds: float = 60.0) -> None:
    """Until something is true; the deadline is there so that a fault ends."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.few(0)
def test_a_server_without_a_batch_api_answers_a_model(tmp_path: Path) -> None:
    """Run, table, books and views are as with batches; the server is asked once what it speaks."""
    with chat_alone() as server:
        root = garden(tmp_path, server, 40)
        state = one(root)
        assert (state.ok, state.rows) == (40, 40)
        assert server.bill.total == 40
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((40,),)
        write(root, {"seeds/plants.csv": "id,name,note\n1,other,\n"})
        assert one(root).ok == 1
        assert server.sends("GET /v1/batches") == 1
        assert server.uploads == []


@pytest.mark.few(0)
def test_the_same_table_comes_by_chat_and_by_batch(tmp_path: Path) -> None:
    """An answer is an answer: the way is no part of what was asked."""
    with Rehearsal() as server:
        ways = {}
        for api in ("chat", "batch"):
            root = garden(tmp_path / api, server, 20, api=api)
            one(root)
            ways[api] = opened(root).sql("SELECT * FROM kinds ORDER BY id").rows
        assert ways["chat"] == ways["batch"]
        write(root, {"project.yml": settings(server, api="chat")})
        (plan,) = opened(root).plan()
        assert plan.requests == 0


@pytest.mark.parametrize(
    "faults",
    [
        {"call_429": 0.3},
        {"call_500": 0.1},
        {"call_reset": 0.2},
        {"http_429": 0.2, "http_500": 0.1},
        {"dropped": 0.05},
    ],
    ids=str,
)
def test_what_passes_is_no_attempt(tmp_path: Path, faults: dict[str, float]) -> None:
    """Refusals and broken connections are asked again by the worker: one attempt is enough."""
    with chat_alone(faults=Faults(**faults)) as server:
        root = garden(tmp_path, server, 60)
        project = json.loads((root / "project.yml").read_text())
        (root / "project.yml").write_text(json.dumps(project | {"max_attempts": 1}))
        assert one(root).ok == 60


@pytest.mark.few(0)
def test_an_answer_that_does_not_fit_is_an_attempt(tmp_path: Path) -> None:
    """It was paid for, and is asked again by a retry, as in a batch."""
    with chat_alone(faults=Faults(off_schema=0.2)) as server:
        root = garden(tmp_path, server, 40)
        state = one(root)
        assert 36 <= state.ok <= 40
        assert server.bill.total > 40


def test_rows_that_are_all_refused_end_the_batch(tmp_path: Path) -> None:
    """The others are not sent, and what the server says is shown."""
    with chat_alone() as server:
        root = garden(tmp_path, server, 200)
        server.script(CHAT, [(400, {"error": {"message": "no response_format"}})] * 200)
        state = one(root)
        assert state.ok == 0
        assert server.bill.total == 0
        assert 20 <= server.sends(CHAT) < 60
        assert "answered 400: no response_format" in state.failure


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_row_can_mend_ends_the_batch(tmp_path: Path, status: int) -> None:
    """After one request, with a hint."""
    with chat_alone() as server:
        root = garden(tmp_path, server, 50)
        server.script(CHAT, [status] * 50)
        state = one(root)
        assert server.sends(CHAT) == 1
        assert str(status) in state.failure


@pytest.mark.few(0)
def test_a_killed_worker_goes_on_where_it_was(tmp_path: Path) -> None:
    """No answered row is asked again, but at most those that were in flight."""
    with chat_alone() as server:
        root = garden(tmp_path, server, 150, concurrency=4)
        opened(root).run(detach=True)
        kills = 0
        while kills < 5 and server.bill.total < 140:
            before = server.bill.total
            wait_for(lambda before=before: server.bill.total > before + 8)
            for pid in workers(root):
                with suppress(ProcessLookupError):
                    os.kill(pid, KILL)
                    kills += 1
            opened(root).status()
        state = one(root)
        assert state.ok == 150
        assert 150 <= server.bill.total <= 150 + 4 * kills


def test_cancelled_batches_keep_what_was_answered(tmp_path: Path) -> None:
    """And no worker is left."""
    with chat_alone() as server:
        root = garden(tmp_path, server, 5_000, concurrency=4)
        opened(root).run(detach=True)
        wait_for(lambda: server.bill.total > 10)
        opened(root).cancel()
        wait_for(
            lambda: not any(b.ended_at is None for s in opened(root).status() for b in s.batches)
        )
        answered = server.bill.total
        assert answered < 5_000
        rows = opened(root).sql("SELECT count(*) FROM kinds").rows
        assert answered - 4 <= rows[0][0] <= answered


@pytest.mark.few(0)
def test_a_server_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    """It is said while it lasts, and no row is lost by it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    found: list[State] = []
    with chat_alone(port=port) as server:
        root = garden(tmp_path, server, 20)
        assert one(root).ok == 20
        write(root, {"seeds/plants.csv": "id,name,note\n1,new,\n2,newer,\n"})
    ears = Ears()
    run = threading.Thread(target=lambda: found.append(one(root, ears)))
    run.start()
    wait_for(lambda: any("waiting for the server" in each.state for each in ears.seen))
    with chat_alone(port=port):
        run.join()
    assert found[0].ok == 2


def test_keys_are_in_no_file(tmp_path: Path) -> None:
    """They go to the worker by its environment, and no answer keeps one that a server repeats."""
    key = "sk-chat-0123456789-secret"
    with chat_alone(api_key=key) as server:
        root = garden(tmp_path, server, 10, api_key=key, headers={"X-Api-Key": "tok-9876543210"})
        server.script(CHAT, [(400, f"your key {key} is fine, the prompt is not")] * 3)
        one(root)
        for path in (root / ".enrich").rglob("*"):
            if path.is_file():
                text = path.read_bytes()
                assert key.encode() not in text, path
                assert b"tok-9876543210" not in text, path


def asked_of(level: Level, capacity: int, latency: float, rows: int) -> tuple[float, int]:
    """Seconds and refusals until a server of so many places has answered all rows, in a clock of
    its own."""

    async def serve() -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        busy = refused = left = 0
        left = rows

        async def lane() -> None:
            nonlocal busy, refused, left
            while left > 0:
                left -= 1
                while True:
                    await level.enter()
                    try:
                        if busy >= capacity:
                            refused += 1
                            level.refused(loop.time())
                            again = True
                        else:
                            busy += 1
                            await asyncio.sleep(latency)
                            busy -= 1
                            level.answered(latency, loop.time())
                            again = False
                    finally:
                        level.leave()
                    if not again:
                        break
                    await asyncio.sleep(latency)

        began = loop.time()
        await asyncio.gather(*(lane() for _ in range(level.most)))
        return loop.time() - began, refused

    with asyncio.Runner(loop_factory=Simulated) as runner:
        return runner.run(serve())


class Simulated(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer, so that a test takes no time."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready and timers:
            self._now = max(self._now, timers[0].when())
        super()._run_once()  # type: ignore[misc]


def test_the_level_finds_what_a_server_takes() -> None:
    """Of a server with 24 places most are used, and few requests are turned away."""
    seconds, refused = asked_of(Level(), capacity=24, latency=0.2, rows=2_000)
    assert 2_000 / seconds > 0.7 * 24 / 0.2
    assert refused < 0.05 * 2_000


def test_the_level_is_bounded() -> None:
    """By `concurrency`, also from the start; and it never falls below one."""
    level = Level(most=2)
    assert level.allowed == 2
    for _ in range(50):
        level.answered(0.1, 0.0)
    assert level.allowed == 2
    for moment in range(20):
        level.refused(10.0 * moment)
    assert level.allowed == 1
    fresh = Level()
    fresh.refused(100.0)
    fresh.refused(100.01)  # of the same round trip
    assert fresh.allowed == FIRST_LEVEL * FALL


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25),
        ({"retry-after": "7"}, "", 7.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:30 GMT"}, "", 20.0),
        ({"retry-after": "-5"}, "", 0.0),
        ({"retry-after": "1e9"}, "", None),
        ({"retry-after": "nan"}, "", 0.0),
        ({"retry-after": "soon"}, "", None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, "", 360.0),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "6m0s"}, "", None),
        ({}, "Rate limit reached. Please try again in 5.289s.", 5.289),
        ({}, "slow down", None),
    ],
    ids=str,
)
def test_a_refusal_says_how_long_to_wait(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    """By whatever says so first; never for ever, and never in the past."""
    found = read_pause(headers, message, now=10.0)
    if headers.get("retry-after") == "1e9":
        assert found == 600.0
    else:
        assert found == (None if seconds is None else pytest.approx(seconds))


def test_a_minute_has_no_more_than_it_may() -> None:
    """A tenth at once, and the rest evenly."""
    limit = MinuteLimit(amount=60.0, filled_at=0.0)
    assert [limit.take(1, 0.0) for _ in range(6)] == [0.0] * 6
    assert limit.take(1, 0.0) == pytest.approx(1.0)
    assert limit.take(1, 0.0) == pytest.approx(2.0)
    assert limit.take(1, 60.0) == 0.0


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (200, {"choices": [], "usage": {"total_tokens": 9}}, "answer"),
        (200, {"error": {"message": "overloaded"}}, "faulty"),
        (200, {"error": {"message": "late"}, "choices": [{}]}, "answer"),
        (200, "no JSON", "answer"),
        (200, [], "answer"),
        (400, {"error": {"message": "no"}}, "answer"),
        (422, {"detail": "no"}, "answer"),
        (429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}, "busy"),
        (429, {"error": {"message": "no money", "code": "insufficient_quota"}}, "hopeless"),
        (503, {"error": "loading"}, "busy"),
        (498, {"error": {"message": "Flex tier capacity exceeded"}}, "busy"),
        (429, {"error": {"message": "no", "code": "resource_unavailable"}}, "busy"),
        (500, {}, "faulty"),
        (502, "<html>", "faulty"),
        (301, "", "hopeless"),
        (401, {"error": {"message": "key"}}, "hopeless"),
    ],
    ids=str,
)
def test_what_an_answer_means(status: int, body: Any, meaning: str) -> None:
    """For its row, and for the batch."""
    content = body if isinstance(body, str) else json.dumps(body)
    assert judge_answer(status, content.encode()).meaning == meaning
    for charset in ("hex", "idna", "undefined", "nothing", "latin-1"):
        assert judge_answer(status, content.encode() + b"\xff", charset=charset).meaning
    assert judge_answer(status, b"[" * 100_000).meaning != "answer" or status in (
        200,
        400,
        422,
    )


def replace_body(body: bytes, kind: str = "application/json") -> Callable[[Answer], None]:
    def change(answer: Answer) -> None:
        answer.body, answer.headers["Content-Type"] = body, kind

    return change


TWISTED: dict[str, tuple[Callable[[Answer], object], str, str]] = {
    "latin-1": (
        replace_body(SAID.encode("latin-1"), "application/json; charset=latin-1"),
        "ok",
        "an élm",
    ),
    "no charset": (
        replace_body(SAID.encode("latin-1")),
        "ok",
        "an \ufffdlm",
    ),
    "text in a text": (
        replace_body(json.dumps(SAID).encode()),
        "ok",
        "an élm",
    ),
    "a list": (
        replace_body(f"[{SAID}]".encode()),
        "error",
        "the response holds no answer",
    ),
    "null": (replace_body(b"null"), "error", "completion: null"),
    "a page": (replace_body(b"<p>Log in"), "error", "Log in"),
    "nothing": (replace_body(b""), "error", "is empty"),
    "a stream": (
        replace_body(b'data: {"choices": []}\n\ndata: [DONE]\n\n'),
        "error",
        "streams its answer",
    ),
    "not packed": (
        lambda answer: answer.headers.update({"Content-Encoding": "gzip"}),
        "error",
        "cannot be unpacked",
    ),
    "enormous": (lambda answer: answer.bomb(), "error", "more than 32 MiB"),
}
"""What becomes of a good answer; the outcome of its row; and the answer, or some words of why there
is none."""


@pytest.mark.few(3)
@pytest.mark.parametrize("name", TWISTED)
def test_what_has_been_paid_for_is_not_asked_again(tmp_path: Path, name: str) -> None:
    """It is read if it can be, or the row says why not, and `max_attempts` decides."""
    change, outcome, words = TWISTED[name]
    asked: list[str] = []

    def twist(method: str, path: str, answer: Answer) -> None:
        if f"{method} {path}" == CHAT:
            asked.append(path)
            change(answer)

    front = "key: id\nmax_attempts: 1\nresponse_format: text\noutput: line VARCHAR NOT NULL"
    prompt = f"---\n{front}\n---\nuser:\n{{{{ name }}}}\n"
    with chat_alone() as server, Hostile(server, twist) as between:
        root = garden(tmp_path, server, 3, base_url=between.base_url)
        write(root, {"models/kinds.prompt.md": prompt})
        state = one(root)
    assert state.outcomes == {outcome: 3}
    assert len(asked) == 3
    found = opened(root).sql("SELECT error, line FROM enrich.kinds LEFT JOIN kinds USING (id)")
    assert all(words in (row[1] if outcome == "ok" else row[0]) for row in found)


@pytest.mark.parametrize("kind", sorted(PRESETS))
def test_each_type_is_one_line(tmp_path: Path, kind: str) -> None:
    """Its address, key and price are known; the reference lists it."""
    preset = PRESETS[kind]
    text = f"provider: mine\nproviders: {{mine: {{type: {kind}, llm: x}}}}\n"
    write(tmp_path, {"project.yml": text})
    environment = {preset.key_variable: "key-of-mine"} if preset.key_variable else {}
    provider: Any = enrich.Project(tmp_path, environment=environment).provider("mine")
    assert provider.account.base_url == preset.base_url
    assert (provider.price("x") == FREE_PRICE) == preset.is_free
    provider.check(images=False, endpoint="/v1/chat/completions")
    row = f"| `{kind}` | `{preset.base_url}` | "
    assert kind == "openai" or row in REFERENCE.read_text(encoding="utf-8")
    if preset.key_variable:
        keyless: Any = enrich.Project(tmp_path, environment={}).provider("mine")
        with pytest.raises(ProviderError, match="has no API key") as problem:
            keyless.check(images=False, endpoint="/v1/chat/completions")
        assert preset.key_variable in problem.value.hint


def test_a_run_is_answered_now(tmp_path: Path) -> None:
    """Through the same provider's chat, at its price, in whatever command goes on with it; what was
    answered is not asked again in a batch."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, 30)
        (in_batch,), (now,) = opened(root).plan(), opened(root).plan(provider=":now")
        assert in_batch.estimate and now.estimate
        assert now.provider == "api:now"
        assert [note for note in now.notes if "24 hours" in note and "less" in note]
        assert in_batch.notes == ()
        assert now.estimate.usd == pytest.approx(2 * (in_batch.estimate.usd or 0))
        state = one(root, provider="api:now", detach=True)
        wait_for(lambda: opened(root).status()[0].ok == 30)
        assert (server.uploads, server.sends("POST /v1/batches")) == ([], 0)
        ((spent,),) = opened(root).sql("SELECT sum(cost) FROM ledger.batches").rows
        usage = server.bill.usage
        assert spent == pytest.approx((usage.input * 0.15 + usage.output * 0.6) / 1e6)
        assert opened(root).plan()[0].requests == 0
        assert state.provider == "api:now"


@pytest.mark.few(0)
def test_now_is_an_option(tmp_path: Path) -> None:
    """Of run and plan; a provider that always answers at once has it too."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, 3)
        base = ["--project", str(root)]
        done = CliRunner().invoke(cli.main, [*base, "run", "--now"])
        assert done.exit_code == 0, done.stderr
        assert "(api:now)" in done.stderr
        assert server.sends(CHAT) == 3
        text = (root / "project.yml").read_text()
        local = json.loads(text) | {"provider": "local"}
        local["providers"]["local"] = {}
        (root / "project.yml").write_text(json.dumps(local))
        done = CliRunner().invoke(cli.main, [*base, "plan", "--now", "--full-refresh"])
        assert (done.exit_code, "(local:now)" in done.stdout) == (0, True)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_name_alone_is_no_preset(tmp_path: Path, name: str) -> None:
    """A project that called its server so before there were types keeps its key and its prices."""
    text = f"provider: {name}\nproviders: {{{name}: {{base_url: 'http://127.0.0.1:9/v1'}}}}\n"
    write(tmp_path, {"project.yml": text})
    environment = {"OPENAI_API_KEY": "key-of-mine"}
    provider: Any = enrich.Project(tmp_path, environment=environment).provider(name)
    assert provider.account.api_key == "key-of-mine"
    assert provider.price("gpt-4o-mini") not in (None, FREE_PRICE)
    assert provider.chat.wanted == "auto"
