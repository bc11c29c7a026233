-- Batch $batch is uploaded a second time, for nobody heard how the first upload ended: any copy but the
-- one that it uses is of no use.
INSERT INTO ledger.unused_files
SELECT batch.provider, prompt.identity, batch.batch, NULL, batch.uploading_at
FROM ledger.batches AS batch JOIN ledger.prompts AS prompt USING (prompt)
WHERE batch.batch = $batch
    AND NOT EXISTS (SELECT 1 FROM ledger.unused_files AS known WHERE known.batch = $batch)
