SELECT run, model, prompt, provider, max_attempts, retry,
    coalesce(forgives, CASE WHEN again OR since > 0 THEN run ELSE 0 END), coalesce(since, 0),
    coalesce(invocation, run), limits, due_at, fallbacks, coalesce(partitions, ''), read_before
FROM ledger.runs
WHERE model = $model ORDER BY run DESC LIMIT 1
