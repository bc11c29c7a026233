"""The worker of a chat batch: `python -m enrich.providers.chat.worker FOLDER`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.providers.chat.engine import ServerEngine
from enrich.providers.chat.settings import ChatSecrets, ChatSettings
from enrich.providers.executor.worker import run_worker
from enrich.providers.secrets import Secrets

if TYPE_CHECKING:
    from enrich.providers.executor.folder import Folder


def open_server_engines(folder: Folder) -> list[ServerEngine]:
    """The one engine of a batch, which asks its server."""
    found = ChatSecrets.from_environment()
    return [
        ServerEngine(
            settings=ChatSettings(**folder.job.settings),
            headers=found.headers,
            hide=Secrets.from_values(found.hidden).redact,
            clean=Secrets.from_values(found.sure).redact,
            watched=folder.state.total if folder.job.is_preview else 0,
        )
    ]


if __name__ == "__main__":
    run_worker(open_server_engines)
