"""Names: the names and tags of a project's models, read without parsing their SQL.

Shells ask for them while the user presses Tab, so nothing here opens a database or parses a SELECT.
A file that cannot be read has no tags.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from enrich.errors import EnrichError
from enrich.manifest.model import HEADER_SETTINGS, PROMPT_ENDING, SQL_ENDING, read_header
from enrich.manifest.prompt import read_front_matter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enrich.manifest.config import Config

TAGS_LINE = re.compile(r"^tags[ \t]*:", re.MULTILINE)


def list_models(config: Config, *, asking: bool = False) -> tuple[str, ...]:
    """Returns the sorted names of the models; if `asking`, only of those with a prompt."""
    found = {
        path.name.removesuffix(SQL_ENDING)
        for path in config.models.rglob(f"*{SQL_ENDING}")
        if not asking or _prompt_path(path).exists()
    }
    return tuple(sorted(found))


def list_tags(config: Config) -> tuple[str, ...]:
    """Returns the sorted tags of the models."""
    found: set[str] = set()
    for path in config.models.rglob(f"*{SQL_ENDING}"):
        for each in (_read_select_tags, _read_prompt_tags):
            # An error message would end up in the middle of the command that the user is typing.
            with suppress(EnrichError, OSError, UnicodeDecodeError):
                found.update(each(path))
    return tuple(sorted(found))


def _prompt_path(path: Path) -> Path:
    """Returns the path of the prompt that belongs to the file of a SELECT, if there is one."""
    return path.with_name(path.name.removesuffix(SQL_ENDING) + PROMPT_ENDING)


def _read_select_tags(path: Path) -> Iterator[str]:
    """Yields the tags in the comments at the top of a SELECT."""
    said = read_header(path.read_text(encoding="utf-8-sig"), HEADER_SETTINGS, source=path.name)
    yield from filter(None, (word.strip() for word in said.get("tags", "").split(",")))


def _read_prompt_tags(path: Path) -> Iterator[str]:
    """Yields the tags of the prompt beside a SELECT."""
    beside = _prompt_path(path)
    text = beside.read_text(encoding="utf-8-sig") if beside.exists() else ""
    # Importing and parsing YAML is slow, so it is only done where there may be tags.
    if TAGS_LINE.search(text):
        yield from read_front_matter(text.replace("\r\n", "\n"), source=beside.name).read_words(
            "tags"
        )
