-- The batches being read, and why a request without a line in their files was not run.
CREATE OR REPLACE TEMP TABLE _enrich_reading AS
SELECT unnest($batches::VARCHAR[]) AS batch, unnest($runs::BIGINT[]) AS run,
    unnest($unrun::VARCHAR[]) AS unrun
