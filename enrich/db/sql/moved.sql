-- Rows that version $version asked before and would ask the same way now, as temp._enrich_earlier shows.
INSERT INTO temp._enrich_moved
SELECT snapshot.rowid, known.fingerprint, known.version
FROM temp._enrich_snapshot AS snapshot JOIN temp._enrich_known AS known USING (key) JOIN temp._enrich_earlier AS earlier USING (key)
WHERE known.version = $version AND known.fingerprint = earlier.fingerprint
    AND snapshot.fingerprint <> known.fingerprint
