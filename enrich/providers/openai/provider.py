"""The provider: OpenAI's DatabaseFiles and Batches API behind the protocol of all providers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from enrich.pricing.price import BATCH_DISCOUNT, Price, find_price
from enrich.providers import Limits, Remote, Timing
from enrich.providers.openai import batches, files, immediate
from enrich.providers.openai.connection import Connection
from enrich.providers.openai.settings import OPENAI_KEYS, read_account, read_discount, read_prices

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import openai

    from enrich.providers.openai.account import Account
    from enrich.providers.opening import Opening

FIRST_POLL = 2.0
PROBE_TIMEOUT = 10.0
"""Seconds to wait for a server that is only asked whether it has an llm."""


@dataclass(frozen=True, kw_only=True)
class OpenAIProvider:
    """A provider that speaks OpenAI's DatabaseFiles and Batches API."""

    name: str
    llm: str
    account: Account
    limits: Limits
    timing: Timing = field(default_factory=Timing)
    prices: Mapping[str, Price | str] = field(default_factory=dict)
    discount: float | None = None

    @classmethod
    def from_settings(cls, opening: Opening) -> OpenAIProvider:
        """Returns the provider that project.yml describes. Raises ProjectError."""
        settings = opening.settings
        opening.check_keys(*OPENAI_KEYS)
        longest = settings.read_number("poll_seconds", 60.0)
        return cls(
            name=opening.name,
            llm=settings.read_text("llm", "gpt-4o-mini"),
            account=read_account(opening),
            limits=opening.limits,
            timing=Timing(
                first_poll=min(FIRST_POLL, longest),
                longest_poll=longest,
                lost_after=settings.read_number("lost_after", 60.0),
            ),
            prices=read_prices(settings),
            discount=read_discount(settings),
        )

    @property
    def identity(self) -> str:
        """`openai:` and the URL."""
        return f"openai:{self.account.url}"

    @cached_property
    def connection(self) -> Connection:
        """The connection to the account, which is opened by the first call."""
        return Connection(name=self.name, account=self.account)

    @property
    def client(self) -> openai.OpenAI:
        """The client of the SDK, which is closed with the provider."""
        return self.connection.client

    def price(self, llm: str, *, now: bool = False) -> Price | None:
        """Returns the price in project.yml, or the price of the llm that it names there, or the
        list price; None if nobody knows."""
        known = self.prices.get(llm, llm)
        if isinstance(known, str):
            known = self.prices.get(known, known)
        if isinstance(known, Price):
            discount = BATCH_DISCOUNT if self.discount is None else self.discount
            return known if now else known.apply_discount(discount)
        return find_price(str(known), url=self.account.url, batch=not now, discount=self.discount)

    def check(self, *, images: bool, endpoint: str) -> None:  # noqa: ARG002  # any llm may see
        """Raises ProviderError if there is no API key."""
        self.connection.check_key()

    def offers(self, llm: str) -> bool | None:
        """Returns whether `GET /v1/models/{model}` knows the llm; None if the server does not have
        that route, or is Azure's, which lists its base models and not deployments."""
        import openai

        from enrich.providers.bounds import call_within

        with self.connection.translate_errors():
            try:
                client = self.client.with_options(max_retries=1, timeout=PROBE_TIMEOUT)
                call_within(PROBE_TIMEOUT, lambda: client.models.retrieve(llm))
            except openai.NotFoundError as problem:
                return False if problem.code == "model_not_found" else None
        return None if self.account.azure_endpoint else True

    def upload(self, path: Path) -> str:
        """Sends the file once and returns its id."""
        return files.send_file(self.connection, path)

    def uploaded(self, name: str) -> tuple[str, ...]:
        """Returns the ids of the files of this name, newest first."""
        return files.list_named(self.connection, name)

    def ready(self, file: str) -> bool:
        """Whether the provider has processed a file."""
        return files.is_processed(self.connection, file)

    def discard(self, file: str) -> None:
        """Deletes a file, if it exists."""
        files.delete_file(self.connection, file)

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Creates the batch, once."""
        return batches.create_batch(self.connection, file, endpoint=endpoint, metadata=metadata)

    def find(self, intent: str, *, file: str) -> Remote | None:
        """Returns the batch of this intent, which is looked up in the list of all batches."""
        return batches.find_batch(self.connection, intent, file=file)

    def poll(self, remote: str) -> Remote:
        """Returns the present state of the batch."""
        return batches.retrieve_batch(self.connection, remote)

    def cancel(self, remote: str) -> Remote:
        """Asks for the batch to be cancelled; one that has ended is returned as it ended."""
        return batches.request_cancel(self.connection, remote)

    def fetch(self, file: str, path: Path) -> None:
        """Streams a result file to `path`."""
        files.download_file(self.connection, file, path)

    def complete(self, requests: Path, results: Path) -> None:
        """Answers requests now, at the full price."""
        immediate.answer_requests(self.connection, requests, results)
