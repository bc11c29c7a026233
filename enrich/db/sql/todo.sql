-- Which requests of temp._enrich_asked to send: one for each fingerprint that has no ok answer, is not in flight
-- and has attempts left, by the llm that is asked and in the order of `line`, its place there. What failed before run
-- $forgives is forgiven (0: nothing is), unless it was read after run $run started, when $read_before batches had been
-- read; and only what was read after the $since-th batch counts as answered. A request that has failed twice for the
-- same reason, one that lies in the request itself, is not sent a third time; and one that somebody has cancelled is
-- not sent again by the same run. What a batch left because its run was due, because a budget was used up, or because
-- another model was cancelled, has not been tried. A row whose pack was answered badly is not packed again: it is
-- asked alone. Unless $packed, no rows share a line.
CREATE OR REPLACE TEMP TABLE _enrich_todo AS
WITH wanted AS (
    SELECT fingerprint, min(line) AS first, bool_or(pack > 0) AS packed FROM temp._enrich_asked
    ANTI JOIN (
        SELECT fingerprint FROM ledger.responses
        WHERE outcome = 'ok' AND batch IN (
            SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since
        )
    ) USING (fingerprint)
    GROUP BY fingerprint
), said AS (
    SELECT fingerprint, run, outcome, attempt, received_at,
        outcome = 'error' AND coalesce(status_code, 0) BETWEEN 400 AND 499
            AND status_code NOT IN (408, 409, 425, 429) AS lasting,
        run = $run AND batch IN (SELECT batch FROM ledger.batches WHERE cancelled_at IS NOT NULL) AS cancelled,
        recent, count(*) FILTER (
            (outcome IN ('invalid', 'truncated', 'refused')
                OR (outcome = 'error' AND coalesce(status_code, 1) BETWEEN 1 AND 499
                    AND coalesce(status_code, 1) NOT IN (408, 409, 425, 429)))
            AND (recent OR run >= $forgives)
        ) OVER (PARTITION BY fingerprint, outcome, reason) AS alike
    FROM (
        -- From any model: those that ask the same have their attempts in common.
        SELECT *, run = $run OR batch IN (
            SELECT batch FROM ledger.batches WHERE read_number > $read_before
        ) AS recent
        FROM ledger.responses WHERE fingerprint IN (SELECT fingerprint FROM wanted)
    ) WHERE NOT (outcome = 'expired' AND batch IN (
            SELECT batch FROM ledger.batches
            WHERE (hurried_at IS NOT NULL AND cancelled_at IS NULL) OR code = 'budget_reached'
                OR (cancelled_at IS NOT NULL AND model <> $model)
        ))
), heard AS (
    SELECT fingerprint,
        count(*) FILTER (WHERE recent OR (outcome <> 'expired' AND run >= $forgives)) AS tries,
        max(attempt) AS attempt,
        arg_max(
            (NOT recent AND run < $forgives)
                OR (list_contains($retry, outcome) AND NOT lasting AND NOT cancelled
                AND NOT (packed AND outcome IN ('invalid', 'truncated', 'refused'))),
            (attempt, received_at)
        ) AS retryable,
        max(alike) AS alike
    FROM said JOIN wanted USING (fingerprint)
    GROUP BY fingerprint
), picked AS (
    SELECT first, coalesce(attempt, 0) + 1 AS attempt
    FROM wanted LEFT JOIN heard USING (fingerprint)
    WHERE fingerprint NOT IN (SELECT fingerprint FROM temp._enrich_in_flight)
        AND (tries IS NULL OR (retryable AND tries < $max_attempts AND alike < 2))
)
SELECT row_number() OVER () - 1 AS n, * FROM (
    SELECT line, fingerprint, attempt, own, own + overhead AS bytes, place, NULL::BIGINT AS pack, true AS ends
    FROM (
        SELECT line, fingerprint, strlen(tail) + strlen(custom_id) AS own, overhead, place
        FROM temp._enrich_asked WHERE pack = 0
    ) JOIN picked ON line = first
    UNION ALL
    -- Rows that share a line: its first one counts for what they share.
    SELECT line, fingerprint, attempt, own, own + CASE WHEN starts THEN overhead ELSE 0 END, place, pack,
        lead(pack) OVER (PARTITION BY place ORDER BY line) IS DISTINCT FROM pack
    FROM (
        SELECT *, lag(pack) OVER (PARTITION BY place ORDER BY line) IS DISTINCT FROM pack AS starts
        FROM (
            SELECT *, dense_rank() OVER (PARTITION BY place ORDER BY by_rows, by_bytes) AS pack FROM (
                SELECT *, (sum(own) OVER (PARTITION BY place, by_rows ORDER BY line) - own) // $most_bytes AS by_bytes
                FROM (
                    SELECT first AS line, asked.fingerprint AS fingerprint, attempt, strlen(tail) + $heading AS own,
                        overhead, place, (row_number() OVER (PARTITION BY place ORDER BY first) - 1) // asked.pack AS by_rows
                    FROM picked JOIN temp._enrich_asked AS asked ON asked.line = first
                    WHERE $packed AND asked.pack > 0
                )
            )
        )
    )
    ORDER BY place, line
)
