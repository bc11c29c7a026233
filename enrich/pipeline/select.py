"""Select: run a model's SELECT into a temporary table of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import inputs, tables
from enrich.db.quote import quote_readably
from enrich.errors import InputError
from enrich.pipeline.render import render_rows

if TYPE_CHECKING:
    from enrich.compiler.compilation import CompiledModel
    from enrich.db.database import Warehouse
    from enrich.manifest.config import Config


def select_rows(
    database: Warehouse, compiled: CompiledModel, *, config: Config, most_bytes: int
) -> int:
    """Create `temp._enrich_snapshot`. Returns its number of rows. Needs the warehouse.

    A row whose picture cannot be read, or whose request is larger than `most_bytes`, has an `error`
    and no fingerprint. Raises InputError if the SELECT fails, or the key is NULL or not unique.
    """
    render_rows(database, compiled, config, table="_enrich_snapshot")
    database.execute(tables.render_asked_requests("_enrich_snapshot", [compiled.version]))
    _check_key(database, compiled)
    longest = max(each.overhead for each in compiled.chain)
    database.call("line_too_long", overhead=longest, bytes=most_bytes)
    return int(database.fetch_one("SELECT count(*) FROM temp._enrich_snapshot")[0])


def select_as_before(database: Warehouse, earlier: CompiledModel, *, config: Config) -> None:
    """Create `temp._enrich_earlier`: the requests of an earlier version for the same rows."""
    render_rows(database, earlier, config, table="_enrich_earlier")


def _check_key(database: Warehouse, compiled: CompiledModel) -> None:
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
