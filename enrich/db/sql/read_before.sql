-- What the ledger knows of $batches; those that were read last come first.
SELECT batch, provider, remote, input_file, read_at, outcomes
FROM ledger.batches WHERE batch IN (SELECT unnest($batches)) ORDER BY read_number DESC NULLS LAST
