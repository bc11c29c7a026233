-- Batch $batch is in progress as a preview, and is never submitted.
UPDATE ledger.batches SET remote = 'now', status = 'in_progress', submitted_at = now()::TIMESTAMP
WHERE batch = $batch
