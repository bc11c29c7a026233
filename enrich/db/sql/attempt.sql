-- The highest attempt among the requests of batch $batch.
SELECT coalesce(max(attempt), 1) FROM ledger.requests WHERE batch = $batch
