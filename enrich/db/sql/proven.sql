-- The versions of which any answer was read.
SELECT DISTINCT prompt FROM ledger.batches WHERE read_at IS NOT NULL AND outcomes <> '{}'
