-- Of the rows that the model had: how many are no longer in its SELECT, and how many ask the same.
SELECT (SELECT count(*) FROM temp._enrich_known) - count(was_version),
    count(*) FILTER (was_version IS NOT NULL AND fingerprint IS NOT DISTINCT FROM was)
FROM temp._enrich_snapshot
