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
from enrich.errors import EnrichError
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
from enrich.pipeline.folder_copy import check_folder_place, is_there, write_folder
from enrich.pipeline.receipt import COPIES_FOLDER, Receipt, read_receipt, write_receipt
from enrich.pipeline.staged import clear_staged, read_table, stage_table
from enrich.pipeline.table_copy import attach_place, write_table
from enrich.providers.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def deliver_copies(flow: Flow, models: Iterable[Model]) -> None:
    """Bring the copies of these models' tables up to date. What fails is reported, and is among the
    command's problems."""
    for model in models:
        if flow.files.copies is not None:  # nothing of a read-only project can be kept
            return
        try:
            destination = find_destination(flow.config, model)
            if destination is not None:
                _deliver_one(flow, model, destination)
        except EnrichError as problem:
            said = _redact(flow, problem)
            flow.listener.say(
                f"{model.name} is published, but its copy is behind: {said.message}; {said.hint}; "
                "`enrich status` tries again"
            )
            flow.found.problems[f"copy of {model.name}"] = said


def find_copy(flow: Flow, model: Model) -> Copy | None:
    """Returns what is known of the copy of a model's table, without asking its place; None if it is
    not copied. Raises EnrichError."""
    destination = find_destination(flow.config, model)
    if destination is None:
        return None
    receipt = read_receipt(flow.files.work, model.name)
    with flow.files.open_warehouse("read", attached=model.kind == "view") as database:
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
                list_objects(database, f"{destination.said.to.rstrip('/')}/*")
    except EnrichError as problem:
        raise _redact(flow, problem) from None


def _deliver_one(flow: Flow, model: Model, destination: Destination) -> None:
    """Copy a table, unless its copy is what it is. Raises EnrichError."""
    from filelock import FileLock

    work = flow.files.work
    # A lock of its own: a large table takes its time, and keeps nobody else in the project waiting.
    with FileLock(make_folder(work, COPIES_FOLDER) / f"{model.name}.lock", mode=0o600):
        receipt = read_receipt(work, model.name)
        with flow.files.open_warehouse("read", attached=model.kind == "view") as database:
            table = read_table(database, model.name)
            if table is None or _is_current(destination, receipt, table):
                return
            staged = stage_table(database, table, destination, work)
        known = receipt if receipt and receipt.place == destination.said.to else None
        before = known or Receipt(place=destination.said.to, form=_describe(destination))
        try:
            _carry(flow, staged, destination, model, before)
        except EnrichError as problem:
            now = read_receipt(work, model.name)
            before = now if now and now.place == before.place else before
            write_receipt(work, model.name, replace(before, problem=_redact(flow, problem).message))
            raise
        finally:
            clear_staged(work / COPIES_FOLDER / model.name)
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        made = replace(before, form=_describe(destination), seal=table.seal, rows=table.rows)
        write_receipt(work, model.name, replace(made, copied_at=moment, problem="", begun=True))
    flow.listener.say(f"{model.name}: {table.rows:,} rows copied to {destination.said.to}")


def _carry(
    flow: Flow, staged: Staged, destination: Destination, model: Model, receipt: Receipt
) -> None:
    """Take the files of a table to its place. Raises EnrichError."""

    def begin() -> None:
        write_receipt(flow.files.work, model.name, replace(receipt, begun=True, seal=""))

    if isinstance(destination, FolderDestination):
        write_folder(staged, destination, known=receipt.begun, begin=begin)
        return
    with open_outside(flow.files) as database:
        _reach(flow, database, destination)
        if isinstance(destination, BucketDestination):
            write_bucket(database, staged, destination, known=receipt.begun, begin=begin)
        elif isinstance(destination, TableDestination):
            write_table(database, staged, destination, model.key)


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


def _is_current(destination: Destination, receipt: Receipt | None, table: TableState) -> bool:
    """Whether a copy is what the table is, according to its receipt."""
    if receipt is None or receipt.problem:
        return False
    made = (receipt.place, receipt.form, receipt.seal)
    if made != (destination.said.to, _describe(destination), table.seal):
        return False
    return not isinstance(destination, FolderDestination) or is_there(destination)


def _describe(destination: Destination) -> str:
    """Returns how a copy is written, in words that change with it."""
    return " ".join((destination.said.format, *destination.said.partition_by))


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
