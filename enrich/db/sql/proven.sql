-- The versions from which any answer has been read.
SELECT DISTINCT prompt FROM ledger.batches WHERE read_at IS NOT NULL AND outcomes <> '{}'
