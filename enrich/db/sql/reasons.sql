-- The state of the rows of temp._enrich_snapshot, and why those in temp._enrich_todo are asked; for 'moved',
-- also the version that asked them before, and for 'fallback' the one that asks them now.
WITH asked AS (SELECT fingerprint FROM temp._enrich_todo), heard AS (
    SELECT fingerprint, bool_or(outcome = 'ok') AS ok FROM ledger.responses
    WHERE fingerprint IN (SELECT fingerprint FROM temp._enrich_snapshot) GROUP BY fingerprint
), in_flight AS (
    SELECT DISTINCT fingerprint FROM ledger.requests
    WHERE batch IN (SELECT batch FROM ledger.batches WHERE read_at IS NULL AND held IS NULL)
)
SELECT
    CASE
        WHEN snapshot.error IS NOT NULL THEN 'unsendable'
        WHEN snapshot.prompt IS NOT NULL AND NOT list_contains($fallbacks, snapshot.prompt) THEN 'kept'
        WHEN snapshot.reuse IS NOT NULL THEN snapshot.reuse
        WHEN asked.fingerprint IS NULL THEN CASE
            WHEN in_flight.fingerprint IS NOT NULL THEN 'in progress'
            WHEN ok THEN 'answered' ELSE 'given up' END
        WHEN ok THEN 'full refresh'
        WHEN ok IS FALSE THEN 'retry'
        WHEN snapshot.prompt IS NOT NULL THEN 'fallback'
        WHEN known.key IS NULL THEN 'new'
        WHEN known.fingerprint = snapshot.fingerprint THEN 'not asked yet'
        WHEN moved.line IS NOT NULL THEN 'moved'
        ELSE 'input changed'
    END AS state,
    CASE state WHEN 'moved' THEN moved.version WHEN 'fallback' THEN snapshot.prompt ELSE '' END AS version,
    count(*) AS many
FROM temp._enrich_snapshot AS snapshot
    LEFT JOIN asked USING (fingerprint)
    LEFT JOIN heard USING (fingerprint)
    LEFT JOIN in_flight USING (fingerprint)
    LEFT JOIN temp._enrich_known AS known USING (key)
    LEFT JOIN temp._enrich_moved AS moved ON moved.line = snapshot.rowid
GROUP BY ALL ORDER BY many DESC, state, version
