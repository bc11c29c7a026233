-- How many batches and previews of a model have been read since its table was created.
SELECT count(*) FROM ledger.batches
WHERE model = $model AND read_number > coalesce((
    SELECT arg_max(published_number, run) FROM ledger.runs WHERE model = $model
), 0)
