"""The engine: asks a chat server the rows of a batch, as many at once as it takes.

aiohttp carries them: a core sends five times as many requests a second with it as with the SDK
(`benchmarks/chat.py`), so that the server is what limits a run, and not this machine.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from enrich.providers.chat.dialect import Dialect, OpenAIDialect
from enrich.providers.chat.level import MOST_AT_ONCE, Level
from enrich.providers.chat.pacing import MinuteLimit, Pacing, read_pause
from enrich.providers.chat.verdict import BAD_GATEWAY, RowVerdict, judge_answer
from enrich.providers.executor.engine import EngineFailed
from enrich.providers.executor.reply import EngineReply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enrich.providers.chat.settings import ChatSettings
    from enrich.providers.executor.engine import OpenRows

CONNECT_SECONDS = 5.0
CHAT_ANSWER_BYTES = 32 << 20
"""Bytes of an answer's body, unpacked."""
MOST_FAULTS = 3
"""How often a row may meet a server's fault before that is its answer: it may be the cause."""
ALIKE = 20
"""How many of the first rows refused alike show that all of them will be."""
OUTAGE_SECONDS = 600.0
"""For how long a server that is away behind a gateway is waited for, at no row's expense."""
DIGITS = re.compile(r"\d+")
"""What does not count when words are compared: positions, numbers of tokens, ids."""
PREVIEW_REACH, PREVIEW_PATIENCE = 5.0, 60.0
"""For how many seconds a preview waits for a server that is away, and for one that is busy."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a row is asked again where the server names no time: doubled each time."""
LOOK_SECONDS = 0.5
"""Between two looks whether the batch was cancelled, while a row waits."""
AWAY_PAUSE = 10.0
"""Seconds at the most between two looks whether a server that went away is back."""


@dataclass(kw_only=True)
class ServerEngine:
    """Asks one server. `hide` takes what may be a secret out of messages, and `clean` what surely
    is one out of answers. `watched` is the number of rows of a preview, for which a person waits,
    or 0: a preview gives up after a while, and asks nothing twice that may have been billed."""

    settings: ChatSettings
    headers: Mapping[str, str] = field(repr=False)
    hide: Callable[[str], str] = field(default=str, repr=False)
    clean: Callable[[str], str] = field(default=str, repr=False)
    watched: int = 0
    dialect: Dialect = field(default_factory=OpenAIDialect)
    # What is under way has been paid for, so its answers are worth waiting for.
    grace: float = 60.0
    note: str = ""
    # An actor on a cluster runs it several times, for the rows of one batch.
    answered: int = 0
    refusals: dict[str, int] = field(default_factory=dict, repr=False)

    def run(self, answers: OpenRows) -> None:
        """Answer rows until there are none left, or until told to stop."""
        asyncio.run(_Conversation(engine=self, answers=answers).hold())


@dataclass(kw_only=True)
class _Conversation:
    """One run of an engine, in an event loop of its own."""

    engine: ServerEngine
    answers: OpenRows
    failed: EngineFailed | None = None
    heard_at: float = 0.0

    async def hold(self) -> None:
        """Ask one row alone, so that the server has read what all of them share, then the rest."""
        settings = self.engine.settings
        self.heard_at = now = asyncio.get_running_loop().time()
        self.level = Level(most=settings.concurrency or MOST_AT_ONCE)
        self.pacing = Pacing(
            requests=_limit(settings.requests, now), tokens=_limit(settings.tokens, now)
        )
        connector = aiohttp.TCPConnector(limit=self.level.most)
        timeout = aiohttp.ClientTimeout(total=settings.timeout, sock_connect=CONNECT_SECONDS)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            headers=dict(self.engine.headers),
            read_bufsize=1 << 20,
        ) as self.session:
            # Who watches a preview would wait twice as long for the first answers.
            is_known = self.engine.watched or self.engine.answered
            first = None if is_known else self.answers.take()
            if first is not None:
                await self._settle(first)
            await asyncio.gather(*(self._ask_rows() for _ in range(self.level.most)))
        if self.failed is not None:
            raise self.failed

    @property
    def over(self) -> bool:
        """Whether nothing more is to be sent."""
        return self.failed is not None or self.answers.stop.is_set() or self.answers.spent

    async def _ask_rows(self) -> None:
        """What one lane does: a row after the other, each until it has its reply."""
        while self.failed is None and (row := self.answers.take()) is not None:
            await self._settle(row)

    async def _settle(self, row: Mapping[str, Any]) -> None:
        """Ask a row until it has its reply, which is appended."""
        # Only here: an answer is the same in any tier, so the tier is no part of a fingerprint.
        tier = self.engine.settings.service_tier
        asked = {"service_tier": tier} if tier else {}
        body = json.dumps(self.engine.dialect.encode({**asked, **row["body"]})).encode()
        url = self.engine.dialect.locate(self.engine.settings, row)
        faults = tries = 0
        began = sent_at = asyncio.get_running_loop().time()
        while True:
            await self._sleep(self.pacing.reserve(len(body)))
            while not self.over and (closed := self.pacing.closed_for()) > 0:
                await self._sleep(closed)
            await self.level.enter()
            try:
                # A row that is taken may have waited here for long.
                if self.over or self.answers.check_spent(self.level.in_flight):
                    return
                sent_at = asyncio.get_running_loop().time()
                verdict, pause = await self._ask(url, body)
            except aiohttp.ClientConnectorError as problem:
                verdict, pause = None, self._lose_server(problem, tries)
            finally:
                self.level.leave()
            if verdict is not None:
                if verdict.meaning in ("faulty", "lost") and not self._is_out(verdict, sent_at):
                    faults += 1
                if verdict.meaning == "hopeless":
                    self.failed = EngineFailed(self.engine.hide(verdict.words))
                    return
                if verdict.meaning == "lost" and self.engine.watched:
                    return
                if verdict.meaning == "answer" or faults > MOST_FAULTS:
                    self._keep(str(row["custom_id"]), verdict)
                    return
            if self._is_tired(verdict, began):
                return
            usual = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries, 10)) * random.uniform(0.8, 1.2)  # noqa: S311
            await self._sleep(usual if pause is None else pause)
            tries += 1

    async def _sleep(self, seconds: float) -> None:
        """Wait, but no longer than until nothing more is to be sent."""
        until = asyncio.get_running_loop().time() + seconds
        while not self.over and (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(left, LOOK_SECONDS))

    async def _ask(self, url: str, body: bytes) -> tuple[RowVerdict, float | None]:
        """Send a row once: what its answer means, and how long it asks to wait. A connection that
        breaks is a fault; only one that cannot be made at all raises ClientConnectorError."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with self.session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json"},
                allow_redirects=False,  # it would carry keys and rows to wherever it leads
            ) as response:
                content, trouble = await _read(response)
                status, headers = response.status, response.headers
                charset = response.charset or ""
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            words = self.engine.hide(str(problem) or type(problem).__name__)
            said = {"error": {"message": words, "code": "connection_lost"}}
            return RowVerdict(meaning="lost", reply=EngineReply(504, said), words=words), None
        self.engine.note = ""
        now = loop.time()
        verdict = judge_answer(
            status, content, self.engine.dialect.decode, charset=charset, trouble=trouble
        )
        self.pacing.learn(headers, verdict.tokens, now)
        if verdict.meaning == "busy":
            self.level.refused(now)
            return verdict, read_pause(headers, verdict.words)
        self.level.answered(now - began, now)
        if verdict.meaning == "answer":
            self.heard_at = now
        return verdict, read_pause(headers, "") if verdict.meaning == "faulty" else None

    def _is_out(self, verdict: RowVerdict, sent_at: float) -> bool:
        """Whether the server behind a gateway is away, as one that cannot be connected to is, and
        no fault of a row: nothing has been answered since it was asked. After a while it counts as
        the row's nevertheless, for the row may be what ends the server."""
        now = asyncio.get_running_loop().time()
        if verdict.reply.status != BAD_GATEWAY or self.engine.watched:
            return False
        if self.heard_at > sent_at or now - self.heard_at > OUTAGE_SECONDS:
            return False
        words = self.engine.hide(verdict.words)
        self.engine.note = f"waiting for the server: {BAD_GATEWAY}: {words}"[:200]
        return True

    def _is_tired(self, verdict: RowVerdict | None, began: float) -> bool:
        """Whether a preview has waited for long enough for a server that is away or busy; then
        nothing more is sent."""
        waited = asyncio.get_running_loop().time() - began
        if not self.engine.watched or (verdict is not None and verdict.meaning != "busy"):
            return False
        if waited < (PREVIEW_REACH if verdict is None else PREVIEW_PATIENCE):
            return False
        words = self.engine.hide(verdict.words) if verdict else self.engine.note
        self.failed = EngineFailed(f"gave up after {waited:.0f} seconds: {words}")
        return True

    def _lose_server(self, problem: Exception, tries: int) -> float:
        """Nobody listens there: say so; returns the seconds until the next look. The row is asked
        again then, however long that takes."""
        words = self.engine.hide(str(problem))
        self.engine.note = f"waiting for the server: {words}"[:200]
        return float(min(AWAY_PAUSE, FIRST_PAUSE * 2 ** min(tries, 10)))

    def _keep(self, custom_id: str, verdict: RowVerdict) -> None:
        """Append the reply of a row; stop where the first rows are all refused alike."""
        self.answers.put(custom_id, verdict.reply, self.engine.clean)
        most = min(self.engine.watched or ALIKE, ALIKE)
        self.engine.answered += 1
        # One that works, or that is refused for what it says, shows that it does not lie in what
        # all of them share.
        if (verdict.reply.status == 200 and not verdict.words) or "content" in verdict.code:
            self.engine.answered = ALIKE
        elif self.engine.answered <= most:
            alike = DIGITS.sub("", verdict.words)
            many = self.engine.refusals[alike] = self.engine.refusals.get(alike, 0) + 1
            if many == most:
                words, status = self.engine.hide(verdict.words), verdict.reply.status
                which = f"all {most}" if self.engine.watched == most else f"the first {most}"
                refused = f"{which} requests are refused: " if most > 1 else ""
                what = f"{refused}the server answered {status}: {words}"
                self.failed = EngineFailed(what)


def _limit(amount: int | None, now: float) -> MinuteLimit | None:
    return MinuteLimit(amount=float(amount), filled_at=now) if amount else None


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, str]:
    """A body, as far as it may go, and why it is not whole."""
    content = bytearray()
    try:
        async for piece in response.content.iter_any():
            content += piece
            if len(content) > CHAT_ANSWER_BYTES:
                response.close()
                return b"", f"the answer has more than {CHAT_ANSWER_BYTES >> 20} MiB"
    except aiohttp.ClientPayloadError as problem:
        if "content-encoding" not in str(problem).lower():  # the connection broke
            raise
        packed = response.headers.get("Content-Encoding", "")
        return b"", f"the answer cannot be unpacked, although the server calls it {packed[:40]}"
    return bytes(content), ""
