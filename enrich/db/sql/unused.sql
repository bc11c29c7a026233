-- Files to be deleted at their providers, and which file of the same name is in use. Copies of a batch's own
-- file can appear as long as it is in progress, so they are looked for once it has been read.
SELECT unused.*, batch.input_file AS used
FROM ledger.unused_files AS unused LEFT JOIN ledger.batches AS batch USING (batch)
WHERE batch.batch IS NULL OR batch.read_at IS NOT NULL
