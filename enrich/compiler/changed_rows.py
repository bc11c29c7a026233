"""Changed rows: those of a model whose published rows are no longer what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.tables import name_inputs_table
from enrich.db.quote import quote_name, render_struct

if TYPE_CHECKING:
    from collections.abc import Iterable


def render_changed_rows(model: str, key: Iterable[str]) -> str:
    """Create `temp._enrich_changed`: the keys of the rows that are new, gone, ask something else,
    or have answers of batches read after the $read-th, compared with the model's provenance."""
    # Also rows whose batch the ledger does not have: an older copy of it may have been restored.
    inputs, was = name_inputs_table(model), quote_name("warehouse", "enrich", model)
    columns = render_struct({column: f"was.{quote_name(column)}" for column in key})
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_changed AS
SELECT coalesce(present.key, published.key) AS key
FROM (SELECT * FROM {inputs} WHERE until_run IS NULL) AS present
    FULL JOIN (
        SELECT {columns} AS key, fingerprint, error, copied_from, batch FROM {was} AS was
    ) AS published ON published.key = present.key
WHERE present.key IS NULL OR published.key IS NULL
    OR present.fingerprint IS DISTINCT FROM published.fingerprint
    OR present.copied_from IS DISTINCT FROM published.copied_from
    OR (present.error IS NOT NULL AND present.error IS DISTINCT FROM published.error)
    OR (published.batch IS NOT NULL AND published.batch NOT IN (SELECT batch FROM ledger.batches))
UNION
SELECT key FROM {inputs} SEMI JOIN (
    SELECT fingerprint FROM ledger.responses
    WHERE batch IN (SELECT batch FROM ledger.batches WHERE read_number > $read)
) USING (fingerprint)"""


def render_delete_changed(table: str, key: Iterable[str]) -> str:
    """Delete the rows of a `table`, a quoted name, whose keys are in `temp._enrich_changed`."""
    same = " AND ".join(f"changed.key.{quote_name(each)} = old.{quote_name(each)}" for each in key)
    return f"DELETE FROM {table} AS old USING temp._enrich_changed AS changed WHERE {same}"
