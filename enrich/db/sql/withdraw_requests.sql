DELETE FROM ledger.requests WHERE batch IN (
    SELECT batch FROM ledger.batches
    WHERE model = $model AND intended_at IS NULL AND remote IS NULL AND read_at IS NULL
        AND ($all OR awaits IS NOT NULL)
)
