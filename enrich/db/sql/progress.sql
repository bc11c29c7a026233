-- How far a model's runs under way are, over all rounds: a request that is asked again, or that a
-- budget held back and that was planned again, counts once.
WITH own AS (
    SELECT * FROM ledger.batches
    WHERE model = $model AND run > 0 AND run >= (
        SELECT coalesce(min(run) FILTER (read_at IS NULL), max(run))
        FROM ledger.batches WHERE model = $model AND run > 0
    )
), distinct_requests AS (
    SELECT count(DISTINCT fingerprint) AS total FROM ledger.requests
    WHERE batch IN (SELECT batch FROM own)
), counted AS (
    SELECT coalesce(sum(requests), 0) AS asked, sum(cost) AS spent,
        coalesce(sum(requests - least(requests, coalesce(completed, 0) + coalesce(failed, 0)))
            FILTER (read_at IS NULL), 0) AS under_way,
        coalesce(sum(requests - coalesce(CAST(outcomes ->> 'ok' AS BIGINT), 0))
            FILTER (read_at IS NOT NULL), 0) AS unfit
    FROM own
)
SELECT total, total - under_way AS answered, greatest(0, unfit - (asked - total)) AS failed, spent
FROM distinct_requests, counted
