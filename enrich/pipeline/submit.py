"""Submit: upload a batch's file, commit the intent, and have the provider create the batch.

An upload is announced before it starts, and its file is committed together with the intent. A
create is sent once: if its response was lost, the batch is looked up by its intent.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from enrich.db.database import read_statement
from enrich.errors import ProjectError, ProviderError, Unavailable, Unclear, Unreachable
from enrich.ledger.batch import (
    make_batch_folder,
    name_request_file,
    record_remote,
    save_batch,
    update_batch,
    utc_now,
)
from enrich.pipeline.read import Judge
from enrich.pipeline.withdraw import give_up, stop_batch
from enrich.pipeline.write import write_requests
from enrich.providers.capabilities import can_submit, discard_upload, find_uploads, read_timing

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider, Remote


def submit_batch(files: DatabaseFiles, provider: Provider, batch: Batch) -> Batch:
    """Write, upload, commit the intent, create. Returns the updated batch, which may be unfinished.

    Raises ProviderError if the provider refuses.
    """
    if batch.intended_at is not None:
        remote = _find_created(provider, batch)
        if remote is not None:
            batch = record_remote(files, batch, remote, submitted_at=utc_now())
            return stop_batch(files, provider, batch) if batch.cancelled_at else batch
        waited = (utc_now() - (batch.intended_at or utc_now())).total_seconds()
        if waited < 0:  # the clock was set back: start waiting again
            return save_batch(files, batch, intended_at=utc_now())
        if waited < read_timing(provider).lost_after:
            return batch  # a new batch can be missing from the provider's list for a moment
    if batch.cancelled_at is not None:
        return give_up(files, batch)
    endpoint, attempt, file = _upload_requests(files, provider, batch)
    if not can_submit(provider, file):
        # Azure processes an upload for a while before a batch can use it
        return save_batch(files, batch, input_file=file)
    # OpenAI has no idempotency keys, so a create must not be repeated blindly: this commit says
    # that the batch may exist, and the metadata below finds it.
    batch = save_batch(files, batch, input_file=file, intended_at=utc_now())
    metadata = {
        "enrich_batch": batch.intent,
        "enrich_model": batch.model,
        "enrich_run": str(batch.run),
        "attempt": str(attempt),
    }
    try:
        remote = provider.submit(file, endpoint=endpoint, metadata=metadata)
    except Unclear as problem:
        files.say(f"{problem.message} ({problem.hint})")
        return batch
    except ProviderError:
        save_batch(files, batch, intended_at=None)  # refused, so there is nothing to look for
        raise
    return record_remote(files, batch, remote, submitted_at=utc_now())


def _find_created(provider: Provider, batch: Batch) -> Remote | None:
    """Look up the batch that an intent may have created. Returns None if there is none."""
    try:
        return provider.find(batch.intent, file=batch.input_file or "")
    except Unavailable:
        raise
    except ProviderError as problem:
        what = f"{batch.id} may have been created, but it cannot be looked up: {problem.message}"
        hint = "look for it at the provider; if it is not there: enrich cancel --forget"
        raise ProviderError(what, hint=hint) from problem


def _upload_requests(
    files: DatabaseFiles, provider: Provider, batch: Batch
) -> tuple[str, int, str]:
    """Write and upload the batch's request file, unless that has been done. Returns the endpoint,
    the highest attempt among its requests, and the id of the file.

    If an earlier upload was interrupted, a copy found at the provider is used; other copies are
    left to `discard_unused`.
    """
    with files.open_ledger() as database:
        judge = Judge.of(database, batch.version_id)
        attempt = int(database.call("attempt", batch=batch.id)[0][0])
        if batch.input_file is not None and not _was_moved(batch.input_file):
            return judge.endpoint, attempt, batch.input_file
        path = make_batch_folder(files, batch) / name_request_file(batch.id)
        again = batch.uploading_at is not None
        write_requests(database, path, batch, judge)
        # Announced before it starts: if the response is lost, the file is found by its name.
        if again:
            database.call("spare_files", batch=batch.id)
        else:
            update_batch(database, batch, uploading_at=utc_now())
    known = find_uploads(provider, path.name) if again else ()
    return judge.endpoint, attempt, known[0] if known else provider.upload(path)


def _was_moved(file: str) -> bool:
    """Whether an uploaded file is a path on this machine, as those of providers that answer
    themselves are, where nothing is any more: the project has another folder now."""
    return Path(file).is_absolute() and not Path(file).exists()


def discard_unused(
    files: DatabaseFiles, open_provider: Callable[[str], Provider], unreachable: set[str]
) -> None:
    """Delete uploaded files that no batch uses. What cannot be deleted now is tried again next
    time. `unreachable` providers are not tried, and those that turn out to be are added."""
    with files.open_ledger() as database:
        unused = database.fetch_dicts(read_statement("unused"))
    for each in unused:
        if each["provider"] in unreachable:
            continue
        try:
            provider = open_provider(each["provider"])
            # With another account behind the same name, a file of this id would be somebody else's.
            if provider.identity == each["identity"]:
                named = find_uploads(provider, name_request_file(each["batch"]))
                for file in {*named, *filter(None, [each["file"]])} - {each["used"]}:
                    discard_upload(provider, file)
        except Unreachable:
            unreachable.add(each["provider"])
            continue
        except (ProviderError, ProjectError):
            continue
        with files.open_ledger() as database:
            forget = "DELETE FROM ledger.unused_files WHERE batch = $batch"
            database.execute(forget, batch=each["batch"])
