"""The keeper: `python -m enrich.providers.ray.keeper COMMAND...` runs a command for as long as its
own parent lives.

Ray kills an actor with a signal that nothing can catch, and its children as well, but not theirs.
So the keeper is a child of its child. It waits for the end of its standard input, which closes with
the actor, and ends the command and whatever that has started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from threading import Thread
from time import sleep

GRACE_SECONDS = 5.0
"""How long a server may take to end by itself."""


def keep_command(words: list[str]) -> int:
    """Runs a command until it or the standard input ends; returns its status."""
    try:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as problem:
        print(f"{words[0]}: {problem.strerror}", file=sys.stderr)  # noqa: T201
        return 127
    Thread(target=_end_with_parent, args=(process,), daemon=True).start()
    return process.wait()


def _end_with_parent(process: subprocess.Popen[bytes]) -> None:
    # Without a buffer: its lock, held here for ever, is fatal when the interpreter ends, and what
    # Python says of that would hide the last words of the command.
    while os.read(0, 1):
        pass
    _signal_all(process.pid, signal.SIGTERM)
    sleep(GRACE_SECONDS)
    if sys.platform != "win32":
        _signal_all(process.pid, signal.SIGKILL)
    os._exit(1)


def _signal_all(pid: int, number: int) -> None:
    """Sends a signal to a command and to what it has started."""
    try:
        if sys.platform == "win32":
            os.kill(pid, number)
        else:
            os.killpg(pid, number)
    except ProcessLookupError:
        pass


def run_keeper(words: list[str]) -> int:
    """Keeps a command in a child, and returns its status."""
    if sys.platform == "win32":
        return keep_command(words)
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.setsid()
    return keep_command(words)


if __name__ == "__main__":
    sys.exit(run_keeper(sys.argv[1:]))
