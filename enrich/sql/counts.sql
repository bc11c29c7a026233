-- How often each outcome came out of batch $batch.
SELECT outcome, count(*) FROM ledger.responses WHERE batch = $batch GROUP BY outcome ORDER BY outcome
