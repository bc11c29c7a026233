"""What a shell completes: names of models, tags, providers, seeds, variables, faults and folders.

A shell asks each time the Tab key is pressed. So only file names and front matter are read, no
database is opened and no SELECT parsed, and a project that cannot be read completes nothing.
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

    FindNames = Callable[[click.Context, str], Iterable[str]]
    Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

TYPED_TERM = re.compile(r"((?:.*,)?(?:\d*\+)?)(.*)", re.DOTALL)
"""A selection as typed so far: what is complete (`a,1+`), and the name that is being typed."""
TAG_PREFIX = "tag:"


def silence_errors(find_names: FindNames) -> Complete:
    """Decorate a function that finds names: the shell gets them, or none if anything fails."""

    @wraps(find_names)
    def complete(
        context: click.Context, _: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Returns the names as click's completion items."""
        from click.shell_completion import CompletionItem

        try:
            return [CompletionItem(name) for name in find_names(context, incomplete)]
        except Exception:  # noqa: BLE001  # a traceback in the middle of a line helps nobody
            return []

    return complete


def _load_config(context: click.Context) -> Config:
    """Returns the project.yml of the folder that the command would work on."""
    from pathlib import Path

    from enrich.manifest.config import Config

    return Config.from_folder(Path(context.ensure_object(Context).folder))


def _filter_by_prefix(names: Iterable[str], word: str) -> Iterator[str]:
    """Yields the names that start with a word, regardless of case."""
    return (name for name in names if name.lower().startswith(word.lower()))


@silence_errors
def complete_terms(context: click.Context, incomplete: str) -> Iterable[str]:
    """Returns models as a selection names them: `name`, `+name`, `a,name`, `tag:word`."""
    from enrich.manifest import names

    config = _load_config(context)
    before = context.params.get("names") or ()
    # A colon is in bash's COMP_WORDBREAKS, so `tag:films` arrives as three words.
    if incomplete == ":" or before[-1:] == (":",):
        return list(_filter_by_prefix(names.list_tags(config), incomplete.removeprefix(":")))
    match = TYPED_TERM.fullmatch(incomplete)
    prefix, core = match.groups() if match else ("", incomplete)
    matches = list(_filter_by_prefix(names.list_models(config), core))
    if core and (TAG_PREFIX.startswith(core) or core.startswith(TAG_PREFIX)):
        tags = (f"{TAG_PREFIX}{tag}" for tag in names.list_tags(config))
        matches += _filter_by_prefix(tags, core)
    return [f"{prefix}{name}" for name in matches]


@silence_errors
def complete_enrichments(context: click.Context, incomplete: str) -> Iterable[str]:
    """Returns the models that have a prompt."""
    from enrich.manifest import names

    return list(
        _filter_by_prefix(names.list_models(_load_config(context), asking=True), incomplete)
    )


@silence_errors
def complete_providers(context: click.Context, incomplete: str) -> Iterable[str]:
    """Returns the providers in project.yml."""
    return list(_filter_by_prefix(_load_config(context).providers, incomplete))


@silence_errors
def complete_variables(context: click.Context, incomplete: str) -> Iterable[str]:
    """Returns the variables in project.yml, each as `name=`."""
    return list(
        _filter_by_prefix((f"{name}=" for name in _load_config(context).variables), incomplete)
    )


@silence_errors
def complete_seeds(context: click.Context, incomplete: str) -> Iterable[str]:
    """Returns the seeds, by the names of their tables."""
    from enrich.manifest import seed_file

    return list(
        _filter_by_prefix(seed_file.find_seed_files(_load_config(context)).files, incomplete)
    )


@silence_errors
def complete_label_tables(context: click.Context, incomplete: str) -> Iterable[str]:
    """Returns the tables that may hold labels: seeds, sources, models and their reviews."""
    from enrich.manifest import names, reviews, seed_file

    config = _load_config(context)
    sources = (source.name for source in config.sources)
    reviewed = (f"{name}{reviews.REVIEW_ENDING}" for name in reviews.list_reviewed(config.root))
    loaded = (*seed_file.find_seed_files(config).files, *sources)
    tables = dict.fromkeys((*loaded, *names.list_models(config), *reviewed))
    return list(_filter_by_prefix(tables, incomplete))


@silence_errors
def complete_faults(_: click.Context, incomplete: str) -> Iterable[str]:
    """Returns the faults of a rehearsal, each with a share to start from."""
    # Not `name=` alone: a shell puts a space after what it has completed.
    from dataclasses import fields

    from enrich.rehearsal.faults import Faults

    return list(_filter_by_prefix((f"{field.name}=0.1" for field in fields(Faults)), incomplete))


def complete_folders(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Leave it to the shell to complete a folder."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]
