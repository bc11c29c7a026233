-- The requests of temp._enrich_asked that $model waits for, because other models have them in flight, and in which
-- batches. Only what was read after the $since-th batch counts as answered.
CREATE OR REPLACE TEMP TABLE _enrich_shared AS
SELECT min(line) AS line, place, batch
FROM temp._enrich_asked AS asked JOIN (
    SELECT fingerprint, batch FROM temp._enrich_in_flight WHERE model <> $model
) USING (fingerprint) ANTI JOIN (
    SELECT fingerprint FROM ledger.responses
    WHERE outcome = 'ok' AND batch IN (
        SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since
    )
) USING (fingerprint)
GROUP BY fingerprint, place, batch
