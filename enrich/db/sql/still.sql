-- Of the rows that the model had: how many are no longer in its SELECT, and how many ask the same.
SELECT count(*) FILTER (snapshot.key IS NULL),
    count(*) FILTER (snapshot.fingerprint IS NOT DISTINCT FROM known.fingerprint
        AND snapshot.key IS NOT NULL)
FROM temp._enrich_known AS known LEFT JOIN temp._enrich_snapshot AS snapshot USING (key)
