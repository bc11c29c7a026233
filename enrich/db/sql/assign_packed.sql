-- The same for rows that share requests: a line is full after $pack rows, or after $most_bytes of them.
INSERT INTO ledger.requests (batch, custom_id, fingerprint, attempt, tail, bytes, pack, pack_row)
SELECT batch, custom_id, fingerprint, attempt, tail, bytes,
    dense_rank() OVER (PARTITION BY batch ORDER BY by_rows, by_bytes),
    row_number() OVER (PARTITION BY batch, by_rows, by_bytes ORDER BY n)
FROM temp._enrich_asked AS asked JOIN (
    SELECT batch, line, attempt, bytes, n, (n - start) // $pack AS by_rows,
        (upto - min(upto - bytes) OVER (PARTITION BY batch, (n - start) // $pack)) // $most_bytes AS by_bytes
    FROM (
        FROM temp._enrich_todo WHERE n < $upto
    ) AS todo ASOF JOIN (
        SELECT unnest($batches) AS batch, unnest($starts) AS start
    ) AS cuts ON n >= start
) AS placed USING (line)
