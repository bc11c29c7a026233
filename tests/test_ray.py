"""Ray: batches run as jobs on a cluster, and no answered row is asked again, whatever is killed.

The suite of the contract, and the kills, against a real head, if `ray` is installed. What needs a
second node or a restarted cluster is `benchmarks/ray_kills.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from ray_head import HAS_RAY, free_port, share_head
from test_contract import (
    ENDPOINT,
    KILL,
    KILLED,
    SECRET,
    Bench,
    ended,
    fetched,
    provider,
    submitted,
    test_a_batch_is_cancelled,
    test_a_batch_that_never_was_is_refused,
    test_what_is_asked_now_is_answered_line_by_line,
    test_what_it_is_holds_no_secret,
)

from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.providers import Provider

__all__ = [
    "provider",
    "test_a_batch_is_cancelled",
    "test_a_batch_that_never_was_is_refused",
    "test_what_is_asked_now_is_answered_line_by_line",
    "test_what_it_is_holds_no_secret",
]
pytestmark = pytest.mark.skipif(not HAS_RAY, reason="ray is not installed: uv sync --group cluster")


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster."""
    with share_head(tmp_path_factory.getbasetemp().parent) as address:
        yield address


@pytest.fixture
def bench(head: str, tmp_path: Path) -> Iterator[Bench]:
    """A provider whose actor asks a server that counts."""
    with Rehearsal(api="chat", api_key=SECRET) as server:
        said = {"type": "ray", "address": head, "storage": "shared", "llm": "x", "actors": 1}
        said |= {"url": server.base_url, "api_key": SECRET, "resources": {"CPU": 0.1}}
        yield Bench(kind="ray", root=tmp_path, server=server, said=said)


CHAT_STUB = Path(__file__).with_name("tiny_chat.py")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A batch whose server writes down what it is asked."""

    bench: Bench
    log: Path
    rows: int

    def count(self) -> Counter[str]:
        """How often each row was asked."""
        return Counter(self.log.read_text().split()) if self.log.exists() else Counter()

    def write(self) -> Path:
        """A request file."""
        path = self.bench.root / "rows.jsonl"
        lines = []
        for number in range(self.rows):
            body = {"model": "tiny", "messages": [{"role": "user", "content": f"row-{number}"}]}
            line = {"custom_id": f"row-{number}", "method": "POST", "url": ENDPOINT, "body": body}
            lines.append(f"{json.dumps(line)}\n")
        path.write_text("".join(lines))
        return path


@pytest.fixture
def asked(head: str, tmp_path: Path) -> Iterator[Asked]:
    """Twenty at once, a twentieth of a second each."""
    port, log = free_port(), tmp_path / "asked"
    said = {"type": "ray", "address": head, "storage": "shared", "llm": "tiny", "actors": 2}
    said |= {"url": f"http://127.0.0.1:{port}/v1", "concurrency": 10, "resources": {"CPU": 0.1}}
    command = [sys.executable, str(CHAT_STUB), str(port), str(log), "0.05"]
    server = subprocess.Popen(command)
    with Rehearsal(api="chat") as unused:
        bench = Bench(kind="ray", root=tmp_path, server=unused, said=said)
        yield Asked(bench=bench, log=log, rows=1200)
    server.terminate()
    server.wait()


def until(what: Any, seconds: float = 90.0) -> None:
    """Waits until something is true; the deadline is there so that a fault ends."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes(*words: str) -> list[int]:
    """The processes whose command has all these words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if all(word in command for word in words):
            found.append(int(path.parent.name))
    return found


def test_killed_actors_and_drivers_lose_no_answer(asked: Asked) -> None:
    """Submitted by a process that is killed, and then once more, it is one batch; what is asked
    again was under way at a kill."""
    file, bench = asked.write(), asked.bench
    command = [sys.executable, "-c", KILLED, str(bench.root), json.dumps(bench.said), str(file)]
    killed = subprocess.run([*command, "many"], capture_output=True, text=True, check=False)
    assert killed.returncode == 9, killed.stderr
    provider: Provider = bench.open()
    first = provider.find("many", file=str(file))
    assert first is not None
    metadata = {"enrich_batch": "many", "attempt": "1"}
    assert provider.submit(str(file), endpoint=ENDPOINT, metadata=metadata).id == first.id
    until(lambda: sum(asked.count().values()) > 200)
    os.kill(processes("ray::RowActor")[0], KILL)
    until(lambda: sum(asked.count().values()) > 500)
    os.kill(processes("enrich.providers.ray.driver", first.id)[0], KILL)
    remote = ended(provider, first)
    assert (remote.status, remote.completed, remote.total) == ("completed", 1200, 1200)
    assert len(set(fetched(provider, remote, asked.bench.root))) == 1200
    count = asked.count()
    assert len(count) == 1200
    assert sum(count.values()) <= 1200 + 3 * 10  # one actor, and then both
    assert len(list(asked.bench.root.glob("shared/*/attempts/*"))) == 2


def test_actors_start_servers_that_end_with_them(head: str, tmp_path: Path) -> None:
    """The command gets the secret, which neither Ray nor the storage has kept."""
    log = tmp_path / "asked"
    words = (sys.executable, str(CHAT_STUB), "{port}", str(log))
    said = {"type": "ray", "address": head, "storage": "shared", "llm": "tiny", "actors": 1}
    said |= {"serve": " ".join(words), "environment": {"TOKEN": SECRET}}
    said |= {"resources": {"CPU": 0.1}}
    with Rehearsal(api="chat") as unused:
        bench = Bench(kind="ray", root=tmp_path, server=unused, said=said)
        provider = bench.open()
        _, remote = submitted(provider, tmp_path, "served")
        until(lambda: processes("tiny_chat.py", str(log)))
        (server, *_) = processes("tiny_chat.py", str(log))
        assert SECRET in Path(f"/proc/{server}/environ").read_text()
        remote = ended(provider, remote)
        assert fetched(provider, remote, tmp_path) == ["a", "b", "c"]
        until(lambda: not processes("tiny_chat.py", str(log)))
    kept = [path.read_bytes() for path in (tmp_path / "shared").rglob("*") if path.is_file()]
    kept.append(httpx2.get(f"{head}/api/jobs/").content)
    assert not any(SECRET.encode() in content for content in kept)
