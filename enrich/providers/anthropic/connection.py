"""The connection: calls of Anthropic's SDK, bounded in time, with enrich's errors."""

from __future__ import annotations

import time
import weakref
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from enrich.errors import ProviderError
from enrich.providers.anthropic.errors import translate_message_errors
from enrich.providers.openai.presets import PROBE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import anthropic

    from enrich.providers.openai.connection import Connection

Said = TypeVar("Said")

INSTALL_ANTHROPIC = "pip install 'enrich[anthropic]'"
USUAL_VERSION = "2026-10-21"
"""The version of the API that the SDK sends since its release 2.0."""
BATCHES_PATH = "/v1/messages/batches"
BATCHES_ON_PAGE = 100
MOST_BATCH_PAGES = 1_000
LISTING_PATIENCE = 10
"""How many timeouts a whole list may take."""
DOWNLOAD_PIECE = 1 << 20


def require_anthropic() -> None:
    """Raises ProviderError if Anthropic's SDK is not installed."""
    try:
        import anthropic  # noqa: F401  # whether it is there
    except ImportError as problem:
        what = "batches at Anthropic need the package anthropic"
        raise ProviderError(what, hint=f"{INSTALL_ANTHROPIC}, or set api: chat") from problem


@dataclass(frozen=True, kw_only=True)
class BatchConnection:
    """Calls of Anthropic's SDK with the account of `plain`, whose errors are translated there."""

    plain: Connection
    version: str = USUAL_VERSION

    @cached_property
    def client(self) -> anthropic.Anthropic:
        """The client of the SDK, which repeats calls that are safe to repeat."""
        require_anthropic()
        self.plain.check_key()
        import anthropic

        from enrich.providers import bounds

        account = self.plain.account
        here = anthropic.DefaultHttpxClient(
            follow_redirects=False,  # it would carry headers and rows to wherever it leads
            headers={"Accept-Encoding": "gzip"},
            event_hooks=bounds.make_hooks(account.timeout),
        )
        weakref.finalize(self, here.close)
        return anthropic.Anthropic(
            api_key=account.api_key,
            base_url=account.base_url.rstrip("/").removesuffix("/v1"),
            default_headers={"anthropic-version": self.version, **account.headers},
            timeout=account.timeout,
            http_client=here,
        )

    def ask(
        self, call: Callable[[anthropic.Anthropic], Said], *, creating: bool = False, sent: int = 0
    ) -> Said:
        """Returns the result of a call, which may take the timeout, and the time that `sent` bytes
        take at the slowest rate. Raises ProviderError."""
        from enrich.providers.bounds import SLOWEST_RATE, call_within

        client = self.client
        with translate_message_errors(self.plain, creating=creating):
            seconds = self.plain.account.timeout + sent / SLOWEST_RATE
            return call_within(seconds, lambda: call(client))

    def get(self, path: str, **params: Any) -> Any:  # noqa: ANN401  # any JSON
        """Returns the document at a path. Raises ProviderError."""
        return self.ask(lambda client: client.get(path, cast_to=object, options={"params": params}))

    def has_model(self, llm: str) -> bool:
        """Whether `GET /v1/models/{model}` knows an llm. Raises ProviderError."""
        import anthropic

        from enrich.providers.bounds import call_within

        client = self.client.with_options(max_retries=1, timeout=PROBE_SECONDS)
        with translate_message_errors(self.plain):
            try:
                call_within(PROBE_SECONDS, lambda: client.models.retrieve(llm))
            except anthropic.NotFoundError:
                return False
        return True

    def list_batches(self) -> Iterator[dict[str, Any]]:
        """Yields the batches of the account's workspace, the newest first. Raises ProviderError if
        the pages do not end."""
        from enrich.providers.bounds import Unreadable

        deadline = time.monotonic() + LISTING_PATIENCE * self.plain.account.timeout
        seen: set[str] = set()
        after: dict[str, str] = {}
        for _ in range(MOST_BATCH_PAGES):
            page = self.get(BATCHES_PATH, limit=BATCHES_ON_PAGE, **after)
            with self.plain.translate_errors():
                found = page.get("data") if isinstance(page, dict) else None
                if not isinstance(found, list) or not all(isinstance(b, dict) for b in found):
                    raise Unreadable("it is no list of batches")
            yield from found
            last = str(page.get("last_id") or (found[-1].get("id") if found else ""))
            if not found or page.get("has_more") is not True:
                return
            if last in seen or time.monotonic() > deadline:
                break
            seen.add(last)
            after = {"after_id": last}
        what = f"{self.plain.name} returned a list that does not end, or repeats itself"
        raise ProviderError(what, hint=f"check base_url: {self.plain.account.url}")

    @contextmanager
    def open_results(self, batch: str) -> Iterator[Iterator[bytes]]:
        """Opens the results of an ended batch, as pieces of bytes. Raises ProviderError."""
        coming = self.client.messages.batches.with_streaming_response.results(batch)
        with translate_message_errors(self.plain), ExitStack() as stack:
            answer = self.ask(lambda _: coming.__enter__())
            stack.push(coming)
            yield answer.iter_bytes(DOWNLOAD_PIECE)
