"""The batches below a folder, as a provider reports them."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from enrich.errors import DiskError, ProviderError
from enrich.providers import Remote
from enrich.providers.executor.folder import Folder
from enrich.providers.executor.launch import tend_batch
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enrich.providers.executor.folder import BatchState, Job
    from enrich.providers.executor.tally import Allowance


def make_batch_id(kind: str, intent: str | None) -> str:
    """Returns the id of a batch, which is the same for the same intent: so a batch is created only
    once, and can be found.
    >>> make_batch_id("local", "one")
    'local-7692c3ad3540bb803c020b3a'
    """
    if intent is None:
        return f"{kind}-{uuid.uuid4().hex[:24]}"
    return f"{kind}-{hashlib.sha256(intent.encode()).hexdigest()[:24]}"


@dataclass(frozen=True, kw_only=True)
class FolderBatches:
    """The batches of the provider `name` below `root`. `worker` is the module that answers one:
    `python -m WORKER FOLDER`; `environment` is what it finds besides this process's own variables,
    and never written. Every method raises DiskError for what the file system says."""

    name: str
    root: Path
    worker: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def upload(self, path: Path) -> str:
        """Returns the path of the file as its id; nothing is sent."""
        with self._translate_errors():
            return str(path.resolve(strict=True))

    def submit(self, file: str, job: Job) -> Remote:
        """Creates the folder of a batch, unless it exists already, and starts its worker."""
        with self._translate_errors():
            return self._tend(Folder.create(self.root, job, Path(file)))

    def find(self, batch: str) -> Remote | None:
        """Returns the batch with this id; None if there is none."""
        with self._translate_errors():
            folder = Folder(self.root / batch)
            return self._tend(folder) if folder.exists else None

    def poll(self, batch: str) -> Remote:
        """Returns the state of a batch; a worker that died is started again, and continues."""
        with self._translate_errors():
            return self._tend(self._find_folder(batch))

    def fetch(self, file: str, path: Path) -> None:
        """Copies the answers of an ended batch to `path`, either all of them or nothing."""
        with self._translate_errors():
            folder = self._find_folder(file.removesuffix("/output.jsonl"))
            draft = path.with_name(f"{path.name}.new")
            _copy_private(folder.output, draft)
            draft.replace(path)

    def cancel(self, batch: str) -> Remote:
        """Asks the worker to stop; answers so far are kept."""
        with self._translate_errors():
            folder = self._find_folder(batch)
            if not folder.state.ended:
                folder.ask_cancel()
            return self._tend(folder)

    def allow(self, batch: str, allowance: Allowance) -> None:
        """Says what a batch may cost, before it is submitted or while it runs; its worker stops
        asking before it costs more."""
        with self._translate_errors():
            Folder(self.root / batch).allow(allowance)

    def list_leftovers(self, batch: str, *, fetched: bool) -> tuple[Path, ...]:
        """Returns the folder of a batch and what lies beside it, unless it has not ended, or has
        answers that were not `fetched`."""
        folder = Folder(self.root / batch)
        if not batch or Path(batch).name != batch:
            return ()
        with self._translate_errors():
            if folder.exists and not (folder.state.ended and (fetched or folder.is_empty)):
                return ()
            drafts = self.root.glob(f".{batch}-*")  # left by a crash while it was created
            return (folder.path, folder.allowance_file, *drafts)

    def _find_folder(self, batch: str) -> Folder:
        """Returns the folder of an existing batch. Raises ProviderError."""
        folder = Folder(self.root / batch)
        # An id that is a path would lead out of `root`.
        if Path(batch).name != batch or not folder.exists:
            hint = f"its folder under {self.root} was removed; ask for the rows again"
            raise ProviderError(f"{self.name} has no batch {batch!r}", hint=hint)
        return folder

    def _tend(self, folder: Folder) -> Remote:
        """How a batch stands, with a worker if it needs one."""
        return _make_remote(folder, tend_batch(folder, self.worker, self.environment))

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Translates errors of the file system to DiskError."""
        try:
            yield
        except OSError as error:
            where = error.filename or f"a file of the {self.name} provider"
            hint = "check that it exists, that you may write it, and that the disk has room"
            raise DiskError(f"{where}: {error.strerror or error}", hint=hint) from error


def _make_remote(folder: Folder, state: BatchState) -> Remote:
    """Returns a batch as its provider reports it."""
    batch = folder.path.name
    answered = state.completed + state.failed
    return Remote(
        id=batch,
        status="cancelling" if not state.ended and folder.is_cancelling else state.status,
        completed=state.completed,
        failed=state.failed,
        total=state.total,
        files=(f"{batch}/output.jsonl",) if state.ended and answered else (),
        code=state.code,
        error=state.error,
        input_tokens=state.input_tokens,
        cached_tokens=state.cached_tokens,
        output_tokens=state.output_tokens,
    )


def _copy_private(source: Path, target: Path) -> None:
    """Copies a file of answers so that only its owner may read it."""
    with source.open("rb") as answers, open_private(target, "wb") as copy:
        shutil.copyfileobj(answers, copy)
