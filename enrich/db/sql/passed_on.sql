-- Which requests of temp._enrich_later move to a later llm: to the first one that has answered them, or
-- otherwise to the next one, if the present one has no attempts left. What is in flight stays,
-- and so does what somebody cancelled in run $run.
CREATE OR REPLACE TEMP TABLE _enrich_passed_on AS
WITH answered AS (
    SELECT fingerprint FROM ledger.responses
    WHERE outcome = 'ok' AND fingerprint IN (SELECT fingerprint FROM temp._enrich_later) AND batch IN (
        SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since
    )
), found AS (
    -- A row that is to be packed, and is in flight alone, is waited for.
    SELECT *, fingerprint IN (SELECT fingerprint FROM answered)
        OR (NOT failed AND fingerprint IN (SELECT fingerprint FROM temp._enrich_in_flight)) AS ok
    FROM temp._enrich_later
    WHERE was NOT IN (SELECT fingerprint FROM temp._enrich_in_flight) AND was NOT IN (
        SELECT fingerprint FROM ledger.responses WHERE run = $run AND outcome <> 'ok'
            AND batch IN (SELECT batch FROM ledger.batches WHERE cancelled_at IS NOT NULL)
    )
)
SELECT line, any_value(was) AS was, arg_min(fingerprint, (NOT ok, place)) AS fingerprint,
    arg_min(prompt, (NOT ok, place)) AS prompt
FROM found WHERE ok OR (failed AND place = 0 AND was NOT IN (SELECT fingerprint FROM temp._enrich_todo))
GROUP BY line
