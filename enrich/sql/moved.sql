-- Rows that version $version, which asked them before, would ask as it did: temp.was tells.
INSERT INTO temp.moved
SELECT snapshot.rowid, known.fingerprint, known.version
FROM temp.snapshot AS snapshot JOIN temp.known AS known USING (key) JOIN temp.was AS was USING (key)
WHERE known.version = $version AND known.fingerprint = was.fingerprint
    AND snapshot.fingerprint <> known.fingerprint
