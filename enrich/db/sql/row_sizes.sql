-- What the latest answers to $model took: how many there are, the bytes of a request, of its own part
-- and of an answer, and the USD of a row.
WITH latest AS (
    SELECT batch, requests, cost FROM ledger.batches
    WHERE model = $model AND read_at IS NOT NULL ORDER BY read_number DESC LIMIT 20
)
SELECT count(*), avg(asked.bytes), avg(strlen(asked.tail)),
    avg(strlen(coalesce(answered.content, '')) + 4 * len(coalesce(answered.vector, []))),
    (SELECT sum(cost) / sum(requests) FROM latest)
FROM ledger.responses AS answered JOIN latest USING (batch)
    JOIN ledger.requests AS asked USING (batch, custom_id)
WHERE answered.outcome = 'ok'
