"""Batches: they are created once, found by their metadata, polled and cancelled."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from enrich.errors import ProviderError, Unavailable, Unclear
from enrich.providers import ENDED_STATUSES, Remote
from enrich.providers.openai.files import is_processed
from enrich.providers.openai.words import find_first_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.providers.openai.connection import Connection

NOT_READY = re.compile(
    r"not (yet )?(ready|processed|available)|still (being )?process|pending", re.I
)
"""What servers say if the file of a batch is not ready yet."""


def create_batch(
    connection: Connection, file: str, *, endpoint: str, metadata: Mapping[str, str]
) -> Remote:
    """Creates a batch, once. Raises Unavailable if it was refused because its file is not ready,
    Unclear if the answer was lost, and ProviderError."""
    try:
        return _create_once(connection, file, endpoint, metadata)
    except (Unavailable, Unclear):
        raise
    except ProviderError as problem:
        if NOT_READY.search(problem.message) or not is_processed(connection, file):
            hint = "its file is not ready yet; nothing is lost"
            raise Unavailable(problem.message, hint=hint) from problem
        raise


def _create_once(
    connection: Connection, file: str, endpoint: str, metadata: Mapping[str, str]
) -> Remote:
    """Makes the one call. An answer that cannot be used counts as lost."""
    import openai

    with connection.translate_errors(creating=True):
        # The SDK repeats a POST after a timeout, and OpenAI ignores idempotency keys: a repeated
        # create would be a second batch, and a second bill.
        batch = connection.ask(
            lambda client: client.with_options(max_retries=0).batches.create(
                input_file_id=file,
                endpoint=endpoint,  # type: ignore[arg-type]  # compatible servers may take more
                completion_window="24h",
                metadata=dict(metadata) if metadata else openai.omit,
            ),
            creating=True,
        )
        return _read_redacted(connection, batch.to_dict(warnings=False))


def find_batch(connection: Connection, intent: str, *, file: str) -> Remote | None:
    """Returns the batch of an intent; from servers that keep no metadata, the one that was created
    from its file. None if there is none."""
    # The list has no filter, so all of it is read. It is sorted by the newest first.
    for batch in connection.list_items(lambda client: client.batches.list(limit=100)):
        with connection.translate_errors():
            known = getattr(batch, "metadata", None)
            known = known if isinstance(known, dict) else {}
            made_of, status = (getattr(batch, name, "") for name in ("input_file_id", "status"))
            mine = made_of == file and status != "failed"
            if known.get("enrich_batch") == intent or (mine and not known):
                return _read_redacted(connection, batch.to_dict(warnings=False))
    return None


def retrieve_batch(connection: Connection, remote_id: str) -> Remote:
    """Returns the present state of a batch."""
    with connection.translate_errors():
        found = connection.ask(lambda client: client.batches.retrieve(remote_id))
        return _read_redacted(connection, found.to_dict(warnings=False), asked=remote_id)


def request_cancel(connection: Connection, remote_id: str) -> Remote:
    """Asks for a batch to be cancelled, and returns its state. One that has ended in the meantime,
    which is a 409, is returned as it ended."""
    import openai

    with connection.translate_errors():
        try:
            found = connection.ask(
                lambda client: client.with_options(max_retries=0).batches.cancel(remote_id)
            )
        except Unavailable as problem:
            if not isinstance(problem.__context__, openai.ConflictError):
                raise
            return retrieve_batch(connection, remote_id)
        return _read_redacted(connection, found.to_dict(warnings=False), asked=remote_id)


def _read_redacted(connection: Connection, batch: Mapping[str, Any], *, asked: str = "") -> Remote:
    """Returns a batch object without any secret that the server repeats in it. Raises Unreadable if
    it is not the batch with the id `asked`."""
    from enrich.providers.bounds import Unreadable

    found = read_batch(batch)
    if asked and found.id != asked:
        raise Unreadable("it was asked about one batch, and speaks of another")
    redacted = connection.account.redact
    return replace(found, code=redacted(found.code), error=redacted(found.error))


def read_batch(batch: Mapping[str, Any]) -> Remote:
    """Returns a batch object of the API as a Remote; fields that compatible servers leave out are
    empty. Raises Unreadable if the batch has no id or no status."""
    from enrich.providers import bounds

    counts = batch.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    completed, failed = (bounds.read_count(counts.get(word)) for word in ("completed", "failed"))
    output, errors = (batch.get(f"{kind}_file_id") for kind in ("output", "error"))
    status = bounds.read_word(batch.get("status"), "the batch")
    ended = status.lower() in ENDED_STATUSES
    code, message = find_first_error(batch.get("errors"))
    return Remote(
        id=bounds.read_id(batch.get("id"), "the batch"),
        status=status,
        completed=completed,
        failed=failed,
        total=bounds.read_count(counts.get("total")),
        files=tuple(bounds.read_id(file, "a result file") for file in (output, errors) if file),
        # The id of a result file can come a moment after the status `completed`. Some servers put
        # failed lines into the output file, so an error file is only missed without one.
        late=ended and bool((completed and not output) or (failed and not (errors or output))),
        code=code,
        error=message,
    )
