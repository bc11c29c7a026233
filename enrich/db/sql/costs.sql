-- What was spent: one row for each batch and preview that was sent. `cost` is NULL while it is in progress,
-- or if its price is unknown.
CREATE OR REPLACE TABLE warehouse.enrich.costs AS
SELECT batch.model, prompt.llm, batch.provider, batch.prompt,
    coalesce(submitted_at, intended_at, planned_at)::DATE AS day, batch.batch,
    nullif(run, 0) AS run, CASE WHEN run = 0 THEN 'preview' ELSE 'batch' END AS kind,
    coalesce(status, 'submitted') AS status, requests,
    input_tokens, cached_tokens, output_tokens, reasoning_tokens, reserved, cost
FROM ledger.batches AS batch JOIN ledger.prompts AS prompt USING (prompt)
WHERE remote IS NOT NULL OR intended_at IS NOT NULL
ORDER BY day, planned_at, batch.batch
