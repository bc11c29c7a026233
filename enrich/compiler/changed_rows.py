"""Changed rows: those of a model whose published rows are no longer what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.input_rows import name_inputs_table
from enrich.db.quote import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable


def render_changed_rows(model: str) -> str:
    """Create `temp._enrich_changed`: the keys of the rows that have come, gone or changed what they
    ask since the run $run, or have answers of batches read after the $read-th."""
    # Within a run, a row may move to another llm after the tables were made: see
    # `fallback.render_recorded_move`.
    inputs = name_inputs_table(model)
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_changed AS
SELECT key FROM {inputs}
WHERE from_run > $run OR until_run >= $run OR (from_run = $run AND prompt IS NOT NULL)
UNION
SELECT key FROM {inputs} SEMI JOIN (
    SELECT fingerprint FROM ledger.responses
    WHERE batch IN (SELECT batch FROM ledger.batches WHERE read_number > $read)
) USING (fingerprint)"""


def render_delete_changed(table: str, key: Iterable[str]) -> str:
    """Delete the rows of a `table`, a quoted name, whose keys are in `temp._enrich_changed`."""
    same = " AND ".join(f"changed.key.{quote_name(each)} = old.{quote_name(each)}" for each in key)
    return f"DELETE FROM {table} AS old USING temp._enrich_changed AS changed WHERE {same}"
