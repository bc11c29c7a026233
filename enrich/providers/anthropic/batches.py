"""Batches: they are created once, found by the marks of their requests, polled and cancelled."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enrich.errors import ProviderError, Unavailable, Unclear
from enrich.providers import Remote
from enrich.providers.anthropic.connection import BATCHES_PATH, BatchConnection
from enrich.providers.anthropic.document import stream_document, survey_requests
from enrich.providers.anthropic.errors import is_gone
from enrich.providers.anthropic.lines import find_first_id, write_lines
from enrich.providers.anthropic.marks import make_tag, read_tag
from enrich.providers.anthropic.uploads import Note, Upload, Uploads, translate_disk_errors
from enrich.providers.private import open_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RESULTS_PATH = "/results"
"""How the ids of result files end: they begin with the id of their batch."""
COUNTED = ("processing", "succeeded", "errored", "canceled", "expired")


@dataclass(frozen=True, kw_only=True)
class MessageBatches:
    """The batches of an account, and the uploads of this machine. `sampling` is as in
    `translate_body`. A batch that is not listed for `lost_after` seconds was never created."""

    connection: BatchConnection
    uploads: Uploads
    sampling: bool
    lost_after: float

    def upload(self, path: Path) -> str:
        """Keeps a request file, which is sent with the create. Raises ProviderError for a request
        that Anthropic cannot be asked."""
        with translate_disk_errors():
            known = survey_requests(path, sampling=self.sampling)
        # What is created from this file will be newer than the newest batch of now: that is how
        # far the list is read later. No clock is needed for it.
        page = self.connection.get(BATCHES_PATH, limit=1)
        found = page.get("data") if isinstance(page, dict) else None
        newest = str(found[0].get("id", "")) if found else ""
        note = Note(
            name=path.name,
            made_at=0.0,
            total=known.total,
            size=known.size,
            newest=newest,
            replaced=known.replaced,
        )
        return self.uploads.create(path, note).id

    def create(self, file: str, *, intent: str) -> Remote:
        """Creates the batch of an upload, once. Raises Unclear if the answer was lost, and
        ProviderError."""
        upload = self.uploads.find(file)
        if upload is None or not upload.requests.exists():
            what = f"{self.connection.plain.name} has no requests of the upload {file}"
            raise ProviderError(what, hint="its folder was removed; ask for the rows again")
        with translate_disk_errors():
            note = upload.announce(intent)
        try:
            remote = self._create_once(upload, note, tag=make_tag(intent))
        except Unclear:
            raise
        except ProviderError:
            with suppress(OSError):
                upload.conclude(intent, "")  # refused: there is nothing to look for
            raise
        with suppress(OSError):  # then it is looked for as if its answer had been lost
            upload.conclude(intent, remote.id)
        return remote

    def _create_once(self, upload: Upload, note: Note, *, tag: str) -> Remote:
        """Makes the one call. An answer that cannot be used counts as lost."""
        headers = {"Content-Type": "application/json", "Content-Length": str(note.size)}
        # Without retries: the SDK would create a second batch after a 500 or a timeout.
        said = self.connection.ask(
            lambda client: client.with_options(max_retries=0).post(
                BATCHES_PATH,
                cast_to=object,
                content=stream_document(upload.requests, tag),
                options={"headers": headers},
            ),
            creating=True,
            sent=note.size,
        )
        with self.connection.plain.translate_errors(creating=True):
            return read_batch_object(said)

    def find(self, intent: str, *, file: str) -> Remote | None:
        """Returns the batch of an intent; None if there is none. Raises Unavailable as long as a
        batch that has not ended may be the one: only its results tell."""
        upload = self.uploads.find(file)
        note = upload.note if upload else None
        if note and intent not in note.sent:
            return None
        if note and note.sent[intent]:
            return self.retrieve(note.sent[intent])
        remote = self._search(make_tag(intent), note)
        if upload is None:
            return remote
        with translate_disk_errors():
            if remote:
                upload.conclude(intent, remote.id)
            elif upload.count_missing() < self.lost_after:
                # A create is one long call here, so it says nothing how long ago it began.
                raise self._wait("it does not list the batch of a lost create yet")
        return remote

    def _search(self, tag: str, note: Note | None) -> Remote | None:
        """Returns the batch in the list whose requests have this tag. Without a note, which is lost
        with the folder of the upload, every batch may be the one."""
        others = {batch for each in self.uploads.list_all() for batch in each.note.sent.values()}
        unsure = ""
        for batch in self.connection.list_batches():
            with self.connection.plain.translate_errors():
                remote = read_batch_object(batch)
            if note and remote.id == note.newest:
                break
            if remote.id in others or batch.get("archived_at"):
                continue
            if remote.files:
                if self._read_first_tag(remote) == tag:
                    return remote
            elif note is None or remote.total in (0, note.total):
                unsure = remote.id
        if unsure:
            what = "the answer to a create was lost, and no second one is sent before the results"
            raise self._wait(f"{what} of batch {unsure} have told if it is the one")
        return None

    def _wait(self, why: str) -> Unavailable:
        """Returns the error of a lookup that has to be repeated; the provider has answered."""
        problem = Unavailable(
            f"{self.connection.plain.name}: {why}", hint="nothing is lost; enrich looks again"
        )
        problem.answered = True
        return problem

    def _read_first_tag(self, remote: Remote) -> str:
        """Returns the tag of the first line of a batch's results."""
        try:
            return self._scan_tag(remote)
        except ProviderError as problem:
            if is_gone(problem):  # after 29 days; the batch of a create was made after its note
                return ""
            raise

    def _scan_tag(self, remote: Remote) -> str:
        """Returns the same, while its results are there."""
        with self.connection.open_results(remote.id) as pieces:
            return read_tag(find_first_id(pieces))

    def retrieve(self, batch: str) -> Remote:
        """Returns the present state of a batch."""
        return self._read_asked(self.connection.get(f"{BATCHES_PATH}/{batch}"), batch)

    def cancel(self, batch: str) -> Remote:
        """Asks for a batch to be cancelled, and returns its state. One that has ended in the
        meantime is returned as it ended."""
        try:
            said = self.connection.ask(
                lambda client: client.post(f"{BATCHES_PATH}/{batch}/cancel", cast_to=object)
            )
        except ProviderError as problem:
            if isinstance(problem, Unavailable) and not problem.answered:
                raise
            found = self.retrieve(batch)
            if not found.ended:
                raise
            return found
        return self._read_asked(said, batch)

    def _read_asked(self, said: object, asked: str) -> Remote:
        """Returns a batch. Raises ProviderError if it is not the one with the id `asked`."""
        from enrich.providers.bounds import Unreadable

        with self.connection.plain.translate_errors():
            found = read_batch_object(said)
            if found.id != asked:
                raise Unreadable("it was asked about one batch, and speaks of another")
            return found

    def fetch(self, file: str, path: Path) -> None:
        """Streams the results of a batch to `path`, in the form of the Batch API, either all of
        them or nothing."""
        batch = file.removesuffix(RESULTS_PATH)
        replaced = self._find_replaced(batch)
        part = path.with_suffix(".part")
        try:
            with (
                translate_disk_errors(),
                self.connection.open_results(batch) as pieces,
                open_private(part, "wb") as out,
            ):
                write_lines(pieces, out, replaced)
        except ProviderError as problem:
            if not is_gone(problem):
                raise
            what = f"{self.connection.plain.name} no longer has the results of batch {batch}"
            hint = "give up the batch, so that its rows can be asked again: enrich cancel --forget"
            raise ProviderError(what, hint=hint) from problem
        with translate_disk_errors():
            part.replace(path)
        self.connection.plain.account.sure_secrets.clean(path)

    def _find_replaced(self, batch: str) -> Mapping[str, str]:
        """Returns the custom_ids of a batch that do not fit, by number."""
        notes = (upload.note for upload in self.uploads.list_all())
        return next((note.replaced for note in notes if batch in note.sent.values()), {})


def read_batch_object(batch: object) -> Remote:
    """Returns a batch object of the API as a Remote. Raises Unreadable if it has no usable id or
    status.

    A batch that was cancelled or has expired has only that status if a request was hit by it.
    """
    from enrich.providers import bounds

    known: Mapping[str, Any] = batch if isinstance(batch, dict) else {}
    said = bounds.read_word(known.get("processing_status"), "the batch")
    counts = known.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    number = {name: bounds.read_count(counts.get(name)) for name in COUNTED}
    batch_id = bounds.read_id(known.get("id"), "the batch")
    status = {"canceling": "cancelling"}.get(said, said)
    if said == "ended":
        status = "cancelled" if number["canceled"] else "completed"
        status = "expired" if number["expired"] else status
    has_results = said == "ended" and bool(known.get("results_url"))
    return Remote(
        id=batch_id,
        status=status,
        completed=number["succeeded"],
        failed=number["errored"],
        total=sum(number.values()),
        files=(f"{batch_id}{RESULTS_PATH}",) if has_results else (),
        late=said == "ended" and not has_results and not known.get("archived_at"),
    )
