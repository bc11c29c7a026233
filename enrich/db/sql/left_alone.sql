-- The answers of a model that no longer has a prompt are read, but not published any more.
UPDATE ledger.runs
SET published_number = (SELECT coalesce(max(read_number), 0) FROM ledger.batches)
WHERE model = $model
