-- What was spent on each day (UTC) on each model, in USD; what is under way counts as reserved.
SELECT model, strftime(coalesce(submitted_at, intended_at, planned_at), '%Y-%m-%d') AS day,
    coalesce(sum(cost), 0) AS cost, coalesce(sum(reserved) FILTER (cost IS NULL), 0) AS reserved,
    coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens,
    coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens, sum(requests)::BIGINT AS requests
FROM ledger.batches WHERE remote IS NOT NULL OR intended_at IS NOT NULL OR read_at IS NOT NULL
GROUP BY ALL ORDER BY day, model
