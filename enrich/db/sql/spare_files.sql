-- Batch $batch is uploaded a second time, because the answer to the first upload was lost: any copy but the
-- one that it uses is useless.
INSERT INTO ledger.unused_files
SELECT batch.provider, prompt.identity, batch.batch, NULL, batch.uploading_at
FROM ledger.batches AS batch JOIN ledger.prompts AS prompt USING (prompt)
WHERE batch.batch = $batch
    AND NOT EXISTS (SELECT 1 FROM ledger.unused_files AS known WHERE known.batch = $batch)
