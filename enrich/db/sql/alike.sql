-- How the answers to version $prompt failed: the most frequent outcome among the last answers to each
-- request, how many have it, how many answers there are in all, and the most frequent reason. Temporary
-- failures (an outage, a full queue, a request that was not run) say nothing about the version.
WITH told AS (
    SELECT fingerprint, arg_max(outcome, (attempt, received_at)) AS outcome,
        arg_max(reason, (attempt, received_at)) AS reason
    FROM ledger.responses
    WHERE batch IN (SELECT batch FROM ledger.batches WHERE prompt = $prompt)
        AND outcome NOT IN ('expired', 'missing')
        AND NOT (outcome = 'error' AND (coalesce(status_code, 0) NOT BETWEEN 200 AND 499
            OR status_code IN (408, 409, 425, 429)))
    GROUP BY fingerprint
), most AS (
    SELECT outcome, count(*) AS many, mode(reason) AS reason FROM told GROUP BY outcome
    ORDER BY many DESC, outcome LIMIT 1
)
SELECT outcome, many, (SELECT count(*) FROM told), reason FROM most
