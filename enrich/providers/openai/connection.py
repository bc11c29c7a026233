"""The connection: calls of the SDK that are bounded in time and raise enrich's errors."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from enrich.errors import ProviderError
from enrich.providers.openai.account import OPENAI_URL
from enrich.providers.openai.errors import Translator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import openai

AskedFor = TypeVar("AskedFor")

# 100,000 batches: a list that is longer most likely repeats itself.
MOST_PAGES = 1_000
LISTING_TIMEOUTS = 10
"""How many timeouts a whole list may take."""
AZURE_VERSION = "2024-10-21"
"""The first version of Azure's API with batches that is not a preview."""


@dataclass(frozen=True, kw_only=True)
class Connection(Translator):
    """The connection to one account: opened by the first call, closed with this object."""

    def check_key(self) -> None:
        """Raises ProviderError if there is no key to connect with."""
        if not self.account.api_key:
            hint = (
                f"export {self.account.key_variable}=..., or set api_key: ${{MY_KEY}} under "
                f"providers: {self.name}: in project.yml"
            )
            raise ProviderError(f"provider '{self.name}' has no API key", hint=hint)

    @cached_property
    def client(self) -> openai.OpenAI:
        """The client of the SDK, which repeats calls that are safe to repeat."""
        self.check_key()
        client = self._made_client()
        weakref.finalize(self, client.close)
        return client

    def _made_client(self) -> openai.OpenAI:
        """The SDK's client, for Azure or for whoever speaks as OpenAI does."""
        import openai

        from enrich.providers import bounds

        known = self.account
        here = openai.DefaultHttpxClient(
            follow_redirects=False,  # it would carry headers and rows to wherever it leads
            headers={"Accept-Encoding": "gzip"},
            event_hooks=bounds.make_hooks(known.timeout),
        )
        if known.azure_endpoint:
            return openai.AzureOpenAI(
                api_key=known.api_key,
                azure_endpoint=known.azure_endpoint,
                api_version=known.api_version or AZURE_VERSION,
                default_headers=dict(known.headers),
                timeout=known.timeout,
                http_client=here,
            )
        return openai.OpenAI(
            api_key=known.api_key,
            base_url=known.base_url or OPENAI_URL,
            organization=known.organization or None,
            project=known.project or None,
            default_headers=dict(known.headers),
            timeout=known.timeout,
            http_client=here,
        )

    def ask(
        self,
        call: Callable[[openai.OpenAI], AskedFor],
        *,
        creating: bool = False,
        sent: int = 0,
    ) -> AskedFor:
        """Returns the result of a call, which may take the timeout, and the time that `sent` bytes
        take at the slowest rate. Raises ProviderError."""
        from enrich.providers.bounds import SLOWEST_RATE, call_within

        with self.translate_errors(creating=creating):
            client = self.client
            return call_within(self.account.timeout + sent / SLOWEST_RATE, lambda: call(client))

    def list_items(self, first: Callable[[openai.OpenAI], Any]) -> Iterator[Any]:
        """Yields the items of a list, page by page. Raises ProviderError if the pages do not
        end."""
        deadline = time.monotonic() + LISTING_TIMEOUTS * self.account.timeout
        seen: set[str] = set()
        page = self.ask(first)
        for _ in range(MOST_PAGES):
            with self.translate_errors():
                items = list(page.data or ())
                last = str(getattr(items[-1], "id", "")) if items else ""
            yield from items
            if page.has_next_page() is not True or not items:
                return
            if last in seen or time.monotonic() > deadline:
                break
            seen.add(last)
            page = self.ask(lambda _, page=page: page.get_next_page())  # type: ignore[misc]
        what = f"{self.name} returned a list that does not end, or repeats itself"
        raise ProviderError(what, hint=f"check base_url: {self.account.url}")
