-- The same for rows that share lines, each with its share of the $overhead of its line.
INSERT INTO ledger.requests (batch, custom_id, fingerprint, attempt, tail, bytes, pack, pack_row)
SELECT batch, custom_id, fingerprint, attempt, tail,
    own + $overhead // count(*) OVER (PARTITION BY batch, placed.pack),
    dense_rank() OVER (PARTITION BY batch ORDER BY placed.pack),
    row_number() OVER (PARTITION BY batch, placed.pack ORDER BY n)
FROM temp._enrich_asked AS asked JOIN (
    SELECT batch, line, attempt, own, n, todo.pack AS pack FROM (
        FROM temp._enrich_todo WHERE n >= $first AND n < $upto
    ) AS todo ASOF JOIN (
        SELECT unnest($batches) AS batch, unnest($starts) AS start
    ) AS cuts ON n >= start
) AS placed USING (line)
