-- The earlier versions that asked the rows whose request differs now from that in version $version. Rows that
-- fell back to another llm have not moved on.
SELECT DISTINCT was_version FROM temp._enrich_snapshot
WHERE fingerprint <> was AND was_version <> $version
    AND NOT (list_contains($fallbacks, was_version)
        AND fingerprint IN (
            SELECT fingerprint FROM ledger.responses
            WHERE fingerprint IN (SELECT fingerprint FROM temp._enrich_snapshot)
        ))
ORDER BY was_version
