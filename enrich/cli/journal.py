"""The journal: what commands said and how the last one ended, in files under .enrich/ for CI."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any

from enrich.report.safe import clean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOG, RESULTS = "enrich.log", "run_results.json"
LARGEST, OLDER = 2_000_000, 3
"""Bytes of the log before it is put aside, and how many older ones are kept."""


class _Quiet(RotatingFileHandler):
    """A log that says nothing where it cannot be written, as on a full disk."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Go on without the line."""


class Journal:
    """What one command says; nothing where the project has no working folder, or none that can be
    written."""

    def __init__(self, work: Path, command: str) -> None:
        self.work = work
        self.command = command
        self.started_at = datetime.now(UTC)
        self._log: logging.Logger | None = None

    def note(self, sentence: str) -> None:
        """Add a line to the log."""
        if self._log is None and self.work.is_dir():
            self._log = self._opened()
        if self._log is not None:
            self._log.info("%s", clean(sentence))

    def close(self, exit_code: int, found: Mapping[str, Any]) -> None:
        """Write how the command ended, with what it found."""
        self.note(f"exit code {exit_code}")
        for handler in self._log.handlers if self._log else ():
            handler.close()
        result = {
            "command": self.command,
            "started_at": self.started_at.isoformat(),
            "ended_at": datetime.now(UTC).isoformat(),
            "exit_code": exit_code,
            **found,
        }
        path = self.work / RESULTS
        draft = path.with_suffix(f".{os.getpid()}")
        if found and self.work.is_dir():
            with suppress(OSError):
                draft.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
                draft.replace(path)

    def _opened(self) -> logging.Logger:
        log = logging.Logger(f"enrich.{self.command}")
        log.addHandler(logging.NullHandler())
        with suppress(OSError):
            path = self.work / LOG
            path.touch(mode=0o600)
            handler = _Quiet(
                path, maxBytes=LARGEST, backupCount=OLDER, encoding="utf-8", delay=True
            )
            style = logging.Formatter(f"%(asctime)s {self.command}: %(message)s")
            handler.setFormatter(style)
            log.addHandler(handler)
        return log
