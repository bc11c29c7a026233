-- What the latest answers to $model took: how many there are, the bytes of a request, of its own part
-- and of an answer; the USD of a request however often it was asked, as far as that is known, and its tokens.
WITH latest AS (
    SELECT batch, run, cost, input_tokens, cached_tokens, output_tokens FROM ledger.batches
    WHERE model = $model AND read_at IS NOT NULL ORDER BY read_number DESC LIMIT 20
), sent AS (
    SELECT count(DISTINCT fingerprint) AS all_, count(DISTINCT fingerprint) FILTER (run > 0 AND cost IS NOT NULL) AS paid
    FROM latest JOIN ledger.requests USING (batch)
), taken AS (
    SELECT sum(cost) FILTER (run > 0) / (SELECT paid FROM sent) AS usd,
        sum(input_tokens) / all_ AS input, sum(cached_tokens) / all_ AS cached, sum(output_tokens) / all_ AS output
    FROM latest, sent GROUP BY all_
)
SELECT count(*), avg(asked.bytes), avg(strlen(asked.tail)),
    avg(strlen(coalesce(answered.content, '')) + 4 * len(coalesce(answered.vector, []))),
    any_value(usd), any_value(input), any_value(cached), any_value(output)
FROM ledger.responses AS answered JOIN latest USING (batch)
    JOIN ledger.requests AS asked USING (batch, custom_id), taken
WHERE answered.outcome = 'ok'
