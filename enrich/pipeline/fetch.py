"""Fetch: the result files of ended batches are streamed to disk."""

from __future__ import annotations

from codecs import BOM_UTF8
from shutil import copyfileobj
from typing import TYPE_CHECKING

from enrich.ledger.batch import folder, save, waited
from enrich.pipeline import result_file
from enrich.providers.capabilities import read_timing

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider


def patience(provider: Provider) -> float:
    """Seconds for which result files may be missing that an ended batch's counts speak of."""
    return 10 * read_timing(provider).lost_after


def fetch_results(files: DatabaseFiles, provider: Provider, batch: Batch, *, missed: int) -> Batch:
    """Bring an ended batch's result files here. If they hold fewer lines than its counts speak of,
    they are fetched again later: it has not ended yet. That was so `missed` times before."""
    lines = 0
    for file, path in zip(batch.result_files, result_paths(files, batch), strict=True):
        provider.fetch(file, path)
        _without_mark(path)
        lines += result_file.survey(path).lines
    short = lines < min(batch.answered, batch.requests)
    if not short or waited(batch, missed, patience(provider)):
        return batch
    return save(files, batch, late=missed + 1)


def result_paths(files: DatabaseFiles, batch: Batch) -> list[Path]:
    beside = folder(files, batch)
    return [beside / f"result-{number}.jsonl" for number in range(len(batch.result_files))]


def _without_mark(path: Path) -> None:
    """Remove a byte order mark, which some servers begin a file with and no JSON reader takes."""
    with path.open("rb") as lines:
        if lines.read(len(BOM_UTF8)) != BOM_UTF8:
            return
        with path.with_suffix(".part").open("wb") as plain:
            copyfileobj(lines, plain)
    path.with_suffix(".part").replace(path)
