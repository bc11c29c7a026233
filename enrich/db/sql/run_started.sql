INSERT INTO ledger.runs
    (run, model, prompt, provider, max_attempts, retry, again, "rows", requests, started_at, since,
    invocation, limits, due_at, fallbacks, partitions, forgives, read_before)
VALUES ($run, $model, $prompt, $provider, $max_attempts, $retry, $again, $rows, $requests,
    now()::TIMESTAMP, $since, $invocation, map($budgets::VARCHAR[], $limits::DOUBLE[]), $due_at, $fallbacks,
    $partitions, $forgives, $read_before)
