"""The provider: Anthropic's batches behind the protocol of all providers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

from enrich.errors import ProviderError
from enrich.providers import Limits
from enrich.providers.anthropic.batches import MessageBatches
from enrich.providers.anthropic.connection import (
    USUAL_VERSION,
    BatchConnection,
    require_anthropic,
)
from enrich.providers.anthropic.document import CHAT_ENDPOINT, survey_requests
from enrich.providers.anthropic.request import (
    LAST_SAMPLING_VERSION,
    Untranslatable,
    translate_parameter,
)
from enrich.providers.anthropic.uploads import Uploads, translate_disk_errors
from enrich.providers.needs import Objection
from enrich.providers.openai import SERVER_KEYS, OpenAIProvider
from enrich.providers.openai.chat_api import is_here

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.providers import Remote
    from enrich.providers.needs import RequestNeeds
    from enrich.providers.openai.presets import ApiWay
    from enrich.providers.opening import Opening

ANTHROPIC_KEYS = (*SERVER_KEYS, "api_version")
"""The settings of this provider, besides those that all providers share."""
# A document may have 256 MB (the guide to batch processing). It is a little smaller than its
# request file; the margin is for what may be longer, such as max_tokens in each request.
ANTHROPIC_LIMITS = Limits(requests=100_000, bytes=240_000_000)
DIALECT = "anthropic"


@dataclass(frozen=True, kw_only=True)
class AnthropicProvider(OpenAIProvider):
    """A provider that speaks Anthropic's Message Batches API, and its Messages API for whatever is
    to be answered now."""

    keys: ClassVar[tuple[str, ...]] = ANTHROPIC_KEYS

    @classmethod
    def from_settings(cls, opening: Opening) -> Self:
        """Returns the provider that project.yml describes. Raises ProjectError."""
        made = super().from_settings(opening)
        version = opening.settings.read_text("api_version", USUAL_VERSION)
        wanted: ApiWay = "chat" if made.chat.wanted == "chat" else "batch"
        chat = replace(made.chat, wanted=wanted, dialect=DIALECT, api_version=version)
        return replace(made, chat=chat, limits=opening.read_limits(ANTHROPIC_LIMITS))

    @property
    def identity(self) -> str:
        """`anthropic:` and the URL."""
        return f"anthropic:{self.account.url}"

    @cached_property
    def batches(self) -> MessageBatches:
        """The batches of the account; nothing is opened before the first call."""
        return MessageBatches(
            connection=BatchConnection(plain=self.connection, version=self.chat.api_version),
            uploads=self.uploads,
            sampling=self.takes_sampling,
            lost_after=self.batch_timing.lost_after,
        )

    @property
    def uploads(self) -> Uploads:
        """The request files that are kept on this machine, beside the batches of chat."""
        work = self.chat.root.parent.parent
        return Uploads(root=work / DIALECT / self.chat.root.name)

    @property
    def takes_sampling(self) -> bool:
        """Whether this version of the API takes `temperature` and its like."""
        return self.chat.api_version <= LAST_SAMPLING_VERSION

    def object_to(self, needs: RequestNeeds) -> tuple[Objection, ...]:
        """What Anthropic does not take."""
        found = list(super().object_to(needs))
        known = {each.setting for each in found}
        for name in needs.unusual:
            try:
                translate_parameter(name, needs.params[name], sampling=self.takes_sampling)
            except Untranslatable as problem:
                if name not in known:
                    what, hint = str(problem), problem.hint
                    found.append(Objection(setting=name, what=what, hint=hint, certain=True))
        return tuple(found)

    def check(self, *, images: bool, endpoint: str) -> None:
        """Raises ProviderError if there is no API key, no SDK for batches, or no such endpoint."""
        super().check(images=images, endpoint=endpoint)
        if endpoint != CHAT_ENDPOINT:
            what = f"{self.name}: Anthropic has no endpoint {endpoint}"
            raise ProviderError(
                what, hint=f"leave out endpoint: in the prompt; {CHAT_ENDPOINT} fits"
            )
        if not self.at_once:
            require_anthropic()

    def offers(self, llm: str) -> bool | None:
        """Returns whether `GET /v1/models/{model}` knows the llm; None without the SDK."""
        try:
            require_anthropic()
        except ProviderError:
            return None
        return self.batches.connection.has_model(llm)

    def upload(self, path: Path) -> str:
        """Keeps the file until the create; what is answered here is not sent, and its path is its
        id."""
        if not self.at_once:
            return self.batches.upload(path)
        with translate_disk_errors():
            survey_requests(path, sampling=self.takes_sampling)
        return super().upload(path)

    def uploaded(self, name: str) -> tuple[str, ...]:
        """The ids of the uploads of this name, newest first."""
        found = () if self.at_once else self.uploads.list_all()
        return tuple(each.id for each in found if each.note.name == name)

    def ready(self, file: str) -> bool:  # noqa: ARG002
        """Whether a file can be used: always."""
        return True

    def discard(self, file: str) -> None:
        """Remove an upload, if it is there."""
        if not is_here(file):
            self.uploads.remove(file)

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Create the batch, once."""
        if is_here(file):
            return super().submit(file, endpoint=endpoint, metadata=metadata)
        return self.batches.create(file, intent=metadata.get("enrich_batch", ""))

    def find(self, intent: str, *, file: str) -> Remote | None:
        """The batch of this intent: its folder, or else one whose results say so."""
        here = self.chat.find(intent)
        return here if here is not None or is_here(file) else self.batches.find(intent, file=file)

    def poll(self, remote: str) -> Remote:
        """How the batch stands."""
        return super().poll(remote) if is_here(remote) else self.batches.retrieve(remote)

    def cancel(self, remote: str) -> Remote:
        """Ask for it; a batch that has ended is shown as it ended."""
        return super().cancel(remote) if is_here(remote) else self.batches.cancel(remote)

    def leftovers(self, remote: str, file: str, *, fetched: bool) -> tuple[Path, ...]:
        """The folder of a batch that was answered here, or else the upload that it was made of."""
        if is_here(file):
            return super().leftovers(remote, file, fetched=fetched)
        return self.uploads.list_leftovers(file)

    def fetch(self, file: str, path: Path) -> None:
        """Stream a result file to `path`."""
        if is_here(file):
            super().fetch(file, path)
        else:
            self.batches.fetch(file, path)
