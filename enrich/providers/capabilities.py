"""Capabilities: what some providers can do beyond the ten members of `Provider`.

A provider has a capability if it has its members. Callers use the functions below, which define
what happens for a provider without the capability.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from uuid import uuid4

from enrich.errors import ProviderError
from enrich.providers import Timing

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.pricing.price import Price
    from enrich.providers import Provider
    from enrich.providers.needs import Objection, RequestNeeds

NOW = ":now"
"""How the name of a provider ends that answers batches at once. It is part of the name, so that the
ledger and every later command know it without being told."""
NOW_PAUSE = 0.05
"""Seconds between two looks at a batch that somebody is watching."""
PREVIEW_RUN = "0"
"""The run of previews in the metadata of a batch."""


@runtime_checkable
class AnswersNow(Protocol):
    """Can answer batches at once: what previews need, and whoever cannot wait for a Batch API."""

    def answering_now(self, name: str) -> Provider:
        """Returns the same provider, called `name`, which answers batches at once. A batch whose
        metadata says `enrich_run: 0` is a preview, which waits for no other batch."""


@runtime_checkable
class AnswersAtOnce(Protocol):
    """Knows whether it answers batches at once, or within a day."""

    @property
    def at_once(self) -> bool:
        """Whether answers come as fast as the llm gives them."""


@runtime_checkable
class KeepsBudget(Protocol):
    """Can stop a batch before it costs more than it may."""

    def allow(self, intent: str, usd: float, price: Price) -> None:
        """Says what the answers of the batch of an intent may cost, in USD at a price: before it is
        submitted, and again whenever that changes."""


@runtime_checkable
class ListsFiles(Protocol):
    """Knows which request files it holds."""

    def uploaded(self, name: str) -> tuple[str, ...]:
        """Returns the ids of the files of this name, newest first; none if it cannot list them."""

    def ready(self, file: str) -> bool:
        """Whether a batch can be created from an uploaded file now; True if that is not known."""

    def discard(self, file: str) -> None:
        """Deletes an uploaded file of which no batch was created; does nothing if it is gone."""


@runtime_checkable
class ChecksItself(Protocol):
    """Knows before a run what would stop it."""

    def check(self, *, images: bool, endpoint: str) -> None:
        """Raises ProviderError if this provider could not answer at all; spends nothing."""

    def offers(self, llm: str) -> bool | None:
        """Whether it can be reached and has this llm; None if it does not say. Spends nothing."""


@runtime_checkable
class ServesEndpoints(Protocol):
    """Has another llm for another endpoint."""

    def serving(self, endpoint: str) -> Provider:
        """Returns the same provider with the llm that answers this endpoint."""


@runtime_checkable
class KnowsItsApi(Protocol):
    """Has more than one API, or a type that stands for several settings."""

    def describe_api(self) -> str:
        """Returns its type, its address and the API that is used, and why; asks if need be, and
        spends nothing. Raises ProviderError if it cannot be reached."""


@runtime_checkable
class KnowsItsLlms(Protocol):
    """Knows what its server or an llm does not take."""

    def object_to(self, needs: RequestNeeds) -> tuple[Objection, ...]:
        """Returns what speaks against requests with these needs; asks nobody, spends nothing."""


@runtime_checkable
class QuotesPrices(Protocol):
    """Knows what its answers cost."""

    def price(self, llm: str, *, now: bool = False) -> Price | None:
        """Returns what tokens of this llm cost, in a batch or asked `now`; None if unknown."""


@runtime_checkable
class GivesNotice(Protocol):
    """Has something to say about its answers."""

    @property
    def notice(self) -> str:
        """What people must know about its answers, in one sentence; empty if nothing."""


@runtime_checkable
class KeepsTime(Protocol):
    """Says how often it wants to be polled."""

    @property
    def timing(self) -> Timing:
        """How long to wait."""


@runtime_checkable
class LeavesFiles(Protocol):
    """Keeps files of its batches on this machine."""

    def leftovers(self, remote: str, file: str, *, fetched: bool) -> tuple[Path, ...]:
        """Returns the files and folders, there or not, that only the batch `remote`, made from the
        upload `file`, had a use for. It has ended, and nobody will ask about it again. If its
        results were not `fetched`, what has answers in it is not among them."""


def choose_now(provider: Provider) -> Provider:
    """Returns the same provider, called `NAME:now`, which answers batches at once. Raises
    ProviderError if it cannot."""
    if not isinstance(provider, AnswersNow):
        what = f"provider '{provider.name}' only answers batches: no previews, no --now"
        raise ProviderError(what, hint="enrich run sends the rows in batches")
    return provider.answering_now(f"{provider.name.removesuffix(NOW)}{NOW}")


def is_at_once(provider: Provider) -> bool:
    """Whether a provider answers batches at once anyway."""
    return isinstance(provider, AnswersAtOnce) and provider.at_once


def answer_now(provider: Provider, requests: Path, results: Path) -> None:
    """Has the requests of a file answered now, and writes their result lines. Nothing is kept in
    the ledger. Raises ProviderError if none is answered, or if the provider only answers
    batches."""
    # Imported here, because the nodes of a cluster have this module and not that one.
    from enrich.db.disk import remove_whole

    now = choose_now(provider)
    with requests.open(encoding="utf-8") as lines:
        endpoint = json.loads(lines.readline())["url"]
    metadata = {"enrich_batch": uuid4().hex, "enrich_run": PREVIEW_RUN}
    remote = now.submit(now.upload(requests), endpoint=endpoint, metadata=metadata)
    while not remote.ended:
        time.sleep(NOW_PAUSE)
        remote = now.poll(remote.id)
    if not remote.completed and remote.error:
        raise ProviderError(remote.error, hint="`enrich debug` checks the setup")
    for file in remote.files:
        now.fetch(file, results)
    for path in list_leftovers(now, remote.id, "", fetched=True):
        with suppress(OSError):  # a worker that is about to exit may still hold its lock
            remove_whole(path)


def list_leftovers(
    provider: Provider, remote: str, file: str, *, fetched: bool
) -> tuple[Path, ...]:
    """Returns what a provider keeps on this machine of a batch that has been read; nothing if it
    does not say."""
    if not isinstance(provider, LeavesFiles):
        return ()
    return provider.leftovers(remote, file, fetched=fetched)


def set_allowance(provider: Provider, intent: str, usd: float, price: Price) -> None:
    """Says what the answers of a batch may cost in USD, if its provider can keep to that."""
    if isinstance(provider, KeepsBudget):
        provider.allow(intent, usd, price)


def find_uploads(provider: Provider, name: str) -> tuple[str, ...]:
    """Returns the ids of the uploaded files of this name, newest first; none if there is no
    list."""
    return provider.uploaded(name) if isinstance(provider, ListsFiles) else ()


def can_submit(provider: Provider, file: str) -> bool:
    """Whether a batch can be created from an uploaded file now; True if that is not known."""
    return provider.ready(file) if isinstance(provider, ListsFiles) else True


def discard_upload(provider: Provider, file: str) -> None:
    """Deletes an uploaded file of which no batch was created, if the provider can do that."""
    if isinstance(provider, ListsFiles):
        provider.discard(file)


def check_provider(provider: Provider, *, images: bool, endpoint: str) -> None:
    """Raises ProviderError if a provider knows that it could not answer at all."""
    if isinstance(provider, ChecksItself):
        provider.check(images=images, endpoint=endpoint)


def choose_endpoint(provider: Provider, endpoint: str) -> Provider:
    """Returns the same provider with the llm that answers an endpoint: the provider itself, if its
    llm does not depend on that."""
    return provider.serving(endpoint) if isinstance(provider, ServesEndpoints) else provider


def describe_api(provider: Provider) -> str:
    """Returns a provider's type, address and API in words; "" if there is nothing to say."""
    return provider.describe_api() if isinstance(provider, KnowsItsApi) else ""


def list_objections(provider: Provider, needs: RequestNeeds) -> tuple[Objection, ...]:
    """Returns what is known to speak against requests with these needs, certain or not."""
    return provider.object_to(needs) if isinstance(provider, KnowsItsLlms) else ()


def has_llm(provider: Provider, llm: str) -> bool | None:
    """Whether a provider can be reached and has this llm; None if it does not say."""
    return provider.offers(llm) if isinstance(provider, ChecksItself) else None


def quote_price(provider: Provider, llm: str, *, now: bool = False) -> Price | None:
    """Returns what tokens of this llm cost, in a batch or asked `now`; None if unknown."""
    return provider.price(llm, now=now) if isinstance(provider, QuotesPrices) else None


def read_notice(provider: Provider) -> str:
    """Returns what people must know about a provider's answers; empty if nothing."""
    return provider.notice if isinstance(provider, GivesNotice) else ""


def read_timing(provider: Provider) -> Timing:
    """Returns how long to wait; the defaults of Timing if the provider does not say."""
    return provider.timing if isinstance(provider, KeepsTime) else Timing()
