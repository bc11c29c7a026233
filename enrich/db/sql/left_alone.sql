-- The answers of a model that has no prompt any more are read, and published no more.
UPDATE ledger.runs
SET published_number = (SELECT coalesce(max(read_number), 0) FROM ledger.batches)
WHERE model = $model
