-- What each row of the snapshot asked before. Where neither its tail nor the version has changed, it asks
-- the same, and its fingerprint need not be computed, which is most of the work for rows that do not change.
-- Two tails of one row share a mark with a chance of 1 in 2^64.
UPDATE temp._enrich_snapshot AS snapshot SET
    was = known.fingerprint, was_version = known.version,
    fingerprint = coalesce(snapshot.fingerprint, CASE
        WHEN known.version = $version AND known.mark = snapshot.mark AND known.copied_from IS NULL
            AND snapshot.error IS NULL
        THEN known.fingerprint END)
FROM temp._enrich_known AS known WHERE known.key = snapshot.key
