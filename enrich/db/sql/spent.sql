-- USD spent, or reserved for what is in progress (or what its answers have cost so far, if that is
-- more), by budget: of a command, of a model in its run, of this
-- month (UTC), and of a model in this month. With $planned, what the command has planned and not sent counts
-- as well, unless a budget does not pay for it. Previews (run 0) belong to no run.
WITH spent AS (
    SELECT coalesce(cost, greatest(reserved,
            ((input_tokens - cached_tokens) * input_price + cached_tokens * cached_price
                + output_tokens * output_price) / 1e6
        ), 0) AS usd, batch.model, batch.run, invocation,
        date_trunc('month', coalesce(submitted_at, intended_at, planned_at))
            = date_trunc('month', now()::TIMESTAMP) AS this_month
    FROM ledger.batches AS batch
        LEFT JOIN (SELECT run, coalesce(invocation, run) AS invocation FROM ledger.runs) USING (run)
    WHERE remote IS NOT NULL OR intended_at IS NOT NULL OR read_at IS NOT NULL
        OR ($planned AND invocation = $invocation AND (held IS NULL OR awaits IS NOT NULL))
)
SELECT coalesce(sum(usd) FILTER (invocation = $invocation), 0),
    coalesce(sum(usd) FILTER (run = $run AND run > 0 AND model = $model), 0),
    coalesce(sum(usd) FILTER (this_month), 0),
    coalesce(sum(usd) FILTER (this_month AND model = $model), 0)
FROM spent
