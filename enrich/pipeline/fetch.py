"""Fetch: stream the result files of ended batches to disk."""

from __future__ import annotations

from codecs import BOM_UTF8
from shutil import copyfileobj
from typing import TYPE_CHECKING

from enrich.ledger.batch import has_waited, make_batch_folder, save_batch
from enrich.pipeline import result_file
from enrich.providers.capabilities import read_timing

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider


def read_patience(provider: Provider) -> float:
    """Returns for how many seconds an ended batch may lack results that its counts promise."""
    # `lost_after` is how long a provider may take to list a new batch, so its files may lag as
    # well.
    return 10 * read_timing(provider).lost_after


def fetch_results(files: DatabaseFiles, provider: Provider, batch: Batch, *, missed: int) -> Batch:
    """Download an ended batch's result files. Returns the batch, marked as late if the files hold
    fewer lines than its counts promise and they should be fetched again.

    `missed` is how often they have been too short before.
    """
    lines = 0
    for file, path in zip(batch.result_files, list_result_paths(files, batch), strict=True):
        provider.fetch(file, path)
        _strip_byte_order_mark(path)
        lines += result_file.survey_lines(path).lines
    # OpenAI counts requests that it lost as completed, so this may never come true: see has_waited.
    short = lines < min(batch.answered, batch.requests)
    if not short or has_waited(batch, missed, read_patience(provider)):
        return batch
    return save_batch(files, batch, late=missed + 1)


def list_result_paths(files: DatabaseFiles, batch: Batch) -> list[Path]:
    """Returns the paths of a batch's result files, in the order of `batch.result_files`."""
    beside = make_batch_folder(files, batch)
    return [beside / f"result-{number}.jsonl" for number in range(len(batch.result_files))]


def _strip_byte_order_mark(path: Path) -> None:
    """Remove a byte order mark: some servers write one, and JSON readers reject it (RFC 8259,
    8.1)."""
    with path.open("rb") as lines:
        if lines.read(len(BOM_UTF8)) != BOM_UTF8:
            return
        with path.with_suffix(".part").open("wb") as plain:
            copyfileobj(lines, plain)
    path.with_suffix(".part").replace(path)
