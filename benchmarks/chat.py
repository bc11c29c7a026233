"""What asking a chat server costs: enrich's chat worker beside bare HTTP clients, in one run.

    uv run python benchmarks/chat.py [--rows 5000] [--latency 0.0]

A server on loopback answers every request with 0.5 kB after `latency` seconds. The same bodies are
sent by aiohttp, by httpx2 and by the OpenAI SDK, each as fast as it goes with 256 requests at once,
and by enrich's worker, which finds its own level and appends each answer to a file. The memory of
the worker is shown as well: it holds no rows but those under way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from enrich.providers.chat.settings import ChatSecrets, ChatSettings
from enrich.providers.executor.batches import FolderBatches
from enrich.providers.executor.folder import Job

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 256
SERVER = """
import asyncio, json, sys
from aiohttp import web
latency = float(sys.argv[1])
answer = {"choices": [{"index": 0, "finish_reason": "stop",
    "message": {"role": "assistant", "content": json.dumps({"text": "word " * 60})}}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 60, "total_tokens": 160}}
async def chat(request):
    await request.read()
    if latency:
        await asyncio.sleep(latency)
    return web.json_response(answer)
async def main():
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def make_bodies(rows: int) -> list[dict[str, Any]]:
    """Bodies of about 1 kB."""
    return [
        {
            "model": "x",
            "messages": [
                {"role": "system", "content": "Sort this. " * 60},
                {"role": "user", "content": f"row {row} " * 20},
            ],
        }
        for row in range(rows)
    ]


def by_aiohttp(url: str, bodies: list[dict[str, Any]]) -> None:
    """Everything aiohttp can do, in one event loop."""
    import aiohttp

    async def ask_all() -> None:
        left = iter(bodies)
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def lane() -> None:
                for body in left:
                    async with session.post(f"{url}/chat/completions", json=body) as response:
                        await response.json()

            await asyncio.gather(*(lane() for _ in range(AT_ONCE)))

    asyncio.run(ask_all())


def by_httpx2(url: str, bodies: list[dict[str, Any]]) -> None:
    """The client that the OpenAI SDK uses, without the SDK."""
    import httpx2

    async def ask_all() -> None:
        left = iter(bodies)
        limits = httpx2.Limits(max_connections=AT_ONCE)
        async with httpx2.AsyncClient(limits=limits) as client:

            async def lane() -> None:
                for body in left:
                    (await client.post(f"{url}/chat/completions", json=body)).json()

            await asyncio.gather(*(lane() for _ in range(AT_ONCE)))

    asyncio.run(ask_all())


def by_sdk(url: str, bodies: list[dict[str, Any]]) -> None:
    """The OpenAI SDK, in threads."""
    import openai

    client = openai.OpenAI(api_key="any", base_url=url, max_retries=0)

    def ask(body: dict[str, Any]) -> None:
        client.post("/chat/completions", body=body, cast_to=object)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(ask, bodies))


def by_enrich(url: str, bodies: list[dict[str, Any]]) -> None:
    """enrich's worker, from the request file to the file of answers."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "requests.jsonl"
        with file.open("w") as out:
            for row, body in enumerate(bodies):
                line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
                out.write(json.dumps({"custom_id": str(row), **line}) + "\n")
        settings = ChatSettings(name="bench", url=url, timeout=60.0)
        environment = ChatSecrets(headers={}).to_environment()
        batches = FolderBatches(
            name="bench",
            root=Path(folder) / "batches",
            worker="enrich.providers.chat.worker",
            environment=environment,
        )
        job = Job(
            id="now",
            llm="x",
            endpoint="/v1/chat/completions",
            metadata={},
            created_at=time.time(),
            settings=vars(settings),
        )
        remote = batches.submit(str(file), job)
        peak = 0
        while not remote.ended:
            peak = max(peak, _measure_memory(Path(folder) / "batches" / remote.id / "pid"))
            time.sleep(0.05)
            remote = batches.poll(remote.id)
    print(f"{'(its worker)':<24}{peak / 1024:>10,.0f} MB", flush=True)


def _measure_memory(pid: Path) -> int:
    """The most memory that a process has had, in kB; 0 where /proc is missing."""
    try:
        status = Path(f"/proc/{pid.read_text().strip()}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0]) if found else 0


def main() -> None:
    """Show requests a second of each, and the seconds of CPU that a thousand take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--latency", type=float, default=0.0)
    options = parser.parse_args()
    command = [sys.executable, "-c", SERVER, str(options.latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        port = server.stdout.readline().strip() if server.stdout else ""
        url = f"http://127.0.0.1:{port}/v1"
        bodies = make_bodies(options.rows)
        ways: list[tuple[str, Callable[[str, list[dict[str, Any]]], None]]] = [
            ("aiohttp", by_aiohttp),
            ("httpx2", by_httpx2),
            ("openai SDK, threads", by_sdk),
            ("enrich", by_enrich),
        ]
        print(f"{'client':<24}{'req/s':>10}{'CPU ms/req':>12}")
        for name, ask in ways:
            before, began = _cpu(), time.perf_counter()
            ask(url, bodies)
            took, used = time.perf_counter() - began, _cpu() - before
            per = 1000 * used / options.rows
            print(f"{name:<24}{options.rows / took:>10,.0f}{per:>12.2f}", flush=True)
        server.kill()


def _cpu() -> float:
    """Seconds of CPU of this process and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    main()
