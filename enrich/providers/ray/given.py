"""Given: what project.yml says about a cluster, checked before anything is made of it."""

from __future__ import annotations

import re
import shlex
from math import isfinite
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from enrich.manifest.settings import GREATEST_NUMBER
from enrich.providers.openai.account import is_url

if TYPE_CHECKING:
    from enrich.manifest.settings import YamlSettings

ENGINE_KEYS = ("url", "serve", "weights")
"""What answers: one of them."""
KEYS_OF_ENGINES = {
    "api_key": ("url", "serve"),
    "environment": ("serve",),
    "slots": ("weights",),
    "context": ("weights",),
    "concurrency": ("url", "serve"),
    "timeout": ("url", "serve"),
}
"""Settings that only some of them have."""
RAY_RESOURCES = ("CPU", "GPU", "memory")
OTHER_NAMES = {"num_cpus": "CPU", "cpus": "CPU", "num_gpus": "GPU", "gpus": "GPU"}
"""What Ray calls its resources, and what others do; any further name is one that a node was given
as it was started (`ray start --resources`)."""
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
SHELL_WORDS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"})
HALF_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def check_given(settings: YamlSettings) -> None:
    """Raises ProjectError unless an address, a storage and one engine are there, with settings that
    belong to it."""
    _check_address(settings)
    _check_storage(settings)
    given = [key for key in ENGINE_KEYS if settings.read_text(key)]
    if len(given) != 1:
        what = "and others are set" if given else "is missing"
        hint = "set one of url, serve and weights: it says what answers on the nodes"
        raise settings.make_error(given[0] if given else "serve", what, hint=hint)
    for key, engines in KEYS_OF_ENGINES.items():
        if settings.values.get(key) is not None and given[0] not in engines:
            what = f"does nothing with `{given[0]}`"
            raise settings.make_error(key, what, hint=f"remove it; {key}: only with {engines[0]}")
    if given != ["weights"] and not settings.read_text("llm"):
        raise settings.make_error("llm", "is missing", hint="llm: what the server calls it")
    if settings.read_text("url") and not is_url(settings.read_text("url")):
        raise settings.make_error("url", "is not a valid URL", hint="url: http://host:8000/v1")
    if settings.read_text("serve"):
        _check_serve(settings)
    _check_weights(settings)
    _check_resources(settings)
    _check_environment(settings)
    _check_runtime_env(settings)


def _check_address(settings: YamlSettings) -> None:
    address = settings.read_text("address")
    if not is_url(address):
        hint = "address: http://HEAD:8265, the dashboard of the cluster's head"
        raise settings.make_error("address", "is not the URL of a cluster", hint=hint)
    if "@" in address.partition("://")[2].partition("/")[0]:
        hint = 'headers: {Authorization: "Basic ${DASHBOARD_LOGIN}"}'
        raise settings.make_error("address", "must not hold a password", hint=hint)
    if any(char in address for char in "?# "):
        hint = "address: http://HEAD:8265, without what a browser shows behind it"
        raise settings.make_error("address", "is not the URL of a cluster", hint=hint)


def _check_storage(settings: YamlSettings) -> None:
    storage = settings.read_text("storage")
    hint = "storage: /mnt/shared/enrich, a folder that the nodes mount too, or s3://bucket/path"
    if not storage.rpartition("://")[2].strip("/ "):
        what = "names no folder and no bucket" if storage else "is missing"
        raise settings.make_error("storage", what, hint=hint)
    if not storage.isprintable() or ("://" not in storage and HALF_URL.match(storage)):
        raise settings.make_error("storage", "is neither a folder nor a URL", hint=hint)


def _check_serve(settings: YamlSettings) -> None:
    try:
        words = shlex.split(settings.read_text("serve"))
    except ValueError as problem:
        what = f"is not a command: {problem}"
        raise settings.make_error("serve", what, hint="check its quotes") from problem
    if not any("{port}" in word for word in words):
        hint = "serve: vllm serve {llm} --host 127.0.0.1 --port {port}"
        raise settings.make_error("serve", "does not say where the port goes", hint=hint)
    # It would be shown as the program, and be part of what was asked.
    if ASSIGNMENT.match(words[0]):
        hint = "put it under `environment:`, which is kept secret"
        raise settings.make_error("serve", "begins with a variable", hint=hint)
    if not PurePosixPath(words[0]).name or "{" in words[0]:
        raise settings.make_error("serve", "begins with no program", hint="serve: vllm serve ...")
    if not SHELL_WORDS.isdisjoint(words):
        hint = "it is run without a shell: serve: bash -c '...', or a script on the nodes"
        raise settings.make_error("serve", "needs a shell", hint=hint)


def _check_weights(settings: YamlSettings) -> None:
    weights = PurePosixPath(settings.read_text("weights"))
    if settings.read_text("weights") and not (weights.is_absolute() and weights.name):
        hint = "weights: /models/llm.gguf, where the nodes find it"
        raise settings.make_error("weights", "is not an absolute path", hint=hint)


def _check_resources(settings: YamlSettings) -> None:
    hint = "resources: {GPU: 1}, for each actor, by Ray's names"
    lower = {name.lower(): name for name in RAY_RESOURCES} | OTHER_NAMES
    for name, value in settings.read_mapping("resources").items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not (isfinite(value) and 0 <= value <= GREATEST_NUMBER**2):
            raise settings.make_error("resources", f"has no number for '{name}'", hint=hint)
        meant = lower.get(name.lower(), name)
        if not name or meant != name:
            what = f"has '{name}', which Ray calls '{meant}'" if name else "has a nameless one"
            raise settings.make_error("resources", what, hint=hint)
        if name == "GPU" and value > 1 and value != int(value):
            what = f"has {value:g} for 'GPU': above 1, Ray gives whole ones"
            raise settings.make_error("resources", what, hint=hint)


def _check_environment(settings: YamlSettings) -> None:
    for name, value in settings.read_mapping("environment").items():
        if not name or "=" in name or not (name + str(value)).replace("\0", "\n").isprintable():
            what = f"holds what no environment can: '{name}'"
            raise settings.make_error("environment", what, hint="environment: {HF_TOKEN: ...}")
        if value is None or isinstance(value, (dict, list)):
            hint = f"environment: {{{name}: some text}}"
            raise settings.make_error("environment", f"has no text for '{name}'", hint=hint)


def _check_runtime_env(settings: YamlSettings) -> None:
    """What enrich adds to must have the form that Ray expects; Ray judges the rest."""
    given: dict[str, Any] = settings.read_mapping("runtime_env")
    variables = given.get("env_vars", {})
    if not isinstance(variables, dict) or not all(
        isinstance(each, str) for pair in variables.items() for each in pair
    ):
        hint = 'runtime_env: {env_vars: {NAME: "text"}}'
        what = "must have texts by name under `env_vars`"
        raise settings.make_error("runtime_env", what, hint=hint)
    if not isinstance(given.get("py_modules", []), list):
        hint = "runtime_env: {py_modules: [s3://bucket/module.zip]}"
        raise settings.make_error("runtime_env", "must have a list as `py_modules`", hint=hint)
