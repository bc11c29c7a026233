-- Requests enter the ledger, each in the last batch that starts at or before it.
INSERT INTO ledger.requests (batch, custom_id, fingerprint, attempt, tail, bytes, pack, pack_row)
SELECT batch, custom_id, fingerprint, attempt, tail, bytes, NULL, NULL
FROM temp._enrich_asked AS asked JOIN (
    SELECT batch, line, attempt, bytes FROM (
        FROM temp._enrich_todo WHERE n >= $first AND n < $upto
    ) AS todo ASOF JOIN (
        SELECT unnest($batches) AS batch, unnest($starts) AS start
    ) AS cuts ON n >= start
) AS placed USING (line)
