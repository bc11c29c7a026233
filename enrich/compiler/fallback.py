"""Fallbacks: rows with which an llm has failed move to the request of the next one.

A row's tail is the same for all llms, so the next one's request is known without rendering it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.input_rows import name_inputs_table
from enrich.compiler.inputs import render_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable


def render_later_requests() -> str:
    """Create `temp._enrich_later`: for each request of `temp._enrich_asked` that has `failed`, its
    requests to the later llms. Their versions are $prompts and their digests $digests, in order,
    and `place` counts these from 0. Only what was read after the $since-th batch is an answer.

    So it does for each row that is to be packed, which keeps the answer that it has got alone.
    """
    # A request that was not run, or that somebody cancelled, has not failed.
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_later AS
WITH heard AS (
    SELECT fingerprint, arg_max(outcome, (attempt, received_at)) <> 'expired' AS failed,
        bool_or(outcome = 'ok' AND batch IN (
            SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since
        )) AS ok
    FROM ledger.responses
    WHERE fingerprint IN (SELECT fingerprint FROM temp._enrich_asked)
    GROUP BY fingerprint
)
SELECT line, asked.fingerprint AS was, coalesce(failed, false) AS failed, later.prompt AS prompt,
    later.place AS place, {render_fingerprint("digest")} AS fingerprint
FROM temp._enrich_asked AS asked LEFT JOIN heard USING (fingerprint) CROSS JOIN (
    SELECT unnest($prompts) AS prompt, unnest($digests) AS digest,
        unnest(range(len($prompts))) AS place
) AS later
WHERE (failed OR pack > 0) AND NOT coalesce(ok, false)"""


def render_stay() -> str:
    """Let rows of the snapshot stay with the request to a later llm that they stood for, if it is
    still theirs and has an answer; $prompts, $digests and $since as above."""
    # The llms before it may have an older answer, such as one from before a full refresh.
    return f"""UPDATE temp._enrich_snapshot AS snapshot SET fingerprint = was, prompt = was_version
FROM (SELECT unnest($prompts) AS version, unnest($digests) AS digest) AS later
WHERE was_version = version AND error IS NULL AND was = {render_fingerprint("digest")}
    AND was IN (
        SELECT fingerprint FROM ledger.responses WHERE outcome = 'ok' AND batch IN (
            SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since
        )
    )"""


def render_move(source: str) -> str:
    """Let the rows of `temp._enrich_passed_on` ask the other llm, in `source`."""
    return f"""UPDATE temp.{source} AS source SET fingerprint = passed.fingerprint,
    prompt = passed.prompt
FROM temp._enrich_passed_on AS passed WHERE source.rowid = passed.line"""


def render_recorded_move(model: str) -> Iterable[str]:
    """Statements that record the same in the ledger's table of the model's rows, as of $run."""
    inputs = name_inputs_table(model)
    yield f"""INSERT INTO {inputs}
    (key, custom_id, fingerprint, error, from_run, until_run, prompt, copied_from, mark, part)
SELECT key, custom_id, passed.fingerprint, error, $run, NULL, passed.prompt, copied_from, mark, part
FROM {inputs} AS present JOIN temp._enrich_passed_on AS passed ON present.fingerprint = passed.was
WHERE until_run IS NULL"""
    yield f"""UPDATE {inputs} SET until_run = $run
WHERE until_run IS NULL AND fingerprint IN (SELECT was FROM temp._enrich_passed_on)"""
