"""Submit: a batch's file is uploaded, its intent committed, the batch created at its provider.

Each step is committed before the next begins. A create is made once: one whose answer was lost is
looked up by its intent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.db.database import read_statement
from enrich.errors import ProjectError, ProviderError, Unavailable, Unclear
from enrich.ledger.batch import file_name, folder, now, save, seen, update
from enrich.pipeline.read import Judge
from enrich.pipeline.withdraw import cancel_batch, give_up
from enrich.pipeline.write import write_requests
from enrich.providers.capabilities import can_submit, discard_upload, find_uploads, read_timing

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch
    from enrich.providers import Provider, Remote


def submit_batch(files: DatabaseFiles, provider: Provider, batch: Batch) -> Batch:
    """Write, upload, intend, create; each step is committed before the next begins."""
    if batch.intended_at is not None:
        remote = _found(provider, batch)
        if remote is not None:
            batch = seen(files, batch, remote, submitted_at=now())
            return cancel_batch(files, provider, batch) if batch.cancelled_at else batch
        waited = (now() - (batch.intended_at or now())).total_seconds()
        if waited < 0:  # the clock was put back: wait anew
            return save(files, batch, intended_at=now())
        if waited < read_timing(provider).lost_after:
            return batch
    if batch.cancelled_at is not None:
        return give_up(files, batch)
    endpoint, attempt, file = _uploaded(files, provider, batch)
    batch = save(files, batch, input_file=file)
    if not can_submit(provider, file):
        return batch
    batch = save(files, batch, intended_at=now())
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
        save(files, batch, intended_at=None)
        raise
    return seen(files, batch, remote, submitted_at=now())


def _found(provider: Provider, batch: Batch) -> Remote | None:
    """The batch that an intent may have made, looked up at its provider."""
    try:
        return provider.find(batch.intent, file=batch.input_file or "")
    except Unavailable:
        raise
    except ProviderError as problem:
        what = f"{batch.id} may have been made, and cannot be looked up: {problem.message}"
        hint = "look for it at the provider; if it is not there: enrich cancel --forget"
        raise ProviderError(what, hint=hint) from problem


def _uploaded(files: DatabaseFiles, provider: Provider, batch: Batch) -> tuple[str, int, str]:
    """Write the batch's request file and upload it, unless that was done; gives its endpoint, the
    highest attempt among its requests, and the id of the file.

    An upload that was begun before may be there: it is used, and what other copies there are, or
    come to light later, are left to `discard_unused`.
    """
    with files.open_ledger() as database:
        judge = Judge.of(database, batch.version_id)
        attempt = int(database.call("attempt", batch=batch.id)[0][0])
        if batch.input_file is not None:
            return judge.endpoint, attempt, batch.input_file
        path = folder(files, batch) / file_name(batch.id)
        again = batch.uploading_at is not None
        write_requests(database, path, batch, judge)
        if again:
            database.call("spare_files", batch=batch.id)
        else:
            update(database, batch, uploading_at=now())
    known = find_uploads(provider, path.name) if again else ()
    return judge.endpoint, attempt, known[0] if known else provider.upload(path)


def discard_unused(files: DatabaseFiles, open_provider: Callable[[str], Provider]) -> None:
    """Delete at their providers what was uploaded and is of no use; what fails is tried again."""
    with files.open_ledger() as database:
        unused = database.fetch_dicts(read_statement("unused"))
    for each in unused:
        try:
            provider = open_provider(each["provider"])
            if provider.identity == each["identity"]:
                named = find_uploads(provider, file_name(each["batch"]))
                for file in {*named, *filter(None, [each["file"]])} - {each["used"]}:
                    discard_upload(provider, file)
        except (ProviderError, ProjectError):
            continue
        with files.open_ledger() as database:
            forget = "DELETE FROM ledger.unused_files WHERE batch = $batch"
            database.execute(forget, batch=each["batch"])
