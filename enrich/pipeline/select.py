"""Select: run a model's SELECT into a temporary table of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.compiler import input_rows, inputs, tables
from enrich.db.quote import quote_readably
from enrich.errors import InputError
from enrich.pipeline.read import Judge
from enrich.pipeline.render import render_rows

if TYPE_CHECKING:
    from enrich.compiler.compilation import CompiledModel
    from enrich.db.database import Both, Warehouse
    from enrich.manifest.config import Config

SNAPSHOT_COUNT = "SELECT count(*) FROM temp._enrich_snapshot"


@dataclass(frozen=True, kw_only=True)
class Recalled:
    """How many rows of the SELECT are `unchanged`: they ask what they asked before, have that
    answer, and are not in the snapshot. `hashed` is for how many others a fingerprint had to be
    computed."""

    unchanged: int = 0
    hashed: int = 0


def select_rows(
    database: Warehouse, compiled: CompiledModel, *, config: Config, most_bytes: int
) -> None:
    """Create `temp._enrich_snapshot`. Needs the warehouse.

    A row whose picture cannot be read, or whose request is larger than `most_bytes`, has an `error`
    and no fingerprint. Raises InputError if the SELECT fails, or the key is NULL or not unique.
    """
    render_rows(database, compiled, config, table="_enrich_snapshot")
    _check_key(database, compiled)
    _refuse_long(database, compiled, most_bytes)


def select_again(
    database: Both, compiled: CompiledModel, *, config: Config, most_bytes: int, every: bool
) -> Recalled:
    """Create `temp._enrich_snapshot` as `select_rows` does, compared with the rows that the ledger
    knows, which are in `temp._enrich_known` then. Unless `every` row is needed, those that are
    unchanged are left out."""
    version, model = compiled.version_id, compiled.model.name
    if compiled.partition is not None and compiled.is_limited:
        database.execute(input_rows.render_named_parts(model, compiled.partition))
    know = input_rows.render_known_rows(
        model, answered=compiled.prompt.sample is not None, limited=compiled.is_limited
    )
    # A row's mark spares its fingerprint, so rows without one need not be looked for.
    if not database.execute(input_rows.render_has_marks(model), version=version):
        select_rows(database, compiled, config=config, most_bytes=most_bytes)
        database.execute(know)
        database.call("recall", version=version)
        return Recalled(hashed=int(database.fetch_one(SNAPSHOT_COUNT)[0]))
    render_rows(database, compiled, config, table="_enrich_snapshot", recall=True)
    database.execute(know)
    _check_key(database, compiled)
    unchanged = 0
    if not every:
        judge = Judge.of(database, version).id
        find = input_rows.render_unchanged_rows(model)
        (unchanged,) = database.fetch_one(find, version=version, judge=judge)
        (rows,) = database.fetch_one(SNAPSHOT_COUNT)
        if rows // 2 < unchanged < rows:
            database.call("take_changed")
        else:
            database.call("leave_unchanged")
    hashed = 0
    if database.fetch_one(SNAPSHOT_COUNT) != (0,):
        database.call("recall", version=version)
        (hashed,) = database.fetch_one(inputs.render_new_fingerprints(compiled.digest))
    _refuse_long(database, compiled, most_bytes)
    return Recalled(unchanged=int(unchanged), hashed=int(hashed))


def select_as_before(database: Warehouse, earlier: CompiledModel, *, config: Config) -> None:
    """Create `temp._enrich_earlier`: the requests of an earlier version for the same rows."""
    render_rows(database, earlier, config, table="_enrich_earlier")


def _refuse_long(database: Warehouse, compiled: CompiledModel, most_bytes: int) -> None:
    database.execute(tables.render_asked_requests("_enrich_snapshot", [compiled.version]))
    longest = max(each.overhead for each in compiled.chain)
    database.call("line_too_long", overhead=longest, bytes=most_bytes)


def _check_key(database: Warehouse, compiled: CompiledModel) -> None:
    if database.fetch_one(inputs.render_keys_differ(compiled.key)) == (True,):
        return
    named = ", ".join(compiled.key)
    for fault, keys, many in database.execute(inputs.render_key_faults(compiled.key)):
        shown = ", ".join(keys) + (", ..." if many > len(keys) else "")
        hint = "add a column to `key:` that tells the rows apart, or select them DISTINCT"
        if fault == "NULL":
            present = " AND ".join(
                f"{quote_readably(column)} IS NOT NULL" for column in compiled.key
            )
            hint = f"leave such rows out of the SELECT: WHERE {present}"
        where = f"{compiled.prompt.source}: the key ({named})"
        raise InputError(f"{where} is {fault} in {compiled.model.source}: {shown}", hint=hint)
    # A custom_id is derived from the key as text, so keys of unusual types can collide.
    for custom_id, keys in database.execute(inputs.render_shared_ids(compiled.key)):
        what = f"{compiled.prompt.source}: these keys would share the custom_id {custom_id}"
        hint = "make the key a text or a number in the SELECT, such as CAST(id AS VARCHAR) AS id"
        raise InputError(f"{what}: {', '.join(keys)}", hint=hint)
