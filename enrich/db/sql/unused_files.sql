-- Files that were uploaded for batches that were never created are useless.
INSERT INTO ledger.unused_files
SELECT batch.provider, prompt.identity, batch.batch, batch.input_file, batch.uploading_at
FROM ledger.batches AS batch JOIN ledger.prompts AS prompt USING (prompt)
WHERE batch.model = $model AND batch.batch = coalesce($batch, batch.batch)
    AND intended_at IS NULL AND remote IS NULL AND read_at IS NULL AND uploading_at IS NOT NULL
