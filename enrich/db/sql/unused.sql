-- Files to be deleted at their providers, and which one of the same name is in use. Copies of a batch's
-- own file can come to light as long as it is under way, so they are looked for once it is read.
SELECT unused.*, batch.input_file AS used
FROM ledger.unused_files AS unused LEFT JOIN ledger.batches AS batch USING (batch)
WHERE batch.batch IS NULL OR batch.read_at IS NOT NULL
