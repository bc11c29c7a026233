-- How far the runs of a model in progress are, over all rounds. What a run asks first was planned at one time;
-- a batch that was planned later asks some of it again.
WITH own AS (
    SELECT *, min(planned_at) OVER (PARTITION BY run) AS begun_at
    FROM ledger.batches
    WHERE model = $model AND run > 0 AND run >= (
        SELECT coalesce(min(run) FILTER (read_at IS NULL), max(run))
        FROM ledger.batches WHERE model = $model AND run > 0
    )
)
SELECT coalesce(sum(requests) FILTER (planned_at = begun_at), 0) AS total,
    total - coalesce(sum(requests - least(requests, coalesce(completed, 0) + coalesce(failed, 0)))
        FILTER (read_at IS NULL), 0) AS answered,
    coalesce(sum(requests - coalesce(CAST(outcomes ->> 'ok' AS BIGINT), 0))
        FILTER (read_at IS NOT NULL), 0) AS unfit,
    greatest(0, unfit - (coalesce(sum(requests), 0) - total)) AS failed,
    sum(cost) AS spent
FROM own
