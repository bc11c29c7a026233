-- Whether no batch or preview is under way, no model waits, and no file is to be deleted at its provider.
SELECT NOT EXISTS (FROM ledger.batches WHERE read_at IS NULL)
    AND NOT EXISTS (FROM ledger.waiting)
    AND NOT EXISTS (FROM ledger.unused_files)
