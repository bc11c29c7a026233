-- Keep the results of run $run with it, so that they need not be counted again. $held holds the tests that
-- kept its table from being published.
UPDATE ledger.runs SET
    published_at = CASE WHEN $kept THEN now()::TIMESTAMP ELSE published_at END,
    published_number = (SELECT coalesce(max(read_number), 0) FROM ledger.batches),
    outcomes = $outcomes, stale = $stale, held = $held::VARCHAR[]
WHERE run = $run
