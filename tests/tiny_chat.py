"""A chat server in a process of its own: `python tiny_chat.py PORT LOG [SECONDS]`.

It answers each request with what it was asked, after so many seconds, and first appends that to the
log: who reads the log knows how often each row was asked, whatever became of the answers.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web


def make_app(log: Path, seconds: float) -> web.Application:
    """The two routes that a chat server needs."""
    asked = log.open("a", buffering=1, encoding="utf-8")

    async def complete(request: web.Request) -> web.Response:
        """Says it again."""
        body = await request.json()
        words = body["messages"][-1]["content"]
        asked.write(f"{words}\n")
        await asyncio.sleep(seconds)
        message = {"role": "assistant", "content": words}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        document = {"object": "chat.completion", "model": body.get("model"), "choices": [choice]}
        return web.json_response({**document, "usage": usage})

    async def list_llms(request: web.Request) -> web.Response:
        """It has one."""
        return web.json_response({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", list_llms)
    return app


if __name__ == "__main__":
    port, log, seconds = int(sys.argv[1]), Path(sys.argv[2]), float((sys.argv[3:] or ["0"])[0])
    host = (sys.argv[4:] or ["127.0.0.1"])[0]
    web.run_app(make_app(log, seconds), host=host, port=port, print=None)
