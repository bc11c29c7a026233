"""Strays: files in models/ and in the test folders that stand for nothing, and what they may have
been meant to be."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from enrich.errors import ModelError
from enrich.manifest.model import PROMPT, SQL, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from enrich.errors import EnrichError
    from enrich.manifest.model import Model

NOTES = re.compile(r"\..*|readme.*|license.*|changelog.*|.*~|.*\.(bak|swp|tmp|orig|pyc)|#.*#", re.I)
"""What people and their editors keep beside models, and nobody expects to be read."""
NEARLY_SQL = re.compile(r".*\.(sql\b.*|sq|sqll|slq|sgl)", re.I)
"""How a file is called that was meant to be a SQL test; other files belong to other tools."""
MOST = 5
"""Files that are named one by one."""


def models(folder: Path, root: Path, found: Mapping[str, Model]) -> tuple[str, ...]:
    """Sentences on the files of models/ that are not read."""
    wanted = [f"{name}{ending}" for name in found for ending in (SQL, PROMPT)]
    sentences = []
    for path in _strays(folder):
        close = get_close_matches(path.name, wanted, n=1, cutoff=0.8)
        more = f"; did you mean '{close[0]}'?" if close else ""
        what = f"a model is NAME{SQL}, with NAME{PROMPT} where it asks"
        sentences.append(f"{shown(path, root)} is not read: {what}{more}")
    return _few(sentences)


def tests(folders: tuple[Path, ...], root: Path) -> tuple[str, ...]:
    """Sentences on files of the test folders that look like SQL and are not read."""
    return _few(
        [
            f"{shown(path, root)} is not read: a test is NAME{SQL}"
            for folder in folders
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix != SQL and NEARLY_SQL.fullmatch(path.name)
        ]
    )


def misnamed(folder: Path, root: Path, found: Mapping[str, Model]) -> dict[str, EnrichError]:
    """The models without a prompt that a misnamed prompt was meant for, and what is wrong: to make
    a view of one would be a guess."""
    plain = {name.lower(): name for name, model in found.items() if not model.asks}
    problems: dict[str, EnrichError] = {}
    for path in [*_strays(folder), *sorted(folder.rglob(f"*{PROMPT}"))]:
        if path.name.removesuffix(PROMPT) in found or not _is_prompt(path):
            continue
        wanted = [f"{name}{PROMPT}" for name in plain]
        close = get_close_matches(path.name.lower(), wanted, n=1, cutoff=0.8)
        stem = path.name.lower().partition(".")[0]
        name = plain.get(close[0].removesuffix(PROMPT) if close else stem)
        if name is not None:
            message = f"{shown(path, root)}: no model reads this prompt"
            hint = f"rename it to {name}{PROMPT}, beside {name}{SQL}, or move it out of models/"
            problems[name] = ModelError(message, hint=hint)
    return problems


def _strays(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        noted = any(NOTES.fullmatch(part) for part in inside)
        if not noted and path.is_file() and not path.name.endswith((SQL, PROMPT)):
            yield path


def _is_prompt(path: Path) -> bool:
    """Whether it begins with front matter, as a prompt does."""
    try:
        with path.open("rb") as file:
            return file.read(16).lstrip(b"\xef\xbb\xbf \r\n").startswith(b"---")
    except OSError:
        return False


def _few(sentences: list[str]) -> tuple[str, ...]:
    rest = len(sentences) - MOST
    return (*sentences[:MOST], *((f"and {rest} more files are not read",) if rest > 0 else ()))
