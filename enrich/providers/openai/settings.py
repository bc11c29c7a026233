"""Settings: what `providers:` says about an account and its prices, read strictly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from enrich.errors import nearest
from enrich.manifest.settings import ENVIRONMENT_VARIABLE, GREATEST_NUMBER
from enrich.pricing.price import Price
from enrich.providers.openai.account import Account, is_url
from enrich.providers.openai.presets import PRESETS
from enrich.providers.secrets import is_sendable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enrich.manifest.settings import YamlSettings
    from enrich.providers.opening import Opening

OPENAI_KEYS = (
    "api",
    "llm",
    "embedding_llm",
    "api_key",
    "base_url",
    "organization",
    "project",
    "headers",
    "azure_endpoint",
    "api_version",
    "timeout",
    "poll_seconds",
    "lost_after",
    "prices",
    "batch_discount",
    "concurrency",
    "rate",
    "service_tier",
)
"""The settings of this provider, besides those that all providers share."""

SERVER_KEYS = tuple(
    key
    for key in OPENAI_KEYS
    if key not in ("organization", "project", "azure_endpoint", "api_version")
)
"""Those of them that are not OpenAI's or Azure's alone."""
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header (RFC 9110, token)."""
LEAST_TIMEOUT, MOST_CONCURRENCY = 0.1, 10_000
"""What lies outside is a slip: no server answers so fast, and no process has so many sockets."""
NO_KEY = "none"
"""What a server that needs no key is sent: the SDK insists on one."""
URL_KEYS = ("base_url", "azure_endpoint")
ADDRESS_KEYS = (*URL_KEYS, "url")
URL_VARIABLES = {
    "openai": "OPENAI_BASE_URL",
    "anthropic": "ANTHROPIC_BASE_URL",
    "mistral": "MISTRAL_BASE_URL",
    "gemini": "GEMINI_BASE_URL",
}
"""By type, the environment variable that sets `base_url`: that of OpenAI's SDK, and its like."""
NAMING_KEYS = ("api_key", "headers", "organization", "project", *URL_KEYS)
"""Settings in which an environment variable may have a secret value."""


def read_account(opening: Opening) -> Account:
    """Returns the account in the settings, with OpenAI's own environment variables as defaults.
    Raises ProjectError."""
    settings, environment = opening.settings, opening.environment
    preset = PRESETS[opening.kind]
    own = environment.get(preset.key_variable, "") if preset.key_variable else NO_KEY
    api_key = settings.read_text("api_key", own).strip()
    headers = read_header_texts(settings)
    for key, values in (("api_key", [api_key]), ("headers", [*headers, *headers.values()])):
        if not all(map(is_sendable, values)):
            hint = "copy it again, without line breaks and invisible characters"
            raise settings.make_error(key, "holds a character that HTTP cannot send", hint=hint)
    for key in URL_KEYS:
        if settings.read_text(key) and not is_url(settings.read_text(key)):
            raise settings.make_error(key, "is not a valid URL", hint=f"{key}: https://host/v1")
    usual_url = environment.get(URL_VARIABLES.get(opening.kind, ""), "") or preset.base_url
    return Account(
        api_key=api_key,
        base_url=settings.read_text("base_url", usual_url).strip(),
        key_variable=preset.key_variable,
        named=read_named(opening, NAMING_KEYS),
        organization=settings.read_text("organization"),
        project=settings.read_text("project"),
        headers=headers,
        azure_endpoint=settings.read_text("azure_endpoint"),
        api_version=settings.read_text("api_version"),
        timeout=settings.read_number("timeout", 600.0, least=LEAST_TIMEOUT),
        service_tier=_read_service_tier(opening),
    )


def read_header_texts(settings: YamlSettings) -> dict[str, str]:
    """Returns further headers, by name. Raises ProjectError for what is none."""
    found = settings.read_mapping("headers")
    for name, value in found.items():
        if not HEADER_NAME.fullmatch(name):
            hint = "headers: {x-team: films}"
            raise settings.make_error(
                "headers", f"has a name that HTTP has not: '{name}'", hint=hint
            )
        if value is None or isinstance(value, (dict, list)):
            hint = f"headers: {{{name}: some text}}"
            raise settings.make_error("headers", f"has no text for '{name}'", hint=hint)
    return {name: str(value).strip() for name, value in found.items()}


def _read_service_tier(opening: Opening) -> str:
    """Returns the service tier that is asked for; "" for none. Raises ProjectError for one that
    the server is known not to have."""
    settings, known = opening.settings, PRESETS[opening.kind].service_tiers
    tier = settings.read_text("service_tier")
    if tier and known is not None and tier not in known:
        hint = nearest(tier, known) if known else "remove it"
        what = f"cannot be '{tier}': {opening.kind} has {'no such tier' if known else 'no tiers'}"
        raise settings.make_error("service_tier", what, hint=hint)
    return tier


def read_named(opening: Opening, keys: Iterable[str]) -> dict[str, str]:
    """Returns the environment variables that these settings name, with their values; in a URL, only
    those after its host."""
    # The name of a host is no secret: it is sent in the clear, and messages need it.
    found: dict[str, str] = {}
    for key in keys:
        text = str(opening.written.values.get(key) or "")
        if key in ADDRESS_KEYS:
            text = text.partition("://")[2].partition("/")[2]
        found |= {
            name: opening.environment.get(name, "").strip()
            for name in ENVIRONMENT_VARIABLE.findall(text)
        }
    return {name: value for name, value in found.items() if value}


def read_prices(settings: YamlSettings) -> dict[str, Price | str]:
    """Returns the price of each llm in USD per million tokens, or the name of an llm that costs
    the same. Raises ProjectError."""
    found: dict[str, Price | str] = {}
    for llm, value in settings.read_mapping("prices").items():
        if isinstance(value, str):
            found[llm] = value
            continue
        figures: dict[str, Any] = value if isinstance(value, dict) else {}
        keys_fit = {"input", "output"} <= set(figures) <= {"input", "cached", "output"}
        if not keys_fit or not all(map(_is_price, figures.values())):
            hint = f"{llm}: {{input: 0.15, cached: 0.075, output: 0.60}}, in USD per million tokens"
            raise settings.make_error("prices", f"has no valid price for '{llm}'", hint=hint)
        found[llm] = Price(
            input=float(figures["input"]),
            cached=float(figures.get("cached", figures["input"])),
            output=float(figures["output"]),
            source="project.yml",
        )
    return found


def _is_price(figure: object) -> bool:
    """Whether a YAML value is an amount of money."""
    is_number = isinstance(figure, (int, float)) and not isinstance(figure, bool)
    return is_number and 0 <= figure <= GREATEST_NUMBER  # type: ignore[operator]  # it is a number


def read_discount(settings: YamlSettings) -> float | None:
    """Returns how much less a batch costs, as a share of the price; None if it is not set. Raises
    ProjectError."""
    if "batch_discount" not in settings.values:
        return None
    discount = settings.read_number("batch_discount", 0.0)
    if discount > 1:
        hint = "batch_discount: 0.5 if a batch costs half"
        raise settings.make_error("batch_discount", "must be a share from 0 to 1", hint=hint)
    return discount
