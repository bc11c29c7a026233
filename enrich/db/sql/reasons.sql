-- The state of the rows of temp._enrich_snapshot, and why those in temp._enrich_todo are asked; for 'moved',
-- also the version that asked them before, and for 'fallback' the one that asks them now.
WITH asked AS (
    SELECT fingerprint, ok FROM temp._enrich_todo LEFT JOIN (
        SELECT fingerprint, bool_or(outcome = 'ok') AS ok FROM ledger.responses
        WHERE fingerprint IN (SELECT fingerprint FROM temp._enrich_todo) GROUP BY fingerprint
    ) USING (fingerprint)
), in_flight AS (
    SELECT fingerprint FROM ledger.requests
    WHERE batch IN (SELECT batch FROM ledger.batches WHERE read_at IS NULL AND held IS NULL)
), answered AS (
    SELECT fingerprint FROM ledger.responses
    WHERE outcome = 'ok' AND fingerprint IN (SELECT fingerprint FROM temp._enrich_snapshot)
), found AS (
    SELECT snapshot.prompt AS prompt, moved.version AS version, CASE
        WHEN snapshot.error IS NOT NULL THEN 'unsendable'
        WHEN snapshot.prompt IS NOT NULL AND NOT list_contains($fallbacks, snapshot.prompt) THEN 'kept'
        WHEN snapshot.reuse IS NOT NULL THEN snapshot.reuse
        WHEN asked.fingerprint IS NULL THEN CASE
            WHEN snapshot.fingerprint IN (FROM in_flight) THEN 'in progress'
            WHEN snapshot.fingerprint IN (FROM answered) THEN 'answered'
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
        LEFT JOIN temp._enrich_moved AS moved ON moved.line = snapshot.rowid
)
SELECT state, CASE state WHEN 'moved' THEN version WHEN 'fallback' THEN prompt ELSE '' END AS version,
    count(*) AS many
FROM found GROUP BY ALL ORDER BY many DESC, state, version
