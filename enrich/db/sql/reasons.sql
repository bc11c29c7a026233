-- The state of the rows of temp._enrich_snapshot, and why those in temp._enrich_todo are asked; for 'moved',
-- also the version that asked them before, for 'fallback' the one that asks them now, and for 'shared' the other
-- model that asks their requests.
WITH asked AS (
    SELECT fingerprint, ok FROM temp._enrich_todo LEFT JOIN (
        SELECT fingerprint, bool_or(outcome = 'ok') AS ok FROM ledger.responses
        WHERE fingerprint IN (SELECT fingerprint FROM temp._enrich_todo) GROUP BY fingerprint
    ) USING (fingerprint)
), in_flight AS (
    SELECT fingerprint, any_value(model) AS model FROM temp._enrich_in_flight GROUP BY fingerprint
), answered AS (
    SELECT fingerprint, batch FROM ledger.responses
    WHERE outcome = 'ok' AND fingerprint IN (SELECT fingerprint FROM temp._enrich_snapshot)
), current AS (
    SELECT fingerprint FROM answered
    WHERE batch IN (SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since)
), found AS (
    SELECT snapshot.prompt AS prompt, moved.version AS version, in_flight.model AS asker, CASE
        WHEN snapshot.error IS NOT NULL THEN 'unsendable'
        WHEN snapshot.prompt IS NOT NULL AND NOT list_contains($fallbacks, snapshot.prompt) THEN 'kept'
        WHEN snapshot.reuse IS NOT NULL THEN snapshot.reuse
        WHEN asked.fingerprint IS NULL THEN CASE
            WHEN in_flight.model = $model THEN 'in progress'
            WHEN in_flight.model IS NOT NULL AND snapshot.fingerprint NOT IN (FROM current) THEN 'shared'
            WHEN snapshot.fingerprint IN (SELECT fingerprint FROM answered) THEN 'answered'
            ELSE 'given up' END
        WHEN ok THEN 'full refresh'
        WHEN ok IS FALSE THEN 'retry'
        WHEN snapshot.prompt IS NOT NULL THEN 'fallback'
        WHEN was_version IS NULL THEN 'new'
        WHEN was = snapshot.fingerprint THEN 'not asked yet'
        WHEN moved.line IS NOT NULL THEN 'moved'
        ELSE 'input changed'
    END AS state
    FROM temp._enrich_snapshot AS snapshot
        LEFT JOIN asked USING (fingerprint)
        LEFT JOIN in_flight USING (fingerprint)
        LEFT JOIN temp._enrich_moved AS moved ON moved.line = snapshot.rowid
)
SELECT state, CASE state
        WHEN 'moved' THEN version WHEN 'fallback' THEN prompt WHEN 'shared' THEN asker ELSE ''
    END AS version, count(*) AS many
FROM found GROUP BY ALL ORDER BY many DESC, state, version
