-- Why the latest run of a model keeps other models waiting: it was stopped, its batches failed or were
-- cancelled, or a test holds its table back.
SELECT CASE
    WHEN stopped IS NOT NULL THEN 'was stopped: ' || stopped
    WHEN len(held) > 0 THEN 'is held back by ' || array_to_string(held, ', ')
    WHEN EXISTS (
        SELECT 1 FROM ledger.batches AS batch
        WHERE batch.run = latest.run AND cancelled_at IS NOT NULL
    ) THEN 'was cancelled'
    WHEN EXISTS (
        SELECT 1 FROM ledger.batches AS batch
        WHERE batch.run = latest.run AND lower(batch.status) = 'failed'
    ) THEN 'failed at its provider' END
FROM ledger.runs AS latest WHERE model = $model ORDER BY run DESC LIMIT 1
