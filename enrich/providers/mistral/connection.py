"""The connection for jobs: calls of Mistral's SDK, bounded in time, with enrich's errors."""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from enrich.errors import ProviderError
from enrich.providers.mistral.errors import translate_job_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mistralai.client import Mistral

    from enrich.providers.openai.connection import Connection

Answer = TypeVar("Answer")

INSTALL_SDK = "pip install 'enrich[mistral]'"
LIST_SIZE = 100
MOST_LISTS = 1_000
"""Pages of a list: 100,000 jobs."""
RETRY_MILLISECONDS = (500, 8_000, 10_000)
"""The first and the longest pause between two tries of a call that is safe to repeat, and how long
to go on."""


def require_sdk() -> None:
    """Raises ProviderError if Mistral's SDK is not installed."""
    try:
        import mistralai.client  # noqa: F401  # whether it is there
    except ImportError as problem:
        what = "batches at Mistral need the package mistralai"
        raise ProviderError(what, hint=f"{INSTALL_SDK}, or set api: chat") from problem


@dataclass(frozen=True, kw_only=True)
class JobConnection:
    """Calls of Mistral's SDK with the account of `plain`, through which everything else goes."""

    plain: Connection

    @cached_property
    def client(self) -> Mistral:
        """The client of the SDK, which repeats calls that are safe to repeat."""
        self.plain.check_key()
        import httpx2
        from mistralai.client import Mistral
        from mistralai.client.utils import BackoffStrategy, RetryConfig

        from enrich.providers import bounds

        account = self.plain.account
        here = httpx2.Client(
            follow_redirects=False,  # it would carry headers and rows to wherever it leads
            headers={**account.headers, "Accept-Encoding": "gzip"},
            event_hooks=bounds.make_hooks(account.timeout),
        )
        weakref.finalize(self, here.close)
        first, longest, whole = RETRY_MILLISECONDS
        return Mistral(
            api_key=account.api_key,
            server_url=account.base_url.rstrip("/").removesuffix("/v1"),
            client=here,
            timeout_ms=round(account.timeout * 1000),
            retry_config=RetryConfig("backoff", BackoffStrategy(first, longest, 1.5, whole), True),
            # The SDK's own logger shows headers, if MISTRAL_DEBUG is set: they hold the key.
            debug_logger=logging.Logger("enrich.mistral", level=logging.CRITICAL),
        )

    def ask(self, call: Callable[[Mistral], Answer], *, creating: bool = False) -> Answer:
        """Returns the result of a call, which may take the timeout. Raises ProviderError."""
        from enrich.providers.bounds import call_within

        require_sdk()
        with translate_job_errors(self.plain, creating=creating):
            client = self.client
            return call_within(self.plain.account.timeout, lambda: call(client))

    def list_all(self, call: Callable[[Mistral, int], Any]) -> Iterator[Any]:
        """Yields the items of a list, of which `call` returns a page by its number. Raises
        ProviderError if the pages do not end."""
        seen: set[str] = set()
        for number in range(MOST_LISTS):
            page = self.ask(lambda client, number=number: call(client, number))  # type: ignore[misc]
            items = list(page.data or ())
            # Only an empty page ends the list: a server may put fewer on a page than it was asked
            # for, and a job that is missed would be created again. New ones move the others to
            # later pages, so some may be there twice.
            if not items:
                return
            if all(item.id in seen for item in items):
                break
            seen.update(item.id for item in items)
            yield from items
        what = f"{self.plain.name} returned a list that does not end, or repeats itself"
        raise ProviderError(what, hint=f"check base_url: {self.plain.account.url}")
