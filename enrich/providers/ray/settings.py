"""Settings: what `providers:` says about a cluster, its storage and what answers there."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from enrich.providers.openai.account import Account
from enrich.providers.openai.settings import (
    LEAST_TIMEOUT,
    MOST_CONCURRENCY,
    read_header_texts,
    read_named,
)
from enrich.providers.ray.given import check_given
from enrich.providers.ray.storage import is_folder
from enrich.providers.ray.work import ActorSettings, HiddenSettings
from enrich.providers.secrets import Secrets, is_sendable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.settings import YamlSettings
    from enrich.providers.opening import Opening

RAY_KEYS = (
    "address",
    "token",
    "headers",
    "storage",
    "llm",
    "url",
    "api_key",
    "serve",
    "environment",
    "weights",
    "slots",
    "context",
    "actors",
    "resources",
    "concurrency",
    "timeout",
    "pip",
    "runtime_env",
    "prices",
    "poll_seconds",
)
"""The settings of this provider, besides those that all providers share."""
NAMED_KEYS = ("token", "headers", "url", "api_key", "environment", "serve")
"""Settings in which an environment variable may have a secret value."""
USUAL_TIMEOUT, RAY_SLOTS, RAY_CONTEXT = 600.0, 4, 4096


@dataclass(frozen=True, kw_only=True)
class RaySettings:
    """A cluster, and what answers on it. `headers` are those of its Jobs API; `hidden` is for the
    actors alone. `secrets` are never shown."""

    address: str
    storage: str
    llm: str
    identity: str
    engine: str
    actors: ActorSettings
    headers: Mapping[str, str] = field(repr=False)
    hidden: HiddenSettings = field(repr=False)
    secrets: Secrets = field(repr=False)
    runtime_env: Mapping[str, Any] = field(repr=False)
    is_own: bool = True


def read_ray_settings(opening: Opening) -> RaySettings:
    """Returns the settings in project.yml. Raises ProjectError."""
    settings = opening.settings
    opening.check_keys(*RAY_KEYS)
    check_given(settings)
    headers = _read_headers(settings)
    named = read_named(opening, NAMED_KEYS)
    account = _read_account(opening, named)
    hidden = _read_hidden(settings, account)
    llm = settings.read_text("llm") or PurePosixPath(settings.read_text("weights")).stem
    values = (*headers.values(), *hidden.hidden, settings.read_text("token"))
    return RaySettings(
        address=settings.read_text("address").strip().rstrip("/"),
        storage=_read_storage(opening),
        llm=llm,
        identity=_identify(settings, account),
        engine=_describe_engine(settings, account),
        actors=_read_actors(settings),
        headers=headers,
        hidden=hidden,
        secrets=Secrets.from_values(values),
        runtime_env=_read_runtime_env(settings),
        is_own=not settings.read_text("api_key"),
    )


def _read_headers(settings: YamlSettings) -> dict[str, str]:
    """Returns the headers of the Jobs API. Raises ProjectError."""
    found = read_header_texts(settings)
    token = settings.read_text("token").strip()
    if token:
        found["Authorization"] = f"Bearer {token}"
    if not all(map(is_sendable, (*found, *found.values()))):
        key = "token" if token else "headers"
        hint = "copy it again, without line breaks and invisible characters"
        raise settings.make_error(key, "holds a character that HTTP cannot send", hint=hint)
    return found


def _read_account(opening: Opening, named: Mapping[str, str]) -> Account:
    """Returns the account with which actors ask a server."""
    settings = opening.settings
    api_key = settings.read_text("api_key").strip()
    if not is_sendable(api_key):
        hint = "copy it again, without line breaks and invisible characters"
        raise settings.make_error("api_key", "holds a character that HTTP cannot send", hint=hint)
    return Account(
        api_key=api_key,
        base_url=settings.read_text("url").strip().rstrip("/"),
        key_variable="",
        named=named,
        timeout=settings.read_number("timeout", USUAL_TIMEOUT, least=LEAST_TIMEOUT),
    )


def _read_hidden(settings: YamlSettings, account: Account) -> HiddenSettings:
    """Returns what only the actors get."""
    environment = {k: str(v) for k, v in settings.read_mapping("environment").items()}
    return HiddenSettings(
        url=account.base_url,
        serve=settings.read_text("serve").strip(),
        environment=environment,
        headers=account.chat_headers,
        hidden=Secrets.from_values((*account.secrets.values, *environment.values())).values,
        sure=account.sure_secrets.values,
    )


def _read_storage(opening: Opening) -> str:
    """Returns the path or the URL of the storage."""
    text = opening.settings.read_text("storage").strip()
    if is_folder(text):
        return str(opening.root.absolute() / opening.settings.expand_home("storage", text))
    if "@" in text.partition("://")[2].partition("/")[0]:
        hint = "let the nodes and this machine have their credentials from their environment"
        raise opening.settings.make_error("storage", "must not hold a password", hint=hint)
    return text


def _read_actors(settings: YamlSettings) -> ActorSettings:
    """Returns what the actors are given. Raises ProjectError."""
    resources = settings.read_mapping("resources")
    return ActorSettings(
        actors=settings.read_integer("actors"),
        resources={name: float(value) for name, value in resources.items()},
        timeout=settings.read_number("timeout", USUAL_TIMEOUT, least=LEAST_TIMEOUT),
        concurrency=settings.read_integer("concurrency", most=MOST_CONCURRENCY),
        weights=settings.read_text("weights"),
        slots=settings.read_integer("slots") or RAY_SLOTS,
        context=settings.read_integer("context", least=256) or RAY_CONTEXT,
    )


def _read_runtime_env(settings: YamlSettings) -> dict[str, Any]:
    """Returns Ray's runtime environment. Raises ProjectError."""
    found = settings.read_parameters("runtime_env")
    pip = settings.read_words("pip")
    if pip and "pip" in found:
        raise settings.make_error("pip", "is set in runtime_env, too", hint="keep one of them")
    return {**found, "pip": list(pip)} if pip else found


def _identify(settings: YamlSettings, account: Account) -> str:
    """What decides an answer besides the request. A server that is there already is the same one
    for whoever asks it; one that is started is known by its program, as its llm is in requests."""
    if account.base_url:
        return f"openai:{account.url}"
    if weights := settings.read_text("weights"):
        return f"ray:{PurePosixPath(weights).name}"
    return f"ray:{_name_program(settings, account)}"


def _describe_engine(settings: YamlSettings, account: Account) -> str:
    """What answers, in words."""
    if account.base_url:
        return f"the server at {account.url}"
    if weights := settings.read_text("weights"):
        return f"llama.cpp with {weights} on each actor's node"
    return f"`{_name_program(settings, account)}`, which each actor starts"


def _name_program(settings: YamlSettings, account: Account) -> str:
    """Returns the name of the program that `serve` starts, without the value of a variable."""
    return account.hide_named(PurePosixPath(shlex.split(settings.read_text("serve"))[0]).name)
