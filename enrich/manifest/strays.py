"""Strays: files in models/ and in the test folders that enrich ignores, and what they may have been
intended to be."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from enrich.errors import ModelError, count_nouns
from enrich.manifest.model import PROMPT_ENDING, SQL_ENDING, show_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from enrich.errors import EnrichError
    from enrich.manifest.model import Model

NOTES_BESIDE_MODELS = re.compile(
    r"\..*|readme.*|license.*|changelog.*|.*~|.*\.(bak|swp|tmp|orig|pyc)|#.*#", re.I
)
"""Files that people and their editors keep beside models; nobody expects them to be read."""
NEARLY_SQL = re.compile(r".*\.(sql\b.*|sq|sqll|slq|sgl)", re.I)
"""Names of files that were probably intended as SQL tests."""
# Nothing else is reported in test folders: other tools, such as pytest, often share them.
MOST_SENTENCES = 5
"""The number of files that are listed one by one."""


def describe_stray_models(folder: Path, root: Path, found: Mapping[str, Model]) -> tuple[str, ...]:
    """Returns sentences on the files in models/ that are not read."""
    wanted = [f"{name}{ending}" for name in found for ending in (SQL_ENDING, PROMPT_ENDING)]
    sentences = []
    for path in _find_strays(folder):
        close = get_close_matches(path.name, wanted, n=1, cutoff=0.8)
        more = f"; did you mean '{close[0]}'?" if close else ""
        what = f"a model is NAME{SQL_ENDING}, with NAME{PROMPT_ENDING} where it asks"
        sentences.append(f"{show_path(path, root)} is not read: {what}{more}")
    return _shorten(sentences)


def describe_stray_tests(folders: tuple[Path, ...], root: Path) -> tuple[str, ...]:
    """Returns sentences on files in the test folders that look like SQL and are not read."""
    return _shorten(
        [
            f"{show_path(path, root)} is not read: a test is NAME{SQL_ENDING}"
            for folder in folders
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix != SQL_ENDING and NEARLY_SQL.fullmatch(path.name)
        ]
    )


def find_misnamed_prompts(
    folder: Path, root: Path, found: Mapping[str, Model]
) -> dict[str, EnrichError]:
    """Returns the models for which a misnamed prompt was probably intended, with the error."""
    # Without its prompt such a model would become a view, and nobody would learn that no llm was
    # ever asked.
    plain = {name.lower(): name for name, model in found.items() if not model.asks}
    problems: dict[str, EnrichError] = {}
    for path in [*_find_strays(folder), *sorted(folder.rglob(f"*{PROMPT_ENDING}"))]:
        # Its own model comes first, wherever the prompt is in models/.
        if path.name.removesuffix(PROMPT_ENDING) in found or not _is_prompt(path):
            continue
        wanted = [f"{name}{PROMPT_ENDING}" for name in plain]
        close = get_close_matches(path.name.lower(), wanted, n=1, cutoff=0.8)
        stem = path.name.lower().partition(".")[0]
        name = plain.get(close[0].removesuffix(PROMPT_ENDING) if close else stem)
        if name is not None:
            message = f"{show_path(path, root)}: no model reads this prompt"
            best = f"rename it to {name}{PROMPT_ENDING}, beside {name}{SQL_ENDING}"
            hint = f"{best}, or move it out of models/"
            problems[name] = ModelError(message, hint=hint)
    return problems


def _find_strays(folder: Path) -> Iterator[Path]:
    """Yields the files below a folder that are neither models nor notes."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        noted = any(NOTES_BESIDE_MODELS.fullmatch(part) for part in inside)
        if not noted and path.is_file() and not path.name.endswith((SQL_ENDING, PROMPT_ENDING)):
            yield path


def _is_prompt(path: Path) -> bool:
    """Whether a file starts with front matter, as a prompt does."""
    try:
        with path.open("rb") as file:
            return file.read(16).lstrip(b"\xef\xbb\xbf \r\n").startswith(b"---")
    except OSError:
        return False


def _shorten(sentences: list[str]) -> tuple[str, ...]:
    """Returns the first sentences, and one that counts the rest."""
    rest = len(sentences) - MOST_SENTENCES
    return (
        *sentences[:MOST_SENTENCES],
        *(
            (f"and {count_nouns(rest, 'more file')} {'is' if rest == 1 else 'are'} not read",)
            if rest > 0
            else ()
        ),
    )
