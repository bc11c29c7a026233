-- How many batches of a model have been planned and not sent.
SELECT count(*) FROM ledger.batches
WHERE model = $model AND intended_at IS NULL AND remote IS NULL AND read_at IS NULL
