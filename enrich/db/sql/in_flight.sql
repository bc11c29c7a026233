-- The requests in flight, and of which model: they are not sent again. Each is in one batch. For $model, so is what
-- a budget holds of it, until that is planned again.
CREATE OR REPLACE TEMP TABLE _enrich_in_flight AS
SELECT fingerprint, batch, model FROM ledger.requests JOIN (
    FROM temp._enrich_under_way
    UNION
    SELECT batch, model FROM ledger.batches WHERE model = $model AND read_at IS NULL AND held IS NOT NULL
) USING (batch)
