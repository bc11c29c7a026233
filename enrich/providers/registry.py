"""Which providers there are: a type's name in project.yml, and the class it stands for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from enrich.manifest.settings import MOST, VARIABLE
from enrich.pricing.price import Price
from enrich.providers import Limits
from enrich.providers.secrets import is_sendable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.settings import Settings
    from enrich.providers import Provider

TYPES = ("local", "openai")
LOCAL_KEYS = ("path", "mmproj", "hf", "slots", "context", "threads")
LIMITS = ("max_requests", "max_bytes", "enqueued_tokens", "max_batches")


def open_provider(
    name: str, settings: Settings, *, root: Path, work: Path, environment: Mapping[str, str]
) -> Provider:
    """The provider that project.yml calls `name`; `${NAME}` in its settings is read now."""
    kind = settings.choice("type", TYPES, "local" if name == "local" else "openai")
    known = settings.expanded(environment)
    if kind == "local":
        return _local(name, known, root=root, work=work)
    return _openai(name, known, settings, environment=environment)


def _local(name: str, settings: Settings, *, root: Path, work: Path) -> Provider:
    from enrich.providers.local import LocalProvider

    settings.known(("type", *LIMITS, *LOCAL_KEYS))
    paths = {
        key: root / Path(settings.text(key)).expanduser() if settings.text(key) else None
        for key in ("path", "mmproj")
    }
    return LocalProvider(
        name=name,
        root=work / "local",
        path=paths["path"],
        mmproj=paths["mmproj"],
        hf=settings.text("hf") or None,
        slots=settings.integer("slots", 4) or 4,
        context=settings.integer("context", 4096) or 4096,
        threads=settings.integer("threads"),
        limits=_limits(settings),
    )


def _openai(
    name: str, settings: Settings, written: Settings, *, environment: Mapping[str, str]
) -> Provider:
    """`written` are the settings as they stand in the file, with `${NAME}`."""
    from enrich.providers.openai import KEYS, Account, OpenAIProvider

    settings.known(("type", *LIMITS, *KEYS))
    api_key = settings.text("api_key", environment.get("OPENAI_API_KEY", "")).strip()
    headers = {key: str(value).strip() for key, value in settings.mapping("headers").items()}
    for key, values in (("api_key", [api_key]), ("headers", [*headers, *headers.values()])):
        if not all(map(is_sendable, values)):
            hint = "copy it anew, without line ends and invisible letters"
            raise settings.wrong(key, "holds a character that HTTP cannot send", hint=hint)
    account = Account(
        api_key=api_key,
        base_url=settings.text("base_url", environment.get("OPENAI_BASE_URL", "")).strip(),
        named=_named(written, environment),
        organization=settings.text("organization"),
        project=settings.text("project"),
        headers=headers,
        azure_endpoint=settings.text("azure_endpoint"),
        api_version=settings.text("api_version"),
        timeout=settings.number("timeout", 600.0),
    )
    for key in ("base_url", "azure_endpoint"):
        if settings.text(key) and not _is_address(settings.text(key)):
            hint = f"{key}: https://host/v1"
            raise settings.wrong(key, "is no address", hint=hint)
    return OpenAIProvider(
        name=name,
        llm=settings.text("llm", "gpt-4o-mini"),
        account=account,
        limits=_limits(settings),
        poll_seconds=settings.number("poll_seconds", 60.0),
        lost_after=settings.number("lost_after", 60.0),
        prices=_prices(settings),
        discount=_discount(settings),
    )


def _named(written: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that a provider's account names, and their values; in an address
    only those that stand behind its host."""
    found: dict[str, str] = {}
    for key in ("api_key", "headers", "organization", "project", "base_url", "azure_endpoint"):
        text = str(written.values.get(key) or "")
        if key in ("base_url", "azure_endpoint"):
            text = text.partition("://")[2].partition("/")[2]
        found |= {name: environment.get(name, "").strip() for name in VARIABLE.findall(text)}
    return {name: value for name, value in found.items() if value}


def _prices(settings: Settings) -> dict[str, Price | str]:
    """USD for a million tokens by llm, or the name of the llm that costs the same."""
    found: dict[str, Price | str] = {}
    for llm, value in settings.mapping("prices").items():
        if isinstance(value, str):
            found[llm] = value
            continue
        figures: dict[str, Any] = value if isinstance(value, dict) else {}
        known = {"input", "cached", "output"}
        fits = {"input", "output"} <= set(figures) <= known and all(
            isinstance(figure, (int, float))
            and not isinstance(figure, bool)
            and 0 <= figure <= MOST
            for figure in figures.values()
        )
        if not fits:
            hint = f"{llm}: {{input: 0.15, cached: 0.075, output: 0.60}}, in USD for a million"
            raise settings.wrong("prices", f"has no price of '{llm}'", hint=hint)
        found[llm] = Price(
            input=float(figures["input"]),
            cached=float(figures.get("cached", figures["input"])),
            output=float(figures["output"]),
            source="project.yml",
        )
    return found


def _discount(settings: Settings) -> float | None:
    if "batch_discount" not in settings.values:
        return None
    discount = settings.number("batch_discount", 0.0)
    if discount > 1:
        hint = "batch_discount: 0.5 where a batch costs half"
        raise settings.wrong("batch_discount", "must be a share, 0 to 1", hint=hint)
    return discount


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _limits(settings: Settings) -> Limits:
    usual = Limits()
    return replace(
        usual,
        requests=settings.integer("max_requests", usual.requests) or usual.requests,
        bytes=settings.integer("max_bytes", usual.bytes) or usual.bytes,
        enqueued_tokens=settings.integer("enqueued_tokens"),
        batches=settings.integer("max_batches"),
    )
