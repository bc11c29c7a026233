"""The journal: what commands printed and how the last one ended, in files under .enrich/ for CI."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any

from enrich.report.safe import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOG_FILE, RESULTS_FILE = "enrich.log", "run_results.json"
MAX_LOG_BYTES, OLD_LOGS = 2_000_000, 3
"""The size in bytes at which the log is rotated, and how many old logs are kept."""


class _SilentHandler(RotatingFileHandler):
    """A log file that is skipped where it cannot be written, as on a full disk."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Skip the line. By default logging prints a traceback to stderr."""


class Journal:
    """Records what one command prints.

    It writes nothing if the project has no working folder, or one that is not writable: no command
    fails because of its log.
    """

    def __init__(self, work: Path, command: str) -> None:
        self.work = work
        self.command = command
        self.started_at = datetime.now(UTC)
        self._log: logging.Logger | None = None

    def note(self, sentence: str) -> None:
        """Add a line to the log."""
        if self._log is None and self.work.is_dir():
            self._log = self._open_log()
        if self._log is not None:
            self._log.info("%s", clean_text(sentence))

    def close(self, exit_code: int, found: Mapping[str, Any]) -> None:
        """Write how the command ended, together with its results."""
        self.note(f"exit code {exit_code}")
        for handler in self._log.handlers if self._log else ():
            with suppress(OSError):  # what a full disk has not taken is lost
                handler.close()
        result = {
            "command": self.command,
            "started_at": self.started_at.isoformat(),
            "ended_at": datetime.now(UTC).isoformat(),
            "exit_code": exit_code,
            **found,
        }
        path = self.work / RESULTS_FILE
        # CI may read the file at any time, so it is renamed into place, and two commands that end
        # at the same moment need two drafts.
        draft = path.with_suffix(f".{os.getpid()}")
        if found and self.work.is_dir():
            with suppress(OSError):
                draft.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
                draft.replace(path)
            with suppress(OSError):  # a full disk has left it
                draft.unlink(missing_ok=True)

    def _open_log(self) -> logging.Logger:
        # Not from `logging.getLogger`: its lines would also reach the root logger's handlers.
        log = logging.Logger(f"enrich.{self.command}")
        log.addHandler(logging.NullHandler())
        with suppress(OSError):
            path = self.work / LOG_FILE
            path.touch(mode=0o600)  # sentences may quote rows, which are for their owner alone
            handler = _SilentHandler(
                path, maxBytes=MAX_LOG_BYTES, backupCount=OLD_LOGS, encoding="utf-8", delay=True
            )
            style = logging.Formatter(f"%(asctime)s {self.command}: %(message)s")
            handler.setFormatter(style)
            log.addHandler(handler)
        return log
