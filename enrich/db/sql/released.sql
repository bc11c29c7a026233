-- The models with batches that no longer have anything to wait for: what they await has been read, withdrawn or
-- held.
SELECT DISTINCT model FROM ledger.batches WHERE read_at IS NULL AND awaits IS NOT NULL
    AND NOT list_has_all((SELECT coalesce(list(batch), []) FROM temp._enrich_under_way), awaits)
