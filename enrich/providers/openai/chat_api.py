"""Chat in place of batches: for servers without a Batch API, and for answers within the hour."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args
from urllib.parse import urlsplit

from enrich.providers import Timing
from enrich.providers.chat.settings import ChatSecrets, ChatSettings
from enrich.providers.executor.batches import FolderBatches, make_batch_id
from enrich.providers.executor.folder import Job
from enrich.providers.openai.account import OPENAI_URL
from enrich.providers.openai.connection import AZURE_VERSION
from enrich.providers.openai.presets import PRESETS, PROBE_SECONDS, ApiWay
from enrich.providers.openai.settings import MOST_CONCURRENCY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.providers import Remote
    from enrich.providers.openai.connection import Connection
    from enrich.providers.opening import Opening

Chosen = Literal["batch", "chat"]

CHAT_KIND = "chat"
"""How the ids of batches that are answered here begin."""
CHAT_WORKER = "enrich.providers.chat.worker"
CHAT_INTENT_KEY = "enrich_batch"
CHAT_TIMING = Timing(first_poll=0.25, longest_poll=2.0, lost_after=0.0)
"""A look at a folder costs nothing, and its intent is found there or was never received."""
BATCH_HOSTS = ("api.openai.com", "openai.azure.com", "api.groq.com")
"""Servers that are known to have a Batch API, so that nobody need ask them."""
NO_BATCHES = frozenset({404, 405, 501})
"""What servers without a Batch API answer where its list would be."""


@dataclass(frozen=True, kw_only=True)
class ChatApi:
    """Batches that a worker on this machine answers through the account's chat endpoint. `wanted`
    is what project.yml says of `api:`; what a server was found to speak is kept below `root`.
    `dialect` and `api_version` are those of ChatSettings, for APIs other than OpenAI's."""

    connection: Connection
    root: Path
    wanted: ApiWay = "auto"
    dialect: str = ""
    api_version: str = ""
    concurrency: int | None = None
    rate: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_opening(cls, opening: Opening, connection: Connection) -> ChatApi:
        """What `api:`, `concurrency:` and `rate:` say. Raises ProjectError."""
        settings, usual = opening.settings, PRESETS[opening.kind].api
        rate = settings.read_mapping("rate")
        for key, value in rate.items():
            is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
            if key not in ("requests", "tokens") or not is_count:
                hint = "rate: {requests: 500, tokens: 200000}, for a minute"
                raise settings.make_error("rate", f"has no limit of '{key}'", hint=hint)
        return cls(
            connection=connection,
            root=opening.work / CHAT_KIND / opening.name,
            wanted=cast("ApiWay", settings.read_choice("api", get_args(ApiWay), usual)),
            concurrency=settings.read_integer("concurrency", most=MOST_CONCURRENCY),
            rate=rate,
        )

    @property
    def chosen(self) -> Chosen | None:
        """The API that is used; None where the server has to be asked first."""
        if self.wanted != "auto":
            return self.wanted
        url = self.connection.account.url
        host = urlsplit(url).hostname or ""
        if any(host == known or host.endswith(f".{known}") for known in BATCH_HOSTS):
            return "batch"
        known = self._remembered.get(url)
        return cast("Chosen", known) if known in get_args(Chosen) else None

    def choose(self) -> Chosen:
        """The same, where the server is asked if need be, once. Raises what the connection does."""
        chosen = self.chosen
        if chosen is None:
            chosen = "batch" if self._lists_batches() else "chat"
            self._remember(chosen)
        return chosen

    def explain_choice(self) -> str:
        """The API that is used, and why. Raises what the connection does."""
        known = self.wanted == "auto" and self.chosen is not None
        chosen = self.choose()
        if self.wanted != "auto":
            return f"api {chosen}, as its type or its settings say"
        if known and self.connection.account.url not in self._remembered:
            return f"api {chosen}: it is known to have batches"
        lists = "lists batches" if chosen == "batch" else "has no list of batches"
        return f"api {chosen}: the server was asked, and {lists}"

    def _lists_batches(self) -> bool:
        """Whether the server has a list of batches."""
        import openai

        from enrich.providers.bounds import call_within

        with self.connection.translate_errors():
            try:
                client = self.connection.client.with_options(max_retries=1, timeout=PROBE_SECONDS)
                call_within(PROBE_SECONDS, lambda: client.batches.list(limit=1))
            except openai.APIStatusError as problem:
                if problem.status_code in NO_BATCHES:
                    return False
                raise
        return True

    @property
    def _memory(self) -> Path:
        return self.root.parent / "apis.json"

    @property
    def _remembered(self) -> dict[str, str]:
        """What servers were found to speak, by their address."""
        try:
            found = json.loads(self._memory.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _remember(self, chosen: str) -> None:
        known = {**self._remembered, self.connection.account.url: chosen}
        self.root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._memory.with_suffix(".new")
        draft.write_text(json.dumps(known), encoding="utf-8")
        draft.replace(self._memory)

    @cached_property
    def batches(self) -> FolderBatches:
        """The batches' folders."""
        account = self.connection.account
        secrets = ChatSecrets(
            headers=account.chat_headers,
            hidden=account.secrets.values,
            sure=account.sure_secrets.values,
        )
        return FolderBatches(
            name=self.connection.name,
            root=self.root.absolute(),
            worker=CHAT_WORKER,
            environment=secrets.to_environment(),
        )

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str], llm: str) -> Remote:
        """Make the batch's folder and start its worker; the same intent makes it once."""
        account = self.connection.account
        self.connection.check_key()
        azure = account.azure_endpoint.rstrip("/")
        settings = ChatSettings(
            name=self.connection.name,
            url=f"{azure}/openai" if azure else (account.base_url or OPENAI_URL).rstrip("/"),
            api_version=(account.api_version or AZURE_VERSION) if azure else self.api_version,
            dialect=self.dialect,
            timeout=account.timeout,
            concurrency=self.concurrency,
            requests=self.rate.get("requests"),
            tokens=self.rate.get("tokens"),
            service_tier=account.service_tier,
        )
        job = Job(
            id=make_batch_id(CHAT_KIND, metadata.get(CHAT_INTENT_KEY)),
            llm=llm,
            endpoint=endpoint,
            metadata=dict(metadata),
            created_at=time.time(),
            settings=asdict(settings),
        )
        return self.batches.submit(file, job)

    def find(self, intent: str) -> Remote | None:
        """The batch of this intent, if it is answered here."""
        return self.batches.find(make_batch_id(CHAT_KIND, intent))


def is_here(name: str) -> bool:
    """Whether the id of a file or of a batch is one of this machine's.

    >>> is_here("/tmp/x.jsonl"), is_here("chat-1/output.jsonl"), is_here("batch_1")
    (True, True, False)
    """
    return name.startswith(f"{CHAT_KIND}-") or Path(name).is_absolute()
