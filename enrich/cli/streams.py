"""Streams: what is printed arrives, or the exit code says that it has not; never a traceback.

Letters that the terminal's encoding lacks are written as JSON escapes, so that JSON stays JSON.
Messages on stderr may be lost without stopping a command. Losing data on stdout is an error.
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

ESCAPE_HANDLER = "enrich-escaped"
EXIT_UNWRITABLE = 1
"""The exit code if stdout cannot be written or its reader is gone, which click uses too."""


def escape_letters(problem: UnicodeError) -> tuple[str, int]:
    """Returns what is written instead of letters that an encoding lacks, and where to go on.

    It is an error handler for `codecs`, and raises whatever is not an encoding error.

    >>> codecs.register_error(ESCAPED, escaped)
    >>> "é😀".encode("ascii", ESCAPED)
    b'\\\\u00e9\\\\ud83d\\\\ude00'
    """
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    letters = problem.object[problem.start : problem.end]
    units = letters.encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), problem.end


class LossyStream:
    """A text stream that drops what can no longer be written, instead of raising OSError."""

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
def guard_streams() -> Iterator[None]:
    """Inside, a command may print. At the end everything has been printed, or the process exits
    with EXIT_UNWRITABLE."""
    codecs.register_error(ESCAPE_HANDLER, escape_letters)
    # Python sets a stream to None if its descriptor was closed at the start, as by `>&-`.
    if sys.stderr is None:
        sys.stderr = _open_unwritable()
    if sys.stdout is None:
        sys.stdout = _open_unwritable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ESCAPE_HANDLER)
    sys.stderr = cast("TextIO", LossyStream(sys.stderr))
    try:
        try:
            yield
        finally:
            # Without this, a full disk would show up only when Python itself flushes at exit.
            sys.stdout.flush()
    except OSError as problem:
        _discard_stdout()
        if problem.errno in (errno.EPIPE, errno.ESHUTDOWN):  # `| head` has read all it wants
            sys.exit(EXIT_UNWRITABLE)
        reason = problem.strerror or str(problem)
        sys.stderr.write(f"error: the output cannot be written: {reason}\n")
        sys.stderr.write("\nhint: what the command did is kept; print it somewhere else\n")
        sys.exit(EXIT_UNWRITABLE)


def _open_unwritable() -> TextIO:
    """Returns a stream that cannot be written, for one that the process was started without."""
    return os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")


def _discard_stdout() -> None:
    """Point stdout at nothing, or Python would try to flush it again at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
