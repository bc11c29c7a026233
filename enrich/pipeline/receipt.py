"""Receipts: what is known of the copies of a project's tables, in the folder of working files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from enrich.db.creation import make_folder
from enrich.errors import DiskError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COPIES_FOLDER = "copies"


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a copy was made from: `place` and `form` are where and how it was written, `seal` is
    that of its rows, "" if there is no copy yet. `contents` is what was there afterward: the bytes
    of each file and when it was written, as a text, or the rows of the table. `problem` says why
    the last attempt failed, "" if it did not. `own` lists the places that hold enrich's own files,
    whole or not, although nothing in them says so. `copied_at` is a moment in UTC."""

    place: str
    form: str
    seal: str = ""
    rows: int = 0
    copied_at: str = ""
    problem: str = ""
    own: tuple[str, ...] = ()
    contents: Mapping[str, int | str] = field(default_factory=dict)

    def is_whole(self, found: Mapping[str, int | str]) -> bool:
        """Whether a place still holds what was copied there, by what is `found` in it."""
        return bool(self.contents) and all(
            name in found and self.has_kept(name, found[name]) for name in self.contents
        )

    def has_kept(self, name: str, found: int | str) -> bool:
        """Whether a file or table is as it was, if it is known, by what is `found` of it."""
        was = self.contents.get(name, found)
        # An earlier enrich kept only the size.
        return was == found or str(was) == str(found).partition(" ")[0]


def mark_file(size: int, written_at: int | None) -> str:
    """Returns what is kept of a file: its bytes and, if known, when it was written."""
    return str(size) if written_at is None else f"{size} {written_at}"


def read_receipt(work: Path, model: str) -> Receipt | None:
    """Returns the receipt for the copy of a model's table; None if there is none. A receipt that is
    lost only means that the table is copied again."""
    try:
        said = json.loads(_find_receipt(work, model).read_text(encoding="utf-8"))
        return Receipt(**{**said, "own": tuple(said["own"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_receipt(work: Path, model: str, receipt: Receipt) -> None:
    """Keep a receipt. Raises DiskError."""
    make_folder(work, COPIES_FOLDER)
    path = _find_receipt(work, model)
    draft = path.with_suffix(".draft")
    try:
        draft.write_text(json.dumps(asdict(receipt)), encoding="utf-8")
        draft.replace(path)
    except OSError as problem:
        message = f"{path} cannot be written: {problem.strerror}"
        raise DiskError(message, hint="free some space; the copy itself is complete") from problem


def _find_receipt(work: Path, model: str) -> Path:
    return work / COPIES_FOLDER / f"{model}.json"
