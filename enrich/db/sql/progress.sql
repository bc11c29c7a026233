-- How far a model's runs under way are, over all rounds: a request that is asked again, or that a
-- budget held back and that was planned again, counts once, and so does a row that fell back to
-- another llm. `rate` is the rows a second of the batches
-- under way, as far as their providers report answers; 0 in their first ten seconds, when it would
-- say little.
WITH packed AS (
    SELECT batch, max(pack) AS lines FROM ledger.requests WHERE batch IN (
        SELECT batch FROM ledger.batches WHERE model = $model AND read_at IS NULL
    ) GROUP BY batch
), own AS (
    -- Providers count lines, each of which may have several rows.
    SELECT batches.*, coalesce(completed, 0) + coalesce(failed, 0) AS said,
        CASE WHEN lines > 0 THEN said * requests // lines ELSE said END AS done,
        read_at IS NULL AND ended_at IS NULL AND submitted_at IS NOT NULL AS moving,
        ((input_tokens - cached_tokens) * input_price + cached_tokens * cached_price
            + output_tokens * output_price) / 1e6 AS so_far
    FROM ledger.batches AS batches LEFT JOIN packed USING (batch)
    WHERE model = $model AND run > 0 AND (awaits IS NULL OR held IS NOT NULL) AND run >= (
        SELECT coalesce(min(run) FILTER (read_at IS NULL), max(run))
        FROM ledger.batches WHERE model = $model AND run > 0
    )
), distinct_requests AS (
    SELECT count(DISTINCT CASE WHEN (SELECT count(DISTINCT prompt) FROM own) > 1
        THEN hash(custom_id) ELSE hash(fingerprint) END) AS total
    FROM ledger.requests
    WHERE batch IN (SELECT batch FROM own)
), counted AS (
    SELECT coalesce(sum(requests), 0) AS asked, sum(coalesce(cost, so_far)) AS spent,
        coalesce(sum(input_tokens + output_tokens), 0) AS tokens,
        coalesce(sum(done) FILTER (moving), 0) AS arrived,
        date_diff('second', min(submitted_at) FILTER (moving AND done > 0), now()::TIMESTAMP) AS seconds,
        coalesce(sum(requests - least(requests, done)) FILTER (read_at IS NULL), 0) AS under_way,
        coalesce(sum(requests - coalesce(CAST(outcomes ->> 'ok' AS BIGINT), 0))
            FILTER (read_at IS NOT NULL), 0) AS unfit
    FROM own
)
SELECT total, total - under_way AS answered, greatest(0, unfit - (asked - total)) AS failed, spent, tokens,
    CASE WHEN seconds >= 10 THEN arrived / seconds ELSE 0 END AS rate
FROM distinct_requests, counted
