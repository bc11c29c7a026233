-- Keep with run $run what came of it so far, so that nobody has to count again; $held are the tests
-- that did not let its table be published.
UPDATE ledger.runs SET
    published_at = CASE WHEN $kept THEN now()::TIMESTAMP ELSE published_at END,
    published_number = (SELECT coalesce(max(read_number), 0) FROM ledger.batches),
    outcomes = $outcomes, stale = $stale, held = $held::VARCHAR[]
WHERE run = $run
