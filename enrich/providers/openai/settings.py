"""Settings: what `providers:` says of an account and of prices, read strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enrich.manifest.settings import MOST, VARIABLE
from enrich.pricing.price import Price
from enrich.providers.openai.account import Account, is_url
from enrich.providers.openai.presets import PRESETS
from enrich.providers.secrets import is_sendable

if TYPE_CHECKING:
    from enrich.manifest.settings import Settings
    from enrich.providers.opening import Opening

OPENAI_KEYS = (
    "api",
    "llm",
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
)
"""The settings of this provider, besides those that all share."""

NO_KEY = "none"
"""What a server that needs no key is sent: the SDK insists on one."""
URL_KEYS = ("base_url", "azure_endpoint")
NAMING_KEYS = ("api_key", "headers", "organization", "project", *URL_KEYS)
"""Settings in which an environment variable may be named that is secret."""


def read_account(opening: Opening) -> Account:
    """The account that the settings describe, or else OpenAI's own environment variables."""
    settings, environment = opening.settings, opening.environment
    preset = PRESETS[opening.kind]
    own = environment.get(preset.key_variable, "") if preset.key_variable else NO_KEY
    api_key = settings.text("api_key", own).strip()
    headers = {key: str(value).strip() for key, value in settings.mapping("headers").items()}
    for key, values in (("api_key", [api_key]), ("headers", [*headers, *headers.values()])):
        if not all(map(is_sendable, values)):
            hint = "copy it anew, without line ends and invisible letters"
            raise settings.wrong(key, "holds a character that HTTP cannot send", hint=hint)
    for key in URL_KEYS:
        if settings.text(key) and not is_url(settings.text(key)):
            raise settings.wrong(key, "is not a valid URL", hint=f"{key}: https://host/v1")
    usual_url = environment.get("OPENAI_BASE_URL", "") if opening.kind == "openai" else ""
    return Account(
        api_key=api_key,
        base_url=settings.text("base_url", preset.base_url or usual_url).strip(),
        key_variable=preset.key_variable,
        named=_named_variables(opening),
        organization=settings.text("organization"),
        project=settings.text("project"),
        headers=headers,
        azure_endpoint=settings.text("azure_endpoint"),
        api_version=settings.text("api_version"),
        timeout=settings.number("timeout", 600.0),
    )


def _named_variables(opening: Opening) -> dict[str, str]:
    """The environment variables that an account's settings name, and their values; in an address
    only those that stand behind its host."""
    found: dict[str, str] = {}
    for key in NAMING_KEYS:
        text = str(opening.written.values.get(key) or "")
        if key in URL_KEYS:
            text = text.partition("://")[2].partition("/")[2]
        found |= {
            name: opening.environment.get(name, "").strip() for name in VARIABLE.findall(text)
        }
    return {name: value for name, value in found.items() if value}


def read_prices(settings: Settings) -> dict[str, Price | str]:
    """USD for a million tokens by llm, or the name of the llm that costs the same."""
    found: dict[str, Price | str] = {}
    for llm, value in settings.mapping("prices").items():
        if isinstance(value, str):
            found[llm] = value
            continue
        figures: dict[str, Any] = value if isinstance(value, dict) else {}
        keys_fit = {"input", "output"} <= set(figures) <= {"input", "cached", "output"}
        if not keys_fit or not all(map(_is_price, figures.values())):
            hint = f"{llm}: {{input: 0.15, cached: 0.075, output: 0.60}}, in USD for a million"
            raise settings.wrong("prices", f"has no price of '{llm}'", hint=hint)
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
    return is_number and 0 <= figure <= MOST  # type: ignore[operator]  # it is a number


def read_discount(settings: Settings) -> float | None:
    """What a batch costs less, as a share of the price; None where the settings do not say."""
    if "batch_discount" not in settings.values:
        return None
    discount = settings.number("batch_discount", 0.0)
    if discount > 1:
        hint = "batch_discount: 0.5 where a batch costs half"
        raise settings.wrong("batch_discount", "must be a share, 0 to 1", hint=hint)
    return discount
