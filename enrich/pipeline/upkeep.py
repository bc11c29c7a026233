"""Upkeep: files of batches whose answers are in the ledger are compressed or removed.

What `keep_files` says is done under the project's lock, after the transaction that has read a batch
has been committed. A crash at any moment leaves what the next command takes up again.
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from gzip import GzipFile, compress
from typing import TYPE_CHECKING

from enrich.db.creation import make_folder
from enrich.db.disk import GONE_ENDING, measure_files, remove_whole
from enrich.errors import EnrichError
from enrich.ledger.batch import BATCHES_FOLDER, utc_now
from enrich.ledger.compaction import remove_draft
from enrich.manifest.kept_files import FileRule
from enrich.pipeline.lock import hold_if_free
from enrich.providers.capabilities import list_leftovers
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from enrich.db.files import DatabaseFiles
    from enrich.pipeline.workspace import Workspace

RESULTS_FOLDER = "results"
"""Where compressed results are kept; the folder of open batches is a different one, and short."""
PACKED_ENDING = ".jsonl.gz"
PACKING_LEVEL = 1
"""gzip's level: results repeat themselves so much that a higher one gains little."""
PACKED_PIECE = 1 << 20
MOST_THREADS = 8
USUAL_BACKLOG = 20
"""After how many batches of earlier commands a command tidies up; `enrich ledger vacuum` does so
after all."""
UNANSWERED = {"expired", "missing"}
"""The outcomes of a request without an answer."""


@dataclass(frozen=True, kw_only=True)
class ReadFiles:
    """A batch that has been read, and what decides about its files. `is_answered`: an answer of it
    is in the ledger, so its results have been read. Given up, it may have results all the same."""

    batch: str
    provider: str
    remote: str
    upload: str
    age_days: float
    is_answered: bool
    has_failures: bool


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """One tidying up; `problems` are sentences on what could not be done."""

    workspace: Workspace
    problems: list[str] = field(default_factory=list)

    @property
    def rule(self) -> FileRule:
        return self.workspace.config.keep_files

    @property
    def may_expire(self) -> bool:
        """Whether compressed results may have to go."""
        return self.rule != FileRule()

    @property
    def batches(self) -> Path:
        return self.workspace.config.work / BATCHES_FOLDER

    @property
    def results(self) -> Path:
        return self.workspace.config.work / RESULTS_FOLDER

    @contextmanager
    def note_problems(self) -> Iterator[None]:
        """What goes wrong inside is noted, and does not stop the rest."""
        try:
            yield
        except OSError as problem:
            what = problem.strerror or str(problem)
            self.problems.append(f"{problem.filename or 'a file'}: {what}")
        except EnrichError as problem:
            self.problems.append(problem.message)


def tidy_project(workspace: Workspace) -> None:
    """Tidy up at the end of a command, which does not fail by it: what cannot be done now is tried
    again by the next one."""
    up = Upkeep(workspace=workspace)
    if workspace.files.copies is not None or up.rule.word == "all":
        return
    if _list_names(up.batches) or (up.may_expire and _list_names(up.results)):
        # Nobody waits for it: another process that is at work tidies up itself.
        with suppress(EnrichError, OSError), hold_if_free(workspace.files) as is_held:
            if is_held:
                tidy_files(workspace, most=USUAL_BACKLOG)


def tidy_files(workspace: Workspace, *, most: int | None = None) -> list[str]:
    """Do what `keep_files` says with the files of batches that have been read: at most so many,
    those that were read last. Returns sentences on what could not be done. Needs the project's
    lock."""
    up = Upkeep(workspace=workspace)
    if up.rule.word == "all":
        return []
    with up.note_problems():
        names = _list_names(up.batches)
        known = _ask_ledger(workspace.files, names)
        read = [each for each in known.values() if each is not None]
        with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
            # The disk takes a while for removing one, in which the next ones are compressed.
            for each in filter(None, pool.map(partial(_keep_results, up), read[:most])):
                with up.note_problems():
                    _remove_batch(up, each)
        for name in sorted(set(names) - known.keys())[:most]:
            with up.note_problems():
                _remove_unasked(up.batches / name)
        for path in _list_expired(up):
            with up.note_problems():
                path.unlink(missing_ok=True)
        remove_draft(workspace.files)  # as large as the ledger, if a compaction was killed
    return up.problems


def foresee_files(workspace: Workspace) -> int:
    """Returns about how many bytes `tidy_files` would free; changes nothing."""
    up = Upkeep(workspace=workspace)
    if up.rule.word == "all":
        return 0
    names = _list_names(up.batches)
    known = _ask_ledger(workspace.files, names)
    paths = [up.batches / name for name in names if name not in known]
    paths = [path for path in paths if not any(path.glob("result-*"))]
    packed = 0
    for read in filter(None, known.values()):
        paths.append(up.batches / read.batch)
        with up.note_problems():
            paths += _list_provider_files(up, read)
        packed += sum(_foresee_packed(path) for path in _list_kept(up, read))
    return measure_files((*paths, *_list_expired(up))) - packed


def _list_names(folder: Path) -> list[str]:
    """Returns the names in a folder, also of what a crash has left half removed."""
    with suppress(OSError):
        found = [path.name for path in folder.iterdir()]
        return sorted({name.removesuffix(GONE_ENDING).lstrip(".") for name in found})
    return []


def _ask_ledger(files: DatabaseFiles, names: Iterable[str]) -> dict[str, ReadFiles | None]:
    """Returns what the ledger knows of these batches, the last read first; None for one that has
    not been read. A batch that it does not know is missing."""
    listed = list(names)
    if not listed:
        return {}
    with files.open_ledger("read") as database:
        rows = database.call("read_before", batches=listed)
    now = utc_now()
    return {str(row[0]): _describe_batch(*row, now=now) for row in rows}


def _describe_batch(
    batch: str,
    provider: str,
    remote: str | None,
    upload: str | None,
    read_at: datetime | None,
    outcomes: str | None,
    *,
    now: datetime,
) -> ReadFiles | None:
    if read_at is None:
        return None
    seen = set(json.loads(outcomes or "{}"))
    return ReadFiles(
        batch=batch,
        provider=provider,
        remote=remote or "",
        upload=upload or "",
        age_days=(now - read_at).total_seconds() / 86_400,
        is_answered=bool(seen - UNANSWERED),
        has_failures=bool(seen - {"ok"}),
    )


def _remove_unasked(folder: Path) -> None:
    """Remove the folder of a batch that the ledger does not know: one that was withdrawn before it
    was sent. If it has results, the ledger is a different one, and they stay."""
    if not any(folder.glob("result-*")):
        remove_whole(folder)


def _keep_results(up: Upkeep, read: ReadFiles) -> ReadFiles | None:
    """Compress the results of a batch, if the rule keeps them. Returns the batch if all that is to
    be kept of it has been."""
    with up.note_problems():
        for path in _list_kept(up, read):
            target = make_folder(up.results) / f"{read.batch}.{path.stem}{PACKED_ENDING}"
            _pack_file(path, target)
        return read
    return None


def _list_kept(up: Upkeep, read: ReadFiles) -> list[Path]:
    """Returns the result files of a batch that are to be kept."""
    # What was given up may have results that nobody has read.
    if read.is_answered and not _keeps(up, read):
        return []
    found = sorted((up.batches / read.batch).glob("result-*.jsonl"))
    return [path for path in found if path.stat().st_size]


def _keeps(up: Upkeep, read: ReadFiles) -> bool:
    return up.rule.keeps(has_failures=read.has_failures, age_days=read.age_days)


def _list_provider_files(up: Upkeep, read: ReadFiles) -> tuple[Path, ...]:
    provider = up.workspace.open_provider(read.provider)
    return list_leftovers(provider, read.remote, read.upload, fetched=read.is_answered)


def _remove_batch(up: Upkeep, read: ReadFiles) -> None:
    """Remove what is left of a batch on this machine. Its own folder goes last: as long as that is
    there, the next command comes back to it."""
    for path in _list_provider_files(up, read):
        remove_whole(path)
    remove_whole(up.batches / read.batch)


def _pack_file(source: Path, target: Path) -> None:
    """Write a compressed copy of a file, completely or not at all, that only its owner can read."""
    part = target.with_suffix(".part")
    with source.open("rb") as lines, open_private(part, "wb") as out:
        with GzipFile("", "wb", PACKING_LEVEL, out, mtime=0) as packed:
            shutil.copyfileobj(lines, packed, PACKED_PIECE)
        out.flush()
        os.fsync(out.fileno())
    part.replace(target)


def _foresee_packed(path: Path) -> int:
    """Returns about how many bytes a file takes once it is compressed, by its beginning."""
    with path.open("rb") as file:
        piece = file.read(PACKED_PIECE)
    return round(path.stat().st_size * len(compress(piece, PACKING_LEVEL)) / len(piece))


def _list_expired(up: Upkeep) -> Iterator[Path]:
    """Yields compressed results that have been read, and that the rule no longer keeps."""
    if not up.may_expire:
        return
    found = {name: name.rpartition(".result-")[0] for name in _list_names(up.results)}
    known = _ask_ledger(up.workspace.files, dict.fromkeys(found.values()))
    for name, batch in found.items():
        read = known.get(batch)
        # Of a batch that this ledger does not know, they may be the only copy.
        if read is not None and read.is_answered and not _keeps(up, read):
            yield up.results / name
