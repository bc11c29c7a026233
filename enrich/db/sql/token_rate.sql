-- The tokens of answers to version $prompt, or another one with the same constants, of any model; or, without any,
-- to earlier versions of its model by the same llm:
-- the number of answers, input tokens per byte and per request, the deviation of both, the cached share, and
-- output tokens with their deviation, and how many of these were reasoning.
WITH alike AS (
    SELECT other.prompt AS prompt, other.endpoint = own.endpoint AND other.prefix = own.prefix AS same
    FROM ledger.prompts AS other JOIN ledger.prompts AS own USING (llm, identity)
    WHERE own.prompt = $prompt AND (other.model = own.model OR same)
), recent AS (
    SELECT batch, same FROM ledger.batches JOIN alike USING (prompt)
    WHERE input_tokens > 0
    -- Ten thousand answers tell as much as a million.
    QUALIFY rank() OVER (ORDER BY same DESC) = 1
        AND sum(requests) OVER (ORDER BY same DESC, read_number DESC) - requests < 10_000
    ORDER BY read_number DESC LIMIT 5
), seen AS (
    SELECT request.bytes, input_tokens, coalesce(cached_tokens, 0) AS cached_tokens, output_tokens,
        reasoning_tokens
    FROM ledger.responses AS response JOIN ledger.requests AS request USING (batch, custom_id)
    WHERE batch IN (SELECT batch FROM recent) AND request.bytes > 0 AND input_tokens > 0
), ratio AS (SELECT sum(input_tokens) / sum(bytes) AS ratio FROM seen)
SELECT count(*), any_value(ratio), avg(input_tokens),
    sqrt(avg((input_tokens - ratio * bytes) ** 2)), stddev_samp(input_tokens),
    sum(cached_tokens) / sum(input_tokens), coalesce(avg(output_tokens), 0),
    stddev_samp(output_tokens), coalesce(avg(reasoning_tokens), 0)
FROM seen, ratio
