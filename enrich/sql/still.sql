-- Of the rows that the model had: how many are gone from its SELECT, and how many ask the same.
SELECT count(*) FILTER (snapshot.key IS NULL),
    count(*) FILTER (snapshot.fingerprint IS NOT DISTINCT FROM known.fingerprint
        AND snapshot.key IS NOT NULL)
FROM temp.known AS known LEFT JOIN temp.snapshot AS snapshot USING (key)
