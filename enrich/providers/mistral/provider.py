"""The provider: Mistral's jobs behind the protocol of all providers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from enrich.providers.mistral.connection import JobConnection, require_sdk
from enrich.providers.mistral.jobs import Jobs
from enrich.providers.mistral.requests import open_translated, read_llm
from enrich.providers.openai import SERVER_KEYS, OpenAIProvider
from enrich.providers.openai.chat_api import is_here

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.providers import Remote
    from enrich.providers.opening import Opening

MISTRAL_KEYS = (*SERVER_KEYS, "timeout_hours")
"""The settings of this provider, besides those that all providers share."""
USUAL_HOURS = 24
LONGEST_HOURS = 168


@dataclass(frozen=True, kw_only=True)
class MistralProvider(OpenAIProvider):
    """A provider that speaks Mistral's Batch API. Its identity is that of the same server as an
    OpenAI one: an answer through chat is not asked for again in a batch."""

    timeout_hours: int = USUAL_HOURS

    keys: ClassVar[tuple[str, ...]] = MISTRAL_KEYS

    @classmethod
    def from_settings(cls, opening: Opening) -> MistralProvider:
        """Returns the provider that project.yml describes. Raises ProjectError."""
        made = super().from_settings(opening)
        hours = opening.settings.read_integer("timeout_hours", USUAL_HOURS) or USUAL_HOURS
        if hours > LONGEST_HOURS:
            hint = f"timeout_hours: {LONGEST_HOURS} is a week"
            raise opening.settings.make_error(
                "timeout_hours", f"must be from 1 to {LONGEST_HOURS}", hint=hint
            )
        chat = made.chat if made.chat.wanted == "chat" else replace(made.chat, wanted="batch")
        return replace(made, timeout_hours=hours, chat=chat)

    @cached_property
    def jobs(self) -> Jobs:
        """The batches of the account; nothing is opened before the first call."""
        return Jobs(connection=JobConnection(plain=self.connection), hours=self.timeout_hours)

    def check(self, *, images: bool, endpoint: str) -> None:
        """Raises ProviderError if there is no API key, or no SDK for batches."""
        super().check(images=images, endpoint=endpoint)
        if self.chat.wanted != "chat":
            require_sdk()

    def offers(self, llm: str) -> bool:
        """Returns whether `GET /v1/models/{model}` knows the llm."""
        return bool(super().offers(llm))

    def upload(self, path: Path) -> str:
        """Sends the file once, in Mistral's form."""
        if self.chat.wanted == "chat":
            return super().upload(path)
        with open_translated(path) as translated:
            return super().upload(translated)

    def uploaded(self, name: str) -> tuple[str, ...]:
        """The ids of the files of this name, newest first."""
        return () if self.chat.wanted == "chat" else self.jobs.list_named(name)

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Creates the job, once."""
        if is_here(file):
            return super().submit(file, endpoint=endpoint, metadata=metadata)
        llm = read_llm(self.connection, file)
        return self.jobs.create(file, llm=llm, endpoint=endpoint, metadata=metadata)

    def find(self, intent: str, *, file: str) -> Remote | None:
        """The batch of this intent: its folder, or else one in the list of all jobs."""
        here = self.chat.find(intent)
        return here if here is not None or is_here(file) else self.jobs.find(intent, file=file)

    def poll(self, remote: str) -> Remote:
        """How the batch stands."""
        return super().poll(remote) if is_here(remote) else self.jobs.retrieve(remote)

    def cancel(self, remote: str) -> Remote:
        """Asks for it; a batch that has ended is shown as it ended."""
        return super().cancel(remote) if is_here(remote) else self.jobs.cancel(remote)
