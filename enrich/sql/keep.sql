-- Rows that keep the answer which one of the $versions gave them; of all rows $sample do not.
UPDATE temp.snapshot AS snapshot SET fingerprint = moved.fingerprint, prompt = moved.version
FROM temp.moved AS moved
WHERE snapshot.rowid = line AND list_contains($versions, moved.version)
    AND moved.fingerprint IN (SELECT fingerprint FROM ledger.responses WHERE outcome = 'ok')
    AND line NOT IN (SELECT rowid FROM temp.snapshot ORDER BY hash(key), key LIMIT $sample)
