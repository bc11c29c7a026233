"""A worker that repeats what it is told: an executor's provider without any engine of its own.

`python -m parrot_worker FOLDER`; the job's settings say what it waits for and what it refuses.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.providers.executor.engine import EngineFailed, ThreadedEngine
from enrich.providers.executor.reply import EngineReply
from enrich.providers.executor.worker import run_worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.providers.executor.folder import Folder


def open_engines(folder: Folder) -> list[ThreadedEngine]:
    """One engine of two slots."""
    settings = folder.job.settings
    if settings.get("broken"):
        raise EngineFailed("the parrot is asleep")
    gate = Path(settings["gate"])

    def answer(body: Mapping[str, Any]) -> EngineReply:
        """Say it again, once the gate is there for words that ask for it."""
        said = body["say"]
        if said == "nothing":
            return EngineReply(400, {"error": {"message": "there is nothing to say"}})
        while said == "wait" and not gate.exists():
            time.sleep(0.01)
        return EngineReply(200, {"choices": [{"message": {"content": said}}]})

    return [ThreadedEngine(answer=answer, slots=2)]


if __name__ == "__main__":
    run_worker(open_engines)
