-- How many requests of a model are in the batches that were read after the $read-th.
SELECT coalesce(sum(requests), 0) FROM ledger.batches WHERE model = $model AND read_number > $read
