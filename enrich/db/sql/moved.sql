-- Rows that version $version asked before and would ask the same way now, as temp._enrich_earlier shows.
INSERT INTO temp._enrich_moved
SELECT snapshot.rowid, snapshot.was, snapshot.was_version
FROM temp._enrich_snapshot AS snapshot JOIN temp._enrich_earlier AS earlier USING (key)
WHERE snapshot.was_version = $version AND snapshot.was = earlier.fingerprint
    AND snapshot.fingerprint <> snapshot.was
