"""The provider: Gemini's batches behind the protocol of all providers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from enrich.errors import ProviderError
from enrich.providers.gemini.files import GeminiFiles
from enrich.providers.openai import SERVER_KEYS, OpenAIProvider
from enrich.providers.openai.chat_api import is_here

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.providers import Remote
    from enrich.providers.opening import Opening

GEMINI_KEYS = SERVER_KEYS
"""The settings of this provider, besides those that all providers share."""


@dataclass(frozen=True, kw_only=True)
class GeminiProvider(OpenAIProvider):
    """A provider that speaks Gemini's part of OpenAI's Batch API, with Google's files. Its identity
    is that of the same server as an OpenAI one: an answer through chat is not asked for again in a
    batch."""

    keys: ClassVar[tuple[str, ...]] = GEMINI_KEYS

    @classmethod
    def from_settings(cls, opening: Opening) -> GeminiProvider:
        """Returns the provider that project.yml describes. Raises ProjectError."""
        made = super().from_settings(opening)
        chat = made.chat if made.chat.wanted == "chat" else replace(made.chat, wanted="batch")
        return replace(made, chat=chat)

    @cached_property
    def files(self) -> GeminiFiles:
        """The files of the account; nothing is opened before the first call."""
        return GeminiFiles(plain=self.connection)

    def offers(self, llm: str) -> bool:
        """Returns whether `GET /models/{model}` knows the llm."""
        return bool(super().offers(llm))

    def upload(self, path: Path) -> str:
        """Sends the file once."""
        return super().upload(path) if self.chat.wanted == "chat" else self.files.send(path)

    def uploaded(self, name: str) -> tuple[str, ...]:
        """The names of the files with this display name, newest first."""
        return () if self.chat.wanted == "chat" else self.files.list_named(name)

    def ready(self, file: str) -> bool:
        """Whether Google has processed a file."""
        return is_here(file) or self.files.is_ready(file)

    def discard(self, file: str) -> None:
        """Deletes a file, if it is there."""
        if not is_here(file):
            self.files.delete(file)

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Creates the batch, once; without metadata, which this API does not have."""
        known = metadata if is_here(file) else {}
        return super().submit(file, endpoint=endpoint, metadata=known)

    def find(self, intent: str, *, file: str) -> Remote | None:
        """The batch of this intent: its folder, or else the one that was created from its file.
        Raises ProviderError if the list does not say what batches were created from."""
        found = super().find(intent, file=file)
        if found is not None or is_here(file):
            return found
        # Nothing but the file can tell. Not to be seen in a list that hides it is no proof, and
        # the batch would be paid for twice.
        for batch in self.connection.list_items(lambda client: client.batches.list(limit=100)):
            if not getattr(batch, "input_file_id", None):
                what = f"{self.name} does not say which files its batches were created from"
                raise ProviderError(what, hint=f"check base_url: {self.account.url}")
        return None

    def fetch(self, file: str, path: Path) -> None:
        """Streams a result file to `path`."""
        if is_here(file):
            super().fetch(file, path)
        else:
            self.files.download(file, path)
