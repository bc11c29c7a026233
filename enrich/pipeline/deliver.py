"""Deliver: copy published tables to where `publish:` says, if they have changed.

The table in the warehouse comes first: it is published whether or not its copy can be written. A
copy that fails is behind until the next `run` or `status`, and no row is asked again for it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from enrich.db.attached import REMOTE_EXTENSIONS
from enrich.db.complaint import TRY_SQL
from enrich.db.creation import make_folder
from enrich.db.outside import SECRET_VARIABLES, open_outside, prepare_storage
from enrich.errors import DatabaseError, EnrichError
from enrich.ledger.state import Copy
from enrich.manifest.destination import (
    BucketDestination,
    FolderDestination,
    TableDestination,
    find_destination,
)
from enrich.manifest.settings import ENVIRONMENT_VARIABLE
from enrich.manifest.sources import REMOTE_MARK, resolve_address
from enrich.pipeline.bucket_copy import list_objects, write_bucket
from enrich.pipeline.folder_copy import check_folder_place, list_files, write_folder
from enrich.pipeline.lock import hold_file
from enrich.pipeline.receipt import COPIES_FOLDER, Receipt, read_receipt, write_receipt
from enrich.pipeline.staged import clear_staged, describe_form, read_table, stage_table
from enrich.pipeline.table_copy import (
    attach_place,
    count_rows,
    explain_refusal,
    write_table,
)
from enrich.providers.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.db.database import Database
    from enrich.manifest.config import Config
    from enrich.manifest.destination import Destination
    from enrich.manifest.model import Model
    from enrich.pipeline.flow import Flow
    from enrich.pipeline.staged import Staged, TableState


def has_copies(config: Config) -> bool:
    """Whether any table may have a copy, without parsing a model."""
    # Parsing all models takes far longer than looking for a word in their files.
    if config.publication is not None:
        return True
    files = (path for path in config.models.rglob("*") if path.suffix in (".sql", ".md"))
    return any(b"publish:" in path.read_bytes() for path in files if path.is_file())


def deliver_copies(flow: Flow, models: Iterable[Model], *, look: bool) -> None:
    """Bring the copies of these models' tables up to date; with `look`, also those that somebody
    has changed in another database or an object storage. What fails is reported, and is among the
    command's problems."""
    for model in models:
        if flow.files.copies is not None:  # nothing of a read-only project can be kept
            return
        state = "is not copied"
        try:
            destination = find_destination(flow.config, model)
            if model.name in flow.clashes:
                raise flow.clashes[model.name]
            state = "is published, but its copy is behind"
            if destination is not None:
                _deliver_one(flow, model, destination, look=look)
        except EnrichError as problem:
            said = _redact(flow, problem)
            flow.listener.say(
                f"{model.name} {state}: {said.message}; {said.hint}; `enrich status` tries again"
            )
            flow.found.problems[f"copy of {model.name}"] = said


def find_copy(flow: Flow, model: Model) -> Copy | None:
    """Returns what is known of the copy of a model's table, without asking its place; None if it is
    not copied. Raises EnrichError."""
    destination = find_destination(flow.config, model)
    if destination is None:
        return None
    receipt = read_receipt(flow.files.work, model.name)
    with flow.files.open_warehouse("read", attached=_list_texts(model)) as database:
        table = read_table(database, model.name)
    behind = table is not None and not _is_current(destination, receipt, table)
    here = receipt if receipt and receipt.place == destination.said.to else None
    when = here.copied_at if here else ""
    return Copy(
        model=model.name,
        place=destination.said.to,
        behind=behind,
        problem=here.problem if here and behind else "",
        copied_at=datetime.fromisoformat(when).replace(tzinfo=None) if when else None,
    )


def check_place(flow: Flow, destination: Destination) -> None:
    """Raises EnrichError if a place cannot be reached, as far as that shows without writing."""
    if isinstance(destination, FolderDestination):
        check_folder_place(destination)
        return
    try:
        with open_outside(flow.files) as database:
            _reach(flow, database, destination)
            if isinstance(destination, BucketDestination):
                list_objects(database, destination)
    except EnrichError as problem:
        raise _redact(flow, problem) from None


def _deliver_one(flow: Flow, model: Model, destination: Destination, *, look: bool) -> None:
    """Copy a table, unless its copy is what it is. Raises EnrichError."""
    work = flow.files.work
    # A lock of its own: a large table takes its time, and keeps nobody else in the project waiting.
    with hold_file(make_folder(work, COPIES_FOLDER) / f"{model.name}.lock"):
        receipt = read_receipt(work, model.name)
        # Before the warehouse is open: another machine may take its time to answer.
        is_whole = not (look and receipt) or _is_whole(flow, destination, receipt)
        with flow.files.open_warehouse("read", attached=_list_texts(model)) as database:
            table = read_table(database, model.name)
            if table is None or (is_whole and _is_current(destination, receipt, table)):
                return
            staged = stage_table(database, table, destination, work)
        before = receipt or Receipt(place="", form="")
        if before.place != destination.said.to:
            before = Receipt(place=destination.said.to, form=staged.form, own=before.own)
        try:
            contents = _carry(flow, staged, destination, model, before)
        except EnrichError as problem:
            now = read_receipt(work, model.name)
            before = now if now and now.place == before.place else before
            write_receipt(work, model.name, replace(before, problem=_redact(flow, problem).message))
            raise
        finally:
            clear_staged(work / COPIES_FOLDER / model.name)
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        made = Receipt(
            place=before.place,
            form=describe_form(destination.said),
            seal=table.seal,
            rows=table.rows,
            copied_at=moment,
            own=_add_own(before) if destination.is_file else before.own,
            contents=contents,
        )
        write_receipt(work, model.name, made)
    flow.listener.say(f"{model.name}: {table.rows:,} rows copied to {destination.said.to}")


def _carry(
    flow: Flow, staged: Staged, destination: Destination, model: Model, receipt: Receipt
) -> Mapping[str, int | str]:
    """Take the files of a table to its place. Returns what is there now. Raises EnrichError."""

    def begin() -> None:
        begun = replace(receipt, own=_add_own(receipt), seal="")
        write_receipt(flow.files.work, model.name, begun)

    if isinstance(destination, FolderDestination):
        write_folder(staged, destination, known=receipt.place in receipt.own, begin=begin)
        return list_files(destination)
    with open_outside(flow.files) as database:
        _reach(flow, database, destination)
        if isinstance(destination, BucketDestination):
            return write_bucket(database, staged, destination, receipt, begin=begin)
        if isinstance(destination, TableDestination):
            try:
                write_table(database, staged, destination, model.key)
            except DatabaseError as problem:
                raise explain_refusal(destination, problem) from problem
        return _look(database, destination)


def _add_own(receipt: Receipt) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*receipt.own, receipt.place)))


def _look(database: Database, destination: Destination) -> Mapping[str, int | str]:
    """Returns what is in a place that has been reached: its files, or the table's rows."""
    if isinstance(destination, BucketDestination):
        return list_objects(database, destination)
    return count_rows(database, destination) if isinstance(destination, TableDestination) else {}


def _is_whole(flow: Flow, destination: Destination, receipt: Receipt) -> bool:
    """Whether a place outside still holds what was copied there, as far as that can be found
    out."""
    if isinstance(destination, FolderDestination) or receipt.place != destination.said.to:
        return True  # see `_is_current`
    try:
        with open_outside(flow.files) as database:
            _reach(flow, database, destination)
            return receipt.is_whole(_look(database, destination))
    except EnrichError:
        return True  # nothing has to be copied, and so nobody has to hear of it


def _reach(flow: Flow, database: Database, destination: Destination) -> None:
    """Open what a place is in. Raises EnrichError."""
    environment = flow.workspace.environment
    if isinstance(destination, BucketDestination):
        prepare_storage(database, destination.said.to, environment)
    elif isinstance(destination, TableDestination):
        address = resolve_address(destination.database, environment, flow.config.root)
        if address.data_path.partition(REMOTE_MARK)[0] in REMOTE_EXTENSIONS:
            prepare_storage(database, address.data_path, environment)
        attach_place(database, address)


def _list_texts(model: Model) -> tuple[str, ...]:
    """Returns the SQL that reading a model's table or view runs."""
    return model.texts if model.kind == "view" else ()


def _is_current(destination: Destination, receipt: Receipt | None, table: TableState) -> bool:
    """Whether a copy is what the table is, according to its receipt."""
    if receipt is None or receipt.problem:
        return False
    made = (receipt.place, receipt.form, receipt.seal)
    if made != (destination.said.to, describe_form(destination.said), table.seal):
        return False
    if isinstance(destination, FolderDestination):
        return receipt.is_whole(list_files(destination))
    return True


def _redact(flow: Flow, problem: EnrichError) -> EnrichError:
    """Returns an error without anything that the environment keeps secret."""
    environment = flow.workspace.environment
    named = [
        name
        for each in flow.config.attached
        for name in ENVIRONMENT_VARIABLE.findall(f"{each.path} {each.data_path}")
    ]
    values = (environment.get(name, "") for name in (*SECRET_VARIABLES, *named))
    secrets = Secrets.from_values(values)
    # What is tried in `enrich sql` runs in the other DuckDB, which reaches no place.
    hint = "`enrich debug` checks the place" if problem.hint == TRY_SQL else problem.hint
    return type(problem)(secrets.redact(problem.message), hint=secrets.redact(hint))
