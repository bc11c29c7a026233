-- Rows that version $version, which asked them before, would ask as it did: temp._enrich_earlier tells.
INSERT INTO temp._enrich_moved
SELECT snapshot.rowid, known.fingerprint, known.version
FROM temp._enrich_snapshot AS snapshot JOIN temp._enrich_known AS known USING (key) JOIN temp._enrich_earlier AS earlier USING (key)
WHERE known.version = $version AND known.fingerprint = earlier.fingerprint
    AND snapshot.fingerprint <> known.fingerprint
