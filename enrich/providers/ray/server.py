"""A server of an actor's own: the command of `serve:`, which ends with the actor.

The command is a child of `enrich.providers.ray.keeper`, which notices the end of the actor,
whatever ends it: a server that went on alone would keep its GPU.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
from http.client import HTTPException
from tempfile import TemporaryFile
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from enrich.providers.executor.engine import EngineFailed

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PLACES = ("llm", "port")
"""What `{...}` in a command stands for; other braces are the command's own."""
STARTING_PAUSE = 0.25
LAST_WORDS = 300
"""How many characters of a server's log an error shows."""
TAIL_BYTES, LOG_BYTES = 4096, 16 << 20
"""How much of a log is read, and how long it grows. Some servers write a line for each request."""
HERE = build_opener(ProxyHandler({}))
"""Asks this node, whatever proxy its environment names for other addresses."""


def fill_command(command: str, *, llm: str, port: int) -> list[str]:
    """Returns the words of a command.

    >>> fill_command("vllm serve {llm} --port {port} --x '{}'", llm="a/b", port=8000)
    ['vllm', 'serve', 'a/b', '--port', '8000', '--x', '{}']
    """
    known = {"llm": llm, "port": str(port)}
    words = shlex.split(command)
    for name in PLACES:
        words = [word.replace(f"{{{name}}}", known[name]) for word in words]
    return words


class ServerLog:
    """What a server says, in a file without a name: it is gone with this process and the
    server."""

    def __init__(self) -> None:
        """Opens it, for two processes that append to it."""
        self.file = TemporaryFile()  # noqa: SIM115
        if sys.platform != "win32":
            fcntl.fcntl(self.file, fcntl.F_SETFL, os.O_APPEND)

    def read_tail(self) -> bytes:
        """Returns its last bytes."""
        self.file.seek(max(0, self.file.seek(0, os.SEEK_END) - TAIL_BYTES))
        return self.file.read()

    def shorten(self) -> None:
        """Leaves only its last bytes, if it has become long."""
        if sys.platform != "win32" and os.fstat(self.file.fileno()).st_size > LOG_BYTES:
            tail = self.read_tail()
            self.file.truncate(0)
            self.file.write(tail)
            self.file.flush()


class ServedLlm:
    """A server on this node, at a port of its own."""

    def __init__(self, command: str, *, llm: str, environment: Mapping[str, str]) -> None:
        """Starts it."""
        self.port = _find_port()
        words = fill_command(command, llm=llm, port=self.port)
        self._log = ServerLog()
        keeper = [sys.executable, "-P", "-m", "enrich.providers.ray.keeper", *words]
        self._process = subprocess.Popen(
            keeper,
            stdin=subprocess.PIPE,  # it closes with this process
            stdout=self._log.file,
            stderr=self._log.file,
            env={**os.environ, **environment},
        )

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"http://127.0.0.1:{self.port}/v1"

    def check_alive(self) -> None:
        """Raises EngineFailed if it has ended, with what it said last."""
        status = self._process.poll()
        if status is not None:
            text = self._log.read_tail().decode(errors="replace")
            words = " ".join(text.split())[-LAST_WORDS:] or "it said nothing"
            raise EngineFailed(f"the command of `serve:` ended with status {status}: {words}")
        self._log.shorten()

    def await_ready(self, is_wanted: Callable[[], bool]) -> None:
        """Waits until it answers, however long it loads. Raises EngineFailed if it ends."""
        while is_wanted():
            self.check_alive()
            try:
                with HERE.open(f"{self.url}/models", timeout=5):
                    return
            except HTTPError as answer:
                if answer.code < 500:  # a server without a list of llms is ready, too
                    return
            except (URLError, OSError, HTTPException):
                pass
            time.sleep(STARTING_PAUSE)


def _find_port() -> int:
    """Returns a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
