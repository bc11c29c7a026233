"""What a shell completes: names of models, tags, providers, seeds, variables, faults and folders.

A shell asks at each press of a key. So the answers come from the project's files alone, nothing is
printed, and a project that cannot be read completes nothing.
"""

from __future__ import annotations

import re
from functools import wraps
from typing import TYPE_CHECKING

from enrich.cli.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import click
    from click.shell_completion import CompletionItem

    from enrich.manifest.config import Config

    Names = Callable[[click.Context, str], Iterable[str]]
    Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

TERM = re.compile(r"((?:.*,)?(?:\d*\+)?)(.*)", re.DOTALL)
"""What stands before the part of a selection that is being typed, and this part."""
TAG = "tag:"


def quiet(find: Names) -> Completion:
    """What a shell is told: the names that are found, and none of them if anything fails."""

    @wraps(find)
    def complete(
        context: click.Context, _: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names, each as click wants it."""
        from click.shell_completion import CompletionItem

        try:
            return [CompletionItem(name) for name in find(context, incomplete)]
        except Exception:  # noqa: BLE001  # a traceback in the middle of a line helps nobody
            return []

    return complete


def _config(context: click.Context) -> Config:
    """The project.yml of the folder that the command would work on."""
    from pathlib import Path

    from enrich.manifest.config import Config

    return Config.from_folder(Path(context.ensure_object(Context).folder))


def _beginning(names: Iterable[str], word: str) -> Iterator[str]:
    """The names that begin like a word, in whatever case."""
    return (name for name in names if name.lower().startswith(word.lower()))


@quiet
def terms(context: click.Context, incomplete: str) -> Iterable[str]:
    """Models as a selection names them: `name`, `+name`, `a,name`, `tag:word`."""
    from enrich.manifest import names

    config = _config(context)
    before = context.params.get("names") or ()
    if incomplete == ":" or before[-1:] == (":",):  # bash takes `tag:films` for three words
        return list(_beginning(names.list_tags(config), incomplete.removeprefix(":")))
    match = TERM.fullmatch(incomplete)
    prefix, core = match.groups() if match else ("", incomplete)
    found = list(_beginning(names.list_models(config), core))
    if core and (TAG.startswith(core) or core.startswith(TAG)):
        tags = (f"{TAG}{tag}" for tag in names.list_tags(config))
        found += _beginning(tags, core)
    return [f"{prefix}{name}" for name in found]


@quiet
def asking(context: click.Context, incomplete: str) -> Iterable[str]:
    """One model that has a prompt."""
    from enrich.manifest import names

    return list(_beginning(names.list_models(_config(context), asking=True), incomplete))


@quiet
def providers(context: click.Context, incomplete: str) -> Iterable[str]:
    """The providers of project.yml."""
    return list(_beginning(_config(context).providers, incomplete))


@quiet
def variables(context: click.Context, incomplete: str) -> Iterable[str]:
    """The variables of project.yml, each as `name=`."""
    return list(_beginning((f"{name}=" for name in _config(context).variables), incomplete))


@quiet
def seeds(context: click.Context, incomplete: str) -> Iterable[str]:
    """The seeds, by the names of their tables."""
    from enrich.manifest import seed_file

    return list(_beginning(seed_file.find_seed_files(_config(context)).files, incomplete))


@quiet
def tables(context: click.Context, incomplete: str) -> Iterable[str]:
    """Tables that may hold labels: seeds, sources and models."""
    from enrich.manifest import names, seed_file

    config = _config(context)
    sources = (source.name for source in config.sources)
    found = (*seed_file.find_seed_files(config).files, *sources, *names.list_models(config))
    return list(_beginning(found, incomplete))


@quiet
def faults(_: click.Context, incomplete: str) -> Iterable[str]:
    """The faults of a rehearsal, each with a share to begin with: shells add a space to `name=`."""
    from dataclasses import fields

    from enrich.rehearsal.faults import Faults

    return list(_beginning((f"{field.name}=0.1" for field in fields(Faults)), incomplete))


def folders(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A folder, which the shell itself looks for."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]
