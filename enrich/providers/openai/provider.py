"""The provider: OpenAI's DatabaseFiles and Batches API behind the protocol of all providers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Self

from enrich.errors import ProviderError
from enrich.manifest.prompt import EMBEDDINGS
from enrich.pricing.price import BATCH_DISCOUNT, FREE_PRICE, Price, find_price
from enrich.providers import Limits, Remote, Timing
from enrich.providers.executor.batches import make_batch_id
from enrich.providers.executor.tally import Allowance
from enrich.providers.needs import Objection
from enrich.providers.openai import batches, files
from enrich.providers.openai.chat_api import CHAT_KIND, CHAT_TIMING, ChatApi, is_here
from enrich.providers.openai.connection import Connection
from enrich.providers.openai.presets import BY_ADDRESS, PRESETS, PROBE_SECONDS
from enrich.providers.openai.quirks import list_llm_objections, list_preset_objections
from enrich.providers.openai.settings import OPENAI_KEYS, read_account, read_discount, read_prices

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import openai

    from enrich.providers.needs import RequestNeeds
    from enrich.providers.openai.account import Account
    from enrich.providers.openai.presets import Preset
    from enrich.providers.opening import Opening

FIRST_POLL = 2.0
FLEX = "flex"
"""OpenAI's tier of slower answers, which cost as much as those of a batch."""


@dataclass(frozen=True, kw_only=True)
class OpenAIProvider:
    """A provider that speaks OpenAI's DatabaseFiles and Batches API."""

    name: str
    llm: str
    account: Account
    limits: Limits
    chat: ChatApi
    batch_timing: Timing = field(default_factory=Timing)
    prices: Mapping[str, Price | str] = field(default_factory=dict)
    discount: float | None = None
    kind: str = "openai"
    embedding_llm: str = ""

    keys: ClassVar[tuple[str, ...]] = OPENAI_KEYS

    @classmethod
    def from_settings(cls, opening: Opening) -> Self:
        """Returns the provider that project.yml describes. Raises ProjectError."""
        settings = opening.settings
        opening.check_keys(*cls.keys)
        longest = settings.read_number("poll_seconds", 60.0)
        account = read_account(opening)
        return cls(
            name=opening.name,
            llm=settings.read_text("llm", PRESETS[opening.kind].llm),
            embedding_llm=settings.read_text("embedding_llm", PRESETS[opening.kind].embedding_llm),
            kind=opening.kind,
            account=account,
            limits=opening.limits,
            chat=ChatApi.from_opening(opening, Connection(name=opening.name, account=account)),
            batch_timing=Timing(
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

    @property
    def preset(self) -> Preset:
        """What is known of its server."""
        return PRESETS[self.kind]

    @property
    def connection(self) -> Connection:
        """The way to the account; nothing is opened before the first call."""
        return self.chat.connection

    @property
    def at_once(self) -> bool:
        """Whether its batches are answered through chat."""
        return self.chat.chosen == "chat"

    @property
    def timing(self) -> Timing:
        """How long to wait for what."""
        return CHAT_TIMING if self.at_once else self.batch_timing

    @property
    def client(self) -> openai.OpenAI:
        """The client of the SDK, which is closed with the provider."""
        return self.connection.client

    def price(self, llm: str, *, now: bool = False) -> Price | None:
        """The project's own price, or that of the llm it names, or the list price of this one. What
        is answered through chat is not discounted, unless it is asked for in a cheaper service
        tier."""
        now = now or self._is_full_price
        tier = self.account.service_tier if now else ""
        if self.preset.is_free and not self.prices:
            return FREE_PRICE
        known = self.prices.get(llm, llm)
        if isinstance(known, str):
            known = self.prices.get(known, known)
        if isinstance(known, Price):
            discount = BATCH_DISCOUNT if self.discount is None else self.discount
            if tier == FLEX and self.kind == "openai":
                return known.apply_discount(discount, where="in flex processing")
            return known if now else known.apply_discount(discount)
        return find_price(
            str(known),
            url=self.account.url,
            batch=not now,
            discount=self.discount,
            seller="" if self.preset.prices == BY_ADDRESS else self.preset.prices,
            tier=tier,
        )

    @property
    def _is_full_price(self) -> bool:
        """Whether batches cost as much as chat; True as long as that cannot be found out."""
        try:
            return self.chat.choose() == "chat"
        except ProviderError:
            return True

    def check(self, *, images: bool, endpoint: str) -> None:  # noqa: ARG002  # any llm may see
        """Raises ProviderError if there is no API key."""
        self.connection.check_key()

    def describe_api(self) -> str:
        """Its type, its address and the API that is used, and why."""
        return f"type {self.kind} at {self.account.url}, {self.chat.explain_choice()}"

    def object_to(self, needs: RequestNeeds) -> tuple[Objection, ...]:
        """What its server, or an llm of OpenAI's, is known not to take."""
        found = [*list_preset_objections(self.kind, self.preset, needs)]
        # OpenRouter leaves out what a server does not know, and others have llms of other names.
        if self.kind == "openai":
            found += list_llm_objections(needs)
        if "service_tier" in needs.params:
            what = "`service_tier` becomes a part of what is asked here, and batches refuse it"
            hint = f"move it to providers: {self.name.partition(':')[0]}: in project.yml"
            found.append(Objection(setting="service_tier", what=what, hint=hint))
        if self.account.service_tier and self.chat.chosen == "batch":
            what = f"service_tier: {self.account.service_tier} has no effect in a batch"
            hint = "it is for what is answered now: --now, previews, or api: chat"
            found.append(Objection(setting="service_tier", what=what, hint=hint))
        return tuple(found)

    def offers(self, llm: str) -> bool | None:
        """Returns whether `GET /v1/models/{model}` knows the llm; None if the server does not have
        that route, or is Azure's, which lists its base models and not deployments."""
        import openai

        from enrich.providers.bounds import call_within

        with self.connection.translate_errors():
            try:
                client = self.client.with_options(max_retries=1, timeout=PROBE_SECONDS)
                call_within(PROBE_SECONDS, lambda: client.models.retrieve(llm))
            except openai.NotFoundError as problem:
                return False if problem.code == "model_not_found" else None
        return None if self.account.azure_endpoint else True

    def serving(self, endpoint: str) -> Self:
        """Returns the same provider with the llm that answers this endpoint."""
        return replace(self, llm=self.embedding_llm) if endpoint == EMBEDDINGS else self

    def answering_now(self, name: str) -> Self:
        """Returns the same provider, which answers batches through chat."""
        return replace(self, name=name, chat=replace(self.chat, wanted="chat"))

    def upload(self, path: Path) -> str:
        """Send the file once; what is answered here is not sent, and its path is its id."""
        if self.chat.choose() == "chat":
            return self.chat.batches.upload(path)
        return files.send_file(self.connection, path)

    def uploaded(self, name: str) -> tuple[str, ...]:
        """The ids of the files of this name, newest first."""
        return () if self.chat.chosen == "chat" else files.list_named(self.connection, name)

    def ready(self, file: str) -> bool:
        """Whether the provider has processed a file."""
        return is_here(file) or files.is_processed(self.connection, file)

    def discard(self, file: str) -> None:
        """Delete a file, if it is there."""
        if not is_here(file):
            files.delete_file(self.connection, file)

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Create the batch, once."""
        if is_here(file):
            return self.chat.submit(file, endpoint=endpoint, metadata=metadata, llm=self.llm)
        return batches.create_batch(self.connection, file, endpoint=endpoint, metadata=metadata)

    def find(self, intent: str, *, file: str) -> Remote | None:
        """The batch of this intent: its folder, or else one in the list of all."""
        here = self.chat.find(intent)
        if here is not None or is_here(file):
            return here
        return batches.find_batch(self.connection, intent, file=file)

    def poll(self, remote: str) -> Remote:
        """How the batch stands."""
        if is_here(remote):
            return self.chat.batches.poll(remote)
        return batches.retrieve_batch(self.connection, remote)

    def allow(self, intent: str, usd: float, price: Price) -> None:
        """Limits what a batch that is answered here may cost."""
        if self.chat.choose() == "chat":
            batch = make_batch_id(CHAT_KIND, intent)
            self.chat.batches.allow(batch, Allowance(usd=usd, price=price))

    def cancel(self, remote: str) -> Remote:
        """Ask for it; a batch that has ended is shown as it ended."""
        if is_here(remote):
            return self.chat.batches.cancel(remote)
        return batches.request_cancel(self.connection, remote)

    def leftovers(self, remote: str, file: str, *, fetched: bool) -> tuple[Path, ...]:  # noqa: ARG002
        """The folder of a batch that was answered here."""
        return self.chat.batches.list_leftovers(remote, fetched=fetched) if is_here(remote) else ()

    def fetch(self, file: str, path: Path) -> None:
        """Stream a result file to `path`."""
        if is_here(file):
            self.chat.batches.fetch(file, path)
        else:
            files.download_file(self.connection, file, path)
