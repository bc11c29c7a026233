"""The APIs that a rehearsal plays, by the names that `enrich rehearse --api` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from enrich.rehearsal.anthropic import AnthropicApi
from enrich.rehearsal.gemini import GeminiApi
from enrich.rehearsal.mistral import MistralApi
from enrich.rehearsal.routes import Api

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.rehearsal.batches import Batches
    from enrich.rehearsal.files import FileStore
    from enrich.rehearsal.llm import Llm
    from enrich.rehearsal.replies import HttpReply
    from enrich.rehearsal.routes import Request
    from enrich.rehearsal.settings import RehearsalSettings


class PlayedApi(Protocol):
    """An API of a provider. `routes` are its calls, and `base_path` begins the address that a
    client is told."""

    routes: ClassVar[tuple[str, ...]]
    base_path: ClassVar[str]

    def __init__(
        self, settings: RehearsalSettings, files: FileStore, batches: Batches, llm: Llm
    ) -> None: ...

    @staticmethod
    def find_route(method: str, path: str) -> tuple[str, str]:
        """Returns the route of a call, or "", and the id in its path."""

    @staticmethod
    def render_failure(status: int, code: str | None = None) -> dict[str, Any]:
        """Returns the error document of a status, for a call that has nothing wrong with it."""

    def answer(self, request: Request) -> HttpReply:
        """Answers a call. Raises ApiError for one that it refuses."""


PLAYED_APIS: Mapping[str, type[PlayedApi]] = {
    "batch": Api,
    "chat": Api,  # the same server without its Batch API
    "anthropic": AnthropicApi,
    "mistral": MistralApi,
    "gemini": GeminiApi,
}
