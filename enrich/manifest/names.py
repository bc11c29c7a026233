"""Names: what a project's files are called and tagged, read without a look at their SQL.

A shell asks for them at each press of a key, so nothing here opens a database or parses a SELECT. A
file that cannot be read has no tags.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from enrich.errors import EnrichError
from enrich.manifest.model import PROMPT, SETTINGS, SQL, header
from enrich.manifest.prompt import front_matter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enrich.manifest.config import Config

TAGS = re.compile(r"^tags[ \t]*:", re.MULTILINE)


def models(config: Config, *, asking: bool = False) -> tuple[str, ...]:
    """The names of the models, in order; `asking`: only of those with a prompt."""
    found = {
        path.name.removesuffix(SQL)
        for path in config.models.rglob(f"*{SQL}")
        if not asking or _beside(path).exists()
    }
    return tuple(sorted(found))


def tags(config: Config) -> tuple[str, ...]:
    """The tags of the models, in order."""
    found: set[str] = set()
    for path in config.models.rglob(f"*{SQL}"):
        for each in (_of_select, _of_prompt):
            with suppress(EnrichError, OSError, UnicodeDecodeError):
                found.update(each(path))
    return tuple(sorted(found))


def _beside(path: Path) -> Path:
    """Where the prompt of a SELECT's file stands, if it has one."""
    return path.with_name(path.name.removesuffix(SQL) + PROMPT)


def _of_select(path: Path) -> Iterator[str]:
    """The tags in the comments at the top of a SELECT."""
    said = header(path.read_text(encoding="utf-8-sig"), SETTINGS, source=path.name)
    yield from filter(None, (word.strip() for word in said.get("tags", "").split(",")))


def _of_prompt(path: Path) -> Iterator[str]:
    """The tags of the prompt beside a SELECT. YAML takes its time: only where there may be any."""
    beside = _beside(path)
    text = beside.read_text(encoding="utf-8-sig") if beside.exists() else ""
    if TAGS.search(text):
        yield from front_matter(text.replace("\r\n", "\n"), source=beside.name).words("tags")
