-- What batch $batch took, now that it has been read: its tokens, and their cost in USD instead of what was
-- reserved. A missing answer, or one without its tokens, counts as estimated; with $billed, so does one that
-- was not waited for, because it may be billed all the same.
UPDATE ledger.batches AS batch SET
    input_tokens = seen.input_tokens, cached_tokens = seen.cached_tokens,
    output_tokens = seen.output_tokens, reasoning_tokens = seen.reasoning_tokens,
    cost = (seen.input_tokens - seen.cached_tokens) * input_price / 1e6
        + seen.cached_tokens * cached_price / 1e6 + seen.output_tokens * output_price / 1e6
        + coalesce(reserved * (untold + CASE WHEN $billed THEN unrun ELSE 0 END) / requests, 0)
FROM (
    SELECT coalesce(sum(input_tokens), 0) AS input_tokens,
        coalesce(sum(cached_tokens), 0) AS cached_tokens,
        coalesce(sum(output_tokens), 0) AS output_tokens,
        coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens,
        count(*) FILTER (
            outcome = 'missing' OR (status_code = 200 AND input_tokens IS NULL)
        ) AS untold,
        count(*) FILTER (outcome = 'expired') AS unrun
    FROM ledger.responses WHERE batch = $batch
) AS seen
WHERE batch.batch = $batch
