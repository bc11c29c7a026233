"""The ledger's table of a model's rows: what it knows of them, and what a run changes in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.db.quote import quote_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.compiler.partition import Partition


OWN_MARK = """CASE WHEN reuse = 'copied' OR (reuse IS NULL AND new.prompt IS NULL)
    THEN new.mark END"""
"""SQL for the mark of a row of the snapshot; NULL if labels answer it, or another version does, and
it is no copy."""


def name_inputs_table(model: str) -> str:
    """The quoted name of the ledger's table of a model's rows, present and past."""
    return quote_name("ledger", "inputs", model)


def render_inputs_table(model: str, key: Mapping[str, str]) -> str:
    """Create the ledger's table of a model's rows: from which run to which a row asked a request.

    `until_run` is NULL while the row still asks it. `prompt` is the id of another version than the
    latest run's if the row stands for a request of that one: an earlier version whose answer it
    keeps, or that of an llm which it fell back to. `copied_from` is the key of the row whose
    request it shares as a near-duplicate. `mark` changes with the row's tail; `part` names its
    partition, such as `day=2026-11-01`.
    """
    columns = ", ".join(f"{quote_name(column)} {kind}" for column, kind in key.items())
    return f"""CREATE OR REPLACE TABLE {name_inputs_table(model)} (
    key STRUCT({columns}), custom_id VARCHAR, fingerprint VARCHAR, error VARCHAR,
    from_run BIGINT, until_run BIGINT, prompt VARCHAR, copied_from VARCHAR, mark UBIGINT,
    part VARCHAR
)"""


def render_inputs_upgrade(model: str) -> str:
    """Add the columns that this table lacks in the ledger of an earlier enrich."""
    # A migration cannot do it: these tables have the names of the models.
    added = f"ALTER TABLE {name_inputs_table(model)} ADD COLUMN IF NOT EXISTS"
    columns = ("prompt VARCHAR", "copied_from VARCHAR", "mark UBIGINT", "part VARCHAR")
    return ";\n".join(f"{added} {column}" for column in columns)


def render_named_parts(model: str, partition: Partition) -> str:
    """Create `temp._enrich_parts`: the partitions of the ledger's rows that are worked on."""
    parts = f"SELECT DISTINCT part FROM {name_inputs_table(model)} WHERE until_run IS NULL"
    values = partition.render_values(parts)
    named = f"SELECT _enrich_part AS part FROM (\n{values}\n) WHERE {partition.condition}"
    return render_parts_table(named)


def render_parts_table(rows: str = "SELECT '' AS part WHERE false") -> str:
    """Create `temp._enrich_parts` from the SELECT `rows`: by default, with none."""
    return f"CREATE OR REPLACE TEMP TABLE _enrich_parts AS\n{rows}"


IN_PARTS = """(part IN (SELECT part FROM temp._enrich_parts)
    OR key IN (SELECT key FROM temp._enrich_snapshot))"""
"""SQL for whether a row of the ledger is in a partition that is worked on, or is one of its rows
now."""


def render_known_rows(model: str, *, answered: bool, limited: bool = False) -> str:
    """Create `temp._enrich_known`: the model's rows as the ledger knows them, with key,
    fingerprint, the version that asked them, their mark, and the row that they copy from, if they
    do.

    `answered` takes each row as it was when it was last answered, instead of as it last was;
    `limited` only those in the partitions that are worked on.
    """
    rows = f"""SELECT key, fingerprint, coalesce(was.prompt, run.prompt) AS version, from_run,
    copied_from, mark
FROM {name_inputs_table(model)} AS was JOIN ledger.runs AS run ON run.run = from_run"""
    named = f" AND {IN_PARTS}" if limited else ""
    if not answered:
        return render_known_table(f"{rows} WHERE until_run IS NULL{named}")
    # The newest answered request wins over newer ones without an answer: ranks are pairs, and an
    # answer comes first. arg_max_null, for arg_max would skip a row's NULL fingerprint.
    return render_known_table(
        f"""SELECT key, arg_max_null(fingerprint, rank) AS fingerprint,
    arg_max(version, rank) AS version, arg_max_null(copied_from, rank) AS copied_from,
    arg_max_null(mark, rank) AS mark
FROM (
    SELECT *, (fingerprint IN (
        SELECT fingerprint FROM ledger.responses WHERE outcome = 'ok'
    ), from_run) AS rank
    FROM ({rows})
) SEMI JOIN (SELECT key FROM {name_inputs_table(model)} WHERE until_run IS NULL{named}) USING (key)
GROUP BY key""",
        once=True,
    )


def render_no_known_rows() -> str:
    """Create an empty `temp._enrich_known`, for a model without such rows in the ledger."""
    rows = "SELECT NULL AS key, '' AS fingerprint, '' AS version, '' AS copied_from, 0 AS mark"
    return render_known_table(f"{rows} WHERE false")


def render_known_table(rows: str, *, once: bool = False) -> str:
    """Create `temp._enrich_known` from the SELECT `rows`: a view or, with `once`, a table, for rows
    that are expensive to find."""
    kind = "TABLE" if once else "VIEW"
    return f"""CREATE OR REPLACE TEMP {kind} _enrich_known AS
SELECT key, fingerprint, version, copied_from, mark FROM (
{rows}
)"""


def render_unchanged_rows(model: str) -> str:
    """Create `temp._enrich_unchanged`: the rows of the snapshot that ask in $version what they
    asked before, which has an `ok` answer judged by $judge; their places in the snapshot and in
    the ledger."""
    return render_unchanged_table(f"""SELECT now.rowid AS line, was.rowid AS place
FROM temp._enrich_snapshot AS now JOIN {name_inputs_table(model)} AS was ON was.key = now.key
WHERE until_run IS NULL AND was.prompt IS NULL AND was.mark = now.mark
    AND was.copied_from IS NULL AND was.error IS NULL AND now.error IS NULL
    AND was.part IS NOT DISTINCT FROM now.part
    AND from_run IN (SELECT run FROM ledger.runs WHERE prompt = $version)
    AND was.fingerprint IN (
        SELECT fingerprint FROM ledger.responses WHERE outcome = 'ok' AND judged_by = $judge
    )""")


def render_unchanged_table(rows: str = "SELECT 0 AS line, 0 AS place WHERE false") -> str:
    """Create `temp._enrich_unchanged` from the SELECT `rows`: by default, with none."""
    return f"CREATE OR REPLACE TEMP TABLE _enrich_unchanged AS\n{rows}"


def render_keep_others(model: str) -> str:
    """Let the present rows of all partitions that are not worked on stay with $version, which the
    latest run asked: whatever the present one would make of its answers, they stay as they are."""
    return f"""UPDATE {name_inputs_table(model)} SET prompt = $version
WHERE until_run IS NULL AND prompt IS NULL AND NOT coalesce({IN_PARTS}, false)"""


def render_close_inputs(model: str, *, limited: bool = False) -> str:
    """Mark rows that are gone or ask another request now as ended by run $run; `limited` those in
    the partitions that are worked on."""
    named = f"{IN_PARTS} AND " if limited else ""
    return f"""UPDATE {name_inputs_table(model)} AS old SET until_run = $run
WHERE until_run IS NULL AND {named}rowid NOT IN (SELECT place FROM temp._enrich_unchanged)
    AND NOT EXISTS (
    SELECT 1 FROM temp._enrich_snapshot AS new WHERE new.key = old.key
        AND new.fingerprint IS NOT DISTINCT FROM old.fingerprint
        AND new.error IS NOT DISTINCT FROM old.error
        AND new.prompt IS NOT DISTINCT FROM old.prompt
        AND new.copied_from IS NOT DISTINCT FROM old.copied_from
)"""


def render_open_inputs(model: str) -> str:
    """Insert rows that are new or ask another request now, from run $run on; those that changed
    must have been ended first."""
    return f"""INSERT INTO {name_inputs_table(model)}
    (key, custom_id, fingerprint, error, from_run, until_run, prompt, copied_from, mark, part)
SELECT key, custom_id, fingerprint, error, $run, NULL, prompt, copied_from, {OWN_MARK}, part
FROM temp._enrich_snapshot AS new
WHERE NOT EXISTS (
    SELECT 1 FROM {name_inputs_table(model)} AS old WHERE old.key = new.key AND until_run IS NULL
)"""


def render_has_marks(model: str) -> str:
    """One row if any of the model's present rows has a mark of $version."""
    return f"""SELECT 1 FROM {name_inputs_table(model)} WHERE until_run IS NULL AND mark IS NOT NULL
    AND from_run IN (SELECT run FROM ledger.runs WHERE prompt = $version) LIMIT 1"""


def render_renew_marks(model: str) -> str:
    """Give the model's present rows the marks and the partitions of the snapshot, where they have
    others."""
    return f"""UPDATE {name_inputs_table(model)} AS old SET mark = {OWN_MARK}, part = new.part
FROM temp._enrich_snapshot AS new WHERE until_run IS NULL AND new.key = old.key"""


def render_row_count(model: str) -> str:
    """The number of the model's present rows."""
    return f"SELECT count(*) FROM {name_inputs_table(model)} WHERE until_run IS NULL"


def render_has_answers(model: str) -> str:
    """One row if any request of the model, present or past, has a response, otherwise none."""
    inputs = name_inputs_table(model)
    return f"SELECT 1 FROM {inputs} SEMI JOIN ledger.responses USING (fingerprint) LIMIT 1"
