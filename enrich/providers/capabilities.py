"""Capabilities: what some providers can do beyond the ten members of `Provider`.

A provider has one by having its members. Callers ask the functions below, which say what holds for
a provider without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from enrich.errors import ProviderError
from enrich.providers import Timing

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.pricing.price import Price
    from enrich.providers import Provider


@runtime_checkable
class CompletesNow(Protocol):
    """Answers a few requests at once, without a batch: what a preview needs."""

    def complete(self, requests: Path, results: Path) -> None:
        """Answer the requests of a file now, and write each result line as it comes."""


@runtime_checkable
class ListsFiles(Protocol):
    """Knows which request files it holds."""

    def uploaded(self, name: str) -> tuple[str, ...]:
        """The ids of the files of this name, newest first; none where they cannot be listed."""

    def ready(self, file: str) -> bool:
        """Whether a batch can be made of an uploaded file now; True where that is not known."""

    def discard(self, file: str) -> None:
        """Delete an uploaded file that no batch was made of; one that is gone is no error."""


@runtime_checkable
class ChecksItself(Protocol):
    """Knows before a run what would stop it."""

    def check(self, *, images: bool, endpoint: str) -> None:
        """Raise ProviderError when this provider could not answer at all; spends nothing."""

    def offers(self, llm: str) -> bool | None:
        """Whether it is reached and has this llm; None where it does not tell. Spends nothing."""


@runtime_checkable
class QuotesPrices(Protocol):
    """Knows what its answers cost."""

    def price(self, llm: str, *, now: bool = False) -> Price | None:
        """What tokens of this llm cost, in a batch or asked `now`; None where nobody knows."""


@runtime_checkable
class GivesNotice(Protocol):
    """Has something to say about its answers."""

    @property
    def notice(self) -> str:
        """What people must know about answers from here, one sentence; empty if nothing."""


@runtime_checkable
class KeepsTime(Protocol):
    """Says how often it wants to be polled."""

    @property
    def timing(self) -> Timing:
        """How long to wait for what."""


def answer_now(provider: Provider, requests: Path, results: Path) -> None:
    """Have the requests of a file answered now; ProviderError where there are only batches."""
    if not isinstance(provider, CompletesNow):
        what = f"provider '{provider.name}' answers batches only, so it has no previews"
        raise ProviderError(what, hint="enrich run asks the rows in batches")
    provider.complete(requests, results)


def find_uploads(provider: Provider, name: str) -> tuple[str, ...]:
    """The ids of the uploaded files of this name, newest first; none where none can be listed."""
    return provider.uploaded(name) if isinstance(provider, ListsFiles) else ()


def can_submit(provider: Provider, file: str) -> bool:
    """Whether a batch can be made of an uploaded file now; yes where the provider has no word."""
    return provider.ready(file) if isinstance(provider, ListsFiles) else True


def discard_upload(provider: Provider, file: str) -> None:
    """Delete an uploaded file that no batch was made of, where that is possible."""
    if isinstance(provider, ListsFiles):
        provider.discard(file)


def check_provider(provider: Provider, *, images: bool, endpoint: str) -> None:
    """Raise ProviderError when a provider could not answer at all, as far as it can tell."""
    if isinstance(provider, ChecksItself):
        provider.check(images=images, endpoint=endpoint)


def has_llm(provider: Provider, llm: str) -> bool | None:
    """Whether a provider is reached and has this llm; None where it does not tell."""
    return provider.offers(llm) if isinstance(provider, ChecksItself) else None


def quote_price(provider: Provider, llm: str, *, now: bool = False) -> Price | None:
    """What tokens of this llm cost, in a batch or asked `now`; None where nobody knows."""
    return provider.price(llm, now=now) if isinstance(provider, QuotesPrices) else None


def read_notice(provider: Provider) -> str:
    """What people must know about a provider's answers, one sentence; empty if nothing."""
    return provider.notice if isinstance(provider, GivesNotice) else ""


def read_timing(provider: Provider) -> Timing:
    """How long to wait for what; Timing's defaults where the provider does not say."""
    return provider.timing if isinstance(provider, KeepsTime) else Timing()
