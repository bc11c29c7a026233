"""The worker of a local batch: `python -m enrich.providers.local.worker FOLDER`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.providers.executor.worker import run_worker
from enrich.providers.local import embedder, llama

if TYPE_CHECKING:
    from enrich.providers.executor.engine import ThreadedEngine
    from enrich.providers.executor.folder import Folder


def open_engines(folder: Folder) -> list[ThreadedEngine]:
    """The engines of a batch: word vectors if its settings name such files, else llama.cpp. Raises
    EngineFailed."""
    if "vectors" in folder.job.settings:
        return embedder.open_embedder(folder)
    return llama.open_llama(folder)


if __name__ == "__main__":
    run_worker(open_engines)
