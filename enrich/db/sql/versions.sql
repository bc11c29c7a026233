-- The earlier versions that asked the rows whose request differs now from that in version $version. Rows that
-- fell back to another llm have not moved on.
SELECT DISTINCT known.version
FROM temp._enrich_snapshot AS snapshot JOIN temp._enrich_known AS known USING (key)
WHERE snapshot.fingerprint <> known.fingerprint AND known.version <> $version
    AND NOT (list_contains($fallbacks, known.version)
        AND snapshot.fingerprint IN (SELECT fingerprint FROM ledger.responses))
ORDER BY known.version
