"""Streams: what is printed arrives, or is known not to have arrived; never a traceback.

Letters that the terminal's encoding lacks are written as JSON writes them, so JSON stays JSON.
Talk on stderr may be lost: it stops no command. Data on stdout may not: that is an error.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

ESCAPED = "enrich-escaped"
FAILED = 1
"""The exit code where the output cannot be written, or nobody reads it any more: click's, too."""


def escaped(problem: UnicodeError) -> tuple[str, int]:
    """What is written instead of letters that an encoding lacks.

    >>> codecs.register_error(ESCAPED, escaped)
    >>> "é😀".encode("ascii", ESCAPED)
    b'\\\\u00e9\\\\ud83d\\\\ude00'
    """
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    found = problem.object[problem.start : problem.end]
    units = found.encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), problem.end


class Talk:
    """A stream that what is said goes to as long as it can be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever a stream has
        return getattr(self._stream, name)


@contextmanager
def prepared() -> Iterator[None]:
    """Inside, a command may print; at its end it has been printed, or the process ends with the
    exit code that says why not."""
    codecs.register_error(ESCAPED, escaped)
    if sys.stderr is None:
        sys.stderr = _closed()
    if sys.stdout is None:
        sys.stdout = _closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)
    sys.stderr = cast("TextIO", Talk(sys.stderr))
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as problem:
        _quiet()
        if problem.errno in (errno.EPIPE, errno.ESHUTDOWN):
            sys.exit(FAILED)
        reason = problem.strerror or str(problem)
        sys.stderr.write(f"error: the output cannot be written: {reason}\n")
        sys.stderr.write("\nhint: what the command did is kept; print it again elsewhere\n")
        sys.exit(FAILED)


def _closed() -> TextIO:
    """A stream to nowhere, for one that the process was started without: writing to it fails."""
    return os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")


def _quiet() -> None:
    """Let go of what could not be written, or Python would try once more at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
